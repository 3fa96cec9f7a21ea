"""The table of recorded comparisons, built on a page of its own with no, some and all records."""

from __future__ import annotations

import doctest

import few_labels
import pytest
import small_book
from small_book import first_table, plain

PAGE = """# Page

```{few-labels} few-labels-mnist-mlp

Published, *there* | 11.97 | 3.60
```
"""

RECORD = {
    "name": "few-labels-mnist-mlp",
    "dataset": "mnist",
    "training_images": 60000,
    "test_images": 10000,
    "networks": "mlp, {'hidden': (256,)}, latent 32",
    "likelihood": "Bernoulli",
    "binarization": "dynamic",
    "batch_size": 64,
    "labelled_per_batch": 16,
    "draws": 3,
    "budget_minutes": 25.0,
    "updates": 1500,
    "seconds": 1620.4,
    "rows": [
        {"method": method, "labels": n, "errors": [e - 1.0, e, e + 1.0], "chosen": {"C": 0.1}}
        for n, e in ((100, 20.0), (1000, 10.0))
        for method in ("Pixels", "M1")
    ],
    "device": "cpu",
    "threads": 1,
    "versions": {"python": "3.11.7", "torch": "2.15.0"},
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "date": "2026-11-21",
}


def build(folder, records: dict[str, dict | str]) -> tuple[str, list[list[str]], str]:
    """Build the page beside these records: warnings, the cells of the first table, the page."""
    files = {f"records/few-labels/{name}.json": record for name, record in records.items()}
    warnings, pages = small_book.build(folder, {"index.md": PAGE} | files, "few_labels")
    return warnings, first_table(pages["index"]), pages["index"]


def test_without_a_record_the_page_says_how_to_make_one(tmp_path):
    warnings, rows, page = build(tmp_path, {})
    assert warnings == ""
    assert rows == []
    assert "Not run yet: python -m dgm.reproduce few-labels-mnist-mlp" in plain(page)


def test_a_record_is_a_table_with_its_provenance(tmp_path):
    warnings, rows, page = build(tmp_path, {"few-labels-mnist-mlp-25min": RECORD})
    assert warnings == ""
    assert rows == [
        ["Method", "100 labels", "1,000 labels"],
        ["Pixels", "20.0 ± 1.0", "10.0 ± 1.0"],
        ["M1", "20.0 ± 1.0", "10.0 ± 1.0"],
        ["Published, there", "11.97", "3.60"],
    ]
    assert "<em>there</em>" in page  # the lines are Markdown
    text = " ".join(plain(page).split())
    assert "mean and standard deviation over 3 draws of labels" in text
    assert "mnist, 60,000 training and 10,000 test images, dynamic binarisation" in text
    assert "1,500 updates each, of 64 images and 16 labelled ones" in text
    details = plain(page.partition("<details>")[2])
    assert details.count("C = 0.1") == 4
    for shown in ("few-labels-mnist-mlp --budget 25", "1,620 s on CPU", "0123456789ab", "2026-11-"):
        assert shown in details


def test_every_record_of_the_name_has_a_table(tmp_path):
    full = RECORD | {"budget_minutes": None, "updates": 20000, "commit": None}
    warnings, _, page = build(tmp_path, {"a": RECORD, "b": full})
    assert warnings == ""
    assert page.count("11.97") == 2
    assert "commit unknown" in plain(page)


def test_a_method_that_was_left_out_has_an_empty_cell(tmp_path):
    _, rows, _ = build(tmp_path, {"a": RECORD | {"rows": RECORD["rows"][:3]}})
    assert rows[2] == ["M1", "20.0 ± 1.0", ""]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (RECORD | {"name": "made"}, "few-labels/x.json: no page shows the comparison made"),
        (RECORD | {"updates": "1500"}, "x.json is no record: its updates is '1500'"),
        ({k: v for k, v in RECORD.items() if k != "rows"}, "x.json is no record: it lacks rows"),
        (RECORD | {"draws": 5}, "x.json is no record: Pixels has 3 errors for 5 draws"),
        ("[1, 2]", "x.json is no record: it is no JSON object"),
        ("{", "x.json is no record: Expecting property name"),
    ],
)
def test_a_record_that_cannot_be_used_is_a_warning_and_not_shown(tmp_path, record, says):
    warnings, rows, _ = build(tmp_path, {"x": record})
    assert says in warnings
    assert rows == []


def test_the_examples_in_docstrings_hold():
    result = doctest.testmod(few_labels)
    assert result.attempted
    assert not result.failed
