"""Obvious calls that are not quite right work, or are answered in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sensverify import Box, Crown, compute_bounds, from_module, load, log_volume, widths
from sensverify.core.sensitivity import Sensitivity
from sensverify.errors import BadBox, BadModelFile, BadSetting, BadShape

MODULE = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
BOX = Box(np.zeros((1, 3), dtype=np.float32), np.ones((1, 3), dtype=np.float32))


def test_a_module_is_bounded_as_its_network_is() -> None:
    network = from_module(MODULE, (3,))
    ours, theirs = (compute_bounds(it, BOX, Crown()).outer for it in (MODULE, network))
    assert torch.equal(ours.lower, theirs.lower)


@pytest.mark.parametrize(
    "dtype", ["float64", "torch.float64", torch.float64, np.float64, np.dtype("float64")]
)
def test_a_dtype_may_go_by_its_name(dtype: Any) -> None:
    assert compute_bounds(MODULE, BOX, Crown(), dtype=dtype).outer.lower.dtype == torch.float64


def test_figures_of_bounds_are_those_of_their_outer_box() -> None:
    bounds = compute_bounds(MODULE, BOX, Crown())
    assert torch.equal(log_volume(bounds), log_volume(bounds.outer))
    assert torch.equal(widths(bounds), widths(bounds.outer))
    assert torch.equal(Sensitivity.of(bounds).shares, Sensitivity.of(bounds.outer).shares)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: compute_bounds(MODULE, np.zeros((1, 3)), Crown()), BadBox, r"Box\(lower, upper\)"),
        (lambda: compute_bounds(MODULE, (0, 1), Crown()), BadBox, "got tuple"),
        (lambda: compute_bounds("net.onnx", BOX, Crown()), BadSetting, "got str; load"),
        (lambda: compute_bounds(MODULE, BOX, "crown"), BadSetting, "make_method"),
        (lambda: compute_bounds(MODULE, BOX, Crown(), dtype="half"), BadSetting, "got 'half'"),
        (lambda: compute_bounds(MODULE, BOX, Crown(), dtype=torch.half), BadSetting, "float16"),
        (
            lambda: compute_bounds(MODULE, compute_bounds(MODULE, BOX, Crown()), Crown()),
            BadBox,
            "got Bounds; give its .outer",
        ),
        (
            lambda: compute_bounds(load("iris"), Box(np.zeros(4), np.ones(4)), Crown()),
            BadShape,
            r"give a batch axis: lower\[None\]",
        ),
        (lambda: log_volume(torch.ones(1, 2)), BadBox, "got Tensor"),
        (lambda: load(MODULE), BadModelFile, "from_module takes"),
        (lambda: load(5), BadModelFile, "got int"),
    ],
)
def test_misuse_is_answered(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()
