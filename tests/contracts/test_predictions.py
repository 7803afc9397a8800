"""A sample that is called certified shows its label as prediction, and has it at every input."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from sensverify.verification import VerifyRequest, verify
from tests.contracts.cancelling import cancelling

WAYS = tuple(product(("crown", "ibp", "lp-dual"), ("float32", "float64")))


@pytest.mark.parametrize(
    "networks", [60, pytest.param(5_000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_certified_rows_agree_with_the_prediction_at_the_centre(
    networks: int, tmp_path: Path
) -> None:
    """Networks whose outputs nearly cancel, asked about either label; against exact arithmetic."""
    certified = 0
    for seed in range(networks):
        case, (method, dtype) = cancelling(seed), WAYS[seed % len(WAYS)]
        ends = {"lower": np.stack([case.lower] * 2), "upper": np.stack([case.upper] * 2)}
        np.savez(tmp_path / "box.npz", y=np.arange(2), **ends)
        report = verify(
            VerifyRequest(
                str(case.save(tmp_path / "net.onnx")),
                box=tmp_path / "box.npz",
                method=method,
                dtype=dtype,
                runtime_check=False,
            )
        )
        rows = [row for row in report.samples if row.certified]
        certified += len(rows)
        for row in rows:
            label = row.label
            assert row.prediction == label, (seed, row)
            exact = [case.exact(point) for point in case.points]
            assert all(values[label] > values[1 - label] for values in exact), (seed, row)
    # Enough that the law says something.
    assert certified > networks / 20, certified
