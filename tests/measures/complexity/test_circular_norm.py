"""The norm of a convolution by Fourier transform, where its formula holds and where it does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.errors import BadSetting
from sensverify.measures.complexity.spectral import spectral_norms


def made(layer: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in layer.parameters():
            values.copy_(torch.randn(values.shape, generator=generator))
    return layer.double()


def largest(layer: nn.Module, shape: tuple[int, ...]) -> float:
    """Of the layer's dense matrix."""
    with torch.no_grad():
        size = torch.Size(shape).numel()
        columns = layer(torch.eye(size, dtype=torch.float64).reshape(size, *shape))
        shift = layer(torch.zeros(1, *shape, dtype=torch.float64))
    return float(torch.linalg.svdvals((columns - shift).flatten(1))[0])


SHAPES = {
    "one-channel": ((1, 1, 3), {}, (1, 8, 8)),
    "channels": ((3, 5, 3), {}, (3, 6, 7)),
    "even-kernel": ((2, 2, 4), {}, (2, 7, 7)),
    "groups": ((4, 6, 3), {"groups": 2}, (4, 5, 5)),
    "dilated": ((2, 3, 3), {"dilation": 2}, (2, 9, 9)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_it_is_the_norm_of_the_circular_layer(name: str) -> None:
    sizes, options, shape = SHAPES[name]
    around = made(nn.Conv2d(*sizes, padding="same", padding_mode="circular", **options))
    zeros = made(nn.Conv2d(*sizes, padding=1, **options))
    (norm,) = spectral_norms(sv.from_module(zeros, shape), operator="circular")
    assert float(norm.detach()) == pytest.approx(largest(around, shape), rel=1e-9)


def test_a_kernel_larger_than_the_input_wraps_around() -> None:
    kernel = made(nn.Conv1d(1, 1, 5, padding=2, bias=False))
    (norm,) = spectral_norms(sv.from_module(kernel, (1, 3)), operator="circular")
    first = torch.zeros(3, dtype=torch.float64)
    for place, value in enumerate(kernel.weight.detach().flatten()):
        first[place % 3] += value
    matrix = torch.stack([first.roll(shift) for shift in range(3)])
    assert float(norm.detach()) == pytest.approx(float(torch.linalg.svdvals(matrix)[0]), rel=1e-9)


def test_a_transposed_convolution_has_the_norm_of_the_convolution() -> None:
    there = made(nn.Conv2d(3, 2, 3, padding=1, bias=False))
    back = nn.ConvTranspose2d(2, 3, 3, padding=1, bias=False).double()
    with torch.no_grad():
        back.weight.copy_(there.weight)
    norms = [
        spectral_norms(sv.from_module(layer, (channels, 6, 6)), operator="circular")[0]
        for layer, channels in ((there, 3), (back, 2))
    ]
    torch.testing.assert_close(*norms)


def test_the_three_operators_of_a_padded_convolution_differ() -> None:
    """Only ``convolution`` is the layer with its zero padding."""
    layer = made(nn.Conv2d(1, 1, 3, padding=1, bias=False), seed=3)
    network = sv.from_module(layer, (1, 8, 8))
    norms = {
        operator: float(spectral_norms(network, operator=operator)[0].detach())
        for operator in ("convolution", "circular", "kernel")
    }
    assert norms["convolution"] == pytest.approx(largest(layer, (1, 8, 8)), rel=1e-8)
    assert norms["circular"] > 1.01 * norms["convolution"]
    assert norms["convolution"] > 1.2 * norms["kernel"]


def test_strides_are_refused_and_fully_connected_layers_are_not() -> None:
    strided = sv.from_module(nn.Conv2d(1, 2, 3, stride=2), (1, 8, 8))
    with pytest.raises(BadSetting, match=r"stride 1, got stride \(2, 2\)"):
        spectral_norms(strided, operator="circular")
    layer = made(nn.Linear(4, 3))
    (norm,) = spectral_norms(sv.from_module(layer, (4,)), operator="circular")
    assert float(norm.detach()) == pytest.approx(largest(layer, (4,)), rel=1e-9)


def test_chunks_of_frequencies_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = sv.from_module(made(nn.Conv2d(2, 3, 3, padding=1)), (2, 6, 6))
    (whole,) = spectral_norms(network, operator="circular")
    monkeypatch.setattr("sensverify.measures.complexity.spectral._ENTRIES_AT_ONCE", 1)
    (parts,) = spectral_norms(network, operator="circular")
    torch.testing.assert_close(whole, parts)
