"""The table of all families, built on a page of its own."""

from __future__ import annotations

import base64
import copy
import doctest
import io
import re

import families
import pytest
import small_book
from PIL import Image
from small_book import first_table, plain

from dgm.reproduce.families import NEAREST, TRAINING
from dgm.reproduce.judging import BITS

PAGE = "# Page\n\n```{families} families-digits\n```\n"


def value(mean, error):
    return {"values": [mean] * 3, "errors": [error] * 3, "mean": mean, "error": error}


def line(bits=None, kind=None, parameters=1234, **more):
    measures = {BITS: value(bits, 0.0123)} if bits else {}
    measures |= {measure: value(0.5, 0.02) for _, measure, _ in families.COLUMNS} | more
    pixels = base64.b64encode(bytes(range(12)) * 64).decode()
    return {
        "model": "so wide",
        "kind": kind,
        "parameters": parameters,
        "seeds": [0, 1, 2],
        "measures": measures,
        "drawn": pixels,
    }


RECORD = {
    "name": "families-digits",
    "dataset": "digits",
    "shape": [1, 8, 8],
    "levels": 17,
    "images": 360,
    "batch_size": 64,
    "updates": [300, 3000],
    "seconds": 903.2,
    "measured": "360 draws and as many test images, features: some",
    "device": "cpu",
    "threads": 1,
    "versions": {"torch": "2.15.0"},
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "date": "2026-11-30",
    "settings": {
        "VQ-VAE": line(2.2, "exact", **{NEAREST: value(2.5, 0.02)}),
        "GAN": line(),
        TRAINING: line(parameters=0),
    },
}


def build(folder, record, page=PAGE):
    files = {"index.md": page} | ({"records/families-digits.json": record} if record else {})
    warnings, pages = small_book.build(folder, files, "families")
    return warnings, pages["index"]


def test_a_family_has_a_line_and_its_looser_bound_another(tmp_path):
    warnings, page = build(tmp_path, RECORD)
    assert warnings == ""
    rows = first_table(page)
    assert rows[0] == families.HEADINGS
    assert [row[1] for row in rows[1:]] == [
        "VQ-VAE: so wide; 1,234 parameters",
        "VQ-VAE, nearest code",
        "GAN: so wide; 1,234 parameters",
        f"{TRAINING}: so wide",
    ]
    bits = ["2.200 ± 0.012, exact", "2.500 ± 0.020, bound", "none", ""]
    assert [row[2] for row in rows[1:]] == bits
    assert rows[1][3:6] == ["0.5", "0.50 ± 0.02", "0.50 ± 0.02"]  # a decimal, and two
    assert rows[2][3:] == [""] * len(families.COLUMNS) and rows[4][-2:] == ["", ""]
    assert "digits, 17 grey levels. 3 seeds of each family, 3,000 updates of 64 images" in page
    told = plain(page.partition("<details>")[2])
    assert "make reproduce NAMES=families-digits" in told and "0123456789ab" in told


def test_draws_are_a_picture_with_words(tmp_path):
    _, page = build(tmp_path, RECORD)
    images = re.findall(r'class="draws dark-light" alt="(.*?)" width="(\d+)" height="(\d+)"', page)
    assert images[0] == ("12 draws of the VQ-VAE", str(3 * 53), str(3 * 17))
    assert images[2][0] == f"12 {TRAINING}"
    source = re.search(r"data:image/png;base64,([^\"]*)", page).group(1)
    sheet = Image.open(io.BytesIO(base64.b64decode(source)))
    assert sheet.size == (53, 17) and sheet.getpixel((8, 0)) == 128
    first = [sheet.getpixel((i % 8, i // 8)) for i in range(64)]
    second = [sheet.getpixel((9 + i % 8, i // 8)) for i in range(64)]
    assert first + second == [*(bytes(range(12)) * 64)][:128]


def test_without_a_record_the_page_says_what_to_run(tmp_path):
    warnings, page = build(tmp_path, None)
    assert warnings == "" and "Not run yet" in page and "<table" not in page


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda r: r.pop("images"), "families-digits.json is no record: it lacks images"),
        (lambda r: r["settings"]["GAN"].pop("drawn"), "is no record: GAN lacks drawn"),
        (lambda r: r.update(updates=3), "is no record: its updates is 3"),
    ],
)
def test_a_damaged_record_is_a_warning(tmp_path, edit, says):
    record = copy.deepcopy(RECORD)
    edit(record)
    warnings, page = build(tmp_path, record)
    assert says in warnings and "Not run yet" in page


def test_a_record_that_no_page_shows_is_a_warning(tmp_path):
    warnings, _ = build(tmp_path, RECORD, page="# Page\n")
    assert "families-digits.json: no page shows the comparison" in warnings


def test_examples():
    assert doctest.testmod(families).failed == 0
