"""The list of measures, how they are asked for, and what they say of real networks."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from math import isfinite

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.errors import BadSetting, NotMeasured, UnknownName
from sensverify.measures.catalog import DEFAULT_MEASURES, MEASURES, find_measures
from sensverify.measures.measure import NEEDS, MeasuredClassifier
from sensverify.models import registry

OF_THE_PAPER = [
    "parameters",
    "l2",
    "l2-init",
    "path-norm",
    "log-spectral-main",
    "log-spectral-main-init",
    "log-product-spectral",
    "log-product-spectral-margin",
    "frobenius-over-spectral",
    "log-sum-spectral",
    "log-sum-spectral-margin",
    "sum-spectral-init",
    "log-product-frobenius",
    "log-product-frobenius-margin",
    "log-sum-frobenius",
    "log-sum-frobenius-margin",
    "sum-frobenius",
    "sum-frobenius-init",
    "sparsity",
    "inverse-margin",
    "boundary-thickness-pgd",
    "boundary-thickness-fgsm",
    "hessian-largest",
    "hessian-trace",
    "input-gradient",
    "weight-gradient",
    "sharpness-l2-0.05",
    "sharpness-l2-0.1",
    "sharpness-l2-0.2",
    "sharpness-l2-0.4",
    "sharpness-linf-0.1",
    "sharpness-linf-0.2",
    "sharpness-linf-0.4",
    "sharpness-linf-0.8",
]


def test_the_paper_s_34_measures_are_there_in_its_order() -> None:
    assert len(OF_THE_PAPER) == 34
    assert [name for name in MEASURES if name in OF_THE_PAPER] == OF_THE_PAPER
    others = list(MEASURES)[list(MEASURES).index(OF_THE_PAPER[-1]) + 1 :]
    assert others[0] == "jacobian"
    assert all(MEASURES[name].group == "sensitivity" for name in others[-9:])


def test_every_measure_says_what_it_is() -> None:
    for name, measure in MEASURES.items():
        assert name == name.lower()
        assert measure.source, name
        assert len(measure.definition) > 20, name
        assert not measure.definition.endswith("."), name
        assert set(measure.needs) <= set(NEEDS), name
    definitions = [measure.definition for measure in MEASURES.values()]
    assert len(set(definitions)) == len(definitions)


def test_groups_hold_every_measure_once() -> None:
    parts = [
        name
        for group, names in MEASURES.groups().items()
        if group not in ("all", "default")
        for name in names
    ]
    assert sorted(parts) == sorted(MEASURES)
    assert set(DEFAULT_MEASURES) < set(MEASURES)


def test_measures_are_found_by_names_and_groups() -> None:
    assert find_measures("all") == tuple(MEASURES)
    assert find_measures("default") == DEFAULT_MEASURES
    assert find_measures(" sparsity, l2 ,l2") == ("l2", "sparsity")
    assert find_measures(["sparsity", "boundary"]) == (
        "sparsity",
        "inverse-margin",
        "boundary-thickness-pgd",
        "boundary-thickness-fgsm",
    )
    assert set(find_measures("sensitivity")) == {
        f"{kind}-{method}"
        for kind in ("sensitivity", "log-volume", "relative-log-volume")
        for method in ("ibp", "lp-dual", "crown")
    }
    with pytest.raises(UnknownName, match="did you mean 'path-norm'"):
        find_measures("l2,pathnorm")
    with pytest.raises(UnknownName, match="groups"):
        find_measures("everything there is")
    for nothing in ("", " , ", []):
        with pytest.raises(BadSetting, match="no measure is named"):
            find_measures(nothing)


def sample_of(name: str, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    with np.load(registry.FOLDER / registry.card(name).sample) as data:
        x, y = (torch.from_numpy(data[key][:count]) for key in ("x", "y"))
    return x.float(), y.long()


CURVED = ("digits-mixer", "power-flow")
CHEAP = find_measures("complexity, boundary, sensitivity")


@pytest.mark.parametrize("name", registry.names())
def test_of_shipped_models_all_is_measured_that_needs_no_initial_weights(name: str) -> None:
    network = prepare(sv.load(name))
    x, y = sample_of(name, 30)
    x = x.reshape(-1, *network.input_shape)
    radius = torch.full(network.input_shape, 0.2)
    measured = MeasuredClassifier(
        network, x, y, x, y, 1000, radius=radius, clip=registry.card(name).clip
    )
    for each in CHEAP:
        if "initial weights" in MEASURES[each].needs:
            with pytest.raises(NotMeasured, match="before training"):
                MEASURES[each].take(measured)
        elif name in CURVED and "path-norm" in each:
            with pytest.raises(NotMeasured, match="path norm is one of"):
                MEASURES[each].take(measured)
        else:
            assert isfinite(MEASURES[each].take(measured).value), each


def test_measures_of_the_change_grow_from_zero_in_training() -> None:
    x, y = sample_of("digits", 100)
    x = x.flatten(1)
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))
    with torch.no_grad():
        for values in module.parameters():
            values.copy_(0.3 * torch.randn(values.shape, generator=generator))
    initial = deepcopy(module)
    steps = torch.optim.SGD(module.parameters(), lr=0.1)
    names = ("l2-init", "sum-spectral-init", "sum-frobenius-init")
    rows = []
    for epoch in range(3):
        now, before = (prepare(sv.from_module(m, (64,))) for m in (module, initial))
        measured = MeasuredClassifier(now, x, y, x, y, initial=before)
        rows.append([MEASURES[name].take(measured).value for name in names])
        for _ in range(5 * 3**epoch):
            steps.zero_grad()
            functional.cross_entropy(module(x), y).backward()
            steps.step()
    assert rows[0] == [0.0, 0.0, 0.0]
    for less, more in pairwise(rows):
        assert all(a < b for a, b in zip(less, more, strict=True))
    # The largest singular value is no larger than the root of the sum of their squares.
    assert all(spectral <= frobenius for _, spectral, frobenius in rows)
