"""Sensitivity as measures: against closed forms, and against the metrics."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.errors import NotMeasured
from sensverify.measures import measure
from sensverify.measures.complexity.spectral import MEASURES as SPECTRAL
from sensverify.measures.measure import MeasuredClassifier
from sensverify.measures.sensitivity import volumes as volumes_module
from sensverify.measures.sensitivity.jacobian import MEASURES as JACOBIAN
from sensverify.measures.sensitivity.volumes import MEASURES, METHODS
from sensverify.models import registry
from sensverify.runs.watch import Watch

RADIUS = torch.tensor([0.1, 0.0, 0.3, 0.05])


def made(*layers: nn.Module, seed: int = 0) -> nn.Sequential:
    module = nn.Sequential(*layers)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in module.parameters():
            values.copy_(torch.randn(values.shape, generator=generator) / 2)
    return module


def measured_of(module: nn.Module, samples: int = 20) -> MeasuredClassifier:
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        y = module(x).argmax(dim=1)
    return MeasuredClassifier(prepare(sv.from_module(module, (4,))), x, y, radius=RADIUS)


def take(name: str, measured: MeasuredClassifier) -> float:
    return MEASURES[name].take(measured).value


@pytest.mark.parametrize("ending", METHODS)
def test_of_a_linear_network_volumes_have_a_closed_form(ending: str) -> None:
    module = made(nn.Linear(4, 3))
    measured = measured_of(module)
    weight = module[0].weight.detach().double()
    expected = float((2 * weight.abs() @ RADIUS.double()).log().sum())
    # The same at every sample.
    assert take(f"sensitivity-{ending}", measured) == pytest.approx(expected, abs=1e-5)
    assert take(f"log-volume-{ending}", measured) == pytest.approx(expected, abs=1e-5)
    with torch.no_grad():
        top = module(measured.x).double().topk(2).values
    margins = (top[:, 0] - top[:, 1]).log()
    median = float((margins[10:].new_tensor(sorted(margins))[9:11]).mean())
    relative = take(f"relative-log-volume-{ending}", measured)
    assert relative == pytest.approx(expected - 3 * median, abs=1e-4)


def test_a_factor_on_the_outputs_moves_all_but_the_relative_volume() -> None:
    module = made(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    before = measured_of(module)
    values = {name: take(name, before) for name in MEASURES}
    with torch.no_grad():
        for parameter in module[2].parameters():
            parameter.mul_(10)
    after = measured_of(module)
    for name, value in values.items():
        shift = 0.0 if name.startswith("relative") else 3 * log(10)
        assert take(name, after) == pytest.approx(value + shift, abs=1e-4), name


@pytest.mark.parametrize("name", ["digits", "mnist-conv2"])
def test_on_shipped_models_they_say_what_the_metrics_say(name: str) -> None:
    card = registry.card(name)
    with np.load(registry.FOLDER / card.sample) as data:
        x, y = (torch.from_numpy(data[key][:12]) for key in ("x", "y"))
        radius = torch.from_numpy(card.sigma * data["feature_range"]).float()
    network = prepare(sv.load(name))
    x = x.float().reshape(-1, *network.input_shape)
    radius = radius.reshape(network.input_shape)
    measured = MeasuredClassifier(network, x, y.long(), radius=radius, clip=card.clip)
    for ending, method in METHODS.items():
        row = measure(network, x, y, radius=radius, clip=card.clip, method=method, pgd_steps=1)
        assert take(f"sensitivity-{ending}", measured) == pytest.approx(row.log_sense, abs=1e-4)
        assert take(f"log-volume-{ending}", measured) == pytest.approx(row.log_volume, abs=1e-4)
        relative = take(f"relative-log-volume-{ending}", measured)
        assert relative == pytest.approx(row.relative, abs=1e-4)
    assert JACOBIAN["jacobian"].take(measured).value == pytest.approx(row.jacob, rel=1e-5)
    assert SPECTRAL["spectral"].take(measured).value == pytest.approx(row.spectral, rel=1e-5)


def test_one_pass_of_a_method_serves_all_three(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    whole = volumes_module.compute_bounds

    def counted(*arguments: object, **options: object) -> object:
        calls.append(arguments[2])
        return whole(*arguments, **options)

    monkeypatch.setattr(volumes_module, "compute_bounds", counted)
    measured = measured_of(made(nn.Linear(4, 3)))
    for name in MEASURES:
        MEASURES[name].take(replace(measured, watch=Watch(60.0)))
    assert calls == list(METHODS.values())


def test_chunks_change_nothing() -> None:
    measured = measured_of(made(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    whole = {name: take(name, measured) for name in MEASURES}
    other = replace(measured, memory_budget=1, x=measured.x.clone())
    for name, value in whole.items():
        assert take(name, other) == pytest.approx(value, abs=1e-5)


def test_a_larger_radius_never_gives_less() -> None:
    measured = measured_of(made(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)))
    for name in MEASURES:
        values = [take(name, replace(measured, radius=f * RADIUS)) for f in (0.1, 0.5, 1.0, 4.0)]
        assert values == sorted(values)


def test_what_cannot_move_has_no_logarithm() -> None:
    module = made(nn.Linear(4, 3))
    with torch.no_grad():
        module[0].weight[1] = 0.0
    for name in MEASURES:
        with pytest.raises(NotMeasured, match="cannot move at 20 of 20 samples"):
            take(name, measured_of(module))


def test_of_volumes_that_are_partly_zero_the_mean_has_a_logarithm() -> None:
    """A unit that is off over the whole box of some samples alone."""
    module = nn.Sequential(nn.Linear(4, 1, bias=False), nn.ReLU(), nn.Linear(1, 2, bias=False))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
        module[2].weight.copy_(torch.tensor([[1.0], [2.0]]))
    x = torch.zeros(4, 4)
    x[:, 0] = torch.tensor([1.0, 2.0, -1.0, -2.0])
    network = prepare(sv.from_module(module, (4,)))
    measured = MeasuredClassifier(network, x, torch.ones(4).long(), radius=RADIUS)
    # Two of four samples have the widths .2 and .4.
    assert take("sensitivity-crown", measured) == pytest.approx(log(0.08 / 2), abs=1e-5)
    with pytest.raises(NotMeasured, match="2 of 4"):
        take("log-volume-crown", measured)


def test_without_a_sample_that_is_right_nothing_is_relative() -> None:
    measured = measured_of(made(nn.Linear(4, 3)))
    with pytest.raises(NotMeasured, match="no sample is classified right"):
        take("relative-log-volume-ibp", replace(measured, y=(measured.y + 1) % 3))


def test_bounds_that_overflow_are_a_reason() -> None:
    """The outputs themselves, at the samples, are numbers."""
    module = made(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 3, bias=False))
    with torch.no_grad():
        for values in module.parameters():
            values.mul_(1e25)
    network = prepare(sv.from_module(module, (4,)))
    measured = MeasuredClassifier(network, torch.zeros(5, 4), torch.zeros(5).long(), radius=RADIUS)
    for name in MEASURES:
        with pytest.raises(NotMeasured, match="overflow"):
            take(name, measured)


def test_what_is_missing_is_said() -> None:
    measured = measured_of(made(nn.Linear(4, 3)))
    late = replace(measured, watch=Watch(0.0))
    for name in MEASURES:
        with pytest.raises(NotMeasured, match="no radius"):
            take(name, replace(measured, radius=None))
        with pytest.raises(NotMeasured, match="time was up after 0 of 20"):
            take(name, late)
