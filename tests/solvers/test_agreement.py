"""The exact methods on the shipped Iris network: one answer, whatever found it."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from sensverify.bounds import (
    AlphaCrown,
    Crown,
    Ibp,
    LpDual,
    Method,
    compute_bounds,
    make_decider,
)
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Status
from sensverify.data.files import read_dataset
from sensverify.models import load, resolve
from sensverify.network import Network
from sensverify.solvers.bisection import Bisection
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.lp import Lp
from sensverify.solvers.milp import Milp
from sensverify.verification.replay import Replay
from tests.contracts.attained import attained, largest_violation

AGREED = 1e-5
"""Relative to the larger magnitude of the two ends: ten times the gap that counts as exact."""

NEARLY = 1e-4
"""The same where an end is left open."""

REPLAYED = 1e-5
"""How far onnxruntime, in float32 and at the input rounded to float32, may be from an attained
end: relative to the largest magnitude on the way, as `compute_bounds` promises for float32."""

ROUNDING = 1e-12
"""In double precision, relative to the same."""

FEW, ALL = 3, 30

LOOSER = (Ibp(), LpDual(), LpDual(Ibp()), Crown(), Crown(Ibp()), AlphaCrown(), Lp())

each_sigma = pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
each_oracle = pytest.mark.parametrize("oracle", ["branch-and-bound", "highs"])
each_looser = pytest.mark.parametrize("method", LOOSER, ids=repr)


@cache
def iris() -> Network:
    return load("iris")


@cache
def replay() -> Replay:
    return Replay(resolve("iris").path)


def boxes(sigma: float, count: int) -> Box:
    data = read_dataset(resolve("iris").sample_path)
    return Box.around(data.x[:count].astype(np.float64), sigma * data.feature_range)


@cache
def exact(sigma: float, count: int) -> Bounds:
    """What the others are compared with."""
    return compute_bounds(iris(), boxes(sigma, count), BranchAndBound())


@cache
def magnitudes(sigma: float, count: int) -> np.ndarray:
    """The largest magnitude of any node's value in each box, ``[batch, 1]``."""
    box = boxes(sigma, count)
    return attained(iris(), Box(torch.tensor(box.lower), torch.tensor(box.upper)))[1].numpy()


def one_each(count: int) -> np.ndarray:
    """One output for each sample in turn, as objectives ``[count, 1, 3]``."""
    return np.eye(3)[np.arange(count) % 3][:, None]


def assert_same_answer(
    found: Bounds, sigma: float, count: int, objectives: np.ndarray | None = None
) -> None:
    """The reference's ends, both proven and attained; objectives are single outputs."""
    assert bool(found.optimal.all())
    assert_consistent(found, sigma, count, objectives)


def assert_consistent(
    found: Bounds, sigma: float, count: int, objectives: np.ndarray | None = None
) -> None:
    """The reference's ends where they are called exact, and no contradiction anywhere."""
    chosen = np.tile(np.arange(3), (count, 1))
    if objectives is not None:
        chosen = objectives.argmax(2)
    wanted = exact(sigma, count)
    assert all(wanted.status(i) is Status.OPTIMAL for i in range(count))

    def picked(box: Box) -> tuple[np.ndarray, np.ndarray]:
        ends = (box.lower.numpy(), box.upper.numpy())
        return tuple(np.take_along_axis(end, chosen, axis=1) for end in ends)

    proven, reached = picked(wanted.outer), picked(wanted.inner)
    size = AGREED * np.maximum(abs(proven[0]), abs(proven[1]))
    size[~found.optimal.numpy()] = np.inf
    for own, other in ((found.outer, proven), (found.inner, reached)):
        assert (abs(own.lower.numpy() - other[0]) <= size).all()
        assert (abs(own.upper.numpy() - other[1]) <= size).all()
    # What either has attained lies within what the other has proven.
    rounding = ROUNDING * magnitudes(sigma, count)
    assert (found.outer.lower.numpy() <= reached[0] + rounding).all()
    assert (found.outer.upper.numpy() >= reached[1] - rounding).all()
    assert (proven[0] <= found.inner.lower.numpy() + rounding).all()
    assert (proven[1] >= found.inner.upper.numpy() - rounding).all()


def assert_attained(
    found: Bounds, sigma: float, count: int, objectives: np.ndarray | None = None
) -> None:
    """Every witness lies in its box, and the shipped file gives the attained end there."""
    box, magnitude = boxes(sigma, count), magnitudes(sigma, count)
    rows = np.tile(np.eye(3), (count, 1, 1)) if objectives is None else objectives
    for points, ends in (
        (found.witness_lower.numpy(), found.inner.lower.numpy()),
        (found.witness_upper.numpy(), found.inner.upper.numpy()),
    ):
        for i, k in np.ndindex(ends.shape):
            point, low, high = points[i, k], box.lower[i], box.upper[i]
            assert ((point >= low) & (point <= high)).all()
            replayed = replay().outputs(point, low, high)
            assert replayed is not None
            value = rows[i, k] @ replayed.outputs.astype(np.float64)
            assert abs(value - ends[i, k]) <= REPLAYED * magnitude[i, 0]


def assert_contained(method: Method, sigma: float, count: int) -> None:
    wanted = exact(sigma, count)
    outer = compute_bounds(iris(), boxes(sigma, count), method).outer
    # What is attained, up to rounding; then the proven ends, up to the gap of an exact one.
    size = torch.maximum(wanted.outer.lower.abs(), wanted.outer.upper.abs())
    rounding = ROUNDING * torch.from_numpy(magnitudes(sigma, count))
    for inside, slack in ((wanted.inner, rounding), (wanted.outer, 1e-6 * size + rounding)):
        assert bool((outer.lower <= inside.lower + slack).all())
        assert bool((outer.upper >= inside.upper - slack).all())


@each_sigma
def test_branch_and_bound_is_attained_and_contains_what_is_sampled(sigma: float) -> None:
    found = exact(sigma, FEW)
    assert_attained(found, sigma, FEW)
    box = boxes(sigma, FEW)
    values, magnitude = attained(iris(), Box(torch.tensor(box.lower), torch.tensor(box.upper)))
    assert bool((largest_violation(found.outer, values) <= ROUNDING * magnitude).all())


@each_sigma
def test_milp_agrees(sigma: float) -> None:
    found = compute_bounds(iris(), boxes(sigma, FEW), Milp())
    assert_same_answer(found, sigma, FEW)
    assert_attained(found, sigma, FEW)


@pytest.mark.parametrize(
    ("oracle", "sigma"), [("branch-and-bound", 0.05), ("highs", 0.1), ("branch-and-bound", 0.2)]
)
def test_bisection_agrees(oracle: str, sigma: float) -> None:
    # Each end takes several questions: another output for each sample.
    method, rows = Bisection(oracle=make_decider(oracle)), one_each(FEW)
    found = compute_bounds(iris(), boxes(sigma, FEW), method, rows)
    assert_same_answer(found, sigma, FEW, rows)
    assert_attained(found, sigma, FEW, rows)


@each_looser
@each_sigma
def test_looser_methods_contain_the_exact_ranges(method: Method, sigma: float) -> None:
    assert_contained(method, sigma, FEW)


def test_bisection_with_marabou_agrees() -> None:
    if find_spec("maraboupy") is None:
        reason = "maraboupy is not there: pip install maraboupy==2.0.0"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    sigma, rows = 0.05, np.eye(3)[None, :1]
    method = Bisection(oracle=make_decider("marabou"), seconds=60.0)
    found = compute_bounds(iris(), boxes(sigma, 1), method, rows)
    assert_same_answer(found, sigma, 1, rows)
    assert_attained(found, sigma, 1, rows)


@pytest.mark.slow
@each_sigma
def test_milp_agrees_on_all_samples(sigma: float) -> None:
    found = compute_bounds(iris(), boxes(sigma, ALL), Milp())
    assert_same_answer(found, sigma, ALL)
    assert_attained(found, sigma, ALL)
    assert_attained(exact(sigma, ALL), sigma, ALL)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@each_oracle
@each_sigma
def test_bisection_agrees_on_all_samples(oracle: str, sigma: float) -> None:
    method = Bisection(oracle=make_decider(oracle))
    found = compute_bounds(iris(), boxes(sigma, ALL), method)
    assert_consistent(found, sigma, ALL)
    assert_attained(found, sigma, ALL)
    # HiGHS counts as a proof only what its tolerances cannot hide. Where gradients stay a little
    # short of the extreme value, the last question is closer than that: the end is left open.
    left_open = int((~found.optimal).sum())
    assert left_open <= (0.05 * found.optimal.numel() if oracle == "highs" else 0)
    outer, wanted = found.outer, exact(sigma, ALL).outer
    size = NEARLY * torch.maximum(wanted.lower.abs(), wanted.upper.abs())
    assert bool(((outer.lower - wanted.lower).abs() <= size).all())
    assert bool(((outer.upper - wanted.upper).abs() <= size).all())


@pytest.mark.slow
@each_looser
@each_sigma
def test_looser_methods_contain_all_exact_ranges(method: Method, sigma: float) -> None:
    assert_contained(method, sigma, ALL)
