"""Sphinx extension: the final comparison of all families as a table with pictures.

    ```{families} families-digits
    ```

shows the record of that name in book/records/, as `python -m dgm.reproduce` wrote it: a line for
each family, with draws of its first seed, and of each measure the mean over seeds and its standard
error. A bound that is looser than what a family's bits are has a line of its own below. A record
that is damaged, or that no page shows, is left out with a warning.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import scoreboard
from docutils import nodes
from PIL import Image
from scoreboard import duration, listed, place, table, warn
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from dgm.reproduce.families import FAMILIES, TRAINING
from dgm.reproduce.judging import BITS, FOREST, MILLISECONDS, NEARER, SECONDS

NEEDED = {
    **dict.fromkeys(["name", "dataset", "device", "date"], str),
    **dict.fromkeys(["images", "batch_size", "levels", "threads"], int),
    **dict.fromkeys(["updates", "shape"], list),
    **dict.fromkeys(["settings", "versions"], dict),
    "commit": (str, type(None)),
}
# heading, measure, decimals
COLUMNS = (
    ("Fréchet", "Fréchet distance", 1),
    ("Precision", "precision", 2),
    ("Recall", "recall", 2),
    ("Coverage", "coverage", 2),
    ("Forest", FOREST, 2),
    ("Nearer", NEARER, 2),
    ("ms a draw", MILLISECONDS, 3),
    ("Seconds", SECONDS, 0),
)
HEADINGS = ["Draws", "Family", "Bits a dimension", *(heading for heading, _, _ in COLUMNS)]
ROWS = 2  # of images beside a family
SIZE = 24  # of an image, in pixels of the page, at least


def problem(record: object) -> str | None:
    """What is wrong with a record, if anything is.

    >>> problem({"name": "families-digits"})
    'it lacks dataset'
    """
    if wrong := scoreboard.problem(record, NEEDED):
        return wrong
    for name, line in record["settings"].items():
        for key in ("model", "kind", "parameters", "seeds", "measures", "drawn"):
            if key not in line:
                return f"{name} lacks {key}"
    return None


def load_records(app: Sphinx) -> None:
    """Read the records once per build."""
    app.env.families_records = {}
    for name in FAMILIES:
        path = Path(app.srcdir, "records", f"{name}.json")
        if not path.exists():
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            warn("%s is no record: %s", path.name, error)
            continue
        if wrong := problem(record):
            warn("%s is no record: %s", path.name, wrong)
        else:
            app.env.families_records[name] = record


class Families(SphinxDirective):
    """`{families} NAME`: a table of families by measures."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the page does not change when records come
        name = self.arguments[0]
        listed(self.env).setdefault(self.env.docname, set()).add(name)
        record = self.env.families_records.get(name)
        if record is None:
            command = nodes.literal("", f"make reproduce NAMES={name}")
            return [nodes.paragraph("", "", nodes.Text("Not run yet: "), command)]
        body = [row for line in record["settings"].items() for row in rows(record, *line)]
        shown = table(HEADINGS, body)
        shown["classes"].append("families")
        words = nodes.paragraph("", caption(record), classes=["scoreboard-caption"])
        return [words, shown, *provenance(record)]


def caption(record: dict) -> str:
    """What all lines have in common."""
    seeds = len(next(iter(record["settings"].values()))["seeds"])
    return (
        f"Data set: {record['dataset']}, {record['levels']} grey levels. {seeds} seeds of each "
        f"family, {record['updates'][-1]:,} updates of {record['batch_size']} images; "
        f"{record['images']} draws against as many test images. The ± is one standard error, of "
        "other test images, other draws and other seeds together. Times are those of one processor."
    )


def rows(record: dict, name: str, line: dict) -> list[list]:
    """The line of a family, and of each looser bound of its bits."""
    found = line["measures"]
    words = [nodes.strong("", name), nodes.Text(f": {line['model']}")]
    if line["parameters"]:
        words.append(nodes.Text(f"; {line['parameters']:,} parameters"))
    exact = [f"{told(found[BITS], 3)}, {line['kind']}" if BITS in found else "none"]
    cells = [told(found[key], decimals) if key in found else "" for _, key, decimals in COLUMNS]
    if name == TRAINING:
        exact, cells[-2:] = [""], ["", ""]
    looser = [
        ["", f"{name}, {metric.removeprefix(f'{BITS}, ')}", f"{told(value, 3)}, bound"]
        for metric, value in found.items()
        if metric.startswith(f"{BITS}, ")
    ]
    blank = [""] * len(COLUMNS)
    return [[[picture(record, name, line)], words, *exact, *cells], *(r + blank for r in looser)]


def told(value: dict, decimals: int) -> str:
    """
    >>> told({"mean": 1.8923, "error": 0.0124}, 3), told({"mean": 41.2, "error": 0.0}, 0)
    ('1.892 ± 0.012', '41')
    """
    mean, error = (f"{value[key]:,.{decimals}f}" for key in ("mean", "error"))
    return f"{mean} ± {error}" if float(error.replace(",", "")) else mean


def picture(record: dict, name: str, line: dict) -> nodes.raw:
    """Draws as an image of ROWS rows, within the page."""
    channels, height, width = record["shape"]
    pixels = base64.b64decode(line["drawn"])
    size, across = height * width, len(pixels) // (height * width) // ROWS
    sheet = Image.new("L", (across * (width + 1) - 1, ROWS * (height + 1) - 1), 128)
    for i in range(ROWS * across):
        image = Image.frombytes("L", (width, height), pixels[i * size : (i + 1) * size])
        sheet.paste(image, (i % across * (width + 1), i // across * (height + 1)))
    file, times = io.BytesIO(), max(1, SIZE // width)
    sheet.save(file, "PNG")
    what = name if name == TRAINING else f"draws of the {name}"
    html = (
        f'<img class="draws dark-light" alt="{ROWS * across} {what}" width="{sheet.width * times}" '
        f'height="{sheet.height * times}" '
        f'src="data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}">'
    )
    return nodes.raw("", html, format="html")


def provenance(record: dict) -> list[nodes.Node]:
    """What it takes to run the same again."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    made = f", {duration(record['seconds'])} of training on {place(record)}, {versions}, "
    commit = nodes.literal("", (record["commit"] or "unknown")[:12])
    command = nodes.literal("", f"make reproduce NAMES={record['name']}")
    parts = [command, nodes.Text(f"{made}{record['date']}, commit "), commit]
    summary = "<details><summary>How the figures were made</summary>"
    return [
        nodes.raw("", summary, format="html"),
        nodes.paragraph("", "", *parts),
        nodes.paragraph("", f"{record['measured']}."),
        nodes.raw("", "</details>", format="html"),
    ]


def warn_unlisted(app: Sphinx, env) -> None:
    names = set().union(*listed(env).values())
    for name in env.families_records:
        if name not in names:
            warn("%s.json: no page shows the comparison %s", name, name)


def setup(app: Sphinx) -> dict:
    app.setup_extension("scoreboard")  # which forgets the listed names of a page that changes
    app.add_directive("families", Families)
    app.connect("builder-inited", load_records)
    app.connect("env-check-consistency", warn_unlisted)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
