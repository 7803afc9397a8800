"""What is computed once is the same as what would be computed again."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.errors import NotMeasured
from sensverify.measures.caching import once_per_network
from sensverify.measures.measure import MeasuredClassifier
from sensverify.runs.watch import Watch


@pytest.fixture
def measured() -> MeasuredClassifier:
    network = prepare(sv.from_module(nn.Linear(2, 2), (2,)))
    return MeasuredClassifier(network, torch.zeros(3, 2), torch.zeros(3).long(), clip=(0.0, 1.0))


def test_it_is_computed_again_only_where_something_else_is_looked_at(
    measured: MeasuredClassifier,
) -> None:
    calls: list[MeasuredClassifier] = []

    @once_per_network("x", "clip", "radius")
    def seen(measured: MeasuredClassifier) -> int:
        calls.append(measured)
        return len(calls)

    assert seen(measured) == seen(measured) == 1
    assert seen(replace(measured, watch=Watch(3.0), seed=7, clip=(0.0, 1.0))) == 1
    assert seen(replace(measured, x=measured.x.clone())) == 2
    assert seen(measured) == 3
    assert seen(replace(measured, clip=(0.0, 2.0))) == 4
    assert seen(replace(measured, clip=(0.0, 2.0), radius=torch.ones(2))) == 5
    other = prepare(sv.from_module(nn.Linear(2, 2), (2,)))
    assert seen(replace(measured, network=other)) == 6


def test_neither_networks_nor_samples_are_kept_alive() -> None:
    network = prepare(sv.from_module(nn.Linear(2, 2), (2,)))
    measured = MeasuredClassifier(
        network, torch.zeros(3, 2), torch.zeros(3).long(), initial=network
    )
    there = weakref.ref(network), weakref.ref(measured.x)

    @once_per_network("x", "initial")
    def seen(measured: MeasuredClassifier) -> int:
        return 1

    assert seen(measured) == 1
    del network, measured
    gc.collect()
    assert [reference() for reference in there] == [None, None]


def test_what_failed_is_tried_again(measured: MeasuredClassifier) -> None:
    answers = iter([NotMeasured("no"), 5])

    @once_per_network()
    def seen(measured: MeasuredClassifier) -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(NotMeasured):
        seen(measured)
    assert seen(measured) == 5
