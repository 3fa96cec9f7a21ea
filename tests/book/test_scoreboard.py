"""The scoreboard, built on a page of its own with no, some and all records."""

from __future__ import annotations

import doctest

import pytest
import scoreboard
import small_book
from small_book import first_table, plain

PAGE = """# Page

```{scoreboard}
:dataset: mnist
:binarization: dynamic
:estimator: importance weighting, 5000 draws
:unit: nats

vae-1 | VAE, *one* draw | 86.76
iwae-50 | IWAE, fifty | 84.78
```
"""

RECORD = {
    "name": "vae-1",
    "model": "VAE 784-200-200-50, ELBO, k = 1",
    "dataset": "mnist",
    "binarization": "dynamic",
    "estimator": "importance weighting, 5000 draws",
    "unit": "nats",
    "images": 1000,
    "figure": 89.1234,
    "standard_error": 0.7391,
    "budget_minutes": 15.0,
    "batch_size": 100,
    "epochs": 410,
    "seconds": 903.2,
    "measuring_seconds": 31.4,
    "seed": 0,
    "device": "cpu",
    "threads": 2,
    "versions": {"python": "3.11.7", "torch": "2.15.0"},
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "date": "2026-11-21",
}
FULL = {"budget_minutes": None, "device": "NVIDIA H200", "images": 10_000, "seconds": 7230.0}


def build(
    folder, records: dict[str, dict | str], page: str = PAGE
) -> tuple[str, list[list[str]], str]:
    """Build the page beside these records: warnings, the cells of the first table, the page."""
    files = {f"records/{name}.json": record for name, record in records.items()}
    warnings, pages = small_book.build(folder, {"index.md": page} | files, "scoreboard")
    return warnings, first_table(pages["index"]), pages["index"]


def test_without_records_the_published_figures_stand_alone(tmp_path):
    warnings, rows, page = build(tmp_path, {})
    assert warnings == ""
    assert rows[0] == scoreboard.HEADINGS
    assert rows[1:] == [
        ["VAE, one draw", "86.76", "not run yet", "", "", "", ""],
        ["IWAE, fifty", "84.78", "not run yet", "", "", "", ""],
    ]
    assert "<em>one</em>" in page  # the lines are Markdown
    assert "mnist, dynamic binarisation. Estimator: importance weighting, 5000 draws" in page
    assert "<details>" not in page


def test_some_records(tmp_path):
    """One recipe run twice, the other not at all."""
    records = {"vae-1": RECORD | FULL, "vae-1-15min": RECORD}
    warnings, rows, page = build(tmp_path, records)
    assert warnings == ""
    here = "89.12 ± 0.74"
    assert rows[1:] == [
        ["VAE, one draw", "86.76", here, "10,000", "410", "2 h 0 min", "NVIDIA H200"],
        ["VAE, one draw", "86.76", here, "1,000", "410", "903 s", "CPU, 2 threads"],
        ["IWAE, fifty", "84.78", "not run yet", "", "", "", ""],
    ]
    details = plain(page.partition("<details>")[2]).split()
    for shown in ("vae-1", "--budget", "0123456789ab", "2026-11-21", "3.11.7,"):
        assert shown in details


def test_all_records(tmp_path):
    other = RECORD | {"name": "iwae-50", "figure": 91.0, "epochs": 0.153, "commit": None}
    other["budget_minutes"] = None
    warnings, rows, page = build(tmp_path, {"vae-1-15min": RECORD, "iwae-50": other})
    assert warnings == ""
    assert [row[2] for row in rows[1:]] == ["89.12 ± 0.74", "91.00 ± 0.74"]
    assert [row[4] for row in rows[1:]] == ["410", "0.15"]
    assert NOT_RUN not in page


NOT_RUN = scoreboard.NOT_YET


def test_what_minutes_buy_stands_in_a_table_of_its_own(tmp_path):
    """Of 3,280 epochs 328 are a tenth."""
    records = {"vae-1-15min": RECORD, "iwae-50-15min": RECORD | {"name": "iwae-50", "epochs": 327}}
    warnings, rows, _ = build(tmp_path / "without", records)
    assert warnings == ""
    assert [row[2] for row in rows[1:]] == ["89.12 ± 0.74", scoreboard.TRIED]

    minutes = PAGE.replace(":unit: nats", ":unit: nats\n:tryouts:")
    warnings, rows, page = build(tmp_path / "with", records, minutes)
    assert warnings == ""
    assert [row[:3] for row in rows[1:]] == [["IWAE, fifty", "84.78", "89.12 ± 0.74"]]
    assert "vae-1" not in page.partition("<details>")[2]


def test_other_seeds_are_a_column(tmp_path):
    records = {"vae-1": RECORD | FULL | {"other_seeds": [89.254, 88.9]}}
    warnings, rows, _ = build(tmp_path, records)
    assert warnings == ""
    assert rows[0][2:4] == ["Here", "Other seeds"]
    assert [row[3] for row in rows[1:]] == ["89.25, 88.90", ""]


def test_seeds_that_were_added_say_where_they_come_from(tmp_path):
    others = {"seconds": 1.0, "commit": "f" * 40, "date": "2026-11-30", "versions": {"torch": "9"}}
    record = RECORD | {"other_seeds": [89.254, 88.9], "others": others}
    warnings, _, page = build(tmp_path, {"vae-1-15min": record})
    assert warnings == ""
    told = " ".join(plain(page.partition("<details>")[2]).split())
    assert "89.12 vae-1 --budget 15 100 0 31 s python 3.11.7, torch 2.15.0 0123456789ab" in told
    assert "89.25, 88.90 vae-1 --budget 15 --seeds 3 100 1, 2 torch 9 ffffffffffff 2026" in told


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (RECORD | {"binarization": "fixed"}, "binarization is dynamic: its own is fixed"),
        (RECORD | {"binarization": None}, "binarization is dynamic: its own is None"),
        (RECORD | {"estimator": "elbo"}, "estimator is importance weighting, 5000 draws"),
        (RECORD | {"name": "made"}, "x.json: no scoreboard lists the recipe made"),
        (RECORD | {"figure": "89.1"}, "x.json is no record: its figure is '89.1'"),
        ({k: v for k, v in RECORD.items() if k != "seed"}, "x.json is no record: it lacks seed"),
        (RECORD | {"features": "those of a classifier"}, "it has features without real_images"),
        ("[1, 2]", "x.json is no record: it is no JSON object"),
        ("{", "x.json is no record: Expecting property name"),
    ],
)
def test_a_record_that_fits_no_table_is_a_warning_and_not_shown(tmp_path, record, says):
    warnings, rows, page = build(tmp_path, {"x": record})
    assert says in warnings
    assert [row[2] for row in rows[1:]] == [NOT_RUN, NOT_RUN]


def test_a_study_is_no_line_of_a_scoreboard(tmp_path):
    study = {"name": "ring-game", "settings": {"β₁ = 0": {"seeds": [0]}}}
    warnings, rows, _ = build(tmp_path, {"vae-1-15min": RECORD, "ring-game": study})
    assert warnings == ""
    assert [row[2] for row in rows[1:]] == ["89.12 ± 0.74", NOT_RUN]


SAMPLES = """# Page

```{scoreboard}
:dataset: mnist
:binarization: none
:estimator: Fréchet distance to the test images
:unit: squared units

gan | GAN
wgan-gp | GAN, Wasserstein
```
"""
DISTANCE = RECORD | {
    "name": "gan",
    "binarization": None,
    "estimator": "Fréchet distance to the test images",
    "unit": "squared units",
    "features": "classifier 0123abcd, 1.23 % errors",
    "real_images": {"figure": 0.456, "standard_error": 0.0321},
}


def test_distances_stand_beside_that_of_real_images_and_beside_nothing_published(tmp_path):
    warnings, rows, page = build(tmp_path, {"gan-15min": DISTANCE}, SAMPLES)
    assert warnings == ""
    shown = ["Test images", "Epochs", "Training", "Device"]
    assert rows[0] == ["Model", "Here", "Real images", *shown]
    assert rows[1][:4] == ["GAN", "89.12 ± 0.74", "0.46 ± 0.03", "1,000"]
    assert rows[2] == ["GAN, Wasserstein", "not run yet", *[""] * 5]
    assert "not binarised" in page
    assert "Features: classifier 0123abcd, 1.23 % errors. In squared units" in page


@pytest.mark.parametrize("name", ["gan", "wgan-gp"])
def test_distances_in_other_features_are_a_warning(tmp_path, name):
    other = DISTANCE | {"name": name, "features": "classifier ffffffff, 1.23 % errors"}
    warnings, _, page = build(tmp_path, {"gan-15min": DISTANCE, "other": other}, SAMPLES)
    assert "cannot be compared: classifier 0123abcd, 1.23 % errors; classifier ffff" in warnings


def test_the_examples_in_docstrings_hold():
    result = doctest.testmod(scoreboard)
    assert result.attempted
    assert not result.failed
