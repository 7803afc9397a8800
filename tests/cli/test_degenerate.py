"""Degenerate networks x commands: every command answers, or says in a line why it does not.

Methods and deciders take turns; the slow tests run the rest. Every method on every network is
`tests/contracts/test_degenerate_matrix.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import Result

from tests.contracts.degenerate import CASES, Degenerate

Run = Callable[..., Result]

METHODS = ("ibp", "lp-dual", "crown", "alpha-crown", "lp", "exact", "branch-and-bound", "milp")
DECIDERS = ("branch-and-bound", "exact", "milp")
# Every second case with a method, and those between with a decider.
WITH_METHODS = [(case, METHODS[i % len(METHODS)]) for i, case in enumerate(CASES[::2])]
WITH_DECIDERS = [
    pytest.param(
        case, DECIDERS[i % len(DECIDERS)], marks=() if i % 2 else pytest.mark.slow, id=case.name
    )
    for i, case in enumerate(CASES)
]
ALL = [(case, method) for case in CASES for method in METHODS]
SAMPLES = 3


def named(value: Any) -> str:
    return getattr(value, "name", value)


@pytest.fixture
def files(case: Degenerate, tmp_path: Path) -> Path:
    """The folder of the network, of its box and of labelled samples in the box."""
    onnx.save(case.model, tmp_path / "net.onnx")
    low, high = (
        np.array(end, np.float32).reshape(1, *case.input_shape) for end in (case.lower, case.upper)
    )
    np.savez(tmp_path / "box.npz", lower=low, upper=high)
    x = np.repeat(low / 2 + high / 2, SAMPLES, axis=0)
    flat = x if x.ndim > 1 else x[:, None]
    labels = np.arange(SAMPLES) % max(1, len(case.exact[0]))
    np.savez(tmp_path / "data.npz", x=flat, y=labels, feature_range=np.ones(flat.shape[1:]))
    return tmp_path


def check_ranges(case: Degenerate, done: Result) -> None:
    low, high = case.exact
    slack = 1e-5 * (1 + abs(low) + abs(high))
    for sample in json.loads(done.stdout)["samples"]:
        outer = sample["outer"]
        assert (np.array(outer["lower"]) <= low + slack).all()
        assert (np.array(outer["upper"]) >= high - slack).all()
        if sample["status"] == "OPTIMAL":
            assert (np.array(outer["lower"]) >= low - slack).all()
            assert (np.array(outer["upper"]) <= high + slack).all()


def verify_a_box(run: Run, case: Degenerate, files: Path, method: str) -> None:
    asked = ("verify", files / "net.onnx", "--box", files / "box.npz", "--method", method)
    kept = ("--certificate", files / "net.cert")
    for rigorous in ((), ("--rigorous", *kept)):
        done = run(*asked, *rigorous, "--json", "-")
        assert done.exit_code == 0, done.output
        check_ranges(case, done)
    done = run("check", files / "net.cert", files / "net.onnx")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(("case", "method"), WITH_METHODS, ids=named)
def test_verify_a_box(run: Run, case: Degenerate, files: Path, method: str) -> None:
    verify_a_box(run, case, files, method)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "method"), ALL, ids=named)
def test_verify_a_box_by_every_method(run: Run, case: Degenerate, files: Path, method: str) -> None:
    verify_a_box(run, case, files, method)


def write_property(case: Degenerate, path: Path, row: int, sign: int, step: float) -> Path:
    """Whether an output reaches ``step`` of its size beyond the end of its exact range."""
    low, high = case.exact
    size = 1 + abs(low[row]) + abs(high[row])
    end = high[row] + step * size if sign > 0 else low[row] - step * size
    names = [f"X_{i}" for i in range(len(case.lower))] + [f"Y_{i}" for i in range(len(low))]
    lines = [f"(declare-const {name} Real)" for name in names]
    for i, (below, above) in enumerate(zip(case.lower, case.upper, strict=True)):
        lines.append(f"(assert (and (>= X_{i} {below:.9f}) (<= X_{i} {above:.9f})))")
    lines.append(f"(assert ({'>=' if sign > 0 else '<='} Y_{row} {end:.9f}))")
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(("case", "method"), WITH_DECIDERS)
def test_verify_a_property(run: Run, case: Degenerate, files: Path, method: str) -> None:
    rows = {0, len(case.exact[0]) - 1}
    for row, sign, rigorous in zip(rows, (1, -1), ((), ("--rigorous",)), strict=False):
        for step, answer in ((0.01, "unsat"), (-0.01, "sat")):
            written = write_property(case, files / "p.vnnlib", row, sign, step)
            asked = ("--property", written, "--method", method, "--timeout", 60, *rigorous)
            done = run("verify", files / "net.onnx", *asked)
            assert done.stdout.splitlines()[0] == answer, done.output
            assert done.exit_code == (1 if answer == "sat" else 0)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_verify_samples(run: Run, case: Degenerate, files: Path) -> None:
    asked = ("verify", files / "net.onnx", "--data", files / "data.npz", "--radius", 0.01)
    done = run(*asked, "--json", "-", "--report", files / "page.html")
    assert done.exit_code == 0, done.output
    samples = json.loads(done.stdout)["samples"]
    assert len(samples) == SAMPLES
    for sample in samples:
        (row,) = case.outputs(np.load(files / "data.npz")["x"][0].reshape(1, -1))
        slack = 1e-5 * (1 + abs(row))
        assert (np.array(sample["outer"]["lower"]) <= row + slack).all()
        assert (np.array(sample["outer"]["upper"]) >= row - slack).all()


@pytest.mark.parametrize("case", CASES[::3], ids=named)
def test_evaluate(run: Run, case: Degenerate, files: Path) -> None:
    methods = ("ibp", "crown", "lp")
    certify = methods[CASES.index(case) // 3 % len(methods)]
    less = [f"--{name}=none" for name in ("corruptions", "sequences")]
    asked = ("--data", files / "data.npz", "--radii", 0.1, "--certify", certify, "--attacks", "pgd")
    done = run("evaluate", files / "net.onnx", *asked, *less, "--train-samples", 0)
    if len(case.exact[0]) < 2:
        assert done.exit_code == 2
        assert "classes are told apart by two or more" in done.stderr
    else:
        assert done.exit_code == 0, done.output
