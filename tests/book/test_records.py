"""The committed records: what the program wrote is what the models beside them give again."""

import json
from functools import cache
from pathlib import Path

import pytest
from places import ROOT

from dgm import data
from dgm.reproduce import RECIPES, runs
from dgm.reproduce.records import read_model

RECORDS = ROOT / "book" / "records"
QUICK = 60  # seconds that measuring took when the record was written
# The draws are those of the record, so only rounding differs: sums of 64 to 784 float32 terms that
# add up to some hundred nats, 1e-4 at most, less in the mean over images. A page shows 0.01.
TOLERANCE = 1e-3


def quick_records():
    for model in sorted(RECORDS.glob("models/*.pt")):
        record = json.loads((RECORDS / f"{model.stem}.json").read_text(encoding="utf-8"))
        if record["device"] == "cpu" and record["measuring_seconds"] < QUICK:
            yield pytest.param(record, model, id=model.stem)


def at_hand(name: str) -> bool:
    """Whether a data set need not be downloaded."""
    files = (data._folder() / f"{name}.npz", data._folder() / name.upper())
    return name == "digits" or any(file.exists() for file in files)


@cache
def measured(name: str, file: Path, images: int) -> dict:
    """What the recipe and the model in the file say."""
    recipe = RECIPES[name]
    dataset = data.load(recipe.dataset)
    model = runs.new_step(recipe, dataset, rate=lambda t: 1e-3).model
    read_model(file, model)
    fixed = ("dataset", "binarization", "estimator", "unit")
    own = {key: getattr(recipe, key) for key in fixed}
    return own | runs.measure(recipe, model, dataset, images)


def disagreement(record: dict, model: Path) -> dict:
    """Where a record says something else: its values and those that are measured."""
    again = measured(record["name"], model, record["images"])
    return {key: (record[key], again[key]) for key in again if not same(record[key], again[key])}


def same(recorded, measured) -> bool:
    if isinstance(measured, dict):
        return all(same(recorded[key], measured[key]) for key in measured)
    if isinstance(measured, float):
        return abs(recorded - measured) <= TOLERANCE
    return recorded == measured


@pytest.fixture(autouse=True)
def place(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(("record", "model"), list(quick_records()))
def test_a_record_is_what_its_model_gives(record, model):
    if not at_hand(record["dataset"]):
        pytest.skip(f"{record['dataset']} is not here")
    if "features" in record:  # else it would be trained and written now
        assert (RECORDS / "classifiers" / f"{record['dataset']}.pt").exists()
    assert disagreement(record, model) == {}


def digits_record():
    model = RECORDS / "models" / "vae-1-digits.pt"
    return json.loads((RECORDS / "vae-1-digits.json").read_text(encoding="utf-8")), model


def test_one_record_can_be_recomputed_anywhere():
    """Of data that every installation has."""
    assert any(param.id == "vae-1-digits" for param in quick_records())


@pytest.mark.parametrize(
    ("key", "edit"),
    [
        ("figure", lambda value: value - 0.01),
        ("standard_error", lambda value: value / 2),
        ("estimator", lambda value: "exact"),
        ("binarization", lambda value: "fixed"),
    ],
)
def test_a_record_that_was_edited_by_hand_is_found_out(key, edit):
    record, model = digits_record()
    assert list(disagreement(record | {key: edit(record[key])}, model)) == [key]


def test_a_figure_of_fewer_images_is_found_out():
    record, model = digits_record()
    assert "figure" in disagreement(record | {"images": 180}, model)
