"""Exact ranges: agreement with enumeration, and brackets that close or say that they did not."""

from __future__ import annotations

import signal
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from sensverify.bounds import AlphaCrown, Crown, compute_bounds, make_method
from sensverify.core.box import Box
from sensverify.core.results import Guarantee
from sensverify.errors import BackendFailure, BadSetting
from sensverify.models import load
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Clip, LeakyRelu, Max, Relu, Select
from sensverify.runs.watch import Watch
from sensverify.solvers import milp
from sensverify.solvers.brackets import Brackets
from sensverify.solvers.highs import Highs, Solution, Status
from sensverify.solvers.lp import Lp
from sensverify.solvers.milp import Milp
from tests.contracts.attained import attained, exact_range, largest_violation
from tests.contracts.networks import Case, cases, conv_nets, dense, mlps, residual_nets
from tests.solvers.encoding.test_encoding import piecewise
from tests.solvers.test_lp import check_inner, iris_box


@given(cases(mlps(relu_only=True, inputs=2, width=5)))
@settings(max_examples=25)
def test_agrees_with_enumeration(case: Case) -> None:
    box = case.box_of(torch.float64)[:1]
    exact = exact_range(case.network, box)
    bounds = compute_bounds(case.network, box, Milp())
    size = 1e-7 * (1 + abs(exact.lower) + abs(exact.upper))
    for found in (bounds.outer, bounds.inner):
        assert (abs(found.lower.numpy() - exact.lower) <= 10 * size).all()
        assert (abs(found.upper.numpy() - exact.upper) <= 10 * size).all()
    assert bounds.guarantee is Guarantee.SOLVER


FAMILIES = {
    "mlp": mlps(inputs=3, width=5),
    "conv": conv_nets(dimensions=1),
    "residual": residual_nets(),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_brackets_close_on_random_networks(family: str) -> None:
    @given(cases(FAMILIES[family]))
    @settings(max_examples=6)
    def check(case: Case) -> None:
        network, box = piecewise(case.network), case.box_of(torch.float64)[:1]
        values, magnitude = attained(network, box)
        bounds = compute_bounds(network, box, Milp(seconds=1.0))
        assert bool((largest_violation(bounds.outer, values) <= 1e-7 * magnitude).all())
        check_inner(network, bounds)
        # Small programs are all solved; what is open has been stopped by the time.
        if int(bounds.unstable) <= 12:
            gap = (bounds.inner.lower - bounds.outer.lower).maximum(
                bounds.outer.upper - bounds.inner.upper
            )
            assert bool((gap <= 1e-5 * (1 + magnitude)).all())

    check()


def _deep(rng: np.random.Generator, *sizes: int) -> Network:
    builder = NetworkBuilder((sizes[0],))
    node = builder.input
    for before, after in pairwise(sizes[:-1]):
        node = builder.add(Relu(), builder.add(dense(rng, after, before), node))
    return builder.build(builder.add(dense(rng, sizes[-1], sizes[-2]), node))


def _relus(pieces: list[tuple[np.ndarray, np.ndarray]]) -> Network:
    """Affine layers with ReLUs between."""
    builder = NetworkBuilder((pieces[0][0].shape[1],))
    node = builder.input
    for i, (weight, bias) in enumerate(pieces):
        node = builder.add(Relu(), node) if i else node
        node = builder.add(Affine(weight, bias), node)
    return builder.build(node)


def test_other_kinks_agree_with_the_same_function_in_relus() -> None:
    rng = np.random.default_rng(0)
    first, shift = rng.normal(size=(4, 2)), rng.normal(size=4)
    last = rng.normal(size=(2, 4))
    # g(z) = z + (s - 1) relu'(..): s z below zero is z + (1 - s) relu(-z).
    box = Box(torch.full((1, 2), -1.0).double(), torch.full((1, 2), 1.5).double())
    for slope in (-0.5, 0.25, 1.5, 3.0):
        builder = NetworkBuilder((2,))
        node = builder.add(Affine(first, shift), builder.input)
        node = builder.add(LeakyRelu(np.array(slope)), node)
        leaky = builder.build(builder.add(Affine(last), node))
        both = np.concatenate([first, -first]), np.concatenate([shift, -shift])
        same = _relus([both, (np.concatenate([last, -slope * last], axis=1), np.zeros(2))])
        _same_ranges(leaky, same, box)
    builder = NetworkBuilder((2,))
    node = builder.add(Clip(-0.5, 0.75), builder.add(Affine(first, shift), builder.input))
    clipped = builder.build(builder.add(Affine(last), node))
    kinks = np.concatenate([first, first]), np.concatenate([shift + 0.5, shift - 0.75])
    flat = last @ np.full(4, -0.5)
    _same_ranges(clipped, _relus([kinks, (np.concatenate([last, -last], axis=1), flat)]), box)
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(first, shift), builder.input)
    node = builder.add(Max(), builder.add(Select(np.array([[0, 1], [2, 3]])), node))
    largest = builder.build(node)
    # max(a, b) = b + relu(a - b), and b = relu(b) - relu(-b).
    a, b = first[[0, 2]], first[[1, 3]]
    left, right = shift[[0, 2]], shift[[1, 3]]
    inside = np.concatenate([a - b, b, -b]), np.concatenate([left - right, right, -right])
    identity = np.eye(2)
    _same_ranges(
        largest, _relus([inside, (np.hstack([identity, identity, -identity]), np.zeros(2))]), box
    )


def _same_ranges(one: Network, other: Network, box: Box) -> None:
    exact = exact_range(other, box)
    bounds = compute_bounds(one, box, Milp())
    for found in (bounds.outer, bounds.inner):
        np.testing.assert_allclose(found.lower.numpy(), exact.lower, atol=1e-6)
        np.testing.assert_allclose(found.upper.numpy(), exact.upper, atol=1e-6)
    assert bool(bounds.optimal.all())


def test_tightening_changes_nothing_but_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    network = _deep(np.random.default_rng(3), 4, 12, 12, 2)
    box = Box(torch.full((1, 4), -0.6).double(), torch.full((1, 4), 0.6).double())
    plain = compute_bounds(network, box, Milp(tightening=0.0))
    monkeypatch.setattr(milp, "SMALL", 0)
    tightened = compute_bounds(network, box, Milp(tightening=0.5))
    for one, other in ((plain.outer, tightened.outer), (plain.inner, tightened.inner)):
        torch.testing.assert_close(one.lower, other.lower, rtol=0, atol=1e-5)
        torch.testing.assert_close(one.upper, other.upper, rtol=0, atol=1e-5)
    assert bool(tightened.optimal.all())


@pytest.mark.parametrize("sigma", [0.05, 0.1])
def test_iris_is_exact(sigma: float) -> None:
    network, box = load("iris"), iris_box(sigma)
    bounds = compute_bounds(network, box, Milp())
    assert bool(bounds.optimal.all())
    check_inner(network, bounds)
    for looser in (Crown(), AlphaCrown()):
        other = compute_bounds(network, box, looser).outer
        assert bool((bounds.outer.widths <= other.widths + 1e-6).all())
    values, _ = attained(network, Box(torch.tensor(box.lower), torch.tensor(box.upper)))
    assert bool((largest_violation(bounds.outer, values) <= 1e-7).all())


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_all_of_iris_is_exact(sigma: float) -> None:
    network, box = load("iris"), iris_box(sigma, count=30)
    bounds = compute_bounds(network, box, Milp())
    assert bool(bounds.optimal.all())
    check_inner(network, bounds)
    values, _ = attained(network, Box(torch.tensor(box.lower), torch.tensor(box.upper)))
    assert bool((largest_violation(bounds.outer, values) <= 1e-7).all())
    relaxed = compute_bounds(network, box, Lp()).outer
    assert bool((bounds.outer.lower >= relaxed.lower - 1e-6).all())
    assert bool((bounds.outer.upper <= relaxed.upper + 1e-6).all())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_hundreds_of_random_networks(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every path: tightening by linear and by mixed-integer programs, whatever the size.
    monkeypatch.setattr(milp, "SMALL", 0)
    monkeypatch.setattr(milp, "LARGE", 0)

    @given(cases(FAMILIES[family]))
    @settings(max_examples=80)
    def check(case: Case) -> None:
        network, box = piecewise(case.network), case.box_of(torch.float64)[:1]
        values, magnitude = attained(network, box)
        bounds = compute_bounds(network, box, Milp(seconds=3.0))
        assert bool((largest_violation(bounds.outer, values) <= 1e-8 * magnitude).all())
        assert bool(bounds.optimal.all()) or int(bounds.unstable) > 12
        check_inner(network, bounds)

    check()


def test_objectives_of_each_sample_are_their_own() -> None:
    network, box = load("iris"), iris_box(0.05, count=2)
    rows = np.array([[[1.0, -1, 0]], [[0, 2, -1]]])
    bounds = compute_bounds(network, box, Milp(), rows)
    for sample in range(2):
        alone = compute_bounds(network, box[sample : sample + 1], Milp(), rows[sample]).outer
        outer = bounds.outer[sample : sample + 1]
        torch.testing.assert_close(outer.lower, alone.lower, atol=1e-5, rtol=0)
        torch.testing.assert_close(outer.upper, alone.upper, atol=1e-5, rtol=0)


def test_points_unused_inputs_and_constant_networks() -> None:
    rng = np.random.default_rng(0)
    network = _deep(rng, 3, 6, 2)
    point = torch.zeros(1, 3, dtype=torch.float64)
    bounds = compute_bounds(network, Box(point, point), Milp())
    torch.testing.assert_close(bounds.outer.lower, bounds.inner.upper, rtol=0, atol=1e-9)
    assert bool(bounds.optimal.all())
    wide = Box(point - 1, point + 1)
    first = np.array([1.0, 1.0, 0.0])
    unused = network.map_arrays(lambda a: a * first if a.shape == (6, 3) else a)
    assert bool(compute_bounds(unused, wide, Milp()).optimal.all())
    constant = network.map_arrays(lambda a: a * 0.0 if a.ndim == 2 else a)
    flat = compute_bounds(constant, wide, Milp())
    assert bool(flat.optimal.all())
    torch.testing.assert_close(flat.outer.lower, flat.outer.upper, rtol=0, atol=1e-9)


HARD = _deep(np.random.default_rng(1), 12, 40, 40, 40, 2)
HARD_BOX = Box(np.full((1, 12), -1.0), np.full((1, 12), 1.0))


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0])
def test_stopped_brackets_are_sound(seconds: float) -> None:
    began = time.perf_counter()
    bounds = compute_bounds(HARD, HARD_BOX, Milp(seconds=seconds))
    assert time.perf_counter() - began < seconds + 60
    if seconds == 1:
        # In less, the first pass may be stopped as well.
        crown = compute_bounds(HARD, HARD_BOX, Crown()).outer
        assert bool((bounds.outer.widths <= crown.widths).all())
    values, magnitude = attained(
        HARD, Box(torch.tensor(HARD_BOX.lower), torch.tensor(HARD_BOX.upper))
    )
    assert bool((largest_violation(bounds.outer, values) <= 1e-7 * magnitude).all())
    assert not bool(bounds.optimal.any())
    check_inner(HARD, bounds)


def test_a_stop_from_another_thread_keeps_what_is_proven() -> None:
    watch = Watch()
    timer = threading.Timer(0.7, watch.stop)
    timer.start()
    began = time.perf_counter()
    bounds = compute_bounds(HARD, HARD_BOX, Milp(), watch=watch)
    assert time.perf_counter() - began < 60
    crown = compute_bounds(HARD, HARD_BOX, Crown()).outer
    assert bool((bounds.outer.widths <= crown.widths).all())


def test_an_interrupt_keeps_what_is_proven() -> None:
    watch = Watch()
    timer = threading.Timer(0.7, signal.raise_signal, [signal.SIGINT])
    # Only the main thread gets signals; raised in another one they reach it all the same.
    with watch.stopping_on_signals():
        timer.start()
        bounds = compute_bounds(HARD, HARD_BOX, Milp(), watch=watch)
    assert watch.stopped
    values, magnitude = attained(
        HARD, Box(torch.tensor(HARD_BOX.lower), torch.tensor(HARD_BOX.upper))
    )
    assert bool((largest_violation(bounds.outer, values) <= 1e-7 * magnitude).all())


def test_a_float32_box_is_solved_as_well() -> None:
    network, box = load("iris"), iris_box(0.1)
    narrow = Box(box.lower.astype(np.float32), box.upper.astype(np.float32))
    bounds = compute_bounds(network, narrow, Milp())
    assert bounds.outer.lower.dtype == torch.float32
    assert bool(bounds.optimal.all())
    check_inner(network, bounds)
    wide = Box(narrow.lower.astype(np.float64), narrow.upper.astype(np.float64))
    exact = compute_bounds(network, wide, Milp()).outer
    assert bool((bounds.outer.lower.double() <= exact.lower + 1e-5).all())
    assert bool((bounds.outer.upper.double() >= exact.upper - 1e-5).all())


def test_progress_is_told() -> None:
    said: list[str] = []
    compute_bounds(load("iris"), iris_box(0.05), Milp(), watch=Watch(listener=said.append))
    assert any("sample 3 of 3" in line for line in said)


def test_a_solver_that_claims_too_much_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def lie(self: Highs, cost: np.ndarray, **settings: object) -> Solution:
        return Solution(Status.OPTIMAL, 1e3)

    monkeypatch.setattr(Highs, "minimise", lie)
    with pytest.raises(BackendFailure, match="an input attains"):
        compute_bounds(load("iris"), iris_box(0.1), Milp())


@pytest.mark.parametrize("bound", [None, float("nan"), -float("inf")])
def test_a_solver_that_knows_nothing_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, bound: float | None
) -> None:
    network, box = load("iris"), iris_box(0.1)
    monkeypatch.setattr(Highs, "minimise", lambda *a, **k: Solution(Status.OPTIMAL, bound))
    bounds = compute_bounds(network, box, Milp(intermediate=Crown()))
    crown = compute_bounds(network, box, Crown()).outer
    torch.testing.assert_close(bounds.outer.lower, crown.lower, rtol=0, atol=1e-9)
    torch.testing.assert_close(bounds.outer.upper, crown.upper, rtol=0, atol=1e-9)


def test_brackets_keep_the_best_of_everything() -> None:
    network, box = load("iris"), iris_box(0.1, count=1)
    live = Box(torch.tensor(box.lower), torch.tensor(box.upper))
    known = Brackets.start(network, live, torch.eye(3, dtype=torch.float64)[None])
    known.attain(0, live.center)
    first = known.attained.clone()
    known.prove(0, 0, -100.0)
    known.prove(0, 0, -200.0)
    assert float(known.proven[0, 0]) == -100
    known.attain(0, torch.full((1, 4), float("nan")).double())
    assert bool((known.attained == first).all())
    assert not bool(known.closed(1e-6).any())


def test_settings() -> None:
    assert make_method("milp", gap=1e-4, seconds=3.0).gap == 1e-4
    for wrong in (
        {"gap": -1.0},
        {"gap": float("nan")},
        {"threads": 0},
        {"seconds": -1.0},
        {"tightening": 1.0},
        {"intermediate": Milp()},
    ):
        with pytest.raises(BadSetting):
            Milp(**wrong)
