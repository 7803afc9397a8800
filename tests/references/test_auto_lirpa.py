"""CROWN and IBP against auto_LiRPA, the field's reference implementation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sensverify.bounds import Crown, Ibp, compute_bounds
from sensverify.core.box import Box
from sensverify.formats.modules import from_module
from tests.pairwise import pairwise

NAMES = (
    "mnist-conv1",
    "mnist-conv2",
    "conv-then-hidden-layer",
    "iris",
    "deep-mlp",
    "residual",
)
TOLERANCE = 1e-4

pytestmark = pytest.mark.usefixtures("quiet_warnings")


def assert_same(
    lirpa_bounds, module: nn.Module, box: Box, mode: str, rows: Tensor | None = None
) -> None:
    """Equal ends, relative to the larger end of each interval."""
    method = {"CROWN": Crown(), "IBP": Ibp()}[mode]
    objectives = None if rows is None else rows.expand(box.batch, -1, -1)
    lower, upper = lirpa_bounds(module, box, mode, objectives)
    network = from_module(module, tuple(box.shape))
    with torch.no_grad():
        outer = compute_bounds(network, box, method, rows).outer
    scale = torch.maximum(lower.abs(), upper.abs())
    error = max(
        float(((ours - theirs).abs() / scale).max())
        for ours, theirs in ((outer.lower, lower), (outer.upper, upper))
    )
    assert error <= TOLERANCE


@pairwise(name=NAMES, dtype=[torch.float32, torch.float64], mode=["CROWN", "IBP"])
def test_both_ends_of_every_output(lirpa_bounds, make_case, name, dtype, mode) -> None:
    module, x = make_case(name, dtype, 3)
    assert_same(lirpa_bounds, module, Box.around(x, 0.05), mode)


@pytest.mark.parametrize("mode", ["CROWN", "IBP"])
@pytest.mark.parametrize("name", ["mnist-conv2", "residual", "deep-mlp"])
def test_clipped_boxes_with_widths_of_their_own(lirpa_bounds, make_case, name, mode) -> None:
    module, x = make_case(name, torch.float64, 3)
    radius = torch.linspace(0.0, 0.1, x[0].numel(), dtype=x.dtype).reshape(x.shape[1:])
    assert_same(lirpa_bounds, module, Box.around(x, radius, clip=(0.0, 1.0)), mode)


@pytest.mark.parametrize("mode", ["CROWN", "IBP"])
@pytest.mark.parametrize("name", ["mnist-conv2", "residual", "iris"])
def test_margins(lirpa_bounds, make_case, name, mode) -> None:
    module, x = make_case(name, torch.float64, 2)
    identity = torch.eye(module(x).shape[1], dtype=x.dtype)
    rows = identity[:1] - identity[1:]
    assert_same(lirpa_bounds, module, Box.around(x, 0.03), mode, rows)
