"""A sample gets the same corruption in every evaluation that it is part of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.corruptions import sequence
from sensverify.evaluation import corruption_tasks, evaluate
from sensverify.evaluation.corrupted import CorruptedSamples
from sensverify.evaluation.prepared import prepare_evaluation
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.task import EvaluationTask

Prepared = Callable[..., CorruptedSamples]


@pytest.fixture(scope="module")
def corrupted(data_dir: Path) -> Prepared:
    """Prepares an evaluation of some samples, once."""

    @cache
    def prepared(**asked: Any) -> CorruptedSamples:
        request = EvaluateRequest(models=("mnist-conv2",), data="mnist", data_dir=data_dir, **asked)
        return prepare_evaluation(request).corrupted

    return prepared


def by_place(found: CorruptedSamples, task: EvaluationTask) -> dict[int, Tensor]:
    places = found.samples.places.tolist()
    return dict(zip(places, found.at(task), strict=True))


@pytest.mark.parametrize("name", ["gaussian-noise", "fog", "elastic", "obstruction", "rotation"])
def test_a_sample_is_corrupted_alike_among_50_and_among_500(name: str, corrupted: Prepared) -> None:
    task = EvaluationTask("corruption", name, 3)
    few, many = (by_place(corrupted(count=count), task) for count in (50, 500))
    assert (len(few), len(many)) == (50, 500)
    assert set(few) < set(many)
    assert list(few) != list(many)[:50]
    for place, image in few.items():
        torch.testing.assert_close(image, many[place], atol=1e-6, rtol=0)


def test_a_range_of_samples_and_the_picture_of_the_first_are_the_same_too(
    corrupted: Prepared,
) -> None:
    task = EvaluationTask("corruption", "gaussian-noise", 5)
    part, longer = (corrupted(samples=(first, 60)) for first in (40, 20))
    torch.testing.assert_close(part.at(task), longer.at(task)[20:])
    torch.testing.assert_close(part.at(task, count=1), part.at(task)[:1])


def test_a_sample_has_the_same_frames_among_20_and_among_100(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[int, Tensor]] = []

    def watched(images: Tensor, name: str, **options: Any) -> Tensor:
        frames = sequence(images, name, **options)
        assert len(images) < 20
        seen[-1] |= dict(zip(np.asarray(options["places"]).tolist(), frames, strict=True))
        return frames

    monkeypatch.setattr(corruption_tasks, "make_sequence", watched)
    nothing: dict[str, Any] = dict.fromkeys(("attacks", "certify", "corruptions", "measures"), ())
    for count in (20, 100):
        seen.append({})
        evaluate(
            EvaluateRequest(
                models=("mnist-conv2",),
                data="mnist",
                data_dir=data_dir,
                sequences=("gaussian-noise",),
                count=count,
                memory=1 << 22,
                **nothing,
            )
        )
    few, many = seen
    assert (len(few), len(many)) == (20, 100)
    for place, frames in few.items():
        torch.testing.assert_close(frames, many[place])


def test_what_is_kept_of_a_corruption_is_known_by_its_parameters(corrupted: Prepared) -> None:
    found = corrupted(count=50)
    assert found.version(EvaluationTask("corruption", "gaussian-noise", 3)) == "computed sigma 0.08"
    assert found.version(EvaluationTask("corruption", "gaussian-noise", 4)) == "computed sigma 0.09"
