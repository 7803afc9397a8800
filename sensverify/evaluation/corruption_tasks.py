"""Cells about corrupted samples: corruptions, and sequences of small ones."""

from __future__ import annotations

from math import prod
from time import perf_counter

import torch

from sensverify.bounds.forward import check_finite
from sensverify.classification.flips import flip_rate
from sensverify.classification.predictions import classify
from sensverify.classification.shift import minimal_sample_distance
from sensverify.corruptions import SEQUENCES
from sensverify.corruptions import sequence as make_sequence
from sensverify.evaluation.context import Context
from sensverify.evaluation.folder import FinishedTask
from sensverify.evaluation.results import CorruptionRow, SequenceRow
from sensverify.evaluation.task import EvaluationTask

_COPIES = 4
"""Arrays of the size of the frames that a sequence may take."""


def corruption(context: Context, task: EvaluationTask) -> FinishedTask:
    """Predictions on corrupted samples.

    Raises
    ------
    Unbounded
        An output is not finite.
    BackendMissing
        The corruption needs a package that is not installed.
    """
    began = perf_counter()
    model, corrupted = context.model, context.prepared.corrupted
    context.report(0, len(model.x))
    images = corrupted.at(task)
    outputs = model.classifier.predict(images.to(model.x.device))
    check_finite(outputs, 0)
    assert isinstance(task.at, int)
    row = CorruptionRow(
        corruption=task.name,
        severity=task.at,
        parameter=corrupted.parameter(task),
        classified=classify(outputs, model.y, bins=context.prepared.request.bins),
        msd=minimal_sample_distance(outputs, model.clean_outputs),
        source=corrupted.source(task),
        seconds=perf_counter() - began,
        wrong=tuple((outputs.argmax(dim=1) != model.y).nonzero().squeeze(1).tolist()),
    )
    return FinishedTask(row=row)


def sequence(context: Context, task: EvaluationTask) -> FinishedTask:
    """Flip rate of the predictions along a sequence.

    Raises
    ------
    Unbounded
        An output is not finite.
    NotMeasured
        The watch is over.
    """
    began = perf_counter()
    model, kind, corrupted = context.model, SEQUENCES[task.name], context.prepared.corrupted
    images = corrupted.images
    needed = _COPIES * 4 * kind.length(images.shape) * prod(images.shape[1:])
    size = max(1, min(model.classifier.batch, context.prepared.request.memory // needed))
    predictions = []
    for first in range(0, len(images), size):
        context.report(first, len(images))
        frames = make_sequence(
            images[first : first + size],
            task.name,
            seed=context.prepared.request.seed,
            places=corrupted.samples.places[first : first + size],
            pixels=corrupted.pixels,
        )
        outputs = model.classifier.predict(frames.flatten(0, 1).to(model.x.device))
        check_finite(outputs, first)
        predictions.append(outputs.argmax(dim=1).reshape(frames.shape[:2]).cpu())
    found = torch.cat(predictions)
    row = SequenceRow(
        sequence=task.name,
        frames=found.shape[1],
        samples=len(found),
        flip_rate=flip_rate(found, against=kind.against),
        against=kind.against,
        seconds=perf_counter() - began,
    )
    return FinishedTask(row=row)
