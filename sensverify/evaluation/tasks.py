"""Functions that do a task: predictions, attacks, certified labels, measures."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import Tensor

from sensverify.attacks.ascent import Function
from sensverify.attacks.run import run_attack
from sensverify.bounds.forward import check_finite
from sensverify.bounds.memory import samples_within
from sensverify.classification.predictions import classify
from sensverify.core.results import Guarantee
from sensverify.core.sensitivity import log_volume
from sensverify.errors import NotMeasured
from sensverify.evaluation.context import Context
from sensverify.evaluation.folder import FinishedTask
from sensverify.evaluation.models import EvaluatedModel
from sensverify.evaluation.results import AttackRow, CertifiedRow, CleanRow, MeasureRow
from sensverify.evaluation.task import EvaluationTask

_MOST_BOUNDED = 64
"""Samples that are bounded at once: small enough to stop in between."""


def clean(context: Context, task: EvaluationTask) -> FinishedTask:
    """Predictions on samples as they are.

    Raises
    ------
    Unbounded
        An output is not finite; the message names the sample.
    """
    began = perf_counter()
    model = context.model
    test = task.name == "test"
    x, y = (model.x, model.y) if test else (model.train_x, model.train_y)
    if x is None or y is None:
        raise NotMeasured("the data have no training part here")
    outputs = model.clean_outputs if test else model.classifier.predict(x)
    check_finite(outputs, 0)
    wrong = outputs.argmax(dim=1) != y
    beyond = _certainly_wrong(model, x, y, wrong)
    row = CleanRow(
        part=task.name,
        classified=classify(outputs, y, bins=context.prepared.request.bins),
        wrong=_places(wrong),
        seconds=perf_counter() - began,
    )
    return FinishedTask(row=row, certainly_wrong=beyond)


def attack(context: Context, task: EvaluationTask) -> FinishedTask:
    """Predictions at what an attack finds.

    Raises
    ------
    Unbounded
        An output is not finite.
    NotMeasured
        The watch is over.
    """
    began = perf_counter()
    model, asked = context.model, context.prepared.plan.attacks[task.name]
    if task.at is None:
        box = context.prepared.perturbation.whole_range(model.x)
    else:
        box = context.prepared.perturbation.float32_box(model.x, task.at)
    surrogate = None
    if task.name in context.prepared.plan.transferred and context.prepared.surrogate is not None:
        surrogate = _reshaping(context.prepared.surrogate)
    found = run_attack(
        model.classifier,
        model.x,
        model.y,
        box,
        asked,
        seed=context.prepared.request.seed,
        places=torch.from_numpy(context.prepared.corrupted.samples.places),
        surrogate=surrogate,
        chunk=model.classifier.batch,
        watch=context.watch,
        progress=context.report,
    )
    broken = found.broken
    if task.at is None:
        reach = context.prepared.perturbation.reaches(model.x, found.points)
    else:
        # In double precision: float32 would round it away from the radius.
        reach = found.found.double() * float(task.at)
    row = AttackRow(
        attack=task.name,
        radius=None if task.at is None else float(task.at),
        classified=classify(found.outputs, model.y, bins=context.prepared.request.bins),
        broken=_places(broken),
        reach=_where(reach, broken),
        l2=_where(found.l2, broken),
        linf=_where(found.linf, broken),
        blind=_places(found.gradient_masked),
        seconds=perf_counter() - began,
    )
    return FinishedTask(
        row=row, certainly_wrong=_certainly_wrong(model, found.points, model.y, broken)
    )


def certified(context: Context, task: EvaluationTask) -> FinishedTask:
    """Labels that are proven for whole boxes.

    Raises
    ------
    MissingRule, Unbounded, BackendMissing, ...
        The method cannot do it.
    NotMeasured
        The watch is over.
    """
    began = perf_counter()
    assert task.at is not None
    model, method, budget = (
        context.model,
        context.prepared.plan.methods[task.name],
        context.prepared.request.memory,
    )
    most = samples_within(
        budget, model.classifier.simple, method, 2 * model.classifier.classes - 1, 4
    )
    size = max(1, min(_MOST_BOUNDED, most))
    anytime = method.anytime
    proven, logs, guarantee = [], [], Guarantee.CERTIFIED
    with torch.no_grad():
        for first in range(0, len(model.x), size):
            context.report(first, len(model.x))
            part = slice(first, first + size)
            bounded = model.classifier.bound(
                context.prepared.perturbation.float32_box(model.x[part], task.at),
                model.y[part],
                method,
                memory_budget=budget,
                watch=context.watch if anytime else None,
            )
            proven.append(bounded.proven)
            logs.append(log_volume(bounded.outputs).cpu())
            guarantee = min(guarantee, bounded.guarantee)
    if anytime and context.watch.over:
        raise NotMeasured("time was up: what was stopped proves less than the method does")
    volumes = torch.cat(logs)
    row = CertifiedRow(
        method=task.name,
        radius=float(task.at),
        guarantee=guarantee.name,
        certified=_places(torch.cat(proven)),
        log_volumes=_where(volumes, torch.isfinite(volumes)),
        seconds=perf_counter() - began,
    )
    return FinishedTask(row=row)


def measure(context: Context, task: EvaluationTask) -> FinishedTask:
    """One measure.

    Raises
    ------
    NotMeasured
        It could not be had; says why.
    """
    began = perf_counter()
    reading = context.prepared.plan.measures[task.name].take(context.model)
    row = MeasureRow(
        measure=task.name,
        value=float(reading.value),
        error=None if reading.error is None else float(reading.error),
        samples=reading.samples,
        note=reading.note,
        seconds=perf_counter() - began,
    )
    return FinishedTask(row=row, cut=reading.cut)


def _reshaping(other: EvaluatedModel) -> Function:
    """The outputs of a network that may take its inputs in another shape."""

    def outputs(x: Tensor) -> Tensor:
        return other.classifier(x.reshape(len(x), *other.classifier.network.input_shape))

    return outputs


def _certainly_wrong(
    model: EvaluatedModel, points: Tensor, y: Tensor, broken: Tensor
) -> tuple[int, ...]:
    """Positions of the broken samples that are so by more than rounding."""
    chosen = broken.nonzero().squeeze(1)
    if len(chosen) == 0:
        return ()
    return tuple(chosen[model.classifier.changes(points[chosen], y[chosen])].tolist())


def _places(chosen: Tensor) -> tuple[int, ...]:
    return tuple(chosen.nonzero().squeeze(1).tolist())


def _where(values: Tensor, chosen: Tensor) -> tuple[float | None, ...]:
    """Values as numbers, None where they are not chosen or not finite."""
    there = chosen & torch.isfinite(values)
    pairs = zip(values.double().tolist(), there.tolist(), strict=True)
    return tuple(value if keep else None for value, keep in pairs)
