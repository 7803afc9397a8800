"""Cells about other data sets."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import Tensor

from sensverify.bounds.forward import check_finite
from sensverify.classification.predictions import classify
from sensverify.evaluation.context import Context
from sensverify.evaluation.folder import FinishedTask
from sensverify.evaluation.results import ShiftRow
from sensverify.evaluation.shifted import ShiftedSamples
from sensverify.evaluation.task import EvaluationTask


def shift(context: Context, task: EvaluationTask) -> FinishedTask:
    """Predictions on the samples of another data set.

    Raises
    ------
    Unbounded
        An output is not finite.
    """
    began = perf_counter()
    model, other = context.model, context.prepared.shifts[task.name]
    samples = other.samples
    context.report(0, len(samples))
    x, y = samples.tensors(model.x.device, tuple(model.x.shape[1:]))
    outputs = other.restricted(model.classifier.predict(x))
    check_finite(outputs, 0)
    clean = None if other.classes is None else _clean(other, model.clean_outputs, model.y)
    row = ShiftRow(
        shift=task.name,
        data=samples.name,
        samples_sha256=samples.digest,
        samples=len(samples),
        available=samples.available,
        classes=None if other.classes is None else len(other.classes),
        classified=classify(outputs, y, bins=context.prepared.request.bins),
        clean_right=None if clean is None else clean[0],
        clean_samples=None if clean is None else clean[1],
        seconds=perf_counter() - began,
        classes_sha256=other.classes_digest,
        wrong=tuple((outputs.argmax(dim=1) != y).nonzero().squeeze(1).tolist()),
    )
    return FinishedTask(row=row)


def _clean(other: ShiftedSamples, outputs: Tensor, y: Tensor) -> tuple[int, int]:
    """Clean samples of the listed classes that are right among these, and all of these."""
    assert other.classes is not None
    place = torch.full((outputs.shape[1],), -1, dtype=torch.long, device=y.device)
    for number, members in enumerate(other.classes):
        place[list(members)] = number
    labels = place[y]
    listed = labels >= 0
    right = other.restricted(outputs[listed]).argmax(dim=1) == labels[listed]
    return int(right.sum()), int(listed.sum())
