"""What the library's docstrings say of equations and works, held beside the book and its tests."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from docstrings import take_equations, works
from equation_checks import Check, names, read_checks
from library_reference import methods, public_names
from places import BOOK, EQUATIONS, PAGES, ROOT
from source_checks import all_labels

LIBRARY = ROOT / "lib" / "dgm"
# works that have neither a DOI nor an arXiv id: books, proceedings without one, reports
WITHOUT_ID = {
    "Arthur and Vassilvitskii (2007)",
    "Bishop (2006)",
    "Fisher (1935)",
    "Frey (1998)",
    "Gretton et al. (2012)",
    "Gutmann and Hyvärinen (2012)",
    "Higgins et al. (2017)",
    "Hoffman and Johnson (2016)",
    "Holm (1979)",
    "Hyvärinen (2005)",
    "Kool, van Hoof and Welling (2019)",
    "Larochelle and Murray (2011)",
    "LeCun et al. (2006)",
    "McCarthy (1969)",
    "Radford et al. (2019)",
    "Rahimi and Recht (2007)",
    "Smolensky (1986)",
    "Sohn, Lee and Yan (2015)",
    "Song et al. (2023)",
}


class Claim(NamedTuple):
    """A function or class whose docstring names equations."""

    path: str  # on the reference page
    function: object
    owners: set[str]  # of a method: the classes that have it
    labels: list[str]


def documented() -> Iterator[tuple[str, object, type | None]]:
    """All that the reference page shows: path, function or class, and the class of a method."""
    page = (BOOK / "library.md").read_text(encoding="utf-8")
    for module in map(importlib.import_module, re.findall(r"^dgm\S*$", page, re.MULTILINE)):
        for name, value in public_names(module).items():
            path = f"{module.__name__}.{name}"
            yield path, value, None
            for own, method in methods(value).items() if inspect.isclass(value) else ():
                yield f"{path}.{own}", getattr(method, "fget", method), value


def claims() -> list[Claim]:
    found = []
    for path, value, cls in documented():
        labels, _ = take_equations(inspect.cleandoc(getattr(value, "__doc__", None) or ""))
        if labels:
            found.append(Claim(path, value, owners(value, cls), labels))
    return found


def owners(value: object, cls: type | None) -> set[str]:
    """The class itself, or the one that a method is of, and whatever inherits from it."""
    if cls is not None:
        value = next(base for base in cls.__mro__ if value.__name__ in vars(base))
    if not inspect.isclass(value):
        return set()
    return {value.__name__}.union(*(owners(below, None) for below in value.__subclasses__()))


def called(claim: Claim, check: Check) -> bool:
    """Whether a test, with the helpers in its file, refers to what claims its equation."""
    used = names(check)
    own = set() if inspect.isclass(claim.function) else {claim.function.__name__}
    return own <= used and (not claim.owners or bool(claim.owners & used))


def docstrings() -> Iterator[tuple[str, str]]:
    """Every docstring of the library's files, private ones too, and whose it is."""
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                yield f"{path.relative_to(LIBRARY)}: {getattr(node, 'name', 'module')}", text


# ---------------------------------------------------------------- equations


def test_the_labels_stand_in_the_book():
    known = set(all_labels(PAGES))
    dead = [f"{c.path}: {label}" for c in claims() for label in c.labels if label not in known]
    assert dead == []


def test_a_label_stands_in_a_line_that_is_read():
    """`Equations: eq-elbo`, or a label in the middle of a sentence, would lead nowhere."""
    lost = [
        whose
        for whose, text in docstrings()
        if re.search(r"(^|\s)(eq|def)-[a-z]|^Equations?:", take_equations(text)[1], re.MULTILINE)
    ]
    assert lost == []


def test_what_names_an_equation_is_on_the_reference_page():
    told = {text for _, text in docstrings() if take_equations(text)[0]}
    shown = {inspect.cleandoc(claim.function.__doc__).strip() for claim in claims()}
    assert told == shown


def test_the_check_of_an_equation_calls_the_function_that_computes_it():
    checks = {}
    for check in read_checks(EQUATIONS):
        checks.setdefault(check.label, []).append(check)
    silent = [
        f"{claim.path} computes {label}; no check of it refers to that"
        for claim in claims()
        for label in claim.labels
        if label.startswith("eq-") and not any(called(claim, c) for c in checks.get(label, []))
    ]
    assert silent == []


TEST = '''
class Stub: ...

def helper():
    return Model(3).log_prob(0)

@pytest.mark.equation("eq-a")
def test_a():
    """A."""
    helper()
    # elbo
'''


class Model:
    def log_prob(self, x): ...

    def sample(self, n): ...


class Narrow(Model): ...


def elbo(): ...


@pytest.mark.parametrize(
    ("function", "cls", "expected"),
    [
        (Model, None, True),
        (Model.log_prob, Model, True),
        (Model.sample, Model, False),
        (Narrow, None, False),
        (elbo, None, False),
    ],
)
def test_a_call_is_seen_through_helpers_and_not_in_comments(tmp_path, function, cls, expected):
    (tmp_path / "test_x.py").write_text(TEST)
    (check,) = read_checks(tmp_path)
    assert called(Claim("", function, owners(function, cls), ["eq-a"]), check) == expected


# ---------------------------------------------------------------- works


def cited(text: str) -> Iterator[tuple[str, str]]:
    """Each work in the line `Source:`, as "Names (year)", and what follows it."""
    name = r"(?:(?:van|den|de) )*[A-ZÀ-Þ][\w'-]+"
    work = re.compile(rf"({name}(?:(?:, | and ){name})*(?: et al\.)? \(\d{{4}}\))(?:, (\S+))?")
    for source in re.findall(r"Source: (.*?)(?:\n\n|\Z)", text, re.DOTALL):
        yield from work.findall(" ".join(source.split()))


def test_works_are_found():
    text = "Sum.\n\nSource: van den Oord, Lee and\nWu (2018), arXiv:1807.03748; Frey (1998)."
    assert list(cited(text)) == [
        ("van den Oord, Lee and Wu (2018)", "arXiv:1807.03748;"),
        ("Frey (1998)", ""),
    ]


def test_sources_name_their_works_by_an_id():
    bare = {
        work for _, text in docstrings() for work, next_word in cited(text) if not works(next_word)
    }
    assert bare == WITHOUT_ID


def test_ids_are_those_of_the_bibliography():
    """Where it has the work, the same surname and year belong to the id."""
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    entries = {}
    for entry in re.split(r"\n@", text):
        year = re.search(r"year\s*=\s*\{(\d+)\}", entry)
        for number in re.findall(r"(?:doi|eprint)\s*=\s*\{(.+)\}", entry):
            entries[number] = plain(entry), year[1]
    found = 0
    for whose, text in docstrings():
        for work, next_word in cited(text):
            for number in set(works(next_word)) & set(entries):
                entry, year = entries[number]
                surname = re.split(r",| and | et al| \(", work)[0]
                assert plain(surname) in entry and f"({year})" in work, f"{whose}: {work}"
                found += 1
    assert found > 50


def plain(text: str) -> str:
    """Letters only, accents left out, as BibTeX writes them and as Unicode does."""
    text = unicodedata.normalize("NFKD", text.replace("ø", "o")).encode("ascii", "ignore").decode()
    return re.sub(r"\\[\"'`^~]|\W", "", text)
