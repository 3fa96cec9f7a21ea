"""What exercises look like in a chapter's source.

An answer stands between `### BEGIN SOLUTION` and `### END SOLUTION`, the tests that students do not
see between `### BEGIN HIDDEN TESTS` and `### END HIDDEN TESTS`. What a cell is follows from its
nbgrader metadata: the `grade_id` of an answer is `<label>-solution`, that of its tests
`<label>-tests`. An exercise marked in parts has more cells of tests, each with its own points:
`<label>-tests-<part>`. The book's build and the assignments take apart what they need with the
functions of this module.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
MARKERS = (BEGIN_HIDDEN, END_HIDDEN, BEGIN_SOLUTION, END_SOLUTION)
UNSOLVED = 'raise NotImplementedError("not solved yet: your answer goes here")'


def kind(metadata: dict) -> str | None:
    """ "solution" or "tests" for a cell with nbgrader metadata, None for any other."""
    nbgrader = metadata.get("nbgrader", {})
    if nbgrader.get("solution"):
        return "solution"
    return "tests" if nbgrader.get("grade") else None


def grade_id(metadata: dict) -> str | None:
    """What nbgrader knows a cell by; None for one that is not its own."""
    nbgrader = metadata.get("nbgrader")
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return name if isinstance(name, str) else None


def label(metadata: dict) -> str:
    """The label of the exercise that a cell with nbgrader metadata belongs to.

    >>> label({"nbgrader": {"grade_id": "va-kl-tests-gradient"}})
    'va-kl'
    """
    return re.sub(r"-(solution|tests(-[\w-]+)?)$", "", metadata["nbgrader"]["grade_id"])


def parts(cells: Iterable[dict]) -> dict[str, str]:
    """How the cells of tests among these are told apart, from their metadata, by grade_id.

    >>> ids = ["va-kl-tests", "va-loss-tests", "va-loss-tests-gradient"]
    >>> parts({"nbgrader": {"grade": True, "grade_id": name}} for name in ids)
    {'va-kl-tests': '', 'va-loss-tests': ', part 1', 'va-loss-tests-gradient': ', part 2'}
    """
    of: dict[str, list[str]] = {}
    for metadata in cells:
        if kind(metadata) == "tests":
            of.setdefault(label(metadata), []).append(metadata["nbgrader"]["grade_id"])
    return {
        name: f", part {k}" if len(names) > 1 else ""
        for names in of.values()
        for k, name in enumerate(names, 1)
    }


def strip(source: str) -> str:
    """A cell's source without hidden tests and without marker lines.

    >>> strip("assert f(1) == 1\\n### BEGIN HIDDEN TESTS\\nassert f(2) == 4\\n### END HIDDEN TESTS")
    'assert f(1) == 1'
    """
    kept, hidden = [], False
    for line in source.split("\n"):
        mark = line.strip()
        if mark in (BEGIN_HIDDEN, END_HIDDEN):
            hidden = mark == BEGIN_HIDDEN
        elif not hidden and mark not in MARKERS:
            kept.append(line)
    return "\n".join(kept).strip("\n")


def unsolved(source: str) -> str:
    """A cell's source with a line that raises in place of each answer.

    >>> answer = "    ### BEGIN SOLUTION\\n    return 2 * x\\n    ### END SOLUTION"
    >>> print(unsolved("def f(x):\\n" + answer))
    def f(x):
        raise NotImplementedError("not solved yet: your answer goes here")
    """
    answer = re.compile(rf"^([ \t]*){BEGIN_SOLUTION}\n.*?{END_SOLUTION}[ \t]*$", re.M | re.S)
    return answer.sub(lambda match: match[1] + UNSOLVED, source)


def calls(source: str, function: str) -> Iterator[ast.Expr]:
    """The statements of a cell that call a function by its name, and do nothing else.

    >>> [ast.unparse(call) for call in calls("a = 1\\nsay(a=a)", "say")]
    ['say(a=a)']
    """
    for node in ast.parse(source).body:
        match node:
            case ast.Expr(ast.Call(ast.Name(name))) if name == function:
                yield node


def without_claims(source: str) -> str:
    """A cell's source for readers, who may change a number without being contradicted.

    >>> without_claims("say(a=a)\\nclaim(positive=a > 0)")
    'say(a=a)'
    """
    lines = source.split("\n")
    for call in calls(source, "claim"):
        lines[call.lineno - 1 : call.end_lineno] = [None] * (call.end_lineno - call.lineno + 1)
    return "\n".join(line for line in lines if line is not None)


class Block(NamedTuple):
    """A MyST directive in a text."""

    title: str
    options: dict[str, str]
    body: str


def pattern(names: Iterable[str]) -> re.Pattern:
    """Matches directives of these names; a fence ends with as many colons as it began."""
    name = "|".join(map(re.escape, names))
    fence = rf"^(?P<fence>:{{3,}}|`{{3,}})\{{(?:{name})\}}[ \t]*(?P<title>.*)\n"
    return re.compile(rf"{fence}(?P<inside>(?:.*\n)*?)(?P=fence)[ \t]*(?:\n|\Z)", re.M)


def blocks(text: str, name: str) -> Iterator[Block]:
    """The directives `{name}` of a Markdown text.

    >>> text = ":::{exercise} Twice (★)\\n:label: ex-two\\n\\nWrite `f(x)`.\\n:::"
    >>> next(blocks(text, "exercise"))
    Block(title='Twice (★)', options={'label': 'ex-two'}, body='Write `f(x)`.')
    """
    for match in pattern([name]).finditer(text):
        lines, options = match["inside"].split("\n"), {}
        while option := re.match(r":([\w-]+):\s*(.*)", lines[0]):
            options[option[1]] = option[2]
            lines.pop(0)
        yield Block(match["title"].strip(), options, "\n".join(lines).strip())


def without_blocks(text: str, names: Iterable[str]) -> str:
    """A Markdown text without the directives of these names.

    >>> without_blocks("Ask.\\n\\n:::{solution} ex-two\\nAnswer.\\n:::\\n", ["solution"])
    'Ask.\\n\\n'
    """
    return pattern(names).sub("", text)
