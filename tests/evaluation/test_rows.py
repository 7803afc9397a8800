"""Rows survive the journal, number by number."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from sensverify.classification.predictions import classify
from sensverify.evaluation.results import (
    AttackRow,
    CertifiedRow,
    CleanRow,
    CorruptionRow,
    MeasureRow,
    Missing,
    Row,
    SequenceRow,
)
from sensverify.evaluation.rows import from_plain, to_plain

COUNTED = classify(
    torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
)
ROWS: list[Row] = [
    CleanRow(part="test", classified=COUNTED, wrong=(1, 5), seconds=0.1),
    AttackRow(
        attack="pgd(steps=3)",
        radius=0.1 + 0.2,
        classified=COUNTED,
        broken=(0,),
        reach=(1 / 3, None),
        l2=(1e-300, None),
        linf=(0.0, None),
        seconds=0.2,
    ),
    CertifiedRow(
        method="crown",
        radius=0.1,
        guarantee="SOUND",
        certified=(),
        log_volumes=(-7.25, None),
        seconds=0.3,
    ),
    CorruptionRow(
        corruption="fog",
        severity=3,
        parameter="",
        classified=COUNTED,
        msd=None,
        source="computed",
        seconds=0.4,
        wrong=(0, 3),
    ),
    SequenceRow(
        sequence="tilt", frames=31, samples=5, flip_rate=0.1, against="previous", seconds=0.5
    ),
    MeasureRow(measure="l2", value=2.0, error=None, samples=None, note="", seconds=0.6),
    Missing(key="measure/l2-init", reason="no weights", final=True),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_a_row_comes_back_equal(row: Row) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(row), allow_nan=False))) == row


def test_rows_of_an_earlier_version_come_back_without_what_they_lack() -> None:
    row = next(each for each in ROWS if isinstance(each, CorruptionRow))
    values = to_plain(row)
    del values["wrong"]
    assert from_plain(values) == replace(row, wrong=None)


@pytest.mark.parametrize("damage", [{"kind": "clean"}, {"kind": "odd"}, {}])
def test_what_is_no_row(damage: dict[str, str]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_plain(damage)
