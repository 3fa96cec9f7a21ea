"""Sphinx extension: `{library-reference}`, a page made of docstrings.

    ```{library-reference}
    dgm.nets
    dgm.models
    ```

shows the public names of these modules, each with its signature and the first sentence of its
docstring; the rest of the docstring is folded. Modules are sections, and every name is an anchor:
`library.html#dgm.models.VAE`. Docstrings are Markdown with `$...$` and the sections Args, Returns,
Raises and so on; the page that holds the directive must be Markdown, too. A name without a
docstring is a warning, so that a build under -W fails.
"""

from __future__ import annotations

import importlib
import inspect
import re
from functools import partial
from html import escape
from types import ModuleType

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

SECTION = re.compile(r"(Args|Attributes|Returns|Returns, raises|Raises|Shapes|Source):(?: (.*))?$")
ITEM = re.compile(r"([\w*][\w*., ]*): (.*)$")
# what Markdown leaves alone: formulas and code
VERBATIM = re.compile(r"(\$\$.*?\$\$|\$[^$]+\$|`[^`]+`)", re.DOTALL)

# ---------------------------------------------------------------- what there is to show


def public_names(module: ModuleType) -> dict[str, object]:
    """A module's `__all__`, or else what it defines itself; no modules."""
    own = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__]
    names = [n for n in getattr(module, "__all__", own) if not n.startswith("_")]
    found = {name: getattr(module, name) for name in names}
    return {name: value for name, value in found.items() if not inspect.ismodule(value)}


def methods(cls: type) -> dict[str, object]:
    """The public methods and properties that a class documents itself."""
    found = {}
    for name, value in vars(cls).items():
        function = getattr(value, "__func__", getattr(value, "fget", value))
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            found[name] = value if isinstance(value, property) else function
    return found


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
        return f"{name} = {value!r}"
    if getattr(value, "_is_protocol", False) or value.__init__ is object.__init__:
        return name  # nothing is handed over when one is made
    parameters = [
        p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else Shown(p.default))
        for p in inspect.signature(value).parameters.values()
        if p.name not in ("self", "cls")
    ]
    return name + str(inspect.Signature(parameters))


class Shown(str):
    """A default value as a signature shows it."""

    def __new__(cls, value: object):
        return super().__new__(cls, default(value))

    __repr__ = str.__str__


# ---------------------------------------------------------------- from docstring to Markdown


def first_sentence(docstring: str) -> tuple[str, str]:
    """It and the rest. A full stop within a formula or within code ends no sentence.

    >>> first_sentence("The mean, $a. b$. And more.")
    ('The mean, $a. b$.', 'And more.')
    """
    opening = docstring.split("\n\n")[0]
    for stop in re.finditer(r"\.(?=\s|$)", opening):
        sentence = opening[: stop.end()]
        if not sentence.count("`") % 2 and not sentence.count("$") % 2:
            return sentence, docstring[stop.end() :].strip()
    return opening, docstring[len(opening) :].strip()


def markdown(docstring: str) -> str:
    """A docstring's sections, indented blocks and examples as Markdown.

    >>> print(markdown("Args:\\n    x: one,\\n        or two."))
    **Args**
    <BLANKLINE>
    - `x`: one,
      or two.
    """
    parts = []
    for block in re.split(r"\n(?:[ ]*\n)+", separated(docstring)):
        head = SECTION.match(block.split("\n")[0])
        if head:
            parts.append(section(head, block))
        elif block.startswith(">>>"):
            parts.append(f"```pycon\n{block}\n```")
        elif block.startswith("    "):
            previous = parts[-1] if parts else ""
            if previous.startswith("```text"):  # a blank line within an indented block
                parts[-1] = previous.removesuffix("```") + f"\n{inspect.cleandoc(block)}\n```"
            else:
                parts.append(f"```text\n{inspect.cleandoc(block)}\n```")
        else:
            parts.append(prose(block))
    return "\n\n".join(parts)


def separated(docstring: str) -> str:
    """With blank lines around displayed formulas and before sections."""
    text = re.sub(r"(?ms)^(\$\$.*?\$\$\S?)[ ]*$", r"\n\1\n", docstring)
    return re.sub(rf"(?m)^(?={SECTION.pattern[:-1]}$)", "\n", text).strip("\n")


def section(head: re.Match, block: str) -> str:
    """`Args:` and what is indented below it, as a list if it has names."""
    title, text = head[1], head[2]
    body = inspect.cleandoc("\n".join(block.split("\n")[1:]))
    if text is not None:  # it begins on the line of the title
        return f"**{title}** " + prose(f"{text}\n{body}".strip())
    if not ITEM.match(body.split("\n")[0]):
        return f"**{title}** " + prose(body)
    lines = []
    for line in body.split("\n"):
        item = ITEM.match(line)
        indented = "  " + prose(line.strip())
        lines.append(f"- `{item[1]}`: {prose(item[2])}" if item else indented)
    return f"**{title}**\n\n" + "\n".join(lines)


def prose(text: str) -> str:
    """Text in which nothing but formulas, code and emphasis means anything to Markdown.

    >>> prose("a < b, {eval}`name`, $x<y$")
    'a \\\\< b, \\\\{eval}`name`, $x<y$'
    """
    pieces = VERBATIM.split(text)
    return "".join(p if k % 2 else re.sub(r"([<{\[])", r"\\\1", p) for k, p in enumerate(pieces))


# ---------------------------------------------------------------- the page


class folded(nodes.General, nodes.Element):
    """A native disclosure; `label` is what its handle says."""


def visit_folded(translator, node: folded) -> None:
    label = escape(node["label"])
    handle = f"<summary>More about <code>{label}</code></summary>"
    translator.body.append(f'<details class="reference-more">{handle}\n')


def depart_folded(translator, node: folded) -> None:
    translator.body.append("</details>\n")


class LibraryReference(SphinxDirective):
    """`{library-reference}`: the modules in its body, one a line, name by name."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.shown: set[int] = set()
        return [self.module(importlib.import_module(line.strip())) for line in self.content]

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
        sentence, rest = first_sentence(self.docstring(path, value))
        result += self.parsed(prose(sentence), path)
        more = self.parsed(markdown(rest), path) if rest else []
        if inspect.isclass(value):
            for own, function in methods(value).items():
                more.append(self.method(f"{path}.{own}", own, function))
        if more:
            result += folded("", *more, label=name)
        return result

    def method(self, path: str, name: str, value: object) -> nodes.container:
        call = nodes.literal("", "." + signature(name, value))
        result = nodes.container(ids=[path], classes=["reference-method"])
        result += nodes.paragraph("", "", call, classes=["reference-signature"])
        result += self.parsed(markdown(self.docstring(path, value)), path)
        return result

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
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
