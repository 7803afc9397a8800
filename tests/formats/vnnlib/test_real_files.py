"""Files of VNN-COMP."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from sensverify.formats.vnnlib import load_property

EXPECTED = {
    "acasxu": (5, 5),
    "cifar10_resnet": (3072, 10),
    "collins_rul_cnn": (400, 1),
    "cora_mnist": (784, 10),
    "eran_sigmoid": (784, 10),
    "marabou_cifar10": (3072, 10),
    "mnist_fc": (784, 10),
    "oval21": (3072, 10),
    "reach_prob_density": None,
    "rl_benchmarks": None,
    "safenlp": (30, 2),
    "test": None,
    "tllverifybench": (2, 1),
    "verivital": (784, 10),
}


def check(path: Path, counts: tuple[int, int] | None) -> None:
    asked = load_property(path)
    assert counts is None or (asked.inputs, asked.outputs) == counts
    assert len(asked.cases) == 1
    for case in asked.cases:
        box = case.query.box
        assert box.shape == (asked.inputs,)
        assert (case.lower <= case.upper).all()
        assert (box.lower[0] <= case.lower).all()
        assert (case.upper <= box.upper[0]).all()
        np.testing.assert_allclose(box.lower[0], case.lower, rtol=1e-15, atol=0)
        assert case.query.rows.any(axis=1).all()


@pytest.mark.parametrize("name", EXPECTED)
def test_some_of_every_benchmark(data_dir: Path, name: str) -> None:
    files = sorted((data_dir / "vnncomp" / name / "vnnlib").rglob("*.vnnlib.gz"))
    assert files
    for path in (files[0], files[-1]):
        check(path, EXPECTED[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_all(data_dir: Path, name: str) -> None:
    for path in sorted((data_dir / "vnncomp" / name / "vnnlib").rglob("*.vnnlib.gz")):
        check(path, EXPECTED[name])


def test_3072_inputs_take_well_under_a_second(data_dir: Path) -> None:
    folder = data_dir / "vnncomp" / "cifar10_resnet" / "vnnlib"
    times = []
    for path in sorted(folder.iterdir())[:3]:
        began = time.process_time()
        load_property(path)
        times.append(time.process_time() - began)
    assert min(times) < 0.8
