"""Jacobian and spectral norms as measures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.errors import NotMeasured
from sensverify.measures.complexity import spectral
from sensverify.measures.measure import MeasuredClassifier
from sensverify.measures.sensitivity import jacobian
from sensverify.runs.watch import Watch

MEASURES = {**jacobian.MEASURES, **spectral.MEASURES}


def measured_of(module: nn.Module, initial: nn.Module | None = None) -> MeasuredClassifier:
    networks = [None if m is None else prepare(sv.from_module(m, (4,))) for m in (module, initial)]
    x = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    return MeasuredClassifier(networks[0], x, torch.zeros(10).long(), initial=networks[1])


def test_a_linear_map_has_the_norm_of_its_matrix() -> None:
    now, before = nn.Linear(4, 3), nn.Linear(4, 3)
    measured = measured_of(now, before)
    for name, module in (("jacobian", now), ("jacobian-init", before)):
        found = MEASURES[name].take(measured)
        assert found.value == pytest.approx(float(module.weight.detach().norm()), rel=1e-5)
        assert found.samples == 10


def test_it_is_a_mean_over_samples_in_any_chunks() -> None:
    module = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))
    measured = measured_of(module)
    each = [
        MEASURES["jacobian"].take(replace(measured, x=measured.x[n : n + 1])).value
        for n in range(10)
    ]
    whole = MEASURES["jacobian"].take(measured).value
    assert whole == pytest.approx(sum(each) / 10, rel=1e-6)
    parts = MEASURES["jacobian"].take(replace(measured, memory_budget=1))
    assert parts.value == pytest.approx(whole, rel=1e-6)


def test_half_the_sum_of_squared_spectral_norms() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        module[0].weight.copy_(torch.diag(torch.tensor([1.0, -3.0, 2.0, 0.0])))
        module[2].weight.copy_(torch.diag(torch.tensor([0.5, 1.0, 4.0, 0.0])))
    assert MEASURES["spectral"].take(measured_of(module)).value == pytest.approx(12.5, rel=1e-5)


def test_what_is_missing_is_said() -> None:
    measured = measured_of(nn.Linear(4, 3))
    with pytest.raises(NotMeasured, match="before training"):
        MEASURES["jacobian-init"].take(measured)
    with pytest.raises(NotMeasured, match="time was up"):
        MEASURES["jacobian"].take(replace(measured, watch=Watch(0.0)))
