"""Modules with operators that are not known: called, live, with their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sensverify.bounds import Ibp, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.errors import MissingRule, UnsupportedOperator
from sensverify.formats.modules.opaque import from_any_module
from tests.odd import Tangent


def odd() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), Tangent(), nn.Dropout(), nn.Linear(5, 2))


def test_known_modules_are_networks_as_ever() -> None:
    assert from_any_module(nn.Linear(2, 3), (2,)).opaque is None


def test_others_are_called_in_evaluation_mode_with_the_weights_of_now() -> None:
    module = odd()
    network = from_any_module(module, (3,))
    assert network.opaque is not None
    assert "operator tan " in network.opaque.reason
    assert network.parameters == sum(p.numel() for p in module.parameters())
    x = torch.randn(4, 3)
    with torch.no_grad():
        module[0].weight.mul_(2)
    assert module.training
    found = forward_pass(network, x)
    assert module.training
    assert torch.equal(found, module.eval()(x))


def test_gradients_are_the_modules_own_also_in_the_weights() -> None:
    module = odd().eval()
    network = from_any_module(module, (3,))
    x = torch.randn(4, 3, requires_grad=True)
    for function in (module, lambda points: forward_pass(network, points)):
        gradients = torch.autograd.grad(function(x).sum(), [x, *module.parameters()])
        if function is module:
            expected = gradients
    for found, wanted in zip(gradients, expected, strict=True):
        assert torch.equal(found, wanted)


def test_doubles_of_a_single_module_are_computed_in_its_precision() -> None:
    network = from_any_module(odd(), (3,))
    x = torch.randn(4, 3)
    found = forward_pass(network, x.double())
    assert found.dtype == torch.float64
    assert torch.equal(found.float(), forward_pass(network, x))


def test_nothing_is_bounded() -> None:
    x = torch.zeros(1, 3)
    with pytest.raises(MissingRule, match="operator tan "):
        compute_bounds(from_any_module(odd(), (3,)), Box(x, x + 1), Ibp())


def test_a_module_that_does_not_take_such_inputs_is_refused() -> None:
    with pytest.raises(UnsupportedOperator):
        from_any_module(odd(), (4,))
