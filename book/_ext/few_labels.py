"""Sphinx extension: the recorded comparisons of classifiers that learn from few labels.

    ```{few-labels} few-labels-mnist-mlp

    M2 {cite:p}`kingma2014semi` | 11.97 | 3.60 |
    ```

makes a table per record of that name in book/records/few-labels/, as `python -m dgm.reproduce`
wrote it: the test error of each method with each number of labels, mean and standard deviation over
the draws of labels. Lines of the content are published figures, one per number of labels, that
stand below. A record that is damaged, or that no page shows, is left out with a warning.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import scoreboard
from docutils import nodes
from scoreboard import duration, listed, place, table, warn
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

NUMBER = (int, float)
NEEDED = {
    **dict.fromkeys(["name", "dataset", "networks", "likelihood", "device", "date"], str),
    **dict.fromkeys(["training_images", "test_images", "updates", "batch_size"], int),
    **dict.fromkeys(["labelled_per_batch", "draws", "threads"], int),
    **dict.fromkeys(["binarization", "commit"], (str, type(None))),
    "budget_minutes": (*NUMBER, type(None)),
    "seconds": NUMBER,
    "versions": dict,
    "rows": list,
}


def problem(record: object) -> str | None:
    """What is wrong with a record, if anything is.

    >>> problem({"name": "few-labels-digits"})
    'it lacks dataset'
    """
    if wrong := scoreboard.problem(record, NEEDED):
        return wrong
    for row in record["rows"]:
        if len(row["errors"]) != record["draws"]:
            return f"{row['method']} has {len(row['errors'])} errors for {record['draws']} draws"
    return None


def load_records(app: Sphinx) -> None:
    """Read the records once per build."""
    folder = Path(app.srcdir, "records", "few-labels")
    app.env.few_labels_records = scoreboard.read_records(folder, problem)


class FewLabels(SphinxDirective):
    """`{few-labels} NAME`: a table of errors, methods by numbers of labels."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the page does not change when records come
        name = self.arguments[0]
        listed(self.env).setdefault(self.env.docname, set()).add(name)
        records = [r for r in self.env.few_labels_records.values() if r["name"] == name]
        if not records:
            command = nodes.literal("", f"python -m dgm.reproduce {name}")
            return [nodes.paragraph("", "", nodes.Text("Not run yet: "), command)]
        published = [[self.inline(cell) for cell in line.split("|")] for line in self.content]
        return [node for record in records for node in shown(record, published)]

    def inline(self, text: str) -> list[nodes.Node]:
        return self.parse_inline(text.strip(), lineno=self.lineno)[0]


def shown(record: dict, published: list[list[list[nodes.Node]]]) -> list[nodes.Node]:
    """Caption, table and provenance of one record."""
    numbers = list(dict.fromkeys(row["labels"] for row in record["rows"]))
    methods = list(dict.fromkeys(row["method"] for row in record["rows"]))
    cells = {(row["method"], row["labels"]): mean_and_deviation(row) for row in record["rows"]}
    rows = [[method, *(cells.get((method, n), "") for n in numbers)] for method in methods]
    headings = ["Method", *(f"{n:,} labels" for n in numbers)]
    return [
        nodes.paragraph("", caption(record), classes=["scoreboard-caption"]),
        table(headings, rows + published),
        *provenance(record, numbers, methods),
    ]


def mean_and_deviation(row: dict) -> str:
    """
    >>> mean_and_deviation({"errors": [1.0, 2.0, 3.0]})
    '2.0 ± 1.0'
    """
    return f"{statistics.mean(row['errors']):.1f} ± {statistics.stdev(row['errors']):.1f}"


def caption(record: dict) -> str:
    how = record["binarization"]
    return (
        f"Test error in percent, mean and standard deviation over {record['draws']} draws of "
        f"labels. Data set: {record['dataset']}, {record['training_images']:,} training and "
        f"{record['test_images']:,} test images"
        f"{f', {how} binarisation' if how else ''}. Networks: {record['networks']}; "
        f"{record['likelihood']} likelihood; {record['updates']:,} updates each, of "
        f"{record['batch_size']} images and {record['labelled_per_batch']} labelled ones."
    )


def provenance(record: dict, numbers: list[int], methods: list[str]) -> list[nodes.Node]:
    """Behind a native disclosure: what was chosen, and what it takes to run the same again."""
    budget = record["budget_minutes"]
    command = f"python -m dgm.reproduce {record['name']}"
    if budget:
        command += f" --budget {budget:g}"
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    chosen = {(row["method"], row["labels"]): row["chosen"] for row in record["rows"]}
    rows = [[method, *(choice(chosen.get((method, n), {})) for n in numbers)] for method in methods]
    made = f", {duration(record['seconds'])} on {place(record)}, {versions}, {record['date']}, "
    commit = nodes.literal("", (record["commit"] or "unknown")[:12])
    summary = "<details><summary>Hyper-parameters chosen, and how the figures were made</summary>"
    return [
        nodes.raw("", summary, format="html"),
        table(["Method", *(f"{n:,} labels" for n in numbers)], rows),
        nodes.paragraph(
            "", "", nodes.literal("", command), nodes.Text(made), nodes.Text("commit "), commit
        ),
        nodes.raw("", "</details>", format="html"),
    ]


def choice(chosen: dict[str, float]) -> str:
    """
    >>> choice({"alpha": 10.0})
    'alpha = 10'
    """
    return ", ".join(f"{name} = {value:g}" for name, value in chosen.items())


def warn_unlisted(app: Sphinx, env) -> None:
    names = set().union(*listed(env).values())
    for file, record in env.few_labels_records.items():
        if record["name"] not in names:
            warn("few-labels/%s.json: no page shows the comparison %s", file, record["name"])


def setup(app: Sphinx) -> dict:
    app.setup_extension("scoreboard")  # which forgets the listed names of a page that changes
    app.add_directive("few-labels", FewLabels)
    app.connect("builder-inited", load_records)
    app.connect("env-check-consistency", warn_unlisted)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
