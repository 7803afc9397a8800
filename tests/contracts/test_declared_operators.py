"""Operators of one's own: a class that declares its facts goes through every method, soundly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, Method, compute_bounds, forward_pass
from sensverify.bounds.ibp import interval
from sensverify.bounds.relaxation import Slope, line_intercepts, relax
from sensverify.bounds.rounding import slack
from sensverify.bounds.unstable import count_unstable
from sensverify.certificates.check.program import program_of
from sensverify.core.box import Box
from sensverify.core.queries import Query, Verdict
from sensverify.errors import MissingRule
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Elementwise, PiecewiseLinear, Relu, Smooth
from sensverify.network.running import FLOAT32, apply, known
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.exact import Exact
from sensverify.solvers.lp import Lp
from sensverify.solvers.milp import Milp
from tests.bounds.test_relaxation import assert_lines_hold, intervals
from tests.contracts.networks import dense, random_box

F64 = torch.float64


class Softplus(Smooth):
    """``log(1 + exp(x))``: all that it takes to add a convex operator."""

    convex = True
    rising = True

    def value(self, x: Any, xp: Any) -> Any:
        return xp.relu(x) + xp.log1p(xp.exp(-xp.abs(x)))

    def derivative(self, x: Any, xp: Any) -> Any:
        return xp.sigmoid(x)


class HardSigmoid(PiecewiseLinear):
    """All that it takes to add an operator that is linear between kinks."""

    kinks = (-3.0, 3.0)
    slopes = (0.0, 1 / 6, 0.0)

    def value(self, x: Any, xp: Any) -> Any:
        return xp.clip(x / 6 + 0.5, 0.0, 1.0)


class Falling(Smooth):
    """``-log(1 + exp(x))``: concave, and it never rises."""

    convex = False
    rising = False

    def value(self, x: Any, xp: Any) -> Any:
        return -Softplus().value(x, xp)

    def derivative(self, x: Any, xp: Any) -> Any:
        return -xp.sigmoid(x)


class Swish(Smooth):
    """``x * sigmoid(x)``: it falls, then rises, and has two inflections."""

    convex = False
    inflections = (-2.3993572805154, 2.3993572805154)

    def value(self, x: Any, xp: Any) -> Any:
        return x * xp.sigmoid(x)

    def derivative(self, x: Any, xp: Any) -> Any:
        share = xp.sigmoid(x)
        return share * (1 + x * (1 - share))


class Gompertz(Smooth):
    """``exp(-exp(-x))``: S-shaped, and not the same on both sides."""

    convex = True
    inflections = (0.0,)
    rising = True

    def value(self, x: Any, xp: Any) -> Any:
        return xp.exp(-xp.exp(-xp.clip(x, -5.0, None)))

    def derivative(self, x: Any, xp: Any) -> Any:
        near = xp.clip(x, -5.0, None)
        return xp.where(x > -5.0, xp.exp(-near - xp.exp(-near)), 0.0 * near)


class SignedSquare(Smooth):
    """``x |x|``: concave before its inflection, convex behind it."""

    convex = False
    inflections = (0.0,)
    rising = True

    def value(self, x: Any, xp: Any) -> Any:
        return x * xp.abs(x)

    def derivative(self, x: Any, xp: Any) -> Any:
        return 2 * xp.abs(x)


class SoftShrink(PiecewiseLinear):
    """Zero around zero, shifted towards it elsewhere."""

    kinks = (-0.5, 0.5)
    slopes = (1.0, 0.0, 1.0)

    def value(self, x: Any, xp: Any) -> Any:
        return x - xp.clip(x, -0.5, 0.5)


class Hat(PiecewiseLinear):
    """Zero outside of ``[-1, 1]``, one at zero."""

    kinks = (-1.0, 0.0, 1.0)
    slopes = (0.0, 1.0, -1.0, 0.0)

    def value(self, x: Any, xp: Any) -> Any:
        return xp.relu(1 - xp.abs(x))


class Staircase(PiecewiseLinear):
    """Convex, with three kinks."""

    kinks = (-1.0, 0.0, 0.5)
    slopes = (-1.0, 0.25, 1.0, 2.0)

    def value(self, x: Any, xp: Any) -> Any:
        return -x + 1.25 * xp.relu(x + 1) + 0.75 * xp.relu(x) + xp.relu(x - 0.5)


PIECEWISE: list[PiecewiseLinear] = [HardSigmoid(), SoftShrink(), Hat(), Staircase()]
SMOOTH: list[Smooth] = [Softplus(), Falling(), Swish(), Gompertz(), SignedSquare()]
every_operator = pytest.mark.parametrize("operator", PIECEWISE + SMOOTH, ids=repr)
PASSES = (Ibp(), LpDual(), Crown(), Crown(intermediate=Ibp()), AlphaCrown(steps=3))
PASSES += (AlphaCrown(steps=3, intermediate=AlphaCrown(steps=3)),)


def network_of(operator: Elementwise, rng: np.random.Generator, inputs: int = 3) -> Network:
    builder = NetworkBuilder((inputs,))
    node = builder.input
    for width in (5, 4):
        layer = dense(rng, width, builder.shape(node)[0], gain=3.0)
        node = builder.add(operator, builder.add(layer, node))
    return builder.build(builder.add(dense(rng, 2, 4), node))


def setting(operator: Elementwise, seed: int, batch: int = 3) -> tuple[Network, Box, torch.Tensor]:
    """A network, boxes of several sizes, and outputs attained in each, ``[batch, points, 2]``."""
    rng = np.random.default_rng(seed)
    network = network_of(operator, rng)
    box = random_box(rng, network.input_shape, batch, 10 ** rng.uniform(-3, 0.5))
    share = rng.random((50, 1, *network.input_shape))
    share[:8, 0] = np.indices((2, 2, 2)).reshape(3, 8).T
    points = box.lower + share * (box.upper - box.lower)
    outputs = [
        forward_pass(network, torch.from_numpy(np.clip(p, box.lower, box.upper))) for p in points
    ]
    return network, box, torch.stack(outputs, dim=1)


def contains(method: Method, network: Network, box: Box, outputs: torch.Tensor) -> None:
    found = compute_bounds(network, box, method).outer
    ends = Box(*(torch.from_numpy(end) for end in (box.lower, box.upper)))
    allowed = slack(network, ends, torch.eye(2, dtype=F64)[None])
    if method.name in ("lp", "milp"):
        allowed = allowed + 1e-6
    assert bool((outputs >= (found.lower - allowed)[:, None]).all()), method
    assert bool((outputs <= (found.upper + allowed)[:, None]).all()), method


@every_operator
@given(pairs=st.lists(intervals(), min_size=1, max_size=8), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_lines_hold(operator: Elementwise, pairs: list[tuple[float, float]], seed: int) -> None:
    ends = torch.tensor(pairs, dtype=F64).clamp(-1e9, 1e9)
    lower, upper = ends[:, 0][None], ends[:, 1][None]
    for slope in Slope:
        assert_lines_hold(operator, lower, upper, relax(operator, lower, upper, slope))
    slopes = torch.randn(2, *lower.shape, generator=torch.Generator().manual_seed(seed), dtype=F64)
    lines = line_intercepts(operator, *slopes.unsqueeze(2), lower[:, None], upper[:, None])
    assert_lines_hold(operator, lower, upper, lines)


@every_operator
def test_intervals_are_tight(operator: Elementwise) -> None:
    ends = torch.linspace(-4, 4, 33, dtype=F64)
    lower, upper = (e.reshape(1, -1) for e in torch.meshgrid(ends, ends + 3, indexing="ij"))
    upper = torch.maximum(lower, upper)
    share = torch.linspace(0, 1, 2001, dtype=F64).reshape(-1, 1, 1)
    values = operator.value(lower * (1 - share) + upper * share, torch)
    low, high = interval(operator, (lower, upper))
    least, most = values.amin(dim=0), values.amax(dim=0)
    assert bool((low <= least + 1e-12).all() & (high >= most - 1e-12).all())
    # Points are 0.005 apart, and no function is steeper than 15.
    assert bool((low >= least - 0.08).all() & (high <= most + 0.08).all())


@every_operator
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_bounds_contain_what_is_attained(operator: Elementwise, seed: int) -> None:
    network, box, outputs = setting(operator, seed)
    for method in PASSES:
        contains(method, network, box, outputs)


@every_operator
@pytest.mark.parametrize("seed", range(2))
def test_solvers_contain_what_is_attained(operator: Elementwise, seed: int) -> None:
    network, box, outputs = setting(operator, seed, batch=1)
    contains(Lp(), network, box, outputs)
    contains(BranchAndBound(seconds=1.0, gap=1e-2), network, box, outputs)
    contains(Milp(seconds=5.0), network, box, outputs)


@pytest.mark.parametrize("operator", PIECEWISE, ids=repr)
def test_programs_are_exact(operator: PiecewiseLinear) -> None:
    """Mixed-integer programs and branch and bound find the same ranges."""
    network, box, _ = setting(operator, seed=7, batch=1)
    milp, tree = (compute_bounds(network, box, m).outer for m in (Milp(), BranchAndBound()))
    torch.testing.assert_close(milp.lower, tree.lower, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(milp.upper, tree.upper, atol=1e-5, rtol=1e-5)
    row, limit = np.array([[1.0, 0.0]]), np.array([float(tree.lower[0, 0]) - 0.1])
    query = Query(box, row, limit, ((0,),))
    assert Exact().decide(network, query).verdict is Verdict.UNSAT


@every_operator
def test_unstable_neurons_are_those_that_bend(operator: Elementwise) -> None:
    builder = NetworkBuilder((4,))
    network = builder.build(builder.add(operator, builder.input))
    lower = torch.tensor([[-9.0, -0.25, 0.0, 2.0]])
    upper = torch.tensor([[-8.0, 0.25, 0.0, 7.0]])
    inside = [
        isinstance(operator, Smooth) or any(a < kink < b for kink in operator.kinks)  # type: ignore[attr-defined]
        for a, b in zip(lower[0].tolist(), upper[0].tolist(), strict=True)
    ]
    inside[2] = False
    assert count_unstable(network, {1: (lower, upper)}, 1).tolist() == [sum(inside)]
    assert compute_bounds(network, Box(lower, upper), Ibp()).unstable.tolist() == [sum(inside)]


@every_operator
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_rounding_is_covered(operator: Elementwise, seed: int) -> None:
    network, box, _ = setting(operator, seed)
    ends = Box(*(torch.from_numpy(end).float() for end in (box.lower, box.upper)))
    exact = forward_pass(network, ends.center.double())
    off = (forward_pass(network, ends.center) - exact).abs()
    assert bool((off <= slack(network, ends, torch.eye(2)[None])).all())
    values = [known(ends.center.double().numpy())]
    for node in network.nodes[1:]:
        values.append(apply(node.operator, [values[i] for i in node.inputs], FLOAT32))
    value, error = values[-1]
    assert (abs(value - exact.numpy()) <= error + 1e-12).all()
    assert (off.numpy() <= error).all()


@every_operator
@pytest.mark.parametrize("method", PASSES, ids=repr)
def test_gradients_are_right(operator: Elementwise, method: Method) -> None:
    network, box, _ = setting(operator, seed=3, batch=1)

    def width(lower: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
        found = compute_bounds(network, Box(lower, upper), method).outer
        return (found.upper - found.lower).sum()

    ends = [torch.from_numpy(end).requires_grad_() for end in (box.lower, box.upper)]
    grads = torch.autograd.grad(width(*ends), ends)
    if isinstance(method, AlphaCrown | Crown) and isinstance(operator, Smooth):
        # Slopes that were searched for are constants to the gradient.
        assert all(bool(torch.isfinite(grad).all()) for grad in grads)
        return
    step = torch.randn(box.lower.shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    with torch.no_grad():
        near = [width(ends[0] + s * step, ends[1] + s * step) for s in (-1e-6, 1e-6)]
    along = sum(float((grad * step).sum()) for grad in grads)
    assert float(near[1] - near[0]) / 2e-6 == pytest.approx(along, rel=1e-3, abs=1e-3)


def test_facts_that_are_missing_are_named() -> None:
    class OnlyValue(Smooth):
        rising = True

        def value(self, x: Any, xp: Any) -> Any:
            return xp.tanh(x)

    class Nothing(Elementwise):
        pass

    network, box, outputs = setting(OnlyValue(), 0)
    found = compute_bounds(network, box, Ibp()).outer
    assert bool((found.lower[:, None] <= outputs).all() & (outputs <= found.upper[:, None]).all())
    with pytest.raises(MissingRule) as caught:
        compute_bounds(network, box, Crown())
    assert "OnlyValue" in caught.value.problem
    assert "derivative" in caught.value.remedy
    with pytest.raises(MissingRule, match="Nothing"):
        forward_pass(network_of(Nothing(), np.random.default_rng(0)), torch.zeros(1, 3))


@every_operator
def test_certificates_know_no_operator_by_its_facts(operator: Elementwise) -> None:
    """The checker shares nothing with what finds bounds."""
    assert_no_certificate(operator)


def test_certificates_know_no_operator_by_its_base() -> None:
    class Other(Relu):
        def value(self, x: Any, xp: Any) -> Any:
            return -xp.relu(x)

    assert_no_certificate(Other())


def assert_no_certificate(operator: Elementwise) -> None:
    network = network_of(operator, np.random.default_rng(0))
    node = next(node.name for node in network.nodes if node.operator is operator)
    with pytest.raises(MissingRule) as caught:
        program_of(network)
    assert f"certificates know no operator {type(operator).__name__}" in caught.value.problem
    assert f"'{node}'" in caught.value.problem
    assert "ENCLOSURES" in caught.value.remedy


def test_a_registered_rule_goes_first() -> None:
    class Mine(Relu):
        pass

    @interval.register(Mine)
    def _(operator: Mine, x: Any) -> Any:
        return x[0].clamp(min=-1), x[1].clamp(min=0)

    low, _ = interval(Mine(), (torch.tensor([-5.0]), torch.tensor([1.0])))
    assert low.tolist() == [-1.0]
