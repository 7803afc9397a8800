"""Marabou as an oracle: what it is told, and which of its answers count."""

from __future__ import annotations

import os
import threading
from importlib.util import find_spec
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sensverify.bounds import compute_bounds, forward_pass
from sensverify.bounds.method import make_decider, make_method
from sensverify.bounds.rounding import slack as rounding_of
from sensverify.core.box import Box
from sensverify.core.queries import Query, Verdict
from sensverify.core.results import Guarantee
from sensverify.data import load_data
from sensverify.errors import BackendFailure, BackendMissing, BadSetting, MissingRule
from sensverify.models import load
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Clip,
    LeakyRelu,
    Max,
    Operator,
    Pad,
    Permute,
    Relu,
    Reshape,
    Sigmoid,
)
from sensverify.runs.watch import Watch
from sensverify.solvers import marabou as module
from sensverify.solvers import marabou_query as module_query
from sensverify.solvers.bisection import Bisection
from sensverify.solvers.marabou import Marabou
from sensverify.solvers.marabou_query import relu_program
from tests.contracts.networks import conv_size, convolutions, dense, mlps
from tests.solvers.exhaustive import Exhaustive, exact_minimum


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    """Skip without maraboupy, or fail where ``$CI`` is set: there it is meant to be."""
    if find_spec("maraboupy") is None and "without" not in request.node.name:
        reason = "maraboupy is not there: pip install maraboupy==2.0.0"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def relu_net(seed: int, *sizes: int) -> Network:
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((sizes[0],))
    node = builder.input
    for size in sizes[1:-1]:
        node = builder.add(Relu(), builder.add(dense(rng, size, builder.shape(node)[0]), node))
    return builder.build(builder.add(dense(rng, sizes[-1], builder.shape(node)[0]), node))


def ask(
    box: Box, *rows: list[float], limits: list[float], parts: tuple[tuple[int, ...], ...] = ((0,),)
) -> Query:
    return Query(box, np.array(rows, dtype=float), np.array(limits, dtype=float), parts)


@st.composite
def conv_chains(draw: Any) -> Network:
    """A padded convolution, ReLU, a permutation and a fully connected layer."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    builder = NetworkBuilder((2, 3, 3))
    node = builder.add(Pad((0, 1, 0), (0, 0, 1), draw(st.sampled_from([0.0, 0.75]))), builder.input)
    shape = builder.shape(node)
    conv = draw(convolutions(2, 2).filter(lambda conv: min(conv_size(shape, conv)) >= 1))
    node = builder.add(conv, node)
    node = builder.add(Permute((1, 2, 0)), builder.add(Relu(), node))
    size = prod(builder.shape(node))
    node = builder.add(Relu(), builder.add(Reshape((size,)), node))
    return builder.build(builder.add(dense(rng, 2, size), node))


def values(network: Network, points: np.ndarray) -> np.ndarray:
    return forward_pass(network, torch.from_numpy(points)).flatten(1).numpy()


UNIT = Box(np.zeros((1, 2)), np.ones((1, 2)))


@given(st.integers(0, 2**16))
@settings(max_examples=8)
def test_agrees_with_every_activation_pattern(seed: int) -> None:
    network = relu_net(seed, 2, 4, 2, 2)
    box = Box(-np.ones((1, 2)), np.ones((1, 2)))
    row = np.random.default_rng(seed).normal(size=2)
    least, _ = exact_minimum(network, box.lower, box.upper, row)
    near = 1e-5 * (1 + abs(least))
    above = Marabou().decide(network, ask(box, row.tolist(), limits=[least + near]))
    # Unknown where its input misses the limit by its tolerances, and gradients do not help.
    assert above.verdict in (Verdict.SAT, Verdict.UNKNOWN)
    if above.verdict is Verdict.SAT:
        assert values(network, above.witness[None])[0] @ row <= least + near
        assert box.contains(above.witness[None]).all()
    below = Marabou().decide(network, ask(box, row.tolist(), limits=[least - near]))
    assert below.verdict is Verdict.UNSAT


def assert_values_are_those_of_marabou(network: Network, point: np.ndarray, width: float) -> None:
    """At a point, or nearly: Marabou finds what we evaluate there, and nothing beyond it."""
    box = Box(point[None] - width, point[None] + width)
    output = values(network, point[None])[0]
    for k, value in enumerate(output[:2]):
        near = 1e-3 * (1 + abs(value)) + 1e3 * width
        # The least value of the first output, and the largest of the second.
        sign = -1.0 if k else 1.0
        row = sign * np.eye(len(output))[k]
        for slack, verdict in ((near, Verdict.SAT), (-near, Verdict.UNSAT)):
            query = ask(box, row.tolist(), limits=[sign * value + slack])
            assert Marabou().decide(network, query).verdict is verdict


@given(st.one_of(mlps(relu_only=True), conv_chains()), st.integers(0, 2**16))
@settings(max_examples=8)
def test_random_networks(network: Network, seed: int) -> None:
    point = np.random.default_rng(seed).normal(size=network.input_shape)
    assert_values_are_those_of_marabou(network, point, 1e-7)


def test_bisection_with_it_agrees_with_the_exhaustive_oracle() -> None:
    network = relu_net(3, 2, 4, 3, 2)
    box = Box(-np.ones((1, 2)), np.ones((1, 2)))
    row = np.eye(2)[:1]
    found = compute_bounds(network, box, Bisection(oracle=make_decider("marabou")), row)
    exact = compute_bounds(network, box, Bisection(oracle=Exhaustive()), row)
    assert found.optimal.all()
    assert torch.allclose(found.outer.lower, exact.outer.lower, rtol=1e-5, atol=1e-6)
    assert torch.allclose(found.outer.upper, exact.outer.upper, rtol=1e-5, atol=1e-6)


IDENTITY = NetworkBuilder((2,)).build(0)


@pytest.mark.parametrize(
    ("limits", "parts", "verdict"),
    [
        # x0 <= a and x1 <= b, on the unit square.
        ([0.5, 0.5], ((0, 1),), Verdict.SAT),
        ([-1.0, 0.5], ((0, 1),), Verdict.UNSAT),
        ([-1.0, 0.5], ((0,), (1,)), Verdict.SAT),
        ([-1.0, -0.5], ((0,), (1,)), Verdict.UNSAT),
        ([-1.0, -1.0], ((0,), ()), Verdict.SAT),
        ([0.5, 0.5], (), Verdict.UNSAT),
    ],
)
def test_alternatives(limits: list[float], parts: Any, verdict: Verdict) -> None:
    query = ask(UNIT, [1, 0], [0, 1], limits=limits, parts=parts)
    decision = Marabou().decide(IDENTITY, query)
    assert decision.verdict is verdict
    assert (decision.witness is not None) == (verdict is Verdict.SAT)


@pytest.mark.parametrize(("limit", "verdict"), [(0.0, Verdict.SAT), (-0.1, Verdict.UNSAT)])
def test_a_row_of_zeros(limit: float, verdict: Verdict) -> None:
    decision = Marabou().decide(IDENTITY, ask(UNIT, [0, 0], limits=[limit]))
    assert decision.verdict is verdict


def test_a_strict_limit_that_is_only_touched_is_not_met() -> None:
    query = Query(UNIT, np.array([[1.0, 0.0]]), np.zeros(1), ((0,),), np.array([True]))
    assert Marabou().decide(IDENTITY, query).verdict is not Verdict.SAT


SPURIOUS = {
    "beyond the limit": ("sat", [0.9, 0.9]),
    "not a number": ("sat", [float("nan"), 0.0]),
    "gave up": ("UNKNOWN", []),
    "asked to stop": ("QUIT_REQUESTED", []),
    "another word": ("maybe", []),
}


@pytest.mark.parametrize("name", SPURIOUS)
def test_an_answer_that_does_not_hold_leaves_the_query_open(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ask_process", lambda asked, watch: SPURIOUS[name])
    query = ask(UNIT, [1, 0], [0, 1], limits=[0.5, 0.5], parts=((0,), (1,)))
    assert Marabou().decide(IDENTITY, query).verdict is Verdict.UNKNOWN


def test_an_input_that_is_not_accepted_is_no_answer() -> None:
    query = ask(UNIT, [1, 0], limits=[0.5])
    decision = Marabou().decide(IDENTITY, query, accept=lambda point: False)
    assert decision.verdict is Verdict.UNKNOWN
    assert decision.witness is None


def test_a_witness_outside_of_the_box_is_moved_into_it_and_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = ask(UNIT, [1, 0], limits=[0.5])
    monkeypatch.setattr(module, "_ask_process", lambda *_: ("sat", [-1e-9, 1.0 + 1e-9]))
    assert Marabou().decide(IDENTITY, query).witness.tolist() == [0.0, 1.0]
    monkeypatch.setattr(module, "_ask_process", lambda *_: ("sat", [7.0, 0.0]))
    assert Marabou().decide(IDENTITY, query).verdict is Verdict.UNKNOWN


def test_an_error_of_its_own_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ask_process", lambda *_: ("ERROR", []))
    with pytest.raises(BackendFailure, match="nothing is concluded"):
        Marabou().decide(IDENTITY, ask(UNIT, [1, 0], limits=[0.5]))


def test_a_process_that_dies_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    original = module._ask_process

    def broken(asked: dict[str, Any], watch: Watch) -> Any:
        return original({**asked, "inputs": "nonsense"}, watch)

    monkeypatch.setattr(module, "_ask_process", broken)
    with pytest.raises(BackendFailure, match="without an answer"):
        Marabou().decide(IDENTITY, ask(UNIT, [1, 0], limits=[0.5]))


def hard() -> tuple[Network, Query]:
    network = relu_net(0, 12, 60, 60, 60, 1)
    box = Box(-np.ones((1, 12)), np.ones((1, 12)))
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(4000, 12, generator=generator, dtype=torch.float64) * 2 - 1
    least = float(forward_pass(network, points).min())
    return network, ask(box, [1.0], limits=[least - 2 * abs(least) - 1])


@pytest.mark.parametrize("where", ["setting", "watch", "stop"])
def test_it_ends_when_the_time_is_up(where: str) -> None:
    network, query = hard()
    watch = Watch(0.7 if where == "watch" else None)
    if where == "stop":
        threading.Timer(0.7, watch.stop).start()
    begun = perf_counter()
    marabou = Marabou(seconds=0.7 if where == "setting" else None)
    decision = marabou.decide(network, query, watch=watch)
    assert decision.verdict is Verdict.TIMEOUT
    assert 0.6 < perf_counter() - begun < 60


def test_no_time_at_all() -> None:
    decision = Marabou(seconds=0.0).decide(IDENTITY, ask(UNIT, [1, 0], limits=[0.5]))
    assert decision.verdict is Verdict.TIMEOUT


def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for limit in (0.5, -0.5):
        Marabou().decide(relu_net(1, 2, 4, 2), ask(UNIT, [1, 0], limits=[limit]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("operator", [Sigmoid(), Max()])
def test_other_operators_are_refused(operator: Operator) -> None:
    builder = NetworkBuilder((2,))
    network = builder.build(builder.add(operator, builder.input, name="act"))
    with pytest.raises(MissingRule, match=f"{type(operator).__name__} .node 'act'"):
        Marabou().decide(network, ask(UNIT, [1.0] * prod(network.output_shape), limits=[0.5]))


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(BackendMissing, match=r"pip install 'sensverify\[marabou\]'"):
        Marabou().decide(IDENTITY, ask(UNIT, [1, 0], limits=[0.5]))


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_settings_that_are_refused(seconds: float) -> None:
    with pytest.raises(BadSetting):
        Marabou(seconds=seconds)


def live(network: Network) -> Network:
    return module.tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))


BENT = (Relu(), LeakyRelu(np.array(-0.3)), Abs(), Clip(-0.7, 0.4), Clip(-np.inf, 0.1))


def kinked(seed: int, weight: float = 1.0) -> Network:
    """Layers with kinks of every kind and a shortcut; some weights are ``weight`` times smaller."""
    rng = np.random.default_rng(seed)
    builder = NetworkBuilder((2,))
    node = builder.input
    for _ in range(2):
        size = builder.shape(node)[0]
        matrix = rng.normal(size=(3, size))
        matrix[rng.random(matrix.shape) < 0.3] *= weight
        before = builder.add(Affine(matrix, rng.normal(size=3) / 2), node)
        bent = builder.add(BENT[rng.integers(len(BENT))], before)
        around = builder.add(dense(rng, 3, size), node)
        node = builder.add(Add(), bent, around)
    return builder.build(builder.add(dense(rng, 2, 3), node))


# Thin boxes: what float64 rounds of the outputs is a millionth of what they move by.
@example(624, 1e-7)
@example(5756, 1.0)
@given(st.integers(0, 2**16), st.sampled_from([1.0, 1e-7, 1e-8, 1e-11]))
@settings(max_examples=40)
def test_what_marabou_gets_is_the_network(seed: int, weight: float) -> None:
    network, rng = live(kinked(seed, weight)), np.random.default_rng(seed)
    center, radius = rng.normal(size=(1, 2)), 10 ** rng.uniform(-9, 0.5)
    box = Box(center - radius, center + radius)
    point = rng.uniform(box.lower, box.upper)
    output, program = values(network, point)[0], relu_program(network, box)
    # Outputs are known up to rounding alone, and so are their limits.
    ends = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    rounding = rounding_of(network, ends, torch.eye(2, dtype=torch.float64)[None])[0].numpy()
    asked, above = (program.query(np.eye(2), output + by, 0.0) for by in (0.0, rounding))
    assert isinstance(asked, dict)
    assert isinstance(above, dict)
    limits = ([e[2] for e in q["equations"] if e[0] == "LE"] for q in (asked, above))
    unsure = iter([high - low for low, high in zip(*limits, strict=True)])
    # All variables from the inputs on: an equation before a ReLU begins with its variable.
    found = dict.fromkeys(range(asked["variables"]), np.nan)
    units = zip(asked["inputs"], asked["middles"], asked["factors"], strict=True)
    for place, (variable, middle, factor) in enumerate(units):
        found[variable] = (point[0, place] - middle) / factor
    after = dict(asked["relu"])
    for kind, terms, scalar in asked["equations"]:
        left = sum(factor * found[variable] for factor, variable in terms)
        if kind == "LE":
            # The limit is the output there, but for what was left out.
            assert abs(left - scalar) <= 1e-6 * module_query.SCALE + next(unsure)
            continue
        (new,) = (pair for pair in terms if np.isnan(found[pair[1]]))
        rest = sum(factor * found[variable] for factor, variable in terms if variable != new[1])
        found[new[1]] = (scalar - rest) / new[0]
        if new[1] in after:
            found[after[new[1]]] = max(found[new[1]], 0.0)
    for variable, lower, upper in asked["bounds"]:
        assert lower - 1e-5 <= found[variable] <= upper + 1e-5


def assert_right_beside_the_ends(network: Network, box: Box, ends: tuple[float, float]) -> None:
    """Asked about limits just above and just below either end of the first output."""
    row = np.eye(prod(network.output_shape))[0]
    spare = 1e-4 * max(abs(ends[0]), abs(ends[1]))
    for sign, end in ((1.0, ends[0]), (-1.0, ends[1])):
        for slack, verdict in ((spare, Verdict.SAT), (-spare, Verdict.UNSAT)):
            query = ask(box, (sign * row).tolist(), limits=[sign * end + slack])
            assert Marabou().decide(network, query).verdict is verdict


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_1e_minus_8(seed: int) -> None:
    network = relu_net(seed, 4, 5, 3)
    network = network.map_arrays(lambda array: np.where(abs(array) < 0.4, 1e-8, array))
    box = Box(-np.ones((1, 4)), np.ones((1, 4)))
    ends = [
        sign * exact_minimum(network, box.lower, box.upper, sign * np.eye(3)[0])[0]
        for sign in (1, -1)
    ]
    assert_right_beside_the_ends(network, box, (ends[0], ends[1]))


@pytest.mark.parametrize("seed", range(4))
def test_kinks_and_shortcuts_right_beside_the_ends(seed: int) -> None:
    network, box = kinked(seed), Box(-np.ones((1, 2)), np.ones((1, 2)))
    exact = compute_bounds(network, box, make_method("branch-and-bound"), np.eye(2)[:1])
    assert exact.optimal.all()
    ends = float(exact.inner.lower[0, 0]), float(exact.inner.upper[0, 0])
    assert_right_beside_the_ends(network, box, ends)


def iris_boxes(count: int, sigma: float) -> Box:
    data = load_data("iris")
    return Box.around(data.x[:: 150 // count].astype(float), sigma * data.feature_range)


def test_the_iris_network_that_takes_no_value_at_all_when_given_layer_by_layer() -> None:
    # It has weights of 1e-8; Marabou 2.0.0 called this unsat, and every other query on it.
    decision = Marabou().decide(load("iris"), ask(iris_boxes(1, 0.1), [1, 0, 0], limits=[1e3]))
    assert decision.verdict is Verdict.SAT


@pytest.mark.slow
@pytest.mark.parametrize(("count", "sigma"), [(1, 0.1), (3, 0.05), (3, 0.1)])
def test_iris_in_agreement_with_branch_and_bound(count: int, sigma: float) -> None:
    network, box = load("iris"), iris_boxes(count, sigma)
    found = compute_bounds(network, box, Bisection(oracle=Marabou()))
    exact = compute_bounds(network, box, make_method("branch-and-bound"))
    assert found.guarantee is Guarantee.SOLVER
    assert found.optimal.all()
    size = exact.inner.lower.abs().maximum(exact.inner.upper.abs())
    assert ((found.outer.lower - exact.outer.lower).abs() <= 1e-5 * size).all()
    assert ((found.outer.upper - exact.outer.upper).abs() <= 1e-5 * size).all()


@pytest.mark.slow
def test_iris_queries_close_to_the_optimum() -> None:
    network, box = load("iris"), iris_boxes(15, 0.1)
    exact = compute_bounds(network, box, make_method("branch-and-bound"))
    for i in range(box.batch):
        part = Box(box.lower[i : i + 1], box.upper[i : i + 1])
        for k, row in enumerate(np.eye(3)):
            for sign, end in ((1.0, exact.inner.lower), (-1.0, exact.inner.upper)):
                value = sign * float(end[i, k])
                near = 1e-5 * abs(value)
                above = ask(part, (sign * row).tolist(), limits=[value + near])
                # Unknown where its input misses the limit and gradients do not help.
                assert Marabou().decide(network, above).verdict is not Verdict.UNSAT
                below = ask(part, (sign * row).tolist(), limits=[value - near])
                assert Marabou().decide(network, below).verdict is Verdict.UNSAT


def test_a_proof_of_an_oracle_that_denies_everything_is_no_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    monkeypatch.setattr(
        module, "_ask_process", lambda query, watch: (asked.append(1), ("unsat", []))[1]
    )
    decision = Marabou().decide(IDENTITY, ask(UNIT, [1, 0], limits=[-0.5]))
    assert decision.verdict is Verdict.UNKNOWN
    assert len(asked) == 2


def test_an_input_that_gradients_find_outweighs_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ask_process", lambda query, watch: ("unsat", []))
    decision = Marabou().decide(IDENTITY, ask(UNIT, [1, 0], limits=[0.01]))
    assert decision.verdict is Verdict.SAT
    assert decision.witness[0] <= 0.01


def test_an_input_that_is_refused_outweighs_a_proof_too(monkeypatch: pytest.MonkeyPatch) -> None:
    words = iter([("unsat", []), ("sat", [0.5, 0.5])])
    monkeypatch.setattr(module, "_ask_process", lambda query, watch: next(words))
    query = ask(UNIT, [1, 0], limits=[0.01])
    assert Marabou().decide(IDENTITY, query, accept=lambda _: False).verdict is Verdict.UNKNOWN
