"""The page on speed says what the record says."""

import copy
import json
import re

import pytest
import speed
from places import BOOK

from dgm.bench.ways import COMPILED, EPOCH, OURS, PYTHAE

RECORD = json.loads((BOOK / "records/bench/cpu.json").read_text(encoding="utf-8"))
PAGE = (BOOK / "speed.md").read_text(encoding="utf-8")


@pytest.fixture
def measured():
    return copy.deepcopy(RECORD["places"]["cpu"])


def test_the_page_names_all_there_is(measured):
    def named(role):
        return set(re.findall(rf"\{{{role}\}}`([^`]+)`", PAGE.replace("\n", " ")))

    assert named("measured") == set(speed.numbers(measured))
    assert named("holds") == set(speed.conditions(measured))
    assert set(re.findall(r"```\{speed\} (\w+)", PAGE)) == set(speed.TABLES)


def test_what_the_page_claims_holds(measured):
    assert all(speed.conditions(measured).values())


@pytest.mark.parametrize("name", speed.TABLES)
def test_tables_are_full(name, measured):
    headings, rows = speed.TABLES[name](measured)
    assert rows and all(len(row) == len(headings) for row in rows)
    assert all(isinstance(cell, str) for row in rows for cell in row)


def test_a_ratio_is_the_median_of_pairs(measured):
    result = measured["tasks"][EPOCH]
    ours, others = (3.0, 2.0, 4.0), (1.0, 1.0, 4.0)  # the ratio of their medians is 3
    for way in result["ways"]:
        taken = ours if way == OURS else others
        result["ways"][way] = [{"seconds": s, "first": s, "memory": 1.0} for s in taken]
    assert speed.numbers(measured)["beside_bare"].startswith("2.00, ")
    denied = "at most half as long again, and in the wide network a tenth"
    assert not speed.conditions(measured)[denied]


def test_what_was_not_measured_is_said(measured):
    for way in (PYTHAE, COMPILED):
        measured["tasks"][EPOCH]["ways"][way] = "ModuleNotFoundError: it is not there"
    numbers = speed.numbers(measured)
    assert numbers["bf16_pythae"] == numbers["compiled"] == "not measured"
    assert numbers["pythae"].startswith("not measured, ")
    assert all(speed.conditions(measured).values())  # nothing denies them
    for table in speed.TABLES.values():
        table(measured)
