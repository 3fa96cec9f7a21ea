"""Sphinx extension: how long a page takes to read, to work through, and how long it took to run.

The roles {reading-time}`text`, {working-time}`text` and {run-time}`text` show minutes and seconds
on the built page; the text stands in for them where the roles are unknown, as in JupyterLab.

Reading is what stands open before "Check yourself" and "Exercises". Prose takes a minute for 200
words, a proof, which is followed with a pencil, a minute for 100. A display equation takes 15
seconds, 30 in a proof; a figure 20, a line of code or of what it printed 3. The numbers of a table
are looked up and not read. What a cell shows stands open where only its code is folded away.

Working is those two sections: each question two minutes, each exercise what its stars say
(dgm.assignment.chapter.MINUTES).
"""

from collections.abc import Iterator

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from dgm.assignment.chapter import MINUTES

NBSP = "\N{NO-BREAK SPACE}"
WORDS_A_MINUTE, WORDS_A_MINUTE_OF_PROOF = 200, 100
EQUATION, EQUATION_OF_PROOF, FIGURE, CODE_LINE = 15, 30, 20, 3  # seconds
QUESTION = 2  # minutes
WORK = ("Check yourself", "Exercises")
PROOFS = {"proof", "derivation"}  # classes of boxes


class duration(nodes.Inline, nodes.TextElement):
    """Stands where the number goes until the whole page is known."""


class DurationRole(SphinxRole):
    def run(self):
        return [duration(self.rawtext, of=self.name)], []


def in_hours(minutes: int) -> str:
    """A duration that no line break takes apart.

    >>> [in_hours(minutes).split() for minutes in (45, 60, 135)]
    [['45', 'min'], ['1', 'h'], ['2', 'h', '15', 'min']]
    """
    hours, rest = divmod(minutes, 60)
    return NBSP.join(f"{n}{NBSP}{unit}" for n, unit in ((hours, "h"), (rest, "min")) if n)


def around(node: nodes.Node) -> Iterator[nodes.Element]:
    while node.parent is not None:
        node = node.parent
        yield node


def is_work(node: nodes.Node) -> bool:
    sections = (above for above in around(node) if isinstance(above, nodes.section) and above)
    return any(section[0].astext() in WORK for section in sections)


def is_folded(node: nodes.Node) -> bool:
    """Behind a disclosure of its cell, tagged hide-input or so: for whoever asks."""
    part = ""
    for above in around(node):
        part = {"cell_code_source": "input", "cell_code_output": "output"}.get(
            above.get("nb_element"), part
        )
        folded = above.get("hide_mode")  # "input", "output", "input+output" or "all"
        if folded:
            return folded == "all" or part in folded.split("+")
    return False


def is_proof(node: nodes.Node) -> bool:
    return any(PROOFS & set(above.get("classes", ())) for above in around(node))


def words(paragraph: nodes.paragraph) -> list[str]:
    """Those that are read: of a table, not its numbers."""
    all_ = paragraph.astext().split()
    if not any(isinstance(above, nodes.entry) for above in around(paragraph)):
        return all_
    return [word for word in all_ if any(letter.isalpha() for letter in word)]


def reading_minutes(doctree: nodes.document) -> int:
    seconds = 0.0
    for node in doctree.findall():
        if is_work(node) or is_folded(node):
            continue
        proof = is_proof(node)
        if isinstance(node, nodes.paragraph):
            pace = WORDS_A_MINUTE_OF_PROOF if proof else WORDS_A_MINUTE
            seconds += 60 * len(words(node)) / pace
        elif isinstance(node, nodes.math_block):
            seconds += EQUATION_OF_PROOF if proof else EQUATION
        elif isinstance(node, nodes.literal_block):
            seconds += CODE_LINE * (node.astext().strip("\n").count("\n") + 1)
        elif isinstance(node, nodes.figure):
            seconds += FIGURE
    return max(1, round(seconds / 60))


def working_minutes(doctree: nodes.document) -> int:
    minutes = 0
    for box in doctree.findall(nodes.Element):
        classes = set(box.get("classes", ()))
        if "exercise" in classes and isinstance(box, nodes.Admonition):
            minutes += MINUTES[box[0].astext().count("★")]
        elif "check" in classes:
            minutes += QUESTION
    return minutes


def run_time(app: Sphinx) -> str:
    execution = NbMetadataCollector.get_exec_data(app.env, app.env.docname)
    return f"{execution['runtime']:.0f} s"


def fill_in(app: Sphinx, doctree: nodes.document) -> None:
    measures = {
        "reading-time": lambda: f"{reading_minutes(doctree)} minutes",
        "working-time": lambda: in_hours(working_minutes(doctree)),
        "run-time": lambda: run_time(app),
    }
    for node in list(doctree.findall(duration)):
        node.replace_self(nodes.Text(measures[node["of"]]()))


def setup(app: Sphinx) -> dict:
    app.add_node(duration)
    for role in ("reading-time", "working-time", "run-time"):
        app.add_role(role, DurationRole())
    app.connect("doctree-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
