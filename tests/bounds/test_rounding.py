"""The one slack of every claim: against exact arithmetic, and what it takes account of."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import inf

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings

from sensverify.bounds import AlphaCrown, Crown, Ibp, compute_bounds, forward_pass
from sensverify.bounds.rounding import check_rounding, slack
from sensverify.core.box import Box
from sensverify.errors import MissingRule, UnsoundResult
from sensverify.network import Network, NetworkBuilder, Node
from sensverify.network.operators import Affine, BatchNorm, Divide, Elementwise, Relu, Scale
from tests.contracts.cancelling import Cancelling, cancelling
from tests.contracts.networks import Case, cases, conv_nets, mlps, residual_nets

ROWS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])


def tensors(case: Cancelling, dtype: torch.dtype) -> Box:
    return Box(*(torch.from_numpy(end).to(dtype) for end in (case.box.lower, case.box.upper)))


def exact_rows(case: Cancelling, point: np.ndarray) -> list[Fraction]:
    first, second = case.exact(point)
    return [first, second, first - second]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_bound_and_no_output_is_off_by_more(dtype: torch.dtype) -> None:
    seen = 0
    for seed in range(40):
        case = cancelling(seed)
        network, box, rows = case.network, tensors(case, dtype), ROWS.to(dtype)
        allowed = [Fraction(a) for a in slack(network, box, rows[None])[0].tolist()]
        values = [exact_rows(case, point) for point in case.points]
        methods = [Ibp(), Crown()] + ([AlphaCrown(steps=2)] if seed < 5 else [])
        for method in methods:
            outer = compute_bounds(network, box, method, rows).outer
            for at in values:
                ends = zip(outer.lower[0].tolist(), outer.upper[0].tolist(), strict=True)
                for (low, high), value, most in zip(ends, at, allowed, strict=True):
                    assert Fraction(low) - most <= value <= Fraction(high) + most
                    seen += not Fraction(low) <= value <= Fraction(high)
        outputs = forward_pass(network, torch.from_numpy(case.points).to(dtype)).tolist()
        for at, computed in zip(values, outputs, strict=True):
            for value, output, most in zip(at, computed, allowed, strict=False):
                assert abs(Fraction(output) - value) <= most
    # Without a slack, bounds do miss values.
    assert seen > 10


def chain(*weights: float) -> Network:
    """Affine maps one after the other, with ones that cancel: ``y = x (p - p)``."""
    builder = NetworkBuilder((1,))
    last = builder.add(Affine(np.array([[weights[0]], [weights[0]]])), builder.input)
    last = builder.add(Affine(np.diag([weights[1], weights[1]])), last)
    return builder.build(builder.add(Affine(np.array([[1.0, -1.0]])), last))


def test_what_folding_hides_is_seen() -> None:
    """The maps fold into the number 0; what their products lost is no share of that."""
    one = Box(torch.ones(1, 1), torch.ones(1, 1))
    found = float(slack(chain(1e4, 1e4), one, torch.ones(1, 1, 1)))
    assert 2**-24 * 1e8 < found < 2**-24 * 1e8 * 200


@pytest.mark.parametrize("last", ["divide", "batch-norm"])
def test_a_mean_that_cancels_is_seen(last: str) -> None:
    builder = NetworkBuilder((1,))
    if last == "divide":
        node = builder.add(Scale(None, np.array([-1e6])), builder.input)
        node = builder.add(Divide(np.array([1e-3])), node)
    else:
        ones, mean = np.ones(1), np.full(1, 1e6)
        node = builder.add(BatchNorm(1e3 * ones, None, mean, ones, 0.0), builder.input)
    at = Box(torch.full((1, 1), 1e6), torch.full((1, 1), 1e6))
    found = float(slack(builder.build(node), at, torch.ones(1, 1, 1)))
    assert 2**-24 * 1e9 < found < 2**-24 * 1e9 * 100


def test_a_neuron_that_is_proven_off_adds_nothing() -> None:
    def off_by(bias: float) -> float:
        builder = NetworkBuilder((1,))
        node = builder.add(Affine(np.array([[1e6], [1.0]]), np.array([bias, 0.0])), builder.input)
        node = builder.add(Affine(np.ones((1, 2))), builder.add(Relu(), node))
        box = Box(torch.zeros(1, 1), torch.ones(1, 1))
        return float(slack(builder.build(node), box, torch.ones(1, 1, 1)))

    assert off_by(-2e6) < 1e-4 < 1e-1 < off_by(-1e6)


def test_bounds_on_hidden_layers_are_taken_account_of() -> None:
    builder = NetworkBuilder((1,))
    node = builder.add(Relu(), builder.add(Affine(np.array([[1e6]])), builder.input))
    network = builder.build(node)
    box, rows = Box(-torch.ones(1, 1), torch.ones(1, 1)), torch.ones(1, 1, 1)
    off = (torch.full((1, 1), -2e6), torch.full((1, 1), -1e6))
    assert float(slack(network, box, rows, [off])) < float(slack(network, box, rows)) / 1000


def test_what_overflows_is_not_known() -> None:
    one = Box(torch.ones(1, 1), torch.ones(1, 1))
    assert float(slack(chain(1e20, 1e20), one, torch.ones(1, 1, 1))) == inf


def off_everywhere() -> Case:
    """A last neuron that is off: its output is 0 in any precision, and rounding moves nothing."""
    builder = NetworkBuilder((1,))
    node = builder.add(Affine(np.array([[np.float32(0.12573022)]]), None), builder.input)
    box = Box(np.array([[-0.6534549]]), np.array([[-0.65012741]]))
    return Case(builder.build(builder.add(Relu(), node)), box)


@example(off_everywhere())
@given(cases(mlps() | conv_nets() | residual_nets()))
@settings(max_examples=12)
def test_float32_outputs_of_every_operator_are_within_it(case: Case) -> None:
    network, box = case.network, case.box_of(torch.float32)
    rows = torch.eye(case.outputs)[None]
    allowed = slack(network, box, rows)
    # Of an output that is one number on the whole box there may be nothing to round.
    outer = compute_bounds(network, box, Ibp()).outer
    moves = (outer.lower < outer.upper).reshape(allowed.shape)
    assert bool((allowed >= 0).all() & (allowed[moves] > 0).all())
    for point in (box.lower, box.upper, box.center):
        exact = forward_pass(network, point.double()).reshape(len(point), -1)
        narrow = forward_pass(network, point).reshape(len(point), -1)
        assert bool(((narrow - exact).abs() <= allowed).all())


def test_an_operator_without_a_rule_is_named() -> None:
    @dataclass(frozen=True, eq=False)
    class Cube(Elementwise):
        """Nobody has given it rules."""

    odd = Network((*chain(1.0, 1.0).nodes[:1], Node("odd", Cube(), (0,), (1,))))
    with pytest.raises(MissingRule, match="Cube"):
        slack(odd, Box(torch.ones(1, 1), torch.ones(1, 1)), torch.ones(1, 1, 1))


def test_a_contradiction_says_whether_products_cancel() -> None:
    def check(excess: float, allowed: float, size: float) -> None:
        check_rounding(*(torch.tensor([[v]]) for v in (excess, allowed, size)), what="it broke")

    check(1e-3, 1e-2, 1.0)
    check(0.0, 0.0, 0.0)
    with pytest.raises(UnsoundResult, match="it broke by more than rounding; please report"):
        check(1e-3, 1e-6, 1.0)
    with pytest.raises(UnsoundResult, match="please report"):
        check(float("nan"), 1.0, 1.0)
    for excess, allowed in ((2.0, 1.0), (1.0, inf)):
        with pytest.raises(UnsoundResult, match="cancellation") as e:
            check(excess, allowed, 1.0)
        assert "`rigorous`" in e.value.remedy
        assert "report" not in str(e.value)
