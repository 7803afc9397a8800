"""Which layers have weights, and how two networks' layers differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.errors import NotMeasured
from sensverify.measures.complexity.layers import LinearLayer, changed_layers, linear_layers
from sensverify.network import Network
from sensverify.training.directory.export import export_onnx


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in [*module.parameters(), *module.buffers()]:
            if values.dtype.is_floating_point:
                values.copy_(torch.rand(values.shape, generator=generator) + 0.1)
    return module.eval()


def prepared(module: nn.Module, shape: tuple[int, ...]) -> Network:
    return prepare(sv.from_module(module, shape))


def normalised() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.BatchNorm2d(8),
        nn.MaxPool2d(3, 2, 1),
        nn.ConvTranspose2d(8, 6, 3, groups=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def test_normalisation_is_folded_in_and_pooling_is_none() -> None:
    module = filled(normalised())
    conv, transposed, last = linear_layers(prepared(module, (3, 8, 8)))
    norm = module[1]
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(conv.weight, module[0].weight.detach() * factor.reshape(-1, 1, 1, 1))
    assert conv.bias is not None
    torch.testing.assert_close(conv.bias, (norm.bias - norm.running_mean * factor).detach())
    torch.testing.assert_close(last.weight, module[10].weight.detach())
    assert [each.channels for each in (conv, transposed, last)] == [(3, 8), (8, 6), (6, 3)]
    assert [each.entries for each in (conv, transposed, last)] == [9, 9, 1]
    assert (conv.shape, last.shape) == ((3, 8, 8), (6,))


def test_a_file_has_the_layers_of_the_module_it_came_from(tmp_path: Path) -> None:
    module = filled(normalised())
    path = tmp_path / "net.onnx"
    export_onnx(module, (3, 8, 8), path)
    there = linear_layers(prepared(module, (3, 8, 8)))
    back = linear_layers(prepare(sv.load(path)))
    assert len(there) == len(back) == 3
    for one, other in zip(there, back, strict=True):
        torch.testing.assert_close(one.weight, other.weight, rtol=1e-5, atol=1e-6)
        assert one.shape == other.shape


def test_a_layer_of_one_output_with_equal_weights_is_no_pooling() -> None:
    module = nn.Sequential(nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        module[0].weight.fill_(0.25)
    assert len(linear_layers(prepared(module, (4,)))) == 1


def test_changes_are_differences_of_weights_and_biases() -> None:
    now, before = filled(normalised()), filled(normalised(), seed=1)
    networks = [prepared(module, (3, 8, 8)) for module in (now, before)]
    changes = changed_layers(*networks)
    for change, one, other in zip(changes, *map(linear_layers, networks), strict=True):
        torch.testing.assert_close(change.weight, one.weight - other.weight)
        assert_difference(change, one, other)
    for change in changed_layers(networks[0], networks[0]):
        assert not bool(change.weight.any())


def assert_difference(change: LinearLayer, one: LinearLayer, other: LinearLayer) -> None:
    def bias(layer: LinearLayer) -> Tensor:
        return torch.zeros(()) if layer.bias is None else layer.bias

    torch.testing.assert_close(bias(change), bias(one) - bias(other))


def test_a_bias_that_is_not_there_is_zero() -> None:
    one, other = nn.Linear(3, 2), nn.Linear(3, 2, bias=False)
    networks = [prepared(module, (3,)) for module in (one, other)]
    (change,) = changed_layers(*networks)
    assert change.bias is not None
    torch.testing.assert_close(change.bias, one.bias.detach())
    (change,) = changed_layers(*networks[::-1])
    assert change.bias is not None
    torch.testing.assert_close(change.bias, -one.bias.detach())


def test_networks_of_other_structure_are_refused_by_name() -> None:
    net = prepared(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)), (4,))
    wide = prepared(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), (4,))
    with pytest.raises(NotMeasured, match=r"'0'.*\(5, 4\).*\(6, 4\)"):
        changed_layers(net, wide)
    with pytest.raises(NotMeasured, match=r"2 layers .* 1"):
        changed_layers(net, prepared(nn.Linear(4, 2), (4,)))
    convs = [prepared(nn.Conv2d(1, 2, 3, padding=padding), (1, 5, 5)) for padding in (0, 1)]
    with pytest.raises(NotMeasured, match="padding"):
        changed_layers(*convs)
    with pytest.raises(NotMeasured, match="no layer with weights"):
        linear_layers(prepared(nn.ReLU(), (4,)))
