"""Sensitivities of a small network: brackets hold sampled outputs, figures are of their boxes."""

from __future__ import annotations

from math import inf, log, nan
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sensverify.bounds import LpDual, compute_bounds
from sensverify.core.sensitivity import log_volume, mean_volume, relative_log_volume
from sensverify.errors import BadData, BadSetting
from sensverify.formats.modules import from_module
from sensverify.landscape.sensitivity import (
    ATTAINED,
    EXACT,
    AroundSamples,
    Column,
    SensitivitySettings,
    columns_of,
    measure_network,
    names_of,
    sample_boxes,
    undecided_name,
)
from sensverify.runs.watch import Watch

SAMPLES = 10


def small(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(3)
    layers = (nn.Linear(3, 6), activation(), nn.Linear(6, 5), activation(), nn.Linear(5, 3))
    return nn.Sequential(*layers).double()


def around() -> AroundSamples:
    draws = np.random.default_rng(0)
    x = draws.normal(size=(SAMPLES, 3))
    test = np.arange(SAMPLES) % 5 == 0
    y = small()(torch.tensor(x)).argmax(dim=1).numpy()
    y[0] = (y[0] + 1) % 3
    return AroundSamples(x=x, y=y, test=test, feature_range=np.ptp(x, axis=0))


def test_brackets_hold_what_sampled_inputs_give() -> None:
    samples, settings = around(), SensitivitySettings(sigmas=(0.1,), gap=1e-4)
    module = small()
    row = measure_network(from_module(module, (3,)), samples, settings)
    assert row is not None
    assert row.reasons == {}
    assert tuple(row.values) != ()
    assert set(row.values) == set(names_of(settings))
    box = sample_boxes(samples, 0.1)
    draws = torch.rand(4000, SAMPLES, 3, dtype=torch.float64)
    inside = torch.tensor(box.lower) + draws * torch.tensor(box.widths)
    with torch.no_grad():
        reached = module(inside)
    wide = (reached.amax(dim=0) - reached.amin(dim=0)).prod(dim=1)
    sampled = float(wide.mean())
    proven = value(row, "sensitivity", EXACT, 0.1)
    attained = value(row, "sensitivity", ATTAINED, 0.1)
    assert sampled <= proven
    assert attained <= proven <= attained * 1.01
    assert sampled > 0.3 * proven
    for method in ("alpha-crown", "crown", "lp-dual"):
        assert value(row, "sensitivity", method, 0.1) >= attained
    assert row.values[undecided_name(0.1)] == 0
    assert row.values["test-error"] == 0.5
    assert row.values["train-error"] == 0


def value(row: Any, figure: str, method: str, sigma: float, part: str = "all") -> float:
    found = row.values[Column(figure, method, sigma, part).name]
    assert found is not None
    return float(found)


@pytest.mark.parametrize("part", ["test", "all"])
def test_figures_are_those_of_the_box(part: str) -> None:
    samples = around()
    settings = SensitivitySettings(sigmas=(0.2,), methods=("lp-dual",))
    network = from_module(small(), (3,))
    row = measure_network(network, samples, settings)
    network = network.map_arrays(torch.Tensor.detach)
    bounds = compute_bounds(network, sample_boxes(samples, 0.2), LpDual())
    chosen = torch.tensor(samples.part(part))
    box = bounds.outer[chosen.nonzero().squeeze(1)]
    outputs = small()(torch.tensor(samples.x))[chosen].detach()
    labels = torch.tensor(samples.y)[chosen]
    relative = relative_log_volume(box, outputs, labels)
    median = float(np.median(relative[~relative.isnan()].detach().numpy()))
    found = [value(row, figure, "lp-dual", 0.2, part) for figure in ("sensitivity", "log-volume")]
    assert np.allclose(found, [float(mean_volume(box)), float(log_volume(box).mean())])
    assert np.isclose(value(row, "scale-free", "lp-dual", 0.2, part), median)


def test_the_scale_free_figure_does_not_change_with_the_scale() -> None:
    samples, settings = around(), SensitivitySettings(sigmas=(0.1,), methods=("crown",))
    module, scaled = small(), small()
    with torch.no_grad():
        for parameter in scaled[-1].parameters():
            parameter.mul_(7.0)
    one, other = (
        measure_network(from_module(each, (3,)), samples, settings) for each in (module, scaled)
    )
    assert np.isclose(
        value(one, "scale-free", "crown", 0.1), value(other, "scale-free", "crown", 0.1)
    )
    ratio = value(other, "log-volume", "crown", 0.1) - value(one, "log-volume", "crown", 0.1)
    assert np.isclose(ratio, 3 * log(7))


def test_what_a_method_cannot_do_has_a_reason_and_no_number() -> None:
    samples = around()
    settings = SensitivitySettings(sigmas=(0.1,), methods=("crown",), measures=("l2", "l2-init"))
    row = measure_network(from_module(small(), (3,)), samples, settings)
    assert row is not None
    assert row.values["l2"] is not None
    assert row.values["l2-init"] is None
    assert "initial" in row.reasons["l2-init"]


def test_a_network_that_gives_the_same_everywhere_has_volume_zero() -> None:
    module = small()
    with torch.no_grad():
        module[-1].weight.zero_()
    settings = SensitivitySettings(sigmas=(0.1,), methods=("exact", "crown"))
    row = measure_network(from_module(module, (3,)), around(), settings)
    assert row is not None
    assert value(row, "sensitivity", "crown", 0.1) == 0
    assert row.values[Column("log-volume", "crown", 0.1, "all").name] is None


def test_a_smooth_network_has_brackets_too() -> None:
    samples = around()
    settings = SensitivitySettings(sigmas=(0.05,), methods=("exact", "crown"), gap=1e-2)
    row = measure_network(from_module(small(nn.Tanh), (3,)), samples, settings)
    proven, attained = (value(row, "sensitivity", each, 0.05) for each in (EXACT, ATTAINED))
    assert attained <= proven <= value(row, "sensitivity", "crown", 0.05) * 1.0001


def test_a_time_limit_leaves_a_wider_bracket_and_says_so() -> None:
    settings = SensitivitySettings(sigmas=(0.2,), methods=("exact",), seconds=1e-9)
    row = measure_network(from_module(small(), (3,)), around(), settings)
    assert row is not None
    assert row.values[undecided_name(0.2)] == 1
    assert value(row, "sensitivity", EXACT, 0.2) > value(row, "sensitivity", ATTAINED, 0.2)


def test_who_stops_it_gets_nothing() -> None:
    watch = Watch()
    watch.stop()
    found = measure_network(
        from_module(small(), (3,)), around(), SensitivitySettings(), watch=watch
    )
    assert found is None


def test_settings_come_back_from_plain_values() -> None:
    settings = SensitivitySettings(sigmas=(0.05,), methods=("crown",), measures=("l2",))
    assert SensitivitySettings.of(settings.plain()) == settings
    assert len(columns_of(settings)) == 6
    with pytest.raises(BadSetting, match="settings of sensitivities"):
        SensitivitySettings.of({"sigma": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigmas": ()},
        {"sigmas": (0.1, 0.1)},
        {"sigmas": (nan,)},
        {"sigmas": (0.0,)},
        {"sigmas": (inf,)},
        {"methods": ()},
        {"methods": ("ibp",)},
        {"methods": ("crown", "crown")},
        {"gap": nan},
        {"gap": -1.0},
        {"seconds": 0.0},
        {"seconds": nan},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        SensitivitySettings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": np.full((SAMPLES, 3), nan)},
        {"feature_range": np.array([1.0, inf, 1.0])},
        {"feature_range": np.ones(2)},
        {"test": np.zeros(SAMPLES, dtype=bool)},
        {"y": np.zeros(3, dtype=int)},
    ],
)
def test_samples_that_do_not_fit(wrong: dict[str, Any]) -> None:
    good = around()
    values = {name: getattr(good, name) for name in ("x", "y", "test", "feature_range")}
    with pytest.raises(BadData):
        AroundSamples(**{**values, **wrong})
