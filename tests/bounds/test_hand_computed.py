"""Tiny networks whose bounds a person can compute, for every method and for the pass itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, compute_bounds, slope_search
from sensverify.bounds.backward import backward_bounds
from sensverify.bounds.ibp import interval, interval_bounds, nonlinear_nodes
from sensverify.bounds.relaxation import Relaxation
from sensverify.core.box import Box
from sensverify.errors import MissingRule
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Affine,
    Clip,
    Elementwise,
    LeakyRelu,
    Max,
    Operator,
    Relu,
    Scale,
    Tanh,
)


def t(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def hat() -> Network:
    """``f(x, y) = relu(x + y) - relu(x - y)``."""
    builder = NetworkBuilder((2,))
    node = builder.add(Affine(np.array([[1.0, 1.0], [1.0, -1.0]])), builder.input)
    return builder.build(builder.add(Affine(np.array([[1.0, -1.0]])), builder.add(Relu(), node)))


SQUARE = Box(-np.ones((1, 2)), np.ones((1, 2)))


@pytest.mark.parametrize(
    ("method", "lower", "upper"),
    [
        # Hidden intervals [-2, 2], after the ReLU [0, 2]: the difference lies in [-2, 2].
        (Ibp(), -2.0, 2.0),
        # Slope 1/2 and intercept 1: f <= (x + y) / 2 + 1 - (x - y) / 2 = y + 1, at most 2.
        (LpDual(), -2.0, 2.0),
        # Lower slope 0 (u > -l does not hold): f <= (x + y) / 2 + 1 - 0, at most 2.
        (Crown(), -2.0, 2.0),
    ],
    ids=repr,
)
def test_the_hat(method: Ibp | LpDual | Crown, lower: float, upper: float) -> None:
    outer = compute_bounds(hat(), SQUARE, method).outer
    assert float(outer.lower) == pytest.approx(lower, abs=1e-12)
    assert float(outer.upper) == pytest.approx(upper, abs=1e-12)


def test_alpha_crown_improves_on_crown() -> None:
    """``relu(x) - x / 2`` on [-1, 2]: chord slopes 2/3; any lower slope a gives a line.

    Crown takes a = 1: at least min(x / 2) = -1/2. The best is a = 1/2: at least 0.
    """
    builder = NetworkBuilder((1,))
    node = builder.add(Affine(np.array([[1.0], [1.0]]), np.array([0.0, 10.0])), builder.input)
    last = Affine(np.array([[1.0, -0.5]]), np.array([5.0]))
    network = builder.build(builder.add(last, builder.add(Relu(), node)))
    box = Box(np.array([[-1.0]]), np.array([[2.0]]))
    assert float(compute_bounds(network, box, Crown()).outer.lower) == pytest.approx(-0.5)
    alpha = compute_bounds(network, box, AlphaCrown(steps=100)).outer
    assert -1e-2 < float(alpha.lower) <= 1e-12
    # No slope helps above: the chord is at most 1 from both ends of the interval.
    assert float(alpha.upper) == pytest.approx(1.0)


def test_unstable_neurons_are_counted() -> None:
    builder = NetworkBuilder((1,))
    node = builder.add(Affine(np.ones((3, 1)), np.array([0.0, 2.0, -2.0])), builder.input)
    network = builder.build(builder.add(Relu(), node))
    box = Box(np.array([[-1.0], [0.5], [1.5]]), np.array([[1.0], [1.0], [2.5]]))
    for method in (Ibp(), LpDual(), Crown(), AlphaCrown(steps=1)):
        unstable = compute_bounds(network, box, method).unstable
        assert unstable is not None
        assert unstable.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("operator", "lower", "upper", "count"),
    [
        (Abs(), t(-1.0, 0.0, 1.0), t(1.0, 1.0, 2.0), 1),
        (Tanh(), t(-1.0, 0.5), t(1.0, 0.5), 1),
        (Clip(0.0, 1.0), t(-1.0, 0.2, 0.5, -1.0), t(0.5, 0.8, 2.0, 0.0), 2),
        (Max(), t(0.0, 1.0, 0.5), t(2.0, 3.0, 1.0), 1),
        (Max(), t(1.0, 0.0), t(1.0, 0.5), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Operator) else "",
)
def test_what_counts_as_unstable(
    operator: Operator, lower: torch.Tensor, upper: torch.Tensor, count: int
) -> None:
    builder = NetworkBuilder(tuple(lower.shape[1:]))
    network = builder.build(builder.add(operator, builder.input))
    assert compute_bounds(network, Box(lower, upper), Ibp()).unstable.tolist() == [count]


@pytest.mark.parametrize(
    ("operator", "lower", "upper", "low", "high"),
    [
        (Abs(), t(-2, 1, -3), t(1, 2, -1), [0, 1, 1], [2, 2, 3]),
        (LeakyRelu(torch.tensor(-0.5)), t(-2, 1, -4), t(1, 2, -2), [0, 1, 1], [1, 2, 2]),
        (LeakyRelu(torch.tensor(2.0)), t(-2, 1, -4), t(1, 2, -2), [-4, 1, -8], [1, 2, -4]),
        (Clip(-1.0, 1.0), t(-2, 0, 3), t(0, 2, 4), [-1, 0, 1], [0, 1, 1]),
        (Scale(torch.tensor(-2.0), torch.tensor(1.0)), t(0, 1), t(1, 3), [-1, -5], [1, -1]),
        (Affine(torch.tensor([[1.0, -2.0]]).double()), t(0, 1), t(1, 3), [-6], [-1]),
        (Max(), t(0, 1), t(3, 2), 1, 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Operator) else "",
)
def test_interval_rules(
    operator: Operator, lower: torch.Tensor, upper: torch.Tensor, low: object, high: object
) -> None:
    found = interval(operator, (lower, upper))
    assert found[0].squeeze(0).tolist() == pytest.approx(low)
    assert found[1].squeeze(0).tolist() == pytest.approx(high)


def test_intervals_stop_where_they_are_told() -> None:
    network = hat().map_arrays(torch.from_numpy)
    ends = torch.from_numpy(SQUARE.lower), torch.from_numpy(SQUARE.upper)
    assert sorted(interval_bounds(network, ends, until=1)) == [0, 1]
    assert sorted(interval_bounds(network, ends)) == [0, 1, 2, 3]
    assert nonlinear_nodes(network) == [2]


def test_a_missing_interval_rule_says_how_to_add_it() -> None:
    class Cube(Elementwise):
        pass

    with pytest.raises(MissingRule, match=r"Cube.*interval\.register"):
        interval(Cube(), (t(0.0), t(1.0)))


def test_the_pass_with_lines_given_by_hand() -> None:
    """``f = relu(x + y) - relu(x - y)`` with lower slopes 1 and 0, upper lines v / 2 + 1."""
    network = hat().map_arrays(torch.from_numpy)
    low, chord, shift = t(1.0, 0.0), t(0.5, 0.5), t(1.0, 1.0)
    lines = {2: Relaxation(*(v.unsqueeze(1) for v in (low, chord)), None, shift.unsqueeze(1))}
    ends = torch.from_numpy(SQUARE.lower), torch.from_numpy(SQUARE.upper)
    objective = torch.ones(1, 1, 1, dtype=torch.float64)
    lower, upper = backward_bounds(network, 3, objective, lines, *ends)
    # Below: (x + y) - (x - y) / 2 - 1 = x / 2 + 3 y / 2 - 1, at least -3.
    # Above: (x + y) / 2 + 1 - 0, at most 2.
    assert upper is not None
    assert (float(lower), float(upper)) == (-3.0, 2.0)
    alone, none = backward_bounds(network, 3, objective, lines, *ends, both=False)
    assert float(alone) == -3.0
    assert none is None
    # Entries of a node: the hidden layer's own bounds need no lines.
    lower, upper = backward_bounds(network, 1, slice(1, 2), {}, *ends)
    assert upper is not None
    assert (lower.tolist(), upper.tolist()) == ([[-2.0]], [[2.0]])
    mirrored, _ = backward_bounds(network, 3, -objective, lines, *ends)
    assert float(mirrored) == -2.0


def test_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time at all, alpha-CROWN still answers, and takes no step."""
    steps = []
    monkeypatch.setattr(slope_search._Free, "move", lambda *_: steps.append(1))
    compute_bounds(hat(), SQUARE, AlphaCrown(steps=50, seconds=0.0))
    assert not steps
    compute_bounds(hat(), SQUARE, AlphaCrown(steps=2))
    assert len(steps) == 2


def test_alpha_crown_says_that_inference_mode_is_not_for_it() -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match="no_grad"):
        compute_bounds(hat(), SQUARE, AlphaCrown())
    with torch.no_grad():
        compute_bounds(hat(), SQUARE, AlphaCrown(steps=1))
