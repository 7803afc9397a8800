"""Measures made of norms: closed forms, and laws that they keep."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log, sqrt

import pytest
import torch
from torch import Tensor, nn

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.errors import BadSetting, NotMeasured
from sensverify.measures.complexity.layers import linear_layers
from sensverify.measures.complexity.norms import (
    MEASURES,
    Norms,
    log_main_term,
    log_product,
    log_sum,
    ratio,
    root_of_sum,
)
from sensverify.measures.measure import MeasuredClassifier
from sensverify.runs.watch import Watch

SAMPLES = 5000


def diagonal(*layers: list[float]) -> nn.Sequential:
    """Square layers with these diagonals, and ReLUs between them."""
    modules: list[nn.Module] = []
    for values in layers:
        linear = nn.Linear(len(values), len(values), bias=False)
        with torch.no_grad():
            linear.weight.copy_(torch.diag(torch.tensor(values)))
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def measured_of(
    module: nn.Module, initial: nn.Module | None = None, *, size: int = 3
) -> MeasuredClassifier:
    x = torch.rand(40, size, generator=torch.Generator().manual_seed(1))
    return MeasuredClassifier(
        prepare(sv.from_module(module, (size,))),
        x,
        torch.zeros(40).long(),
        train_x=x,
        train_size=SAMPLES,
        initial=None if initial is None else prepare(sv.from_module(initial, (size,))),
    )


def take(name: str, measured: MeasuredClassifier) -> float:
    return MEASURES[name].take(measured).value


def margin_of(module: nn.Module, measured: MeasuredClassifier) -> float:
    with torch.no_grad():
        top = module(measured.train_x).double().topk(2).values
    margins = sorted((top[:, 0] - top[:, 1]).tolist())
    # A tenth of the way from the first of 40 to the last: between the fourth and the fifth.
    return margins[3] + 0.9 * (margins[4] - margins[3])


@pytest.fixture
def drawn() -> tuple[nn.Sequential, nn.Sequential]:
    """A network and its initial weights, without biases."""
    generator = torch.Generator().manual_seed(0)
    nets = []
    for _ in range(2):
        net = nn.Sequential(nn.Linear(3, 6, bias=False), nn.ReLU(), nn.Linear(6, 4, bias=False))
        with torch.no_grad():
            for values in net.parameters():
                values.copy_(torch.randn(values.shape, generator=generator))
        nets.append(net)
    return nets[0], nets[1]


def test_of_diagonal_weights_every_measure_has_a_closed_form() -> None:
    module = diagonal([1.0, -3.0, 2.0], [4.0, 0.5, 1.0])
    initial = diagonal([1.0, -1.0, 1.0], [1.0, 0.5, 1.0])
    measured = measured_of(module, initial)
    m, g = SAMPLES, margin_of(module, measured)
    spectral, frobenius = 9.0 * 16.0, (14.0, 17.25)
    over = 14.0 / 9.0 + 17.25 / 16.0
    change, change_over = (5.0, 9.0), 5.0 / 9.0 + 9.0 / 16.0
    expected = {
        "log-spectral-main": log(sqrt(spectral * over / (g**2 * m))),
        "log-spectral-main-init": log(sqrt(spectral * change_over / (g**2 * m))),
        "log-product-spectral": log(sqrt(spectral / m)),
        "log-product-spectral-margin": log(sqrt(spectral / (g**2 * m))),
        "frobenius-over-spectral": sqrt(over / m),
        "log-frobenius-over-spectral": log(sqrt(over / m)),
        "log-sum-spectral": log(sqrt(2 * sqrt(spectral) / m)),
        "log-sum-spectral-margin": log(sqrt(2 * sqrt(spectral / g**2) / m)),
        "sum-spectral-init": sqrt((4.0 + 9.0) / m),
        "log-product-frobenius": log(sqrt(14.0 * 17.25 / m)),
        "log-product-frobenius-margin": log(sqrt(14.0 * 17.25 / (g**2 * m))),
        "log-sum-frobenius": log(sqrt(2 * sqrt(14.0 * 17.25) / m)),
        "log-sum-frobenius-margin": log(sqrt(2 * sqrt(14.0 * 17.25 / g**2) / m)),
        "sum-frobenius": sqrt(sum(frobenius) / m),
        "sum-frobenius-init": sqrt(sum(change) / m),
    }
    assert list(expected) == list(MEASURES)
    for name, value in expected.items():
        assert take(name, measured) == pytest.approx(value, rel=1e-5, abs=1e-5), name


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("size", [2, 7])
def test_orthogonal_weights_have_a_ratio_of_depth_times_size(depth: int, size: int) -> None:
    generator = torch.Generator().manual_seed(depth)
    layers: list[nn.Module] = []
    for number in range(depth):
        linear = nn.Linear(size, size, bias=False)
        matrix = torch.randn(size, size, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_((number + 1) * torch.linalg.qr(matrix).Q)
        layers += [linear, nn.ReLU()]
    measured = measured_of(nn.Sequential(*layers[:-1]), size=size)
    expected = sqrt(depth * size / SAMPLES)
    assert take("frobenius-over-spectral", measured) == pytest.approx(expected, rel=1e-5)
    logarithm = take("log-frobenius-over-spectral", measured)
    assert logarithm == pytest.approx(log(expected), abs=1e-5)


def test_the_margin_shifts_logarithms_by_its_own(drawn) -> None:
    measured = measured_of(drawn[0])
    g = margin_of(drawn[0], measured)
    for kind, shift in (("product", log(g)), ("sum", log(g) / 2)):
        for norm in ("spectral", "frobenius"):
            plain = take(f"log-{kind}-{norm}", measured)
            with_margin = take(f"log-{kind}-{norm}-margin", measured)
            assert with_margin - plain == pytest.approx(-shift, rel=1e-5)


def test_scaling_the_outputs_changes_no_measure_over_the_margin(drawn) -> None:
    before = measured_of(drawn[0])
    names = ("log-spectral-main", "log-product-spectral-margin", "log-product-frobenius-margin")
    values = [take(name, before) for name in names]
    with torch.no_grad():
        drawn[0][2].weight.mul_(7)
    after = measured_of(drawn[0])
    for name, value in zip(names, values, strict=True):
        assert take(name, after) == pytest.approx(value, abs=1e-5)
    shift = take("log-product-spectral", after) - take("log-product-spectral", before)
    assert shift == pytest.approx(log(7), rel=1e-5)


def test_more_training_samples_make_everything_smaller(drawn) -> None:
    measured = measured_of(*drawn)
    more = replace(measured, train_size=100 * SAMPLES)
    for name in MEASURES:
        here, there = take(name, measured), take(name, more)
        if name.startswith("log"):
            assert there == pytest.approx(here - log(10), abs=1e-9)
        else:
            assert there == pytest.approx(here / 10)
    # Those that are there count, where nobody says how many there were.
    unknown = replace(measured, train_size=None)
    assert take("sum-frobenius", unknown) == pytest.approx(
        take("sum-frobenius", measured) * sqrt(SAMPLES / 40)
    )


def test_at_initialisation_sums_are_zero_and_logarithms_are_none(drawn) -> None:
    measured = measured_of(drawn[0], drawn[0])
    assert take("sum-spectral-init", measured) == 0.0
    assert take("sum-frobenius-init", measured) == 0.0
    with pytest.raises(NotMeasured, match="still the initial ones"):
        take("log-spectral-main-init", measured)


def test_from_initial_weights_of_zero_all_is_change(drawn) -> None:
    with torch.no_grad():
        for values in drawn[1].parameters():
            values.zero_()
    measured = measured_of(*drawn)
    assert take("sum-frobenius-init", measured) == take("sum-frobenius", measured)
    assert take("log-spectral-main-init", measured) == take("log-spectral-main", measured)


def test_a_hundred_layers_neither_overflow_nor_vanish() -> None:
    network = prepare(sv.from_module(diagonal(*([[1.0, -1.0]] * 100)), (2,)))
    for factor in (1e-8, 1e8):
        scaled = network.map_arrays(lambda weight, factor=factor: factor * weight)
        norms = Norms.of(linear_layers(scaled))
        squares = 2 * log(factor) * 100
        assert log_product(norms.spectral, 10) == pytest.approx((squares - log(10)) / 2)
        expected = (squares + 100 * log(2) - 2 * log(3.0) - log(10)) / 2
        assert log_product(norms.frobenius, 10, 3.0) == pytest.approx(expected)
        main = log_main_term(norms.spectral, norms.frobenius, 10, 3.0)
        assert main == pytest.approx((squares + log(200) - 2 * log(3.0) - log(10)) / 2)
        expected = (log(100) + squares / 100 - log(10)) / 2
        assert log_sum(norms.spectral, 10) == pytest.approx(expected)


def test_weights_near_the_ends_of_float32_have_their_norms() -> None:
    for factor in (1e-30, 1e30):
        norms = Norms.of(linear_layers(prepare(sv.from_module(diagonal([factor, factor]), (2,)))))
        assert norms.spectral[0] == pytest.approx(factor**2, rel=1e-5)
        assert norms.frobenius[0] == pytest.approx(2 * factor**2, rel=1e-5)


def test_a_layer_of_zeros_has_no_logarithm() -> None:
    measured = measured_of(diagonal([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]))
    assert take("sum-frobenius", measured) == pytest.approx(sqrt(14 / SAMPLES))
    for name in ("log-product-spectral", "log-sum-frobenius", "frobenius-over-spectral"):
        with pytest.raises(NotMeasured, match="layer 2 of 2"):
            take(name, measured)


def test_without_a_margin_nothing_is_divided_by_it() -> None:
    module = diagonal([1.0, 2.0, 3.0])
    with torch.no_grad():
        module[0].weight[:] = 1.0
    measured = measured_of(module)
    assert take("log-product-spectral", measured) < 0
    for name in MEASURES:
        if name.endswith("-margin"):
            with pytest.raises(NotMeasured, match="tie"):
                take(name, measured)


def test_a_convolution_counts_as_the_map_it_is_on_its_input() -> None:
    layer = nn.Conv2d(1, 2, 3, padding=1, bias=False)
    network = prepare(sv.from_module(layer, (1, 6, 6)))
    with torch.no_grad():
        matrix: Tensor = layer(torch.eye(36).reshape(36, 1, 6, 6)).flatten(1)
    norms = Norms.of(linear_layers(network))
    assert norms.spectral[0] == pytest.approx(float(torch.linalg.svdvals(matrix)[0]) ** 2, rel=1e-5)
    assert norms.frobenius[0] == pytest.approx(float(layer.weight.detach().square().sum()))
    kernel = layer.weight.detach().flatten(1)
    norms = Norms.of(linear_layers(network), operator="kernel")
    assert norms.spectral[0] == pytest.approx(float(torch.linalg.svdvals(kernel)[0]) ** 2, rel=1e-5)
    with pytest.raises(BadSetting, match="convolution, kernel"):
        Norms.of(linear_layers(network), operator="matrix")


def test_formulas_by_hand() -> None:
    assert log_product([2.0, 8.0], 4) == pytest.approx(log(2.0))
    assert log_product([2.0, 8.0], 4, 2.0) == pytest.approx(0.0)
    assert log_sum([2.0, 8.0], 2) == pytest.approx(log(2.0))
    assert exp(2 * log_main_term([2.0, 8.0], [6.0, 8.0], 4, 1.0)) == pytest.approx(16.0)
    assert ratio([6.0, 8.0], [2.0, 8.0]) == 4.0
    assert root_of_sum([10.0, 15.0], 1) == 5.0


def test_what_is_not_there_is_asked_for(drawn) -> None:
    measured = replace(measured_of(drawn[0]), train_x=None)
    with pytest.raises(NotMeasured, match="training part"):
        take("sum-frobenius", measured)
    with pytest.raises(NotMeasured, match="before training"):
        take("sum-frobenius-init", measured_of(drawn[0]))


def test_time_may_be_up(drawn) -> None:
    measured = replace(measured_of(drawn[0]), watch=Watch(0.0))
    with pytest.raises(NotMeasured, match="time was up after 0 of 2 layers"):
        take("log-product-spectral", measured)
