"""Checks of the book's sources. Each takes a notebook, a cell or a text and returns its problems.

They need no build. test_sources.py applies them to the book, and each to an example that is wrong.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from dgm.assignment.cells import (
    BEGIN_HIDDEN,
    BEGIN_SOLUTION,
    END_HIDDEN,
    END_SOLUTION,
    MARKERS,
    kind,
    label,
    strip,
)

MAX_LINES = 30  # of a code cell
MAX_VISIBLE_LINES = 15  # of one that readers see
CHECKED_TAGS = {"nbval-check-output", "keep_output"}
PREFIXES = ("eq-", "def-")


# ---------------------------------------------------------------- reading


def read_notebook(path: Path) -> dict:
    """The notebook as it is on disk: no upgrade, so that missing ids stay missing."""
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))


def markdown_texts(path: Path) -> list[str]:
    """The Markdown of a page: the whole file, or the Markdown cells of a notebook."""
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")]
    cells = read_notebook(path)["cells"]
    return [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def name(cell: dict) -> str:
    """What to call a cell in a message."""
    return f"cell {cell.get('id', '?')}"


# ---------------------------------------------------------------- equations


@dataclass(frozen=True)
class Display:
    """A display equation: its label, and whether it stands in a derivation."""

    label: str | None
    derivation: bool
    latex: str


# Directives whose body is not Markdown, and those in which each line is a step of a derivation.
OPAQUE = {"bibliography", "code", "code-block", "code-cell", "image", "literalinclude", "raw"}
DERIVATIONS = {"prf:proof", "dropdown", "solution"}
DERIVATION_CLASSES = {"derivation", "dropdown"}

PARSER = (
    MarkdownIt("commonmark")
    .use(dollarmath_plugin, allow_labels=True)
    .use(amsmath_plugin)
    .use(colon_fence_plugin)
)


def displays(text: str, derivation: bool = False) -> Iterator[Display]:
    """All display equations of a Markdown text, also those within directives."""
    for token in PARSER.parse(text):
        if token.type in ("math_block", "amsmath"):
            yield Display(None, derivation, token.content.strip())
        elif token.type == "math_block_label":
            yield Display(token.info, derivation, token.content.strip())
        elif token.type in ("fence", "colon_fence"):
            yield from directive_displays(token.info.strip(), token.content, derivation)


def all_labels(pages: list[Path]) -> list[str]:
    """The labels of all display equations of the pages."""
    texts = [text for path in pages for text in markdown_texts(path)]
    return [d.label for text in texts for d in displays(text) if d.label]


def directive_displays(info: str, content: str, derivation: bool) -> Iterator[Display]:
    """The display equations of one fence, which may be a directive."""
    match = re.match(r"\{([\w:-]+)\}", info)
    if not match or match[1] in OPAQUE:
        return
    options, body = split_options(content)
    if match[1] == "math":
        yield Display(options.get("label"), derivation, body.strip())
        return
    classes = set(options.get("class", "").split())
    inside = derivation or match[1] in DERIVATIONS or bool(classes & DERIVATION_CLASSES)
    yield from displays(body, inside)


def split_options(content: str) -> tuple[dict[str, str], str]:
    """A directive's options, as `:key: value` lines or between `---` lines, and its body."""
    block = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
    if block:
        options = yaml.safe_load(block[1]) or {}
        return {k: str(v) for k, v in options.items()}, content[block.end() :]
    lines, options = content.splitlines(), {}
    while lines and (match := re.match(r":([\w-]+):\s*(.*)", lines[0])):
        options[match[1]] = match[2]
        lines.pop(0)
    return options, "\n".join(lines)


def unlabelled(text: str) -> list[str]:
    """A display equation claims or defines something, or it is a step of a derivation."""
    return [
        f"neither eq- nor def- label: {equation.latex[:60]!r}"
        for equation in displays(text)
        if not equation.derivation and not (equation.label or "").startswith(PREFIXES)
    ]


def duplicates(labels: list[str]) -> list[str]:
    return [f"{label} occurs {n} times" for label, n in Counter(labels).items() if n > 1]


def unmatched(labels: list[str], tested: list[str]) -> list[str]:
    """Each claim has exactly one test, and each marked test a claim."""
    claims, marks = {label for label in labels if label.startswith("eq-")}, set(tested)
    problems = [f"{label} has no test" for label in sorted(claims - marks)]
    problems += [f"a test is marked {label}, no equation is" for label in sorted(marks - claims)]
    return problems + [f"tests of {problem}" for problem in duplicates(tested)]


# ---------------------------------------------------------------- citations


def cited_keys(text: str) -> list[str]:
    """The keys in roles like {cite:p}`one,two`."""
    found = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
    return [key.strip() for keys in found for key in keys.split(",")]


def unknown_citations(text: str, bibliography: str) -> list[str]:
    known = set(re.findall(r"^@\w+\{([^,\s]+),", bibliography, re.MULTILINE))
    return [f"{key} is not in references.bib" for key in cited_keys(text) if key not in known]


# ---------------------------------------------------------------- prose and its numbers

# Words that rank. Those that also say where something stands ("above") are left out.
RANKS = re.compile(
    r"\b(?:better|worse|best|worst|beats?|wins?|loses?|fails?|cures?|helps?|improves?|clearly|"
    r"higher|lower|larger|smaller|fewer|more than|less than|tighter|looser|faster|slower|closer|"
    r"farther|doubles?|halves)\b",
    re.I,
)


def handed_over(notebook: dict, function: str) -> set[str]:
    """The names that cells hand to the prose by `say` or `claim`."""
    trees = [ast.parse(cell["source"]) for cell in code_cells(notebook)]
    return {
        keyword.arg
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == function
        for keyword in node.keywords
        if keyword.arg
    }


def unused_values(notebook: dict) -> list[str]:
    """What a cell computes for the prose, the prose says."""
    text = "\n".join(c["source"] for c in notebook["cells"] if c["cell_type"] == "markdown")
    return [
        f"{function}({value}=...) is not used by any {{{role}}}`{value}`"
        for function, role in (("say", "eval"), ("claim", "claim"))
        for value in sorted(handed_over(notebook, function) - roles(text, role))
    ]


def named_twice(notebook: dict) -> list[str]:
    """What shows a variable in another form has a name of its own: f"{half:,}" is another text than
    half from a thousand on, which `say` refuses, on a large data set and not on a small one."""
    return [
        f"say({keyword.arg}=...) shows another thing than the variable {keyword.arg}"
        for cell in code_cells(notebook)
        for node in ast.walk(ast.parse(cell["source"]))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "say"
        for keyword in node.keywords
        if keyword.arg
        and not isinstance(keyword.value, ast.Name)
        and any(getattr(part, "id", None) == keyword.arg for part in ast.walk(keyword.value))
    ]


def roles(text: str, role: str) -> set[str]:
    return set(re.findall(rf"\{{{role}\}}`(\w+)`", text))


def sentences(text: str) -> list[str]:
    """The sentences of a Markdown text, roughly; a list's points are sentences of their own."""
    return re.split(r"(?<=[.!?])(?:\*{1,2})?\s+(?!\{claim\})|\n{2,}|\n(?=- |\d+\. |\|)", text)


def unbound_ranks(notebook: dict) -> list[str]:
    """A sentence that shows computed values and ranks them is bound to a computed condition."""
    texts = [c["source"] for c in notebook["cells"] if c["cell_type"] == "markdown"]
    return [
        f"says '{RANKS.search(s)[0]}' of computed values without {{claim}}: {s.strip()[:80]!r}"
        for text in texts
        for s in sentences(text)
        if "{eval}`" in s and RANKS.search(s) and "{claim}`" not in s
    ]


# ---------------------------------------------------------------- notebooks


def invalid_format(notebook: dict) -> list[str]:
    """Valid nbformat 4.5 with a distinct id for each cell."""
    if (notebook.get("nbformat"), notebook.get("nbformat_minor", 0) >= 5) != (4, True):
        return ["not nbformat 4.5 or later"]
    if not all("id" in cell for cell in notebook["cells"]):
        return ["a cell has no id"]
    twins = duplicates([cell["id"] for cell in notebook["cells"]])
    if twins:
        return twins
    try:
        nbformat.validate(deepcopy(notebook))  # it mends what it can
    except nbformat.ValidationError as error:
        return [f"not valid: {str(error).splitlines()[0]}"]
    return []


def stray_outputs(cell: dict) -> list[str]:
    """Only a checked cell keeps its output. Without a count nbval would pass it unseen."""
    tags = set(cell["metadata"].get("tags", [])) & CHECKED_TAGS
    if not tags:
        return [f"{name(cell)} has a stored output"] if cell["outputs"] else []
    if tags != CHECKED_TAGS:
        return [f"{name(cell)} lacks the tag {(CHECKED_TAGS - tags).pop()}"]
    if not cell["outputs"] or cell["execution_count"] is None:
        return [f"{name(cell)} is checked and lacks its output or its execution count"]
    return []


def long_source(cell: dict) -> list[str]:
    lines = len(cell["source"].splitlines())
    return [f"{name(cell)} has {lines} lines"] if lines > MAX_LINES else []


HIDDEN_TAGS = {"remove-cell", "remove-input", "hide-cell", "hide-input"}


def long_to_read(cell: dict) -> list[str]:
    """A reader takes in so many lines at once; what is more is plumbing, and the library's."""
    lines = len(cell["source"].splitlines())
    unseen = kind(cell["metadata"]) or HIDDEN_TAGS & set(cell["metadata"].get("tags", []))
    too_long = lines > MAX_VISIBLE_LINES and not unseen
    return [f"{name(cell)} shows {lines} lines"] if too_long else []


# The word that this course does not use for a distribution; laws of other kinds keep their names.
LAW = re.compile(
    r"\blaws?\b(?! of (?:large numbers|total (?:expectation|variance|probability)"
    r"|the (?:unconscious statistician|iterated logarithm)|iterated expectations?))",
    re.I,
)


def called_law(text: str) -> list[str]:
    """The field says distribution."""
    return [f"says {text[m.start() - 20 : m.end() + 20]!r}" for m in LAW.finditer(text)]


def dead_widgets(cell: dict) -> list[str]:
    """On the static page a bare `interact` slider moves, and nothing happens."""
    found = re.search(r"@?\binteract(?:ive|_manual)?\(|@interact\b", cell["source"])
    return [f"{name(cell)} uses {found[0]}"] if found else []


def not_a_script(cell: dict) -> list[str]:
    """A chapter's code runs without IPython too: as a script, or cell by cell in an editor."""
    try:
        tree = ast.parse(cell["source"])
        compile(tree, name(cell), "exec")  # refuses what parses and cannot stand alone
    except SyntaxError as error:
        return [f"{name(cell)} is not plain Python: {error.msg}"]
    known = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return [f"{name(cell)} uses {word}" for word in sorted(known & {"display", "get_ipython"})]


FOLDERS = "home|Users|root|tmp|work|mnt|media|var|usr|opt|data|srv|content|kaggle"


def absolute_paths(cell: dict) -> list[str]:
    """A path of one machine, also as it looks in Colab."""
    found = re.search(rf"(?<![\w.:/$\\])/(?:{FOLDERS})/|\b[A-Z]:\\\\?\w|[\"']~/", cell["source"])
    return [f"{name(cell)} has the absolute path {found[0]}"] if found else []


def bare_figures(cell: dict) -> list[str]:
    """A figure says what to see, twice: in a caption and in alternative text.

    The pictures of `dgm.figures` bring their own alternative text, one for each state.
    """
    settings = cell["metadata"].get("mystnb", {})
    if "figure" not in settings and "image" not in settings:
        return []
    problems = []
    if not (settings.get("figure") or {}).get("caption", "").strip():
        problems.append(f"{name(cell)} draws a figure without mystnb.figure.caption")
    interactive = "dgm.figures." in cell["source"]
    if not interactive and not (settings.get("image") or {}).get("alt", "").strip():
        problems.append(f"{name(cell)} draws a figure without mystnb.image.alt")
    return problems


# ---------------------------------------------------------------- exercises


def unbalanced_markers(cell: dict) -> list[str]:
    """BEGIN and END alternate, and only where nbgrader's metadata has them stripped."""
    marks = [line.strip() for line in cell["source"].splitlines() if line.strip() in MARKERS]
    pairs = {"solution": [BEGIN_SOLUTION, END_SOLUTION], "tests": [BEGIN_HIDDEN, END_HIDDEN]}
    expected = pairs.get(kind(cell["metadata"]), [])
    if len(marks) % 2 or marks != expected * (len(marks) // 2):
        return [f"{name(cell)} has the markers {marks}, expected pairs of {expected}"]
    if expected and not marks:
        return [f"{name(cell)} lacks {expected[0]}"]
    return []


def incomplete_metadata(cell: dict) -> list[str]:
    """What nbgrader 0.9 reads, schema version 3."""
    nbgrader = cell["metadata"].get("nbgrader")
    if nbgrader is None:
        return []
    wanted = {"grade", "grade_id", "locked", "schema_version", "solution", "task"}
    wanted |= {"points"} if nbgrader.get("grade") else set()
    problems = [f"{name(cell)} lacks nbgrader.{key}" for key in sorted(wanted - set(nbgrader))]
    if nbgrader.get("schema_version") != 3:
        problems.append(f"{name(cell)} has not nbgrader's schema version 3")
    return problems


def silent_tests(cell: dict) -> list[str]:
    """A test cell shows the reader at least one assert, and keeps at least one."""
    if kind(cell["metadata"]) != "tests":
        return []
    shown = strip(cell["source"])
    problems = [] if "assert " in shown else [f"{name(cell)} has no visible assert"]
    kept = cell["source"].count("assert ") > shown.count("assert ")
    return problems + ([] if kept else [f"{name(cell)} has no hidden assert"])


def unpaired_exercises(notebook: dict) -> list[str]:
    """Each solution cell is followed by its tests, one cell or more, and grade ids are distinct."""
    graded = [cell for cell in code_cells(notebook) if kind(cell["metadata"])]
    kinds = [kind(cell["metadata"]) for cell in graded]
    ids = [cell["metadata"]["nbgrader"].get("grade_id", "?") for cell in graded]
    problems = [f"grade_id {problem}" for problem in duplicates(ids)]
    for k, (what, grade_id) in enumerate(zip(kinds, ids, strict=True)):
        if what == "solution" and kinds[k + 1 : k + 2] != ["tests"]:
            problems.append(f"the solution {grade_id} has no tests after it")
        if what == "tests" and kinds[k - 1 : k] not in (["solution"], ["tests"]):
            problems.append(f"the tests {grade_id} have no solution before them")
        elif what == "tests":
            own, first = label(graded[k - 1]["metadata"]), kinds[k - 1] == "solution"
            if not re.fullmatch(f"{own}-tests" if first else rf"{own}-tests-[\w-]+", grade_id):
                part = "" if first else "-<part>"
                problems.append(f"the tests {grade_id} should be called {own}-tests{part}")
    return problems


CODE_CELL_CHECKS = (
    stray_outputs,
    long_source,
    dead_widgets,
    not_a_script,
    bare_figures,
    unbalanced_markers,
    incomplete_metadata,
    silent_tests,
)
CELL_CHECKS = (absolute_paths,)
NOTEBOOK_CHECKS = (invalid_format, unpaired_exercises)


def notebook_problems(notebook: dict) -> list[str]:
    """Everything that is wrong with a notebook."""
    problems = [p for check in NOTEBOOK_CHECKS for p in check(notebook)]
    problems += [p for c in notebook["cells"] for check in CELL_CHECKS for p in check(c)]
    return problems + [
        p for c in code_cells(notebook) for check in CODE_CELL_CHECKS for p in check(c)
    ]
