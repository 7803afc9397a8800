"""Networks as measures take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.errors import Unbounded
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Affine, Reshape, Scale, Select


def test_a_live_module_loses_its_history_and_stays_as_it_is() -> None:
    module = nn.Linear(3, 2).double()
    network = prepare(sv.from_module(module, (3,)))
    (weight, bias) = (values for _, values in network.arrays())
    assert not weight.requires_grad
    assert weight.dtype == bias.dtype == torch.float32
    torch.testing.assert_close(weight, module.weight.detach().float())
    with torch.no_grad():
        module.weight.zero_()
    assert bool(weight.any())


def test_a_network_of_a_file_becomes_tensors_and_indices_stay() -> None:
    builder = NetworkBuilder((2,))
    place = builder.add(Select(np.array([1, 0, 1])), 0)
    place = builder.add(Affine(np.ones((1, 3))), place)
    network = prepare(builder.build(builder.add(Reshape((1,)), place)))
    indices, weight = (values for _, values in network.arrays())
    assert not np.issubdtype(indices.dtype, np.floating)
    assert isinstance(weight, torch.Tensor)
    assert weight.dtype == torch.float32


def test_numbers_without_axes() -> None:
    """As scalar means and deviations of pixels come out of a file."""
    builder = NetworkBuilder((2,))
    place = builder.add(Scale(np.float64(3.25), np.float64(-0.5)), 0)
    network = prepare(builder.build(builder.add(Affine(np.ones((1, 2))), place)))
    scale, shift, _ = (values for _, values in network.arrays())
    assert scale.dtype == shift.dtype == torch.float32
    assert (scale.item(), shift.item()) == (3.25, -0.5)


def test_what_is_far_below_rounding_is_zero() -> None:
    module = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1e-40, 2.0]]))
    ((_, weight),) = prepare(sv.from_module(module, (2,))).arrays()
    assert weight.tolist() == [[0.0, 2.0]]
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1e-20, 2e-20]]))
    ((_, weight),) = prepare(sv.from_module(module, (2,))).arrays()
    assert bool((weight > 0).all())


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e300])
def test_weights_that_are_no_float32_numbers_are_refused(value: float) -> None:
    module = nn.Linear(2, 1).double()
    with torch.no_grad():
        module.weight[0, 0] = value
    with pytest.raises(Unbounded, match="weights hold NaN"):
        prepare(sv.from_module(module, (2,)))
