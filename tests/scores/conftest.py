"""Tables and files made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.scores import CLEAN, Network, Scores, Shift

Write = Callable[..., Path]
A, B, SAMPLES = "a" * 64, "b" * 64, "5" * 64


def table(accuracies: Mapping[str, Mapping[str, float]], total: int = 100) -> Scores:
    """A table of accuracies by network and shift; ``clean`` is none, ``fog/2`` has a severity."""
    labels = list(dict.fromkeys(name for row in accuracies.values() for name in row))
    right = np.zeros((len(accuracies), len(labels)), dtype=np.int64)
    totals = right.copy()
    for row, found in enumerate(accuracies.values()):
        for name, accuracy in found.items():
            right[row, labels.index(name)] = round(accuracy * total)
            totals[row, labels.index(name)] = total
    return Scores(
        networks=tuple(map(Network, accuracies)),
        shifts=tuple(map(_shift, labels)),
        right=right,
        total=totals,
    )


def _shift(label: str) -> Shift:
    name, _, severity = label.partition("/")
    return CLEAN if label == "clean" else Shift(name, float(severity) if severity else None)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write("a.csv", "text")``, or ``write("a.json", values)``."""

    def make(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return make


def result(*models: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What readers look at in the JSON of an evaluation of 4 samples."""
    return {
        "schema": "sensverify.evaluate/2",
        "data": {"samples": 4, "samples_sha256": changes.pop("samples", SAMPLES)},
        "seed": 0,
        "clip": [0, 1],
        "radius_unit": "features",
        "models": list(models),
        **changes,
    }


def model(name: str = "net", sha256: str | None = A, **rows: Any) -> dict[str, Any]:
    """A network with one wrong sample, and further rows."""
    kinds = ("clean", "attacks", "certified", "corruptions", "sequences", "measures", "missing")
    found = {kind: [] for kind in kinds} | {"clean": [counted("part", "test", [3])]} | rows
    return {"model": {"name": name, "sha256": sha256}, **found}


def counted(key: str, name: str, wrong: list[int] | None, **more: Any) -> dict[str, Any]:
    right = 4 - len(wrong or ())
    return {
        key: name,
        "classified": {"accuracy": {"count": right, "samples": 4}},
        "wrong": wrong,
        **more,
    }
