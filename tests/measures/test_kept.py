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
from sensverify.measures.kept import kept
from sensverify.measures.subject import Subject
from sensverify.runs.watch import Watch


@pytest.fixture
def subject() -> Subject:
    network = prepare(sv.from_module(nn.Linear(2, 2), (2,)))
    return Subject(network, torch.zeros(3, 2), torch.zeros(3).long(), clip=(0.0, 1.0))


def test_it_is_computed_again_only_where_something_else_is_looked_at(subject: Subject) -> None:
    calls: list[Subject] = []

    @kept("x", "clip", "radius")
    def seen(subject: Subject) -> int:
        calls.append(subject)
        return len(calls)

    assert seen(subject) == seen(subject) == 1
    assert seen(replace(subject, watch=Watch(3.0), seed=7, clip=(0.0, 1.0))) == 1
    assert seen(replace(subject, x=subject.x.clone())) == 2
    assert seen(subject) == 3
    assert seen(replace(subject, clip=(0.0, 2.0))) == 4
    assert seen(replace(subject, clip=(0.0, 2.0), radius=torch.ones(2))) == 5
    other = prepare(sv.from_module(nn.Linear(2, 2), (2,)))
    assert seen(replace(subject, network=other)) == 6


def test_neither_networks_nor_samples_are_kept_alive() -> None:
    network = prepare(sv.from_module(nn.Linear(2, 2), (2,)))
    subject = Subject(network, torch.zeros(3, 2), torch.zeros(3).long(), initial=network)
    there = weakref.ref(network), weakref.ref(subject.x)

    @kept("x", "initial")
    def seen(subject: Subject) -> int:
        return 1

    assert seen(subject) == 1
    del network, subject
    gc.collect()
    assert [reference() for reference in there] == [None, None]


def test_what_failed_is_tried_again(subject: Subject) -> None:
    answers = iter([NotMeasured("no"), 5])

    @kept()
    def seen(subject: Subject) -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(NotMeasured):
        seen(subject)
    assert seen(subject) == 5
