"""Sphinx extension: published figures beside the ones that were computed here.

    ```{scoreboard}
    :dataset: mnist
    :binarization: dynamic
    :estimator: importance weighting, 5000 draws
    :unit: nats

    vae-1 | VAE, $K = 1$ | 86.76 {cite:p}`burda2016`
    ```

makes a table. A line names a recipe, the model and the published figures; what `python -m
dgm.reproduce` recorded for the recipe in book/records/ is filled in, one row per record. Where no
line has published figures, the table has no such column.

A try-out whose budget was for less than a tenth of the full schedule's epochs says what minutes buy
and not what the model can do. It stands in a table with the option `tryouts`, which has no others.

The options say what the figures of one table have in common. A record that differs in one of them,
is damaged, or belongs to no table is left out with a warning, so that a build under -W fails.

Records of models that are judged by their samples name the features in which distances were
measured, and give the distance of real images: one more column. All of one table must have been
measured in the same features. Where a record has figures of other seeds, they are a column, too;
if they were added later, the provenance has a line for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from dgm.reproduce import RECIPES

logger = logging.getLogger(__name__)

SHARED = ("dataset", "binarization", "estimator", "unit")
NUMBER, OR_NONE = (int, float), (type(None),)
NEEDED = {
    **dict.fromkeys(["name", "dataset", "estimator", "unit", "device", "date"], str),
    **dict.fromkeys(["binarization", "commit"], (str, *OR_NONE)),
    **dict.fromkeys(["figure", "standard_error", "epochs", "seconds", "measuring_seconds"], NUMBER),
    **dict.fromkeys(["images", "batch_size", "threads", "seed"], int),
    "budget_minutes": (*NUMBER, *OR_NONE),
    "versions": dict,
}
HEADINGS = ["Model", "Published", "Here", "Test images", "Epochs", "Training", "Device"]
REAL = "Real images"  # stands behind "Here", in tables of distances
SEEDS = "Other seeds"  # stands there, too, if a record has any
NOT_YET, TRIED = "not run yet", "tried out, see below"


def problem(record: object, needed: dict = NEEDED) -> str | None:
    """What is wrong with a record, if anything is.

    >>> problem({"name": "vae-1"})
    'it lacks dataset'
    """
    if not isinstance(record, dict):
        return "it is no JSON object"
    for key, kind in needed.items():
        if key not in record:
            return f"it lacks {key}"
        if not isinstance(record[key], kind):
            return f"its {key} is {record[key]!r}"
    if ("features" in record) != ("real_images" in record):
        return "it has features without real_images, or the other way round"
    return None


def read_records(folder: Path, problem: Callable = problem) -> dict[str, dict]:
    """The records in the folder by file name; one that cannot be used is a warning.

    Those of studies, which have settings, are none of ours: a chapter reads them.
    """
    records = {}
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stem):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            warn("%s is no record: %s", path.name, error)
            continue
        if isinstance(record, dict) and "settings" in record:
            continue
        if wrong := problem(record):
            warn("%s is no record: %s", path.name, wrong)
        else:
            records[path.stem] = record
    return records


def warn(message: str, *arguments) -> None:
    logger.warning(message, *arguments, type="scoreboard")


def load_records(app: Sphinx) -> None:
    """Read the records once per build."""
    app.env.records = read_records(Path(app.srcdir, "records"))


def duration(seconds: float) -> str:
    """
    >>> duration(899.6), duration(7290)
    ('900 s', '2 h 1 min')
    """
    if seconds < 3600:
        return f"{seconds:,.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def place(record: dict) -> str:
    """
    >>> place({"device": "cpu", "threads": 1}), place({"device": "NVIDIA H200", "threads": 16})
    ('CPU, 1 thread', 'NVIDIA H200')
    """
    if record["device"] != "cpu":
        return record["device"]
    return f"CPU, {record['threads']} thread{'s' if record['threads'] > 1 else ''}"


def figure(measured: dict) -> str:
    """
    >>> figure({"figure": 86.0433, "standard_error": 0.7346})
    '86.04 ± 0.73'
    """
    return f"{measured['figure']:.2f} ± {measured['standard_error']:.2f}"


def cells(record: dict) -> dict[str, str]:
    """What a record says, by the heading it stands under."""
    epochs = record["epochs"]
    return {
        "Here": figure(record),
        REAL: figure(record["real_images"]) if "real_images" in record else "",
        SEEDS: other_figures(record),
        "Test images": f"{record['images']:,}",
        "Epochs": f"{epochs:,.0f}" if epochs >= 10 else f"{epochs:.2g}",
        "Training": duration(record["seconds"]),
        "Device": place(record),
    }


def other_figures(record: dict) -> str:
    """
    >>> other_figures({"other_seeds": [89.254, 88.9]}), other_figures({})
    ('89.25, 88.90', '')
    """
    return ", ".join(f"{value:.2f}" for value in record.get("other_seeds", ()))


def tried_out(record: dict) -> bool:
    """Whether there was time for less than a tenth of the full schedule.

    >>> record = {"name": "made", "budget_minutes": 12, "epochs": 8.1}  # of 85
    >>> tried_out(record), tried_out(record | {"epochs": 8.6})
    (True, False)
    """
    if record["budget_minutes"] is None or record["name"] not in RECIPES:
        return False
    return record["epochs"] < RECIPES[record["name"]].full.epochs / 10


class Scoreboard(SphinxDirective):
    """`{scoreboard}`: a table of published and of recorded figures."""

    has_content = True
    option_spec = dict.fromkeys(SHARED, directives.unchanged_required) | {
        "tryouts": directives.flag
    }

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the page does not change when records come
        rows, shown, tryouts = [], [], "tryouts" in self.options
        for line in self.content:
            name, model, *published = (part.strip() for part in line.split("|"))
            listed(self.env).setdefault(self.env.docname, set()).add(name)
            own = [
                r
                for file, r in self.env.records.items()
                if r["name"] == name and self.fits(file, r)
            ]
            left = {"Model": self.inline(model)}
            if published:
                left["Published"] = self.inline(*published)
            here = [record for record in own if tried_out(record) == tryouts]
            empty = [] if tryouts else [left | {"Here": TRIED if own else NOT_YET}]
            rows += [left | cells(record) for record in here] or empty
            shown += here
        headings = [h for h in HEADINGS if h != "Published" or any(h in row for row in rows)]
        for heading, key in ((SEEDS, "other_seeds"), (REAL, "real_images")):
            if any(key in record for record in shown):
                headings.insert(headings.index("Here") + 1, heading)
        body = [[row.get(heading, "") for heading in headings] for row in rows]
        features = {record.get("features") for record in shown} - {None}
        if len(features) > 1:
            warn(
                "distances in different features cannot be compared: %s",
                "; ".join(sorted(features)),
            )
        return [self.caption(features), table(headings, body), *provenance(shown)]

    def inline(self, text: str) -> list[nodes.Node]:
        return self.parse_inline(text, lineno=self.lineno)[0]

    def fits(self, file: str, record: dict) -> bool:
        """Whether a record may stand in this table."""
        differing = [key for key in SHARED if (record[key] or "none") != self.options.get(key)]
        for key in differing:
            message = "%s.json cannot stand in a table whose %s is %s: its own is %s"
            warn(message, file, key, self.options.get(key), record[key])
        return not differing

    def caption(self, features: set[str]) -> nodes.Node:
        """What all figures of the table have in common."""
        data, binarization, estimator, unit = (self.options.get(key, "") for key in SHARED)
        how = "not binarised" if binarization == "none" else f"{binarization} binarisation"
        of = "".join(f" Features: {name}." for name in sorted(features))
        text = f"Data set: {data}, {how}. Estimator: {estimator}.{of} In {unit}; lower is better."
        return nodes.paragraph("", text, classes=["scoreboard-caption"])


def table(headings: list[str], rows: list[list[str | list[nodes.Node]]]) -> nodes.table:
    """A table whose cells are texts or inline nodes."""
    group = nodes.tgroup(cols=len(headings))
    group += [nodes.colspec(colwidth=1) for _ in headings]
    group += [nodes.thead("", row(headings)), nodes.tbody("", *(row(cells) for cells in rows))]
    return nodes.table("", group, classes=["scoreboard"])


def row(contents: list[str | list[nodes.Node]]) -> nodes.row:
    result = nodes.row()
    for content in contents:
        parts = [nodes.Text(content)] if isinstance(content, str) else content
        result += nodes.entry("", nodes.paragraph("", "", *(part.deepcopy() for part in parts)))
    return result


def provenance(records: list[dict]) -> list[nodes.Node]:
    """Behind a native disclosure, what it takes to run the same again."""
    if not records:
        return []
    summary = "<details><summary>How the figures of this course were made</summary>"
    headings = ["Figure", "python -m dgm.reproduce", "Batch", "Seed", "Measured in", "Versions"]
    return [
        nodes.raw("", summary, format="html"),
        table(
            [*headings, "Commit", "Date"], [row for record in records for row in origins(record)]
        ),
        nodes.raw("", "</details>", format="html"),
    ]


def origins(record: dict) -> list[list[str | list[nodes.Node]]]:
    """Where the figure comes from, and those of other seeds if they were added to the record."""
    budget = record["budget_minutes"]
    command = record["name"] + (f" --budget {budget:g}" if budget else "")
    measured = duration(record["measuring_seconds"])
    rows = [origin(record, f"{record['figure']:.2f}", command, str(record["seed"]), measured)]
    if "others" in record:
        seeds = [record["seed"] + 1 + i for i in range(len(record["other_seeds"]))]
        command += f" --seeds {len(seeds) + 1}"
        own = record | record["others"]
        rows += [origin(own, other_figures(record), command, ", ".join(map(str, seeds)), "")]
    return rows


def origin(
    record: dict, figures: str, command: str, seeds: str, measured: str
) -> list[str | list[nodes.Node]]:
    return [
        figures,
        [nodes.literal("", command)],
        f"{record['batch_size']:,}",
        seeds,
        measured,
        ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
        [nodes.literal("", (record["commit"] or "unknown")[:12])],
        record["date"],
    ]


# ---------------------------------------------------------------- records without a table


def listed(env: BuildEnvironment) -> dict[str, set[str]]:
    """The recipes that tables list, by page; kept with the pickled environment."""
    if not hasattr(env, "scoreboard_recipes"):
        env.scoreboard_recipes = {}
    return env.scoreboard_recipes


def forget_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    listed(env).pop(docname, None)


def warn_unlisted(app: Sphinx, env: BuildEnvironment) -> None:
    names = set().union(*listed(env).values())
    for file, record in env.records.items():
        if record["name"] not in names:
            warn("%s.json: no scoreboard lists the recipe %s", file, record["name"])


def setup(app: Sphinx) -> dict:
    app.add_directive("scoreboard", Scoreboard)
    app.connect("builder-inited", load_records)
    app.connect("env-purge-doc", forget_page)
    app.connect("env-check-consistency", warn_unlisted)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
