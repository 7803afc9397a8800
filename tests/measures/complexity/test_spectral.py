"""Spectral norms against singular values of dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sensverify as sv
from sensverify.errors import BadSetting
from sensverify.measures import Spectral, spectral_norms
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Conv, Relu, Reshape


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def live(module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Network:
    module.to(dtype)
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=number))
    return sv.from_module(module, shape)


def dense(layer: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """The matrix of a layer, column by column."""
    with torch.no_grad():
        size = int(np.prod(shape))
        columns = layer(torch.eye(size, dtype=torch.float64).reshape(size, *shape))
        shift = layer(torch.zeros(1, *shape, dtype=torch.float64))
        return (columns - shift).flatten(1).T


LAYERS = {
    "stride-1": (nn.Conv2d(1, 1, 3, padding=1), (1, 8, 8)),
    "stride-2": (nn.Conv2d(1, 1, 3, stride=2, padding=1), (1, 8, 8)),
    "seed": (nn.Conv2d(2, 5, 4, stride=2, padding=1), (2, 10, 10)),
    "no-padding": (nn.Conv2d(3, 2, 3), (3, 7, 6)),
    "left-over-column": (nn.Conv2d(1, 2, 3, stride=3), (1, 8, 8)),
    "dilated-groups": (nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2), (4, 6, 6)),
    "one-axis": (nn.Conv1d(2, 3, 3, padding=1), (2, 9)),
    "three-axes": (nn.Conv3d(1, 2, 2), (1, 4, 4, 4)),
    "transposed": (nn.ConvTranspose2d(3, 2, 3, stride=2, output_padding=1), (3, 4, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_convolution_has_the_norm_of_its_dense_matrix(name: str) -> None:
    layer, shape = LAYERS[name]
    network = live(layer, shape)
    expected = torch.linalg.svdvals(dense(layer, shape))[0]
    (norm,) = spectral_norms(network)
    torch.testing.assert_close(norm.detach(), expected, rtol=1e-8, atol=0.0)
    (norm,) = spectral_norms(network, iterations=100)
    assert 0.98 * expected <= norm.detach() <= (1 + 1e-12) * expected


@pytest.mark.parametrize("name", LAYERS)
def test_a_kernel_has_the_norm_of_its_reshaped_matrix(name: str) -> None:
    layer, shape = LAYERS[name]
    network = live(layer, shape)
    weight = layer.weight.detach()
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    (norm,) = spectral_norms(network, operator="kernel")
    torch.testing.assert_close(norm, torch.linalg.svdvals(weight.flatten(1))[0])


def test_a_kernel_says_something_else_than_the_convolution() -> None:
    """Wherever kernels overlap; where they do not, they say the same."""
    apart = live(nn.Conv2d(1, 3, 2, stride=2), (1, 6, 6))
    torch.testing.assert_close(*(spectral_norms(apart, operator=o)[0] for o in OPERATORS))
    layer, shape = LAYERS["stride-1"]
    network = live(layer, shape)
    norms = [float(spectral_norms(network, operator=o)[0].detach()) for o in OPERATORS]
    assert norms[0] > 1.2 * norms[1]


OPERATORS = ("convolution", "kernel")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (1, 6), (6, 1), (300, 200)])
def test_a_matrix_has_its_largest_singular_value(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    layer = nn.Linear(shape[1], shape[0])
    (norm,) = spectral_norms(live(layer, (shape[1],), dtype))
    assert norm.dtype == dtype
    expected = torch.linalg.svdvals(layer.weight.detach())[0]
    torch.testing.assert_close(norm.detach(), expected, rtol=1e-5, atol=0.0)


def test_diagonal_weights_and_a_double_largest_value() -> None:
    layer = nn.Linear(4, 4)
    network = live(layer, (4,))
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([1.0, -5.0, 5.0, 2.0])))
    for iterations in (None, 50):
        (norm,) = spectral_norms(network, iterations=iterations)
        assert float(norm.detach()) == pytest.approx(5.0, rel=1e-9)


@pytest.mark.parametrize("iterations", [None, 3])
def test_weights_of_zero_have_norm_zero_and_finite_gradients(iterations: int | None) -> None:
    layer = nn.Linear(4, 3)
    network = live(layer, (4,))
    with torch.no_grad():
        layer.weight.zero_()
    vectors: dict[str, Tensor] = {}
    for _ in range(2):
        (norm,) = spectral_norms(network, iterations=iterations, vectors=vectors)
        assert float(norm.detach()) == 0.0
        (gradient,) = torch.autograd.grad(norm, layer.weight)
        assert bool(torch.isfinite(gradient).all())
    # Iteration finds its way as soon as there is one.
    with torch.no_grad():
        layer.weight.copy_(drawn(3, 4))
    expected = float(torch.linalg.svdvals(layer.weight.detach())[0])
    for _ in range(40):
        (norm,) = spectral_norms(network, iterations=iterations or 3, vectors=vectors)
    assert float(norm.detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("iterations", [None, 100])
def test_gradients_are_those_of_finite_differences(operator: str, iterations: int | None) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(18, 2))
    network = live(module, (1, 6, 6))
    kept: dict[str, Tensor] = {}
    weights = [module[0].weight, module[2].weight]

    def figure() -> Tensor:
        return Spectral(operator).of(
            spectral_norms(network, operator=operator, iterations=iterations, vectors=kept)
        )

    figure()
    gradients = torch.autograd.grad(figure(), weights)
    generator = torch.Generator().manual_seed(1)
    for weight, gradient in zip(weights, gradients, strict=True):
        direction = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        ends = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                weight.add_(step * direction)
            ends.append(float(figure().detach()))
        with torch.no_grad():
            weight.add_(1e-5 * direction)
        slope = (ends[0] - ends[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_kept_vectors_let_a_few_iterations_follow_the_weights() -> None:
    layer = nn.Conv2d(2, 4, 3, padding=1)
    network = live(layer, (2, 9, 9))
    vectors: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        (norm,) = spectral_norms(network, iterations=1, vectors=vectors)
        with torch.no_grad():
            noise = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
            layer.weight.add_(1e-3 * noise)
    (exact,) = spectral_norms(network)
    assert float(norm.detach()) == pytest.approx(float(exact.detach()), rel=0.01)
    assert list(vectors) == ["spectral/convolution/1"]
    assert not vectors["spectral/convolution/1"].requires_grad
    # Without what was kept, one step from the same place is worse.
    before = vectors["spectral/convolution/1"]
    (again,) = spectral_norms(network, iterations=1, vectors=dict(vectors))
    (afresh,) = spectral_norms(
        network, iterations=1, vectors={"spectral/convolution/1": drawn(*before.shape)}
    )
    assert afresh.detach() < again.detach() <= exact.detach() * (1 + 1e-9)


def test_a_vector_of_another_size_is_not_used() -> None:
    network = live(nn.Linear(4, 3), (4,))
    vectors = {"spectral/convolution/1": torch.ones(7, dtype=torch.float64)}
    (norm,) = spectral_norms(network, iterations=100, vectors=vectors)
    torch.testing.assert_close(norm, spectral_norms(network)[0], rtol=1e-6, atol=0.0)
    assert vectors["spectral/convolution/1"].shape == (4,)


def test_what_comes_out_is_never_above_the_truth() -> None:
    layer = nn.Linear(12, 9)
    network = live(layer, (12,))
    for seed in range(20):
        with torch.no_grad():
            layer.weight.copy_(drawn(9, 12, seed=seed))
        truth = float(torch.linalg.svdvals(layer.weight.detach())[0])
        (norm,) = spectral_norms(network, iterations=1)
        assert float(norm.detach()) <= truth * (1 + 1e-12)


def test_layers_come_in_order_without_pooling_and_normalisation() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(27, 2),
    )
    network = live(module, (1, 6, 6))
    norms = spectral_norms(network)
    expected = [
        torch.linalg.svdvals(dense(module[0], (1, 6, 6)))[0],
        torch.linalg.svdvals(module[5].weight.detach())[0],
    ]
    torch.testing.assert_close(torch.stack(norms), torch.stack(expected), rtol=1e-6, atol=0.0)


def test_a_network_from_a_file_has_the_norms_of_the_module_it_came_from() -> None:
    weight, kernel = drawn(2, 16).numpy(), drawn(1, 1, 3, 3).numpy()
    builder = NetworkBuilder((1, 4, 4))
    place = builder.add(Conv(kernel, None, (1, 1), (1, 1), (1, 1)), 0)
    place = builder.add(Relu(), place)
    place = builder.add(Reshape((16,)), place)
    network = builder.build(builder.add(Affine(weight), place))
    module = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)
    ).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.from_numpy(kernel))
        module[3].weight.copy_(torch.from_numpy(weight))
    theirs = spectral_norms(sv.from_module(module, (1, 4, 4)))
    torch.testing.assert_close(torch.stack(spectral_norms(network)), torch.stack(theirs))


def test_readings() -> None:
    norms = [torch.tensor(2.0), torch.tensor(3.0)]
    values = {r: float(Spectral(reading=r).of(norms)) for r in ("half-squares", "sum", "product")}
    assert values == {"half-squares": 6.5, "sum": 5.0, "product": 6.0}
    assert float(Spectral(reading="largest").of(norms)) == 3.0
    assert float(Spectral().of([])) == 0.0


@pytest.mark.parametrize("iterations", [None, 2])
def test_weights_that_are_no_numbers_show(iterations: int | None) -> None:
    layer = nn.Linear(4, 3)
    network = live(layer, (4,))
    with torch.no_grad():
        layer.weight[0, 0] = torch.nan
    vectors: dict[str, Tensor] = {}
    (norm,) = spectral_norms(network, iterations=iterations, vectors=vectors)
    assert bool(norm.isnan())
    assert not vectors


def test_what_is_not_there_is_refused() -> None:
    network = live(nn.Linear(4, 3), (4,))
    with pytest.raises(BadSetting, match="convolution, kernel"):
        spectral_norms(network, operator="fft")
    with pytest.raises(BadSetting, match="half-squares"):
        Spectral(reading="mean")
    with pytest.raises(BadSetting, match="at least 1"):
        spectral_norms(network, iterations=0)
