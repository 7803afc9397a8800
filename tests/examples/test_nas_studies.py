"""Study files of cells of NAS-Bench-201: read, with every variant, and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensverify.models.nas201 import UNIQUE
from sensverify.studies.files import read_study

FOLDER = Path(__file__).parents[2] / "examples" / "studies"

# Cells and seeds; 6,466: Jung, Lukasik & Keuper 2023, Section 2.1.
COUNTS = {
    ("nas-digits", None): (16, 2),
    ("nas-cifar10", None): (UNIQUE, 1),
    ("nas-cifar10", "reduced"): (64, 1),
}


def test_every_file_is_here() -> None:
    assert {path.stem for path in FOLDER.glob("nas-*.toml")} == {name for name, _ in COUNTS}


@pytest.mark.parametrize(("name", "variant"), COUNTS)
def test_cells_are_counted(name: str, variant: str | None) -> None:
    study = read_study(FOLDER / f"{name}.toml", variant=variant)
    cells, seeds = COUNTS[name, variant]
    assert len({each.model for each in study.runs}) == len(study.runs) == cells
    assert len(study.seeds) == seeds
    assert study.evaluate["attacks"]
