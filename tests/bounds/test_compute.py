"""`compute_bounds`: it refuses what does not fit, checks results, and writes down provenance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, Method, compute_bounds, forward_pass
from sensverify.bounds.tensors import tensor_box
from sensverify.core.box import Box
from sensverify.core.results import Enclosure, Guarantee, Status
from sensverify.errors import BadSetting, BadShape, Unbounded, UnsoundResult
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Affine,
    Clip,
    Conv,
    Elementwise,
    Pad,
    Relu,
    Sigmoid,
    Tanh,
)
from sensverify.runs.watch import Watch
from tests.contracts.methods import METHODS

every_method = pytest.mark.parametrize("method", METHODS, ids=repr)


def network(scale: float = 1.0, activation: Elementwise | None = None) -> Network:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((3,))
    node = builder.add(Affine(scale * rng.normal(size=(4, 3))), builder.input)
    node = builder.add(activation or Relu(), node)
    return builder.build(builder.add(Affine(scale * rng.normal(size=(2, 4))), node))


def box(batch: int = 2, dtype: type = np.float64) -> Box:
    return Box.around(np.zeros((batch, 3), dtype=dtype), 0.5)


@dataclass(frozen=True)
class Fake(Method):
    """A method that answers what it is told."""

    lower: float
    upper: float

    name: ClassVar[str] = "fake"
    guarantee: ClassVar[Guarantee] = Guarantee.ESTIMATE

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        ones = box.lower.new_ones(box.batch, objectives.shape[1])
        return Enclosure(self.lower * ones, self.upper * ones)


@pytest.mark.parametrize("lower", [float("nan"), -float("inf"), 0.0])
@pytest.mark.parametrize("upper", [float("nan"), float("inf"), 1.0])
def test_nan_and_infinity_never_become_a_claim(lower: float, upper: float) -> None:
    if (lower, upper) == (0.0, 1.0):
        assert compute_bounds(network(), box(), Fake(lower, upper)).outer.shape == (2,)
        return
    with pytest.raises((Unbounded, UnsoundResult), match="fake"):
        compute_bounds(network(), box(), Fake(lower, upper))


def test_crossed_ends_are_refused_and_rounding_is_put_in_order() -> None:
    with pytest.raises(UnsoundResult, match="fake"):
        compute_bounds(network(), box(), Fake(1.0, 0.5))
    outer = compute_bounds(network(), box(), Fake(1.0 + 1e-12, 1.0)).outer
    assert bool((outer.lower == 1.0).all())
    assert bool((outer.upper == 1.0 + 1e-12).all())


@every_method
@pytest.mark.parametrize("scale", [1e38, 3e38])
def test_an_overflow_says_unbounded(method: Method, scale: float) -> None:
    with pytest.raises(Unbounded, match=r"unbounded.*float64"):
        compute_bounds(network(scale), box(dtype=np.float32), method)


def test_what_overflows_float64_is_not_told_to_take_it() -> None:
    for method in (Crown(), Ibp()):
        with pytest.raises(Unbounded) as caught:
            compute_bounds(network(1e300), box(), method, dtype="float64")
        assert caught.value.remedy == "use a smaller box"


@every_method
def test_what_overflows_float32_may_fit_float64(method: Method) -> None:
    outer = compute_bounds(network(1e38), box(), method).outer
    assert bool(torch.isfinite(outer.lower).all())
    assert float(outer.upper.max()) > 1e75


@every_method
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_give_no_bounds(method: Method, bad: float) -> None:
    for activation in (Relu(), Sigmoid()):
        nodes = network(activation=activation).nodes
        nodes[1].operator.weight[0, 0] = bad
        with pytest.raises((Unbounded, UnsoundResult)):
            compute_bounds(Network(nodes), box(), method)


@every_method
@pytest.mark.parametrize("scale", [2.0, 1.5])
def test_a_layer_near_the_largest_float_is_bounded_soundly(method: Method, scale: float) -> None:
    """Ends are finite, their difference is not; the last layer makes them small again."""
    builder = NetworkBuilder((1,))
    node = builder.add(Affine(np.array([[scale * 1e38]])), builder.input)
    node = builder.add(Affine(np.array([[1e-38]])), builder.add(Relu(), node))
    unit = Box(-np.ones((1, 1), dtype=np.float32), np.ones((1, 1), dtype=np.float32))
    outer = compute_bounds(builder.build(node), unit, method).outer
    assert float(outer.lower) <= 0
    assert float(outer.upper) >= scale * (1 - 1e-6)


@every_method
def test_a_layer_of_denormal_numbers_is_bounded_soundly(method: Method) -> None:
    builder = NetworkBuilder((1,))
    node = builder.add(Affine(np.array([[1e-40]])), builder.input)
    node = builder.add(Affine(np.array([[1e38]])), builder.add(Relu(), node))
    unit = Box(-np.ones((1, 1), dtype=np.float32), np.ones((1, 1), dtype=np.float32))
    outer = compute_bounds(builder.build(node), unit, method).outer
    assert float(outer.lower) <= 0
    assert float(outer.upper) >= 0.01 * (1 - 1e-4)


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (np.ones(2), "objectives"),
        (np.ones((1, 3)), "2 outputs"),
        (np.ones((3, 1, 2)), "2 samples"),
        (np.ones((0, 2)), "at least one row"),
        (np.full((1, 2), np.nan), "finite"),
        (np.full((1, 2), np.inf), "finite"),
        (np.ones((1, 1, 1, 2)), "objectives"),
    ],
)
def test_bad_objectives_are_refused(objectives: np.ndarray, message: str) -> None:
    with pytest.raises(BadShape, match=message):
        compute_bounds(network(), box(), Ibp(), objectives)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(BadShape, match=r"\(3,\).*\(2,\)"):
        compute_bounds(network(), Box.around(np.zeros((1, 2)), 0.1), Ibp())
    with pytest.raises(BadShape, match="no samples"):
        compute_bounds(network(), box(0), Ibp())
    with pytest.raises(BadSetting, match=r"torch\.float32 or torch\.float64"):
        compute_bounds(network(), box(), Ibp(), dtype=torch.float16)
    with pytest.raises(BadSetting, match="float16"):
        compute_bounds(network(), box(dtype=np.float16), Ibp())
    if not torch.cuda.is_available():
        with pytest.raises(BadSetting, match="use `device=cpu`"):
            compute_bounds(network(), box(), Ibp(), device="cuda")


def test_dtype_follows_the_box_or_the_argument() -> None:
    assert compute_bounds(network(), box(), Ibp()).outer.lower.dtype == torch.float64
    assert compute_bounds(network(), box(dtype=np.float32), Ibp()).provenance.dtype == "float32"
    half = compute_bounds(network(), box(dtype=np.float16), Ibp(), dtype=torch.float32)
    assert half.outer.lower.dtype == torch.float32


def test_provenance_says_what_was_done() -> None:
    bounds = compute_bounds(network(), box(), AlphaCrown(steps=2, intermediate=Ibp()))
    provenance = bounds.provenance
    assert provenance.method == "alpha-crown"
    assert provenance.settings["steps"] == 2
    assert provenance.settings["intermediate"] == "ibp"
    assert provenance.device == "cpu"
    assert provenance.seconds > 0
    assert provenance.versions["torch"] == torch.__version__
    assert provenance.network_digest == network().digest
    assert bounds.guarantee is Guarantee.SOUND
    assert bounds.status(0) is Status.BOUNDED
    again = compute_bounds(network(), box(), Crown(intermediate=LpDual(Ibp())))
    assert again.provenance.box_digest == provenance.box_digest
    assert again.provenance.settings["intermediate"]["settings"] == {"intermediate": "ibp"}
    other = compute_bounds(network(), Box.around(np.zeros((2, 3)), 0.4), Ibp())
    assert other.provenance.box_digest != provenance.box_digest


def test_progress_counts_samples() -> None:
    seen: list[tuple[int, int]] = []
    compute_bounds(
        network(), box(5), Crown(), memory_budget=1, progress=lambda *pair: seen.append(pair)
    )
    assert seen == [(n, 5) for n in range(1, 6)]


def test_the_network_and_the_box_are_left_alone() -> None:
    given, before = network(), network().digest
    boxes = box()
    low, high = boxes.lower.copy(), boxes.upper.copy()
    for method in METHODS:
        compute_bounds(given, boxes, method)
    assert given.digest == before
    np.testing.assert_array_equal(boxes.lower, low)
    np.testing.assert_array_equal(boxes.upper, high)


def test_an_output_of_several_axes_is_flattened_row_by_row() -> None:
    builder = NetworkBuilder((1, 3, 3))
    weight = np.arange(8.0).reshape(2, 1, 2, 2)
    node = builder.add(Conv(weight, None, (1, 1), (0, 0), (1, 1)), builder.input)
    point = np.random.default_rng(0).normal(size=(2, 1, 3, 3))
    for method in METHODS:
        outer = compute_bounds(builder.build(node), Box(point, point), method).outer
        expected = torch.nn.functional.conv2d(torch.from_numpy(point), torch.from_numpy(weight))
        torch.testing.assert_close(outer.lower, expected.flatten(1), rtol=1e-12, atol=1e-12)


def test_a_narrower_dtype_rounds_the_box_outward() -> None:
    """Between these float64 numbers lies one that the nearest float32 box would leave out."""
    builder = NetworkBuilder((1,))
    net = builder.build(builder.add(Pad((0,), (1,)), builder.input))
    given = Box(np.array([[1.0 + 1e-9]]), np.array([[3.0 + 1e-9]]))
    wide = compute_bounds(net, given, Crown(), dtype=torch.float32).outer
    assert wide.lower.dtype == torch.float32
    ends = [torch.from_numpy(end).requires_grad_() for end in (given.lower, given.upper)]
    narrow = tensor_box(Box(*ends), dtype=torch.float32, device=torch.device("cpu"))
    assert float(narrow.lower.detach()) == 1.0
    assert float(narrow.upper.detach()) == np.nextafter(np.float32(3), np.float32(4))
    narrow.upper.sum().backward()
    assert ends[1].grad is not None
    assert float(ends[1].grad) == 1.0


@pytest.mark.parametrize("activation", [Sigmoid(), Tanh(), Clip(-1.0, 1.0)], ids=repr)
def test_points_where_the_network_is_saturated(activation: Elementwise) -> None:
    """Slopes mean nothing on a point: what optimising them could gain there is rounding."""
    rng = np.random.default_rng(1)
    builder = NetworkBuilder((4,))
    # With a bias, rounding makes the slopes' gradients differ from zero.
    first = Affine(1e4 * rng.normal(size=(8, 4)), rng.normal(size=8))
    node = builder.add(activation, builder.add(first, builder.input))
    net = builder.build(builder.add(Affine(rng.normal(size=(3, 8))), node))
    point = Box.around(rng.normal(size=(20, 4)).astype(np.float32), 0.0)
    outer = compute_bounds(net, point, AlphaCrown()).outer
    truth = forward_pass(net, torch.from_numpy(point.lower).double())
    slack = 1e-5 * (1 + truth.abs().amax())
    assert bool((outer.lower <= truth + slack).all())
    assert bool((outer.upper >= truth - slack).all())


@every_method
def test_ends_of_a_clip_beyond_the_dtype(method: Method) -> None:
    far, none = (
        compute_bounds(network(activation=Clip(0.0, end)), box(dtype=np.float32), method).outer
        for end in (1e300, math.inf)
    )
    assert bool((far.lower == none.lower).all())
    assert bool((far.upper == none.upper).all())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "crown"}, BadSetting, "make_method"),
        ({"method": Crown}, BadSetting, "make_method"),
        ({"method": Crown(), "memory_budget": 0}, BadSetting, "memory_budget"),
        ({"method": Crown(), "memory_budget": float("nan")}, BadSetting, "memory_budget"),
        ({"method": Crown(), "device": "nonsense"}, BadSetting, "no device"),
    ],
)
def test_arguments_that_cannot_be_used(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    builder = NetworkBuilder((2,))
    network = builder.build(builder.add(Relu(), builder.input))
    box = Box(torch.zeros(1, 2), torch.ones(1, 2))
    with pytest.raises(error, match=message):
        compute_bounds(network, box, **arguments)
