"""Means and spreads over seeds, and how they are written."""

from __future__ import annotations

import csv
import io
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.report.study.contents import Row, StudyTable, Value, summarise
from sensverify.report.study.document import page_table
from sensverify.report.study.values import table_data, value_parts, value_text
from sensverify.report.tabular import data_csv, table_markdown
from sensverify.studies.entries import DONE, FAILED, Entry
from sensverify.studies.files import parse_study
from sensverify.studies.tables import COLUMNS, study_table

LOGS = st.lists(st.floats(-50, 50), min_size=2, max_size=6)


@given(LOGS)
def test_mean_and_standard_deviation(values: list[float]) -> None:
    found = summarise(values)
    assert found is not None
    assert found.spread is not None
    assert found.centre == pytest.approx(statistics.fmean(values), abs=1e-12)
    assert found.spread == pytest.approx(statistics.stdev(values), abs=1e-9)


@given(LOGS, st.floats(-20, 20))
def test_the_geometric_mean_scales(values: list[float], log_scale: float) -> None:
    one = summarise(values, geometric=True)
    other = summarise([value + log_scale for value in values], geometric=True)
    assert one is not None
    assert other is not None
    assert one.number <= max(math.exp(value) for value in values) * (1 + 1e-9)
    assert other.centre == pytest.approx(one.centre + log_scale, abs=1e-9)
    # What scales all of them says nothing about their spread.
    assert other.factor == pytest.approx(one.factor, rel=1e-6)
    assert one.factor is not None
    assert one.factor >= 1


def test_few_values() -> None:
    assert summarise([]) is None
    assert summarise([2.0]) == Value(2.0, None)


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("ERR", Value(0.0226, 0.0012), "2.26 ± 0.12"),
        ("CE", Value(0.0791), "0.0791"),
        ("CE", Value(0.0791, 0.0042), "0.0791 ± 0.0042"),
        ("CE", Value(0.005, 0.13), "0.01 ± 0.13"),
        ("CE", Value(12.3, 4.0), "12.3 ± 4.0"),
        ("CE", Value(1234.0, 321.0), "1234 ± 321"),
        ("CE", Value(-0.5, 0.0), "−0.50 ± 0.00"),
        ("CE", Value(math.inf), "∞"),
        ("SENSE", Value(math.log(4.58e12), None, True), "4.58\xa0×\xa010¹²"),
        ("SENSE", Value(math.log(9.999e5), None, True), "1.00\xa0×\xa010⁶"),
        ("SENSE", Value(math.log(59.0), math.log(1.3), True), "59.0 ×÷ 1.30"),
        # No double holds it.
        ("SENSE", Value(2000.0, None, True), "3.88\xa0×\xa010⁸⁶⁸"),
        ("SENSE", Value(-math.inf, None, True), "0"),
        ("SENSE", None, "–"),
    ],
)
def test_values_as_text(column: str, value: Value | None, text: str) -> None:
    assert value_text(column, value) == text
    centre, spread = value_parts(column, value)
    assert f"{centre} {spread}".strip() == text


def table() -> StudyTable:
    rows = (
        Row("a", {"CE": Value(1.0, 0.25), "SENSE": Value(1.0, 0.5, True)}, 2),
        Row("a", {"CE": Value(0.5)}, 0, "Somebody | 1"),
        Row("b", {"CE": Value(2.0, 0.5), "SENSE": Value(-1.0, 0.5, True)}, 2),
    )
    return StudyTable("test", ("CE", "ERR", "SENSE"), rows)


def test_best_is_the_smallest_of_our_own() -> None:
    found = table()
    assert [found.is_best(row, "CE") for row in found.rows] == [True, False, False]
    assert [found.is_best(row, "SENSE") for row in found.rows] == [False, False, True]
    assert not any(found.is_best(row, "ERR") for row in found.rows)
    assert found.used_columns() == ("CE", "SENSE")


def test_csv_keeps_every_digit() -> None:
    rows = list(csv.DictReader(io.StringIO(data_csv(table_data(table())))))
    assert [row["source"] for row in rows] == ["this study", "Somebody | 1", "this study"]
    assert float(rows[0]["CE_std"]) == 0.25
    assert float(rows[0]["SENSE_geometric_mean"]) == math.exp(1.0)
    assert float(rows[2]["SENSE_factor"]) == math.exp(0.5)
    assert rows[1]["SENSE_geometric_mean"] == rows[0]["ERR_mean"] == ""


def test_markdown_has_one_cell_a_column() -> None:
    lines = table_markdown(page_table(table())).splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "**1.00 ± 0.25**" in lines[2]
    assert lines[3].startswith("| *Somebody")


def test_rows_follow_the_journal() -> None:
    study = parse_study(
        {
            "study": {"title": "T", "data": "iris", "model": "iris", "seeds": [0, 1, 2]},
            "runs": [{"name": "a", "loss": "base"}, {"name": "b", "loss": "mixup"}],
            "paper": {"b": {"source": "P", "test": {"SENSE": 1e3}}},
        }
    )

    def entry(run: str, seed: int, sense: float | None, log: float | None) -> Entry:
        numbers = {"CE": 1.0 + seed, "SENSE": sense, "LOG_SENSE": log}
        return Entry(
            run=run, seed=seed, status=DONE, seconds=1, epochs=1, metrics={"test": numbers}
        )

    failed = Entry(run="a", seed=2, status=FAILED, seconds=1, epochs=0, reason="NaN")
    entries = [entry("a", 0, 10.0, math.log(10)), entry("a", 1, 1000.0, math.log(1000)), failed]
    entries += [entry("b", 0, None, 2000.0)]
    rows = study_table(study, entries, "test").rows
    assert [(row.name, row.seeds, row.published) for row in rows] == [
        *(("a", 2, ""), ("b", 1, ""), ("b", 0, "P"))
    ]
    assert rows[0].values["CE"].centre == 1.5
    assert rows[0].values["SENSE"].number == pytest.approx(100.0)
    assert rows[0].values["SENSE_ARITHMETIC"].centre == pytest.approx(505.0)
    # No double holds it, its logarithm does.
    assert rows[1].values["SENSE"].centre == 2000.0
    assert "SENSE_ARITHMETIC" not in rows[1].values
    assert rows[2].values["SENSE"].number == pytest.approx(1e3)
    assert not study_table(study, entries, "train").used_columns()
    assert set(rows[0].values) - {"SENSE_ARITHMETIC"} <= set(COLUMNS)
