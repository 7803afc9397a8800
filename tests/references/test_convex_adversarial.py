"""LP-dual against convex_adversarial 0.4.4, the implementation of the method's authors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sensverify.bounds import LpDual, compute_bounds
from sensverify.core.box import Box
from sensverify.formats.modules import from_module
from tests.pairwise import pairwise

# It knows sequences of linear layers, convolutions and ReLU.
NAMES = (
    "mnist-conv1",
    "mnist-conv2",
    "conv-then-hidden-layer",
    "iris",
    "deep-mlp",
    "no-hidden-layer",
)
CLIPS = (None, (0.0, 1.0))
TOLERANCE = 1e-5

pytestmark = pytest.mark.usefixtures("quiet_warnings")


def reference(wong_kolter, module, x, radius, clip, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Ends of ``rows @ f(x)`` by convex_adversarial: it gives lower ends, so -rows give upper."""
    with torch.no_grad():
        dual = wong_kolter.DualNetwork(module, x, radius, bounded_input=clip is not None)
        rows = rows.expand(len(x), -1, -1)
        return dual(rows), -dual(-rows)


def relative_error(ours: Tensor, theirs: Tensor, scale: Tensor) -> float:
    return float(((ours - theirs).abs() / scale).max())


def compare(wong_kolter, module, x, radius, clip, rows: Tensor) -> float:
    """The largest difference between ends, relative to the larger end of each interval."""
    lower, upper = reference(wong_kolter, module, x, radius, clip, rows)
    network = from_module(module, tuple(x.shape[1:]))
    box = Box.around(x, radius, clip=clip)
    with torch.no_grad():
        outer = compute_bounds(network, box, LpDual(), rows).outer
    scale = torch.maximum(lower.abs(), upper.abs()).clamp(min=torch.finfo(x.dtype).tiny)
    return max(relative_error(outer.lower, lower, scale), relative_error(outer.upper, upper, scale))


@pairwise(name=NAMES, dtype=[torch.float32, torch.float64], clip=CLIPS)
def test_both_ends_of_every_output(wong_kolter, make_case, name, dtype, clip) -> None:
    module, x = make_case(name, dtype, 3)
    rows = torch.eye(module(x).shape[1], dtype=dtype)
    assert compare(wong_kolter, module, x, 0.05, clip, rows) <= TOLERANCE


@pytest.mark.parametrize("clip", CLIPS, ids=["whole-ball", "clipped"])
@pytest.mark.parametrize("name", ["mnist-conv2", "iris"])
def test_margins_with_rows_of_their_own_for_each_sample(wong_kolter, make_case, name, clip) -> None:
    module, x = make_case(name, torch.float64, 2)
    identity = torch.eye(module(x).shape[1], dtype=x.dtype)
    label = torch.tensor([0, 2])
    rows = identity[label].unsqueeze(1) - identity
    # The margin to itself is zero in both; its interval has no end to compare with.
    others = torch.stack([row[row.abs().sum(1) > 0] for row in rows])
    assert compare(wong_kolter, module, x, 0.03, clip, others) <= TOLERANCE


def test_a_radius_of_its_own_for_each_sample(wong_kolter, make_case) -> None:
    module, x = make_case("iris", torch.float64, 3)
    radius = torch.tensor([0.01, 0.05, 0.2], dtype=x.dtype)
    rows = torch.eye(3, dtype=x.dtype)
    theirs = [
        reference(wong_kolter, module, x[i : i + 1], float(radius[i]), None, rows) for i in range(3)
    ]
    box = Box(x - radius[:, None], x + radius[:, None])
    with torch.no_grad():
        outer = compute_bounds(from_module(module, (4,)), box, LpDual()).outer
    for ours, end in ((outer.lower, 0), (outer.upper, 1)):
        expected = torch.cat([pair[end] for pair in theirs])
        torch.testing.assert_close(ours, expected, rtol=TOLERANCE, atol=0.0)


def test_the_gradient_in_the_weights(wong_kolter, make_case) -> None:
    """Of the summed widths: what training with either would follow."""
    module, x = make_case("deep-mlp", torch.float64, 3)
    rows = torch.eye(7, dtype=x.dtype).expand(3, -1, -1)
    dual = wong_kolter.DualNetwork(module, x, 0.05)
    theirs = torch.autograd.grad((-dual(-rows) - dual(rows)).sum(), list(module.parameters()))
    outer = compute_bounds(from_module(module, (12,)), Box.around(x, 0.05), LpDual()).outer
    ours = torch.autograd.grad((outer.upper - outer.lower).sum(), list(module.parameters()))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=TOLERANCE, atol=1e-9)
