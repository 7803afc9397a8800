"""The energy of a network's weights: its derivatives, its symmetries, and what it refuses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from sensverify.data import load_split
from sensverify.errors import BadData, BadSetting, UnknownName
from sensverify.landscape import FunctionEnergy, LandscapeRequest, NetworkEnergy, Samples
from sensverify.landscape.activations import with_activation
from sensverify.training.standardise import Standardise
from tests.landscape.energies import xor


def drawn(energy: NetworkEnergy, count: int) -> torch.Tensor:
    return energy.starts(count, torch.Generator().manual_seed(5))


def test_the_energy_is_the_loss_of_torch_and_the_penalty() -> None:
    energy = xor(l2=0.25)
    for weights in drawn(energy, 3):
        module = energy.with_weights(weights)
        outputs = module(energy.inputs)
        loss = nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 1, 0]))
        penalty = sum(p.square().sum() for p in module.parameters())
        assert float(energy.value(weights[None])) == pytest.approx((loss + 0.25 * penalty).item())


def test_derivatives_agree_with_differences() -> None:
    energy, step = xor(), 1e-5
    (weights,) = drawn(energy, 1)
    units = step * torch.eye(energy.size, dtype=torch.float64)
    values, (gradient,) = energy.gradient(weights[None])
    ahead, behind = energy.gradient(weights + units), energy.gradient(weights - units)
    assert torch.equal(values, energy.value(weights[None]))
    torch.testing.assert_close((ahead[0] - behind[0]) / (2 * step), gradient, atol=1e-8, rtol=1e-6)
    hessian = energy.hessian(weights)
    torch.testing.assert_close((ahead[1] - behind[1]) / (2 * step), hessian, atol=1e-8, rtol=1e-6)
    products = energy.product(weights.expand(energy.size, -1), units / step)
    torch.testing.assert_close(products, hessian)


@pytest.mark.parametrize(
    "activation", ["tanh", "sigmoid", "relu", "softplus(beta=10)", "softplus(beta=1e4)"]
)
@pytest.mark.parametrize("hidden", [(), (5,), (4, 6, 3)])
def test_closed_forms_are_the_derivatives_of_torch(
    activation: str, hidden: tuple[int, ...]
) -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(9, 2, 2, generator=generator).numpy()
    layers: list[nn.Module] = []
    for a, b in pairwise((4, *hidden, 3)):
        layers += [nn.Linear(a, b), nn.ReLU()]
    module = nn.Sequential(nn.Flatten(), Standardise.of(x.reshape(9, 4)), *layers[:-1])
    samples = Samples(x, np.arange(9) % 3)
    energy = NetworkEnergy(with_activation(module, activation), samples, l2=0.1, kinks=True)
    assert energy.closed_form
    points = drawn(energy, 3)
    directions = torch.randn(points.shape, generator=generator, dtype=torch.float64)
    values, gradients = FunctionEnergy.gradient(energy, points)
    torch.testing.assert_close(energy.value(points), values)
    torch.testing.assert_close(energy.gradient(points), (values, gradients))
    products = FunctionEnergy.product(energy, points, directions)
    torch.testing.assert_close(energy.product(points, directions), products)
    hessian = FunctionEnergy.hessian(energy, points[0])
    torch.testing.assert_close(energy.hessian(points[0]), hessian)


@pytest.mark.parametrize(
    ("module", "loss"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.GELU(), nn.Linear(3, 3)), "cross-entropy"),
        (nn.Sequential(nn.Linear(4, 3, bias=False), nn.Tanh(), nn.Linear(3, 3)), "cross-entropy"),
        (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Tanh(), nn.Linear(3, 3)), "cross-entropy"),
        (nn.Sequential(nn.Linear(4, 3), nn.Tanh()), "cross-entropy"),
        (nn.Linear(4, 3), "cross-entropy(smoothing=0.1)"),
        (nn.Linear(4, 3), "2*cross-entropy"),
        (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)), "cross-entropy + 0.1*l2"),
        (
            nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)),
            "cross-entropy + 0.2*jacobian",
        ),
    ],
)
def test_other_networks_and_losses_have_the_derivatives_of_torch(
    module: nn.Module, loss: str
) -> None:
    samples = Samples(np.eye(4), np.arange(4) % 3)
    energy = NetworkEnergy(module, samples, loss=loss)
    assert not energy.closed_form
    (weights,) = drawn(energy, 1)
    step = 1e-6 * torch.eye(energy.size, dtype=torch.float64)
    ahead, behind = energy.value(weights + step), energy.value(weights - step)
    (gradient,) = energy.gradient(weights[None])[1]
    torch.testing.assert_close((ahead - behind) / 2e-6, gradient, atol=1e-7, rtol=1e-6)


def test_a_jacobian_penalty_has_the_second_derivatives_of_torch() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    samples = Samples(np.array([[0.1, 0.7], [-0.4, 0.2], [0.5, -0.3]]), np.arange(3) % 2)
    energy = NetworkEnergy(module, samples, loss="cross-entropy + 0.5*jacobian")
    plain = NetworkEnergy(module, samples)
    (weights,) = drawn(energy, 1)
    network = energy.with_weights(weights)
    norms = [torch.autograd.functional.jacobian(network, each).norm() for each in energy.inputs]
    penalty = energy.value(weights[None]) - plain.value(weights[None])
    torch.testing.assert_close(penalty, 0.5 * torch.stack(norms).mean()[None])
    step = 1e-5 * torch.eye(energy.size, dtype=torch.float64)
    ahead, behind = energy.gradient(weights + step)[1], energy.gradient(weights - step)[1]
    hessian = energy.hessian(weights)
    torch.testing.assert_close((ahead - behind) / 2e-5, hessian, atol=1e-7, rtol=1e-5)


def test_frozen_weights_are_no_part_of_the_l2_term() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))
    module[0].weight.requires_grad_(False)
    samples = Samples(np.eye(4), np.arange(4) % 3)
    energy = NetworkEnergy(module, samples, loss="cross-entropy + 0.5*l2", l2=0.0)
    plain = NetworkEnergy(module, samples, l2=0.0)
    (weights,) = drawn(energy, 1)
    weight = energy.layout.parts(weights)["2.weight"]
    penalty = energy.value(weights[None]) - plain.value(weights[None])
    torch.testing.assert_close(penalty, 0.5 * weight.square().sum()[None])
    # Neurons whose weights are fixed are not exchanged.
    assert not energy.symmetry.hidden


def test_one_layer_twice_is_left_to_torch() -> None:
    layer = nn.Linear(4, 4)
    samples = Samples(np.eye(4), np.arange(4) % 3)
    energy = NetworkEnergy(nn.Sequential(layer, nn.Tanh(), layer), samples)
    assert not energy.closed_form


@pytest.mark.parametrize(
    ("layers", "odd"),
    [
        ((nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), True),
        ((nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 2)), False),
        ((nn.Linear(3, 4, bias=False), nn.GELU(), nn.Linear(4, 2)), False),
        (
            (
                nn.Unflatten(1, (1, 3, 1)),
                *(nn.Conv2d(1, 3, (2, 1)), nn.Tanh(), nn.Flatten(), nn.Linear(6, 2)),
            ),
            True,
        ),
    ],
)
def test_exchanged_and_turned_neurons_have_one_form(
    layers: tuple[nn.Module, ...], odd: bool
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6, 3, generator=generator).numpy()
    energy = NetworkEnergy(nn.Sequential(*layers), Samples(x, np.array([0, 1, 0, 1, 1, 0])))
    symmetry = energy.symmetry
    assert symmetry.hidden
    assert all(each.odd is odd for each in symmetry.hidden)
    weights, other = drawn(energy, 2)
    for _ in range(5):
        equal = symmetry.drawn(weights, generator)
        torch.testing.assert_close(energy.value(equal[None]), energy.value(weights[None]))
        torch.testing.assert_close(symmetry.canonical(equal), symmetry.canonical(weights))
        torch.testing.assert_close(symmetry.aligned(equal, weights), weights)
    assert not torch.equal(symmetry.drawn(weights, generator), weights)
    assert not torch.allclose(symmetry.canonical(other), symmetry.canonical(weights))
    near = symmetry.aligned(other, weights)
    torch.testing.assert_close(symmetry.canonical(near), symmetry.canonical(other))


def test_the_order_of_the_symmetry_counts_exchanges_and_signs() -> None:
    assert xor(hidden=3).symmetry.order == 6 * 8


def test_no_exchange_is_claimed_where_layers_are_not_known() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Tanh(), nn.Linear(3, 2))
    energy = NetworkEnergy(module, Samples(np.eye(2), np.array([0, 1])), kinks=True)
    assert not energy.symmetry


def test_every_relu_is_replaced() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    found = with_activation(module, "tanh")
    kinds = [type(each).__name__ for each in found.modules()]
    assert kinds.count("Tanh") == 2
    assert "ReLU" not in kinds
    assert "ReLU" in [type(each).__name__ for each in module.modules()]


def test_softplus_has_no_step_where_torch_cuts_it_off() -> None:
    softplus = with_activation(nn.ReLU(), "softplus(beta=10)")
    x = torch.linspace(1.99, 2.01, 101, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(softplus(x).sum(), x)
    torch.testing.assert_close(1 - slope, torch.exp(-10 * x.detach()), rtol=1e-6, atol=1e-16)


IRIS = {"data": "iris", "model": "mlp-3", "activation": "tanh"}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"activation": "relu"}, BadSetting, "not smooth"),
        ({"activation": "sinus"}, UnknownName, "sinus"),
        ({"activation": "softplus(beta=0)"}, BadSetting, "beta"),
        ({"loss": "mixup"}, BadSetting, "mixup"),
        ({"loss": "mixup", "kinks": True}, BadSetting, "chance"),
        ({"loss": "cross-entropy + sensitivity"}, BadSetting, "kinks"),
        ({"loss": "crossentropy"}, UnknownName, "crossentropy"),
        ({"l2": -1.0}, BadSetting, "l2"),
        ({"l2": float("nan")}, BadSetting, "l2"),
        ({"scale": 0.0}, BadSetting, "above 0"),
        ({"scale": float("nan")}, BadSetting, "above 0"),
        ({"part": "half"}, BadSetting, "part"),
        ({"relu": True}, BadSetting, "relu"),
        ({"model": "mlp"}, UnknownName, "mlp"),
        ({"data": "irys"}, UnknownName, "irys"),
    ],
)
def test_what_has_no_energy_is_refused(
    change: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        LandscapeRequest(**{**IRIS, **change}).energy()  # type: ignore[arg-type]


def test_kinks_are_allowed_where_they_are_asked_for() -> None:
    request = LandscapeRequest(**{**IRIS, "activation": "relu"}, kinks=True)  # type: ignore[arg-type]
    assert request.energy(split=load_split("iris")).size == 4 * 3 + 3 + 3 * 3 + 3
    assert request.remarks


def test_zero_l2_is_said() -> None:
    assert "flat" in LandscapeRequest(**IRIS, l2=0.0).remarks[0]  # type: ignore[arg-type]
    assert not LandscapeRequest(**IRIS).remarks  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.ones((3, 2)), np.array([1, 1, 1]), "class 1"),
        (np.array([[0.0, np.nan], [1, 1]]), np.array([0, 1]), "NaN"),
        (np.array([[0.0, np.inf], [1, 1]]), np.array([0, 1]), "infinity"),
        (np.ones((0, 2)), np.ones(0), "samples"),
        (np.ones((3, 2)), np.array([0, 1]), "label"),
    ],
)
def test_samples_that_say_nothing_are_refused(x: np.ndarray, y: np.ndarray, words: str) -> None:
    with pytest.raises(BadData, match=words):
        Samples(x, y)
