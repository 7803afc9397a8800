"""Splits of any neuron: parts cover the whole, bounds hold, proofs check, and it pays."""

from __future__ import annotations

from time import process_time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope, line_intercepts, relax
from sensverify.certificates import certify_query
from sensverify.certificates.check.run import check_claims
from sensverify.core.box import Box
from sensverify.core.queries import Query, Verdict
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Affine,
    Ceil,
    Clip,
    Floor,
    Gelu,
    Heaviside,
    Max,
    Product,
    Relu,
    Reshape,
    Round,
    Share,
    Sigmoid,
    Sign,
    Sin,
    Tanh,
)
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound import BranchAndBound, racing
from sensverify.solvers.branch_and_bound.racing import ALONE, race
from sensverify.solvers.branch_and_bound.split_rules import can_split, split_points, splittable
from sensverify.solvers.branch_and_bound.step_intervals import within
from sensverify.solvers.milp import Milp
from tests.contracts.certified import stored
from tests.solvers.branch_and_bound.cases import query, random_chain, tensors, unit_box


def windowed(operator: Any, size: int, seed: int = 0) -> Network:
    """Affine, the operator on windows of what comes out, affine."""
    rng, builder = np.random.default_rng(seed), NetworkBuilder((3,))
    node = builder.add(Affine(rng.normal(size=(4 * size, 3)), rng.normal(size=4 * size)), 0)
    node = builder.add(operator, builder.add(Reshape((4, size)), node))
    node = builder.add(Affine(rng.normal(size=(4, 4)), rng.normal(size=4)), node)
    node = builder.add(Tanh(), node)
    return builder.build(builder.add(Affine(rng.normal(size=(1, 4))), node))


NETWORKS = {
    "tanh": random_chain(0, 3, 6, 6, 1, activation=Tanh()),
    "sigmoid": random_chain(1, 3, 6, 6, 1, activation=Sigmoid()),
    "gelu": random_chain(2, 3, 6, 6, 1, activation=Gelu()),
    "sine": random_chain(3, 3, 5, 1, activation=Sin()),
    "abs": random_chain(4, 3, 5, 5, 1, activation=Abs()),
    "clip": random_chain(5, 3, 5, 5, 1, activation=Clip(-0.3, 0.7)),
    "floor": random_chain(6, 3, 5, 1, activation=Floor()),
    "product": windowed(Product(), 2),
    "max": windowed(Max(), 3),
    "share": windowed(Share(), 3),
}
each_network = pytest.mark.parametrize("name", NETWORKS)


def grid(box: Box, count: int = 40) -> Tensor:
    axes = [torch.linspace(float(a), float(b), count) for a, b in zip(*_ends(box), strict=True)]
    return torch.cartesian_prod(*axes).double()


def _ends(box: Box) -> tuple[np.ndarray, np.ndarray]:
    return np.ravel(box.lower), np.ravel(box.upper)


def asked(network: Network, share: float) -> tuple[Query, float]:
    """Whether the output can be as small as a share of what CROWN leaves open below the truth."""
    box = unit_box(3, 0.5)
    least = float(forward_pass(network, grid(box)).min())
    crown = float(compute_bounds(network, box, Crown()).outer.lower[0, 0])
    return query(box, [[1.0]], [least - share * (least - crown)], [[0]]), least


@each_network
def test_brackets_hold_on_a_dense_grid_and_shrink(name: str) -> None:
    network, box = NETWORKS[name], unit_box(3, 0.5)
    outputs = forward_pass(network, grid(box))
    plain = compute_bounds(network, box, Crown()).outer
    widths = [float(plain.widths[0, 0])]
    for seconds in (0.1, 0.5):
        watch = Watch(seconds, clock=process_time)
        found = compute_bounds(network, box, BranchAndBound(split="neurons"), watch=watch)
        assert float(found.outer.lower[0, 0]) <= float(outputs.min()) + 1e-9
        assert float(found.outer.upper[0, 0]) >= float(outputs.max()) - 1e-9
        widths.append(float(found.outer.widths[0, 0]))
    assert widths[1] <= widths[0] + 1e-9
    assert widths[2] < 0.98 * widths[0]


@pytest.mark.parametrize("name", ["abs", "clip"])
def test_kinks_are_taken_apart_to_the_end(name: str) -> None:
    network, box = NETWORKS[name], unit_box(3, 0.5)
    watch = Watch(60.0, clock=process_time)
    found = compute_bounds(network, box, BranchAndBound(split="neurons"), watch=watch)
    assert found.optimal is not None
    assert bool(found.optimal.all())


@each_network
def test_what_is_refuted_is_certified(name: str) -> None:
    network = NETWORKS[name]
    question, _ = asked(network, 0.8)
    method = BranchAndBound(split="neurons", proof=True)
    decision = method.decide(network, question, watch=Watch(60.0, clock=process_time))
    assert decision.verdict is Verdict.UNSAT
    model = stored(network)
    found = certify_query(model, question, decision.certificate)
    assert found is not None
    check_claims(model.program, found.claims, found.proof)


@each_network
def test_what_can_be_had_is_never_refuted(name: str) -> None:
    network = NETWORKS[name]
    question, _ = asked(network, -0.02)
    decision = BranchAndBound(split="neurons").decide(
        network, question, watch=Watch(1.0, clock=process_time)
    )
    assert decision.verdict is not Verdict.UNSAT
    if decision.witness is not None:
        point = torch.from_numpy(decision.witness).reshape(1, -1)
        assert float(forward_pass(network, point)) <= float(question.limits[0])


@pytest.mark.parametrize(
    "operator", [Relu(), Clip(-0.1, 0.1), Tanh(), Gelu(), Sin(), Floor(), Round(), Sign()]
)
def test_points_are_inside_and_come_to_an_end(operator: Any) -> None:
    """Parts of parts: kinks and jumps are used up, and curves get too narrow."""
    lower, upper = torch.tensor([[-1.3]]).double(), torch.tensor([[0.9]]).double()
    assert can_split(operator)
    weight, number = torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.int64)
    low, high = torch.full_like(lower, -torch.inf), torch.full_like(upper, torch.inf)
    for depth in range(60):
        if not bool(splittable(operator, lower, upper)):
            break
        at = split_points(operator, weight, lower, upper, number).float().double()
        assert bool((lower[0] < at).all() & (at < upper[0]).all())
        low, high = (low, at[None]) if depth % 2 else (at[None], high)
        lower, upper = within(operator, (lower, upper), low, high)
    assert depth < 59


@pytest.mark.parametrize("ends", [(-torch.inf, 3.0), (-2.0, torch.inf), (-torch.inf, torch.inf)])
def test_kinks_are_split_where_they_are_on_intervals_without_an_end(
    ends: tuple[float, float],
) -> None:
    lower, upper = (torch.tensor([[end]]).double() for end in ends)
    weight, number = torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.int64)
    assert float(split_points(Relu(), weight, lower, upper, number)) == 0.0


@pytest.mark.parametrize("operator", [Floor(), Ceil(), Round(), Heaviside()])
@pytest.mark.parametrize("reach", [0.3, 1e-9, 200.0])
def test_a_step_is_constant_on_both_sides_of_its_jump(operator: Any, reach: float) -> None:
    """Also at the jump, where each part takes its own side's value, and with lines that rise."""
    jump = operator.jump_to(torch.tensor([[0.7]]).double(), torch)
    weight, number = torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.int64)
    lower, upper = jump - reach, jump + reach * 0.9
    at = split_points(operator, weight, lower, upper, number).float().double()[None]
    assert bool((at == operator.jump_to(at, torch)).all())
    near = min(0.8 * reach, 0.4)
    for side, value in ((-1, operator.below(at, torch)), (1, operator.above(at, torch))):
        low, high = (at, at + torch.inf) if side > 0 else (at - torch.inf, at)
        inside = within(operator, (lower, upper), low, high)
        assert bool((side * (inside[(1 - side) // 2] - at) > 0).all())
        rising = torch.full_like(at, 0.9).unsqueeze(1)
        for lines in (
            relax(operator, *inside, Slope.ADAPTIVE),
            line_intercepts(operator, rising, rising, *(end.unsqueeze(1) for end in inside)),
        ):
            if reach < 1:
                assert float(lines.lower_slope) in (0.0, 0.9)
            for x in (at, at + side * near / 2, at + side * near):
                under = lines.lower_slope * x + lines.lower_intercept
                over = lines.upper_slope * x + lines.upper_intercept
                assert float(under) <= float(value) + 1e-12
                assert float(over) >= float(value) - 1e-12


def test_parts_end_beside_a_jump_with_a_value_of_its_own() -> None:
    for operator in (Sign(), Heaviside(0.5)):
        assert not operator.sided
        lower, upper = torch.tensor([[-1.0]]).double(), torch.tensor([[1.0]]).double()
        weight, number = torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.int64)
        at = split_points(operator, weight, lower, upper, number)
        assert 0 < abs(float(at)) < 1e-4


def test_products_and_maxima_are_split_where_it_decides() -> None:
    low = torch.tensor([[[0.0, -1.0, -3.0]]]).double()
    high = torch.tensor([[[1.0, 0.5, -2.0]]]).double()
    assert splittable(Max(), low, high)[0, 0].tolist() == [True, True, False]
    weight = torch.ones(1, 1).double()
    first, second = (
        float(split_points(Max(), weight, low, high, torch.tensor([k]))) for k in (0, 1)
    )
    # From there on the first is the largest; up to there the second does not count.
    assert 0.5 <= first <= 0.5 + 1e-6
    assert -1e-6 <= second <= 0.0
    decided = (
        torch.tensor([[[5.0, 0.0, -1.0]]]).double(),
        torch.tensor([[[10.0, 4.0, 3.0]]]).double(),
    )
    assert not bool(splittable(Max(), *decided).any())
    known = torch.tensor([[[0.0, 1.0]]]).double(), torch.tensor([[[0.0, 2.0]]]).double()
    assert not bool(splittable(Product(), *known).any())


class Counter:
    """A search that ends after some turns, or never."""

    def __init__(self, clock: list[float], needs: float) -> None:
        self.clock, self.needs, self.spent = clock, needs, 0.0
        self.watch, self.exhausted = Watch(), False

    @property
    def finished(self) -> bool:
        return self.spent >= self.needs

    def resume(self) -> None:
        while not self.watch.over and not self.finished:
            self.clock[0] += 0.125
            self.spent += 0.125


@pytest.mark.parametrize(("needs", "most"), [((3, 99), 3), ((99, 1), ALONE + 1.5), ((9, 99), 14)])
def test_a_race_is_won_by_whoever_ends(needs: tuple[float, float], most: float) -> None:
    clock = [0.0]
    racers = [Counter(clock, each) for each in needs]
    winner = race(*racers, Watch(200.0, clock=lambda: clock[0]))
    assert winner is racers[int(np.argmin(needs))]
    assert clock[0] <= most


def test_a_race_ends_with_its_watch() -> None:
    clock = [0.0]
    racers = [Counter(clock, 99.0), Counter(clock, 99.0)]
    assert race(*racers, Watch(20.0, clock=lambda: clock[0])) is racers[0]
    assert 20 <= clock[0] <= 20.5
    assert racers[1].spent == pytest.approx(20 / 3, abs=1.5)


@pytest.mark.parametrize("record", [False, True])
def test_the_end_of_a_turn_costs_no_sub_problem(
    record: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(racing, "ALONE", 0.02)
    network, box = random_chain(3, 16, 10, 10, 1), unit_box(16)
    exact = float(compute_bounds(network, box, Milp()).outer.lower[0, 0])
    crown = float(compute_bounds(network, box, Crown()).outer.lower[0, 0])
    question = query(box, [[1.0]], [exact - 0.002 * (exact - crown)], [[0]])
    watch = Watch(30.0, clock=process_time)
    decision = BranchAndBound(proof=record).decide(network, question, watch=watch)
    assert decision.verdict is Verdict.UNSAT
    assert decision.certificate is not None or not record


def test_features_that_are_neither_few_nor_many_are_looked_at_from_both_sides() -> None:
    network = random_chain(0, 20, 12, 12, 1, gain=0.3, activation=Tanh())
    box = unit_box(20, 0.2)
    layers = LayerBounds(*tensors(network, box), Slope.ADAPTIVE).fill()
    least = float(layers.objective_bounds(torch.ones(1, 1, 1).double())[0])
    watch = Watch(30.0, clock=process_time)
    decision = BranchAndBound().decide(
        network, query(box, [[1.0]], [least + 0.02 * abs(least)], [[0]]), watch=watch
    )
    assert decision.verdict is not Verdict.TIMEOUT
