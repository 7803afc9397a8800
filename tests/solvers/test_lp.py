"""The linear relaxation: at least as tight as CROWN, never tighter than the truth."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from sensverify.bounds import (
    AlphaCrown,
    Crown,
    Ibp,
    LpDual,
    Method,
    compute_bounds,
    forward_pass,
    make_method,
)
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Guarantee
from sensverify.data.files import read_dataset
from sensverify.errors import BadSetting
from sensverify.models import load, resolve
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Affine, Relu
from sensverify.runs.watch import Watch
from sensverify.solvers.lp import Lp
from tests.contracts.attained import attained, largest_violation
from tests.contracts.networks import NETWORKS, Case, cases, mlps


def check_inner(network: object, bounds: Bounds) -> None:
    """Both inner ends are what the network gives at the witnesses, which lie in the box."""
    box = bounds.provenance.box
    for points, ends in (
        (bounds.witness_lower, bounds.inner.lower),
        (bounds.witness_upper, bounds.inner.upper),
    ):
        assert bool(box.contains(points.swapaxes(0, 1)).all())
        values = forward_pass(network, points.flatten(0, 1).double()).reshape(*ends.shape, -1)
        own = values.diagonal(dim1=1, dim2=2)
        torch.testing.assert_close(own.to(ends.dtype), ends, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", NETWORKS)
def test_between_crown_and_what_is_attained(family: str) -> None:
    @given(cases(NETWORKS[family]))
    @settings(max_examples=8)
    def check(case: Case) -> None:
        box = case.box_of(torch.float64)
        values, magnitude = attained(case.network, box)
        for intermediate in (None, Ibp()):
            bounds = compute_bounds(case.network, box, Lp(intermediate=intermediate))
            outside = largest_violation(bounds.outer, values) / magnitude
            assert bool((outside <= 1e-11).all())
            for looser in (Crown(intermediate), LpDual(intermediate or Crown())):
                other = compute_bounds(case.network, box, looser).outer
                slack = 1e-7 * (1 + magnitude)
                assert bool((bounds.outer.lower >= other.lower - slack).all())
                assert bool((bounds.outer.upper <= other.upper + slack).all())
            check_inner(case.network, bounds)

    check()


@given(cases(mlps()))
@settings(max_examples=8)
def test_cvxpy_says_the_same(case: Case) -> None:
    box = case.box_of(torch.float64)
    _, magnitude = attained(case.network, box)
    direct = compute_bounds(case.network, box, Lp()).outer
    reference = compute_bounds(case.network, box, Lp(backend="cvxpy")).outer
    assert bool(((direct.lower - reference.lower).abs() <= 1e-6 * (1 + magnitude)).all())
    assert bool(((direct.upper - reference.upper).abs() <= 1e-6 * (1 + magnitude)).all())


def test_the_triangle_by_hand() -> None:
    # f = relu(x) - x / 2 on [-1, 3]: the relaxation's largest value is 3/4 (x + 1) - x / 2 at 3.
    builder = NetworkBuilder((1,))
    hidden = builder.add(Affine(np.array([[1.0], [-1.0]]), np.zeros(2)), builder.input)
    hidden = builder.add(Relu(), hidden)
    network = builder.build(builder.add(Affine(np.array([[1.0, 1.0]]), np.zeros(1)), hidden))
    # |x| on [-1, 3] as a sum of two ReLUs: least 0; most 3, the hull's at x = 3.
    bounds = compute_bounds(network, Box(np.array([[-1.0]]), np.array([[3.0]])), Lp())
    assert float(bounds.outer.lower) == pytest.approx(0, abs=1e-12)
    assert float(bounds.outer.upper) == pytest.approx(3, abs=1e-9)
    assert bool(bounds.optimal.all())
    assert bounds.guarantee is Guarantee.SOUND


def iris_box(sigma: float, count: int = 3) -> Box:
    data = read_dataset(resolve("iris").sample_path)
    return Box.around(data.x[:count].astype(np.float64), sigma * data.feature_range)


def test_iris_is_tighter_than_everything_linear() -> None:
    network, box = load("iris"), iris_box(0.1)
    bounds = compute_bounds(network, box, Lp())
    for looser in (Crown(), LpDual(), AlphaCrown()):
        other = compute_bounds(network, box, looser).outer
        assert bool((bounds.outer.widths <= other.widths + 1e-9).all())
    check_inner(network, bounds)


def test_float32_boxes_get_bounds_rounded_outward() -> None:
    network, box = load("iris"), iris_box(0.1)
    narrow = Box(box.lower.astype(np.float32), box.upper.astype(np.float32))
    bounds = compute_bounds(network, narrow, Lp())
    wide = Box(narrow.lower.astype(np.float64), narrow.upper.astype(np.float64))
    exact = compute_bounds(network, wide, Lp()).outer
    assert bounds.outer.lower.dtype == torch.float32
    assert bool((bounds.outer.lower.double() <= exact.lower + 1e-9).all())
    assert bool((bounds.outer.upper.double() >= exact.upper - 1e-9).all())
    check_inner(network, bounds)


@pytest.mark.parametrize("method", [Crown(), LpDual()], ids=repr)
def test_without_time_for_an_end_the_bounds_of_the_passes_stay(method: Method) -> None:
    network, box = load("iris"), iris_box(0.2)
    known = compute_bounds(network, box, method).outer
    bounds = compute_bounds(network, box, Lp(objective_seconds=0.0))
    assert bool((bounds.outer.lower >= known.lower - 1e-12 * known.lower.abs()).all())
    assert bool((bounds.outer.upper <= known.upper + 1e-12 * known.upper.abs()).all())
    check_inner(network, bounds)


def test_without_any_time_the_bounds_hold() -> None:
    network, box = load("iris"), iris_box(0.2)
    check_inner(network, compute_bounds(network, box, Lp(seconds=0.0)))


def test_a_stop_from_another_thread() -> None:
    network, box = load("iris"), iris_box(0.2, count=30)
    watch = Watch()
    timer = threading.Timer(0.05, watch.stop)
    timer.start()
    bounds = compute_bounds(network, box, Lp(), watch=watch)
    values, _ = attained(network, Box(torch.tensor(box.lower), torch.tensor(box.upper)))
    assert bool((largest_violation(bounds.outer, values) <= 1e-9).all())


def test_settings() -> None:
    assert make_method("lp", backend="cvxpy", intermediate="ibp").backend == "cvxpy"
    for wrong in (
        {"backend": "simplex"},
        {"threads": 0},
        {"seconds": -1.0},
        {"objective_seconds": float("nan")},
        {"intermediate": Lp()},
    ):
        with pytest.raises(BadSetting):
            Lp(**wrong)
