"""Sphinx extension: `{library-reference}`, a page made of docstrings.

    ```{library-reference}
    dgm.nets
    dgm.models
    ```

shows the public names of these modules, each with its signature and the first sentence of its
docstring; the rest of the docstring is folded. Modules are sections, and every name is an anchor:
`library.html#dgm.models.VAE`. What docstrings may hold, `docstrings` says; the page that holds the
directive must be Markdown, too. A name without a docstring is a warning, so that a build under -W
fails.

Where a docstring names equations of the book (`Equation: eq-elbo`), the entry links to them and
shows the source of the function, folded; `functions` tells the other extensions which functions
compute an equation. A label that stands nowhere in the book is a warning.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from functools import partial
from html import escape
from types import ModuleType

from docstrings import first_sentence, markdown, prose, take_equations
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

# ---------------------------------------------------------------- what there is to show


def public_names(module: ModuleType) -> dict[str, object]:
    """A module's `__all__`, or else what it defines itself; no modules."""
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
    names = [n for n in getattr(module, "__all__", own) if not n.startswith("_")]
    found = {name: getattr(module, name) for name in names}
    return {name: value for name, value in found.items() if not inspect.ismodule(value)}


def methods(cls: type) -> dict[str, object]:
    """The public methods and properties that a class documents itself, or has of a private base.

    A base in a module whose name begins with `_` has no entry of its own.
    """
    found = {}
    for base in [cls, *(b for b in cls.__mro__[1:] if "._" in b.__module__)]:
        for name, value in vars(base).items():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
                found.setdefault(name, value if isinstance(value, property) else function)
    return found


def source(value: object) -> str:
    """The lines of a function or class in its file, but for its docstring."""
    text = textwrap.dedent(inspect.getsource(getattr(value, "fget", value)))
    lines, docstring = text.splitlines(), ast.parse(text).body[0].body[0]
    start, end = docstring.lineno - 1, docstring.end_lineno
    if lines[end : end + 1] == [""]:  # the blank line after a class's
        end += 1
    return "\n".join(lines[:start] + lines[end:])


def is_documented(value: object) -> bool:
    """Whether a docstring is expected of a value. Tables of constants have none."""
    return inspect.isclass(value) or inspect.isroutine(value)


def default(value: object) -> str:
    """
    >>> default(len), default("mean"), default(partial(print, sep=""))
    ('len', "'mean'", 'print')
    """
    if isinstance(value, partial):
        value = value.func
    return getattr(value, "__name__", repr(value))


def signature(name: str, value: object) -> str:
    """The call with names and defaults; what types and shapes are, the docstring says.

    >>> def elbo(model, x, y=None, *, k=1): ...
    >>> signature("elbo", elbo), signature("COLORS", ("red",))
    ('elbo(model, x, y=None, *, k=1)', "COLORS = ('red',)")
    """
    if isinstance(value, property):
        return name
    if not is_documented(value):
        return f"{name} = {constant(value)}"
    if getattr(value, "_is_protocol", False) or value.__init__ is object.__init__:
        return name  # nothing is handed over when one is made
    parameters = [
        p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else Shown(p.default))
        for p in inspect.signature(value).parameters.values()
        if p.name not in ("self", "cls")
    ]
    return name + str(inspect.Signature(parameters))


def constant(value: object) -> str:
    """A value as Python writes it; of a table that holds objects, the names of its lines.

    >>> constant(("red",)), constant({"VAE": object(), "NADE": object()})
    ("('red',)", "{'VAE': …, 'NADE': …}")
    """
    text = repr(value)
    if isinstance(value, dict) and " at 0x" in text:
        return "{" + ", ".join(f"{key!r}: …" for key in value) + "}"
    return text


class Shown(str):
    """A default value as a signature shows it."""

    def __new__(cls, value: object):
        return super().__new__(cls, default(value))

    __repr__ = str.__str__


# ---------------------------------------------------------------- the page


def functions(env: BuildEnvironment) -> dict[str, list[tuple[str, str]]]:
    """Per equation, where the functions that compute it are: pages and anchors; kept with env."""
    if not hasattr(env, "equation_functions"):
        env.equation_functions = {}
    return env.equation_functions


def forget_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """A page is about to be read again: drop what it held."""
    kept = {
        label: [place for place in places if place[0] != docname]
        for label, places in functions(env).items()
    }
    env.equation_functions = {label: places for label, places in kept.items() if places}


def warn_unknown(app: Sphinx, env: BuildEnvironment) -> None:
    """A label in a docstring that stands nowhere in the book fails the build under -W."""
    known = env.get_domain("math").equations
    for label, places in functions(env).items():
        for page, path in places if label not in known else ():
            message = f"{path} computes {label}, which stands nowhere in the book"
            logger.warning(message, location=page, type="library_reference")


SOURCE = "Source of"


class folded(nodes.General, nodes.Element):
    """A native disclosure; its handle says `says`, and `label` in code."""


def visit_folded(translator, node: folded) -> None:
    handle = f"<summary>{node['says']} <code>{escape(node['label'])}</code></summary>"
    kind = " reference-source" if node["says"] == SOURCE else ""  # which paper leaves out
    translator.body.append(f'<details class="reference-more{kind}">{handle}\n')


def depart_folded(translator, node: folded) -> None:
    translator.body.append("</details>\n")


class LibraryReference(SphinxDirective):
    """`{library-reference}`: the modules in its body, one a line, name by name."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.shown: set[int] = set()
        self.claims: dict[str, tuple[nodes.paragraph, list[str]]] = {}
        sections = [self.module(importlib.import_module(line.strip())) for line in self.content]
        for path, (place, labels) in self.claims.items():
            place += self.others(path, labels)
        return sections

    def module(self, module: ModuleType) -> nodes.section:
        self.env.note_dependency(inspect.getfile(module))
        result = nodes.section(ids=[module.__name__])
        result += nodes.title("", "", nodes.literal("", module.__name__))
        opening, _ = first_sentence(self.docstring(module.__name__, module))
        result += self.parsed(prose(opening), module.__name__)
        for name, value in public_names(module).items():
            if id(value) not in self.shown:  # a package shows the names of its parts
                self.shown.add(id(value))
                result += self.entry(f"{module.__name__}.{name}", name, value)
        return result

    def entry(self, path: str, name: str, value: object) -> nodes.container:
        """One name: signature, first sentence and, folded, the rest and the methods."""
        result = nodes.container(ids=[path], classes=["reference-entry"])
        call = nodes.literal("", signature(name, value))
        result += nodes.paragraph("", "", call, classes=["reference-signature"])
        if not is_documented(value):
            return result
        self.env.note_dependency(inspect.getfile(value))
        labels, text = take_equations(self.docstring(path, value))
        sentence, rest = first_sentence(text)
        result += self.parsed(prose(sentence), path)
        result += self.equations(path, labels)
        more = self.parsed(markdown(rest), path) if rest else []
        if inspect.isclass(value):
            for own, function in methods(value).items():
                more.append(self.method(f"{path}.{own}", own, function))
        if more:
            result += folded("", *more, says="More about", label=name)
        result += self.source(name, value) if labels else []
        return result

    def method(self, path: str, name: str, value: object) -> nodes.container:
        call = nodes.literal("", "." + signature(name, value))
        result = nodes.container(ids=[path], classes=["reference-method"])
        result += nodes.paragraph("", "", call, classes=["reference-signature"])
        labels, text = take_equations(self.docstring(path, value))
        result += self.parsed(markdown(text), path)
        result += self.equations(path, labels)
        result += self.source(name, value) if labels else []
        return result

    def equations(self, path: str, labels: list[str]) -> list[nodes.Node]:
        """Links to the equations that an entry computes. Their texts are the numbers."""
        if not labels:
            return []
        for label in labels:
            functions(self.env).setdefault(label, []).append((self.env.docname, path))
        text = ", ".join(f"{{eq}}`{label}`" for label in labels)
        place = self.parsed(f"Equation {text}", path)[0]
        place["classes"].append("reference-equations")
        self.claims[path] = place, labels
        return [place]

    def others(self, path: str, labels: list[str]) -> list[nodes.Node]:
        """Links to what else computes one of the equations."""
        found = dict.fromkeys(place for label in labels for _, place in functions(self.env)[label])
        links = [
            nodes.reference("", "", nodes.literal("", other), refid=other)
            for other in found
            if other != path
        ]
        texts = [nodes.Text("; also "), *(nodes.Text(", ") for _ in links)]
        return [part for pair in zip(texts, links, strict=False) for part in pair]

    def source(self, name: str, value: object) -> folded:
        code = source(value)
        return folded(
            "", nodes.literal_block(code, code, language="python"), says=SOURCE, label=name
        )

    def docstring(self, path: str, value: object) -> str:
        text = inspect.cleandoc(value.__doc__ or "").strip()
        generated = f"{getattr(value, '__name__', '')}("  # what a dataclass writes for itself
        if not text or text.startswith(generated):
            logger.warning("%s has no docstring", path, type="library_reference")
            return ""
        return text

    def parsed(self, text: str, path: str) -> list[nodes.Node]:
        box = nodes.container()
        lines = StringList(text.splitlines(), source=f"docstring of {path}")
        self.state.nested_parse(lines, self.content_offset, box)
        return list(box.children)


def setup(app: Sphinx) -> dict:
    app.add_node(folded, html=(visit_folded, depart_folded))
    app.add_directive("library-reference", LibraryReference)
    app.connect("env-purge-doc", forget_page)
    app.connect("env-check-consistency", warn_unknown)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
