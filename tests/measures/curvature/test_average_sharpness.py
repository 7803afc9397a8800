"""Average sharpness against half the variance times the trace, and against its definition."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sensverify.errors import BadSetting, NotMeasured
from sensverify.measures.complexity.weights import Weights
from sensverify.measures.curvature.average_sharpness import MEASURES, average_sharpness
from sensverify.measures.measure import MeasuredClassifier
from sensverify.runs.watch import Watch
from tests.measures.classifiers import (
    convolutional,
    dense_weight_hessian,
    filled,
    logistic,
    measured_of,
    mlp,
)

VARIANCES = {"normal": 1.0, "uniform": 1 / 3, "sphere": 1 / 15}
"""Of the noise on one weight of fifteen, at radius 1."""


def training(measured: MeasuredClassifier) -> tuple[Tensor, Tensor]:
    assert measured.train_x is not None
    assert measured.train_y is not None
    return measured.train_x, measured.train_y


@pytest.mark.parametrize("noise", VARIANCES)
@pytest.mark.parametrize("seed", [0, 1])
def test_of_little_noise_it_is_half_the_variance_times_the_trace(noise: str, seed: int) -> None:
    module = logistic()
    measured = measured_of(module, seed=seed)
    trace = float(dense_weight_hessian(module, *training(measured)).trace())
    radius = 0.05 / VARIANCES[noise] ** 0.5
    reading = average_sharpness(measured, radius, noise=noise, pairs=400)
    assert reading.error is not None
    expected = radius**2 * VARIANCES[noise] * trace / 2
    # The sphere's draws have one length, so this error is small beside the value.
    assert 0 < reading.error < 0.1 * expected
    assert abs(reading.value - expected) < 4 * reading.error + 0.01 * expected


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("noise", ["normal", "uniform"])
def test_it_is_the_mean_rise_over_draws_and_their_opposites(noise: str, adaptive: bool) -> None:
    module, radius, pairs = convolutional(), 0.3, 7
    measured = measured_of(module, (1, 8, 8), seed=5)
    x, y = training(measured)
    parameters = list(module.parameters())
    before = [p.detach().clone() for p in parameters]
    generator = torch.Generator().manual_seed(5)

    def loss() -> float:
        return float(functional.cross_entropy(module(x.double()), y).detach())

    clean, rises = loss(), []
    for _ in range(pairs):
        count = sum(p.numel() for p in parameters)
        if noise == "normal":
            drawn = torch.randn(count, generator=generator, dtype=torch.float64)
        else:
            drawn = 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1
        pair = []
        for sign in (1, -1):
            parts = drawn.split([p.numel() for p in parameters])
            for parameter, value, part in zip(parameters, before, parts, strict=True):
                step = sign * radius * part.reshape(value.shape)
                parameter.data.copy_(value + (step * value.abs() if adaptive else step))
            pair.append(loss() - clean)
        rises.append(sum(pair) / 2)
    values = torch.tensor(rises, dtype=torch.float64)
    reading = average_sharpness(measured, radius, noise=noise, adaptive=adaptive, pairs=pairs)
    assert reading.value == pytest.approx(float(values.mean()), rel=1e-4)
    assert reading.error == pytest.approx(float(values.std()) / pairs**0.5, rel=1e-3)
    assert reading.samples == len(x)


def test_the_adaptive_kind_is_blind_to_factors_that_cancel() -> None:
    module = mlp()
    measured = measured_of(module)
    with torch.no_grad():
        for place, factor in ((0, 4.0), (2, 0.5), (4, 0.5)):
            module[place].weight.mul_(factor)
        module[0].bias.mul_(4)
        module[2].bias.mul_(2)
    scaled = replace(measured, network=measured_of(module).network)
    for adaptive in (True, False):
        values = [
            average_sharpness(s, 0.5, adaptive=adaptive, pairs=5).value for s in (measured, scaled)
        ]
        assert (values[1] == pytest.approx(values[0], rel=1e-5)) == adaptive


def test_opposite_draws_cancel_what_is_odd() -> None:
    """Far from a minimum the slope of the loss is most of what noise does."""
    module = logistic()
    measured = measured_of(module, train_y=torch.zeros(12, dtype=torch.int64))
    reading = average_sharpness(measured, 0.01, pairs=50)
    x, y = training(measured)
    slope = torch.autograd.grad(
        functional.cross_entropy(module(x.double()), y), list(module.parameters())
    )
    steepness = float(torch.cat([part.flatten() for part in slope]).norm())
    assert reading.error is not None
    # Single draws would vary by this much.
    assert reading.error < 0.05 * 0.01 * steepness / 50**0.5


def test_the_names_say_their_radius_and_noise() -> None:
    measured = measured_of(mlp())
    assert list(MEASURES) == [
        *(f"sharpness-l2-{rho}" for rho in ("0.05", "0.1", "0.2", "0.4")),
        *(f"sharpness-linf-{rho}" for rho in ("0.1", "0.2", "0.4", "0.8")),
    ]
    for name, measure in MEASURES.items():
        _, norm, radius = name.split("-")
        noise = {"l2": "normal", "linf": "uniform"}[norm]
        assert measure.take(measured) == average_sharpness(measured, float(radius), noise=noise)
        assert radius in measure.definition


def test_more_noise_is_sharper() -> None:
    measured = measured_of(logistic())
    for norm in ("l2", "linf"):
        values = [m.take(measured).value for n, m in MEASURES.items() if f"-{norm}-" in n]
        assert values == sorted(values)
        assert values[0] > 0


def test_chunks_and_gradient_state_change_nothing() -> None:
    measured = measured_of(mlp(), samples=30)
    live = measured.network.map_arrays(lambda values: values.clone().requires_grad_())
    before = torch.random.get_rng_state()
    reading = average_sharpness(measured, 0.1)
    assert average_sharpness(replace(measured, network=live), 0.1) == reading
    small = average_sharpness(replace(measured, memory_budget=1), 0.1)
    assert small.value == pytest.approx(reading.value, rel=1e-4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(values.grad is None for _, values in live.arrays())
    assert average_sharpness(replace(measured, seed=1), 0.1) != reading


def test_normalisation_that_is_folded_is_noised_with_its_layer() -> None:
    module = filled(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)))
    network = measured_of(module).network
    assert Weights.of(network, torch.float32).count == 4 * 6 + 6 + 6 * 3 + 3


def test_time_that_is_up() -> None:
    measured = measured_of(mlp())
    with pytest.raises(NotMeasured, match="after 0 of 50"):
        average_sharpness(replace(measured, watch=Watch(0.0)), 0.1)


class Stopping(Watch):
    """Is over once it was asked so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    @property
    def over(self) -> bool:
        self.times -= 1
        return self.times < 0


def test_time_that_is_up_in_between() -> None:
    measured = measured_of(mlp())
    with pytest.raises(NotMeasured, match="after 4 of 50"):
        average_sharpness(replace(measured, watch=Stopping(4)), 0.1)
    reading = average_sharpness(replace(measured, watch=Stopping(8)), 0.1)
    assert "8 pairs" in reading.note
    assert reading.cut
    whole = average_sharpness(measured, 0.1, pairs=8)
    assert not whole.cut
    assert (reading.value, reading.error) == (whole.value, whole.error)


@pytest.mark.parametrize("scale", [1e20, 1e38])
def test_outputs_that_overflow(scale: float) -> None:
    """With the noise or without it: a loss that is no number has no mean and no error."""
    module = mlp()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
    with pytest.raises(NotMeasured, match="overflow"):
        average_sharpness(measured_of(module), 0.1)


def test_what_it_does_not_take() -> None:
    measured = measured_of(mlp())
    for radius in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(BadSetting, match="radius"):
            average_sharpness(measured, radius)
    with pytest.raises(BadSetting, match="'l2'"):
        average_sharpness(measured, 0.1, noise="l2")
    with pytest.raises(BadSetting, match="2 pairs"):
        average_sharpness(measured, 0.1, pairs=1)
    with pytest.raises(NotMeasured, match="training part"):
        average_sharpness(replace(measured, train_x=None), 0.1)
