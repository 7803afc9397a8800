"""Bisection: what moves an end, and what must not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter, sleep
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.bounds.method import Decider
from sensverify.core.box import Box
from sensverify.core.queries import Decision, Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import BackendFailure, BadSetting, MissingRule, Unbounded
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu
from sensverify.runs.watch import Watch
from sensverify.solvers import bisection as module
from sensverify.solvers.bisection import Bisection
from tests.solvers.exhaustive import Exhaustive, exact_minimum

ROWS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -2.0]])


def net(seed: int = 0, *sizes: int) -> Network:
    rng = np.random.default_rng(seed)
    sizes = sizes or (2, 3, 2, 2)
    builder = NetworkBuilder((sizes[0],))
    node = builder.input
    for before, after in itertools.pairwise(sizes):
        if node:
            node = builder.add(Relu(), node)
        weight = rng.normal(size=(after, before))
        node = builder.add(Affine(weight, rng.normal(size=after) / 2), node)
    return builder.build(node)


def boxes(seed: int = 0, batch: int = 2, radius: float = 0.7) -> Box:
    center = np.random.default_rng(seed + 100).normal(size=(batch, 2))
    return Box(center - radius, center + radius)


def truth(network: Network, box: Box, rows: np.ndarray) -> Box:
    ends = [
        [
            [sign * exact_minimum(network, low, up, sign * row)[0] for row in rows]
            for sign in (1, -1)
        ]
        for low, up in zip(box.lower, box.upper, strict=True)
    ]
    found = np.array(ends)
    return Box(found[:, 0], found[:, 1])


@pytest.fixture
def poor_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No search and no gradients: only the oracle's inputs move an attained end."""

    def centre(network: Network, box: Box, objectives: Any, **_: Any) -> tuple[Any, Any]:
        values = forward_pass(network, box.center).flatten(1)
        points = box.center.unsqueeze(1).expand(-1, objectives.shape[1], *box.shape)
        return (objectives @ values.unsqueeze(2)).squeeze(2), points

    def stay(network: Network, box: Box, points: Any, loss: Any, **_: Any) -> Any:
        return loss(forward_pass(network, points).flatten(1)), points

    monkeypatch.setattr(module, "search", centre)
    monkeypatch.setattr(module, "descend", stay)


@dataclass(frozen=True)
class Says(Decider):
    """An oracle that says what it is told to."""

    answer: Callable[..., Decision]
    asked: list[float] = field(default_factory=list)

    def decide(
        self, network: Any, query: Any, *, watch: Any = None, accept: Any = None
    ) -> Decision:
        self.asked.append(float(query.limits[0]))
        return self.answer(query, watch)


def assert_attained(network: Network, bounds: Any, rows: np.ndarray) -> None:
    for ends, points in (
        (bounds.inner.lower, bounds.witness_lower),
        (bounds.inner.upper, bounds.witness_upper),
    ):
        for i in range(len(ends)):
            outputs = forward_pass(network, points[i].double()).flatten(1)
            values = (outputs * torch.from_numpy(rows)).sum(1)
            assert torch.allclose(values, ends[i].double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_exact_with_a_witness_at_each_end(seed: int) -> None:
    network, box = net(seed), boxes(seed)
    bounds = compute_bounds(network, box, Bisection(oracle=Exhaustive()), ROWS)
    exact = truth(network, box, ROWS)
    size = np.maximum(abs(exact.lower), abs(exact.upper))
    for found, wanted, sign in (
        (bounds.outer.lower, exact.lower, 1),
        (bounds.outer.upper, exact.upper, -1),
    ):
        spare = sign * (wanted - found.numpy())
        assert (spare >= -1e-9 * size).all()
        assert (spare <= 1.1e-6 * size).all()
    assert bounds.optimal.all()
    assert bounds.guarantee is Guarantee.SOLVER
    assert bounds.witness_lower.shape == (2, 3, 2)
    assert_attained(network, bounds, ROWS)
    for points in (bounds.witness_lower, bounds.witness_upper):
        assert (
            (points.numpy() >= box.lower[:, None]) & (points.numpy() <= box.upper[:, None])
        ).all()


@pytest.mark.usefixtures("poor_start")
@given(st.integers(0, 2**16))
@settings(max_examples=5)
def test_the_oracles_inputs_alone_lead_to_the_exact_range(seed: int) -> None:
    network, box = net(seed, 2, 4, 1), boxes(seed, 1)
    rows = np.array([[1.0]])
    bounds = compute_bounds(network, box, Bisection(oracle=Exhaustive(), gap=1e-5), rows)
    exact = truth(network, box, rows)
    assert bounds.optimal.all()
    size = 1.1e-5 * np.maximum(abs(exact.lower), abs(exact.upper)) + 1e-8
    assert (abs(bounds.outer.lower.numpy() - exact.lower) <= size).all()
    assert (abs(bounds.outer.upper.numpy() - exact.upper) <= size).all()
    assert_attained(network, bounds, rows)


def test_objectives_of_each_sample_and_float32() -> None:
    network, box = net(4), boxes(4)
    rows = np.stack([ROWS[:1], ROWS[2:]]).astype(np.float32)
    narrow = Box(box.lower.astype(np.float32), box.upper.astype(np.float32))
    bounds = compute_bounds(network, narrow, Bisection(oracle=Exhaustive()), rows)
    assert bounds.outer.lower.dtype == torch.float32
    for i in range(2):
        exact = truth(
            network,
            Box(narrow.lower[i : i + 1].astype(float), narrow.upper[i : i + 1].astype(float)),
            rows[i].astype(float),
        )
        assert bounds.outer.lower[i, 0] <= exact.lower[0, 0] <= bounds.outer.lower[i, 0] + 1e-4
        assert bounds.outer.upper[i, 0] >= exact.upper[0, 0] >= bounds.outer.upper[i, 0] - 1e-4


def outside(query: Any, watch: Any) -> Decision:
    return Decision(Verdict.SAT, witness=query.box.upper[0] + 1000.0)


def not_beyond(query: Any, watch: Any) -> Decision:
    return Decision(Verdict.SAT, witness=query.box.center[0])


def of_another_shape(query: Any, watch: Any) -> Decision:
    return Decision(Verdict.SAT, witness=np.zeros(7))


def no_number(query: Any, watch: Any) -> Decision:
    return Decision(Verdict.SAT, witness=np.full(2, np.nan))


def failed(query: Any, watch: Any) -> Decision:
    raise BackendFailure("the solver fell over")


LIES = {
    "unknown": lambda query, watch: Decision(Verdict.UNKNOWN),
    "timeout": lambda query, watch: Decision(Verdict.TIMEOUT),
    "sat without a witness": lambda query, watch: Decision(Verdict.SAT),
    "unknown with a witness": lambda query, watch: Decision(Verdict.UNKNOWN, query.box.lower[0]),
    "outside": outside,
    "not beyond": not_beyond,
    "of another shape": of_another_shape,
    "no number": no_number,
    "failed": failed,
}


@pytest.mark.parametrize("name", LIES)
def test_what_is_no_proof_moves_no_proven_end(name: str) -> None:
    network, box = net(4), boxes(4)
    oracle = Says(LIES[name])
    bounds = compute_bounds(network, box, Bisection(oracle=oracle), ROWS)
    crown = compute_bounds(network, box, Crown(), ROWS)
    assert torch.equal(bounds.outer.lower, crown.outer.lower)
    assert torch.equal(bounds.outer.upper, crown.outer.upper)
    assert not bounds.optimal[1].any()
    exact = truth(network, box, ROWS)
    assert (bounds.inner.lower.numpy() >= exact.lower - 1e-8).all()
    assert (bounds.inner.upper.numpy() <= exact.upper + 1e-8).all()
    assert_attained(network, bounds, ROWS)
    # It is asked once about each of the ends that CROWN leaves open.
    assert 6 <= len(oracle.asked) <= 2 * 2 * 3
    assert len(set(oracle.asked)) == len(oracle.asked)


@pytest.mark.usefixtures("poor_start")
def test_an_oracle_that_gives_up_late_leaves_what_was_proven() -> None:
    honest, network, box = Exhaustive(), net(4), boxes(4)

    @dataclass(frozen=True)
    class Tired(Decider):
        calls: list[int] = field(default_factory=list)

        def decide(self, *arguments: Any, **options: Any) -> Decision:
            self.calls.append(1)
            if len(self.calls) % 4 == 0:
                return Decision(Verdict.UNKNOWN)
            return honest.decide(*arguments, **options)

    bounds = compute_bounds(network, box, Bisection(oracle=Tired()), ROWS)
    exact, crown = truth(network, box, ROWS), compute_bounds(network, box, Crown(), ROWS)
    assert not bounds.optimal.all()
    assert (bounds.outer.lower.numpy() <= exact.lower + 1e-8).all()
    assert (bounds.outer.upper.numpy() >= exact.upper - 1e-8).all()
    assert (bounds.outer.widths < crown.outer.widths).any()


def test_a_stopped_watch_returns_the_first_bracket() -> None:
    network, box, watch = net(4), boxes(4), Watch()
    watch.stop()
    oracle = Exhaustive()
    bounds = compute_bounds(network, box, Bisection(oracle=oracle), ROWS, watch=watch)
    crown = compute_bounds(network, box, Crown(), ROWS, watch=watch)
    assert oracle.asked == []
    assert torch.allclose(bounds.outer.lower, crown.outer.lower, rtol=1e-9)
    assert bounds.inner is not None


@dataclass(frozen=True)
class Slow(Decider):
    """Answers about the second output; on the first it works until the time is up."""

    honest: Exhaustive = field(default_factory=Exhaustive)

    def decide(
        self, network: Any, query: Any, *, watch: Any = None, accept: Any = None
    ) -> Decision:
        if query.rows[0, 0] == 0.0:
            return self.honest.decide(network, query, watch=watch, accept=accept)
        while not watch.over:
            sleep(0.01)
        return Decision(Verdict.TIMEOUT)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("limit", ["seconds", "objective_seconds", "watch"])
def test_an_end_that_takes_all_its_time_leaves_the_others_theirs(limit: str, threads: int) -> None:
    network, box = net(4), boxes(4, 1)
    slow = Slow()
    # So that what is answered takes no time.
    compute_bounds(network, box, Bisection(oracle=slow.honest), ROWS[:2])
    limits = {} if limit == "watch" else {limit: 0.4 if limit == "seconds" else 0.1}
    watch = Watch(0.4 if limit == "watch" else None)
    method = Bisection(oracle=slow, threads=threads, **limits)
    begun = perf_counter()
    bounds = compute_bounds(network, box, method, ROWS[:2], watch=watch)
    assert perf_counter() - begun < 60
    assert bounds.optimal.tolist() == [[False, True]]


def test_threads_change_nothing() -> None:
    network, box = net(3), boxes(3)
    one = compute_bounds(network, box, Bisection(oracle=Exhaustive()), ROWS)
    two = compute_bounds(network, box, Bisection(oracle=Exhaustive(), threads=2), ROWS)
    assert torch.equal(one.outer.lower, two.outer.lower)
    assert torch.equal(one.inner.upper, two.inner.upper)


def test_progress_is_told() -> None:
    lines: list[str] = []
    compute_bounds(
        net(4),
        boxes(4, 1),
        Bisection(oracle=Exhaustive()),
        ROWS,
        watch=Watch(listener=lines.append),
    )
    assert any("sample 0, objective 2" in line for line in lines)


def test_a_box_of_one_point() -> None:
    network = net(1)
    point = np.array([[0.3, -0.2]])
    oracle = Says(LIES["unknown"])
    bounds = compute_bounds(network, Box(point, point), Bisection(oracle=oracle), ROWS)
    assert bounds.optimal.all()
    assert oracle.asked == []


def test_an_operator_without_a_rule_of_the_oracle_is_said_at_once() -> None:
    def refuse(query: Any, watch: Any) -> Decision:
        raise MissingRule("no rule for operator Gelu")

    with pytest.raises(MissingRule, match="Gelu"):
        compute_bounds(net(1), boxes(1), Bisection(oracle=Says(refuse)), ROWS)


def test_what_overflows_is_unbounded() -> None:
    builder = NetworkBuilder((1,))
    node = builder.add(Affine(np.array([[1e200]])), builder.input)
    node = builder.add(Affine(np.array([[1e200]])), builder.add(Relu(), node))
    box = Box(np.array([[1.0]]), np.array([[2.0]]))
    with pytest.raises(Unbounded):
        compute_bounds(builder.build(node), box, Bisection(oracle=Exhaustive()))


@pytest.mark.parametrize(
    "settings",
    [
        {"oracle": "highs"},
        {"oracle": Exhaustive},
        {"gap": float("nan")},
        {"gap": -1.0},
        {"seconds": -1.0},
        {"objective_seconds": float("nan")},
        {"threads": 0},
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        Bisection(**{"oracle": Exhaustive(), **settings})


def test_an_oracle_that_only_estimates_is_refused() -> None:
    @dataclass(frozen=True)
    class Guess(Exhaustive):
        guarantee = Guarantee.ESTIMATE

    with pytest.raises(BadSetting, match="proves"):
        Bisection(oracle=Guess())
