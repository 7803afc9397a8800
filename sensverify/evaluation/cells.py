"""What is done for a cell: predictions, attacks, certified labels, measures."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import Tensor

from sensverify.attacks.ascent import Function
from sensverify.attacks.run import run_attack
from sensverify.bounds import compute_bounds
from sensverify.bounds.memory import samples_within
from sensverify.bounds.method import AnytimeMethod
from sensverify.core.box import Box
from sensverify.core.results import Guarantee
from sensverify.core.sensitivity import log_volume
from sensverify.errors import NotMeasured
from sensverify.evaluation.bench import Bench
from sensverify.evaluation.cell import Cell
from sensverify.evaluation.contestant import Contestant
from sensverify.evaluation.folder import Finished
from sensverify.evaluation.results import AttackRow, CertifiedRow, CleanRow, MeasureRow
from sensverify.measures.catalog import MEASURES
from sensverify.measures.classification import check_finite
from sensverify.measures.classified import classify
from sensverify.verification.margins import proven, with_margins

_MOST_BOUNDED = 64
"""Samples that are bounded at once: small enough to stop in between."""


def clean(bench: Bench, cell: Cell) -> Finished:
    """Predictions on samples as they are.

    Raises
    ------
    Unbounded
        An output is not finite; the message names the sample.
    """
    began = perf_counter()
    who = bench.contestant
    test = cell.name == "test"
    x, y = (who.x, who.y) if test else (who.train_x, who.train_y)
    if x is None or y is None:
        raise NotMeasured("the data have no training part here")
    outputs = who.clean_outputs if test else who.predict(x)
    check_finite(outputs, 0)
    wrong = outputs.argmax(dim=1) != y
    beyond = _beyond(who, x, y, wrong)
    row = CleanRow(
        part=cell.name,
        classified=classify(outputs, y, bins=bench.request.bins),
        wrong=_places(wrong),
        seconds=perf_counter() - began,
    )
    return Finished(row=row, beyond=beyond)


def attack(bench: Bench, cell: Cell) -> Finished:
    """Predictions at what an attack finds.

    Raises
    ------
    Unbounded
        An output is not finite.
    NotMeasured
        The watch is over.
    """
    began = perf_counter()
    who, asked = bench.contestant, bench.plan.attacks[cell.name]
    if cell.at is None:
        box = bench.perturbation.whole_range(who.x)
    else:
        box = bench.perturbation.box(who.x, cell.at)
    surrogate = None
    if cell.name in bench.plan.transferred and bench.surrogate is not None:
        surrogate = _reshaping(bench.surrogate)
    found = run_attack(
        who.outputs,
        who.x,
        who.y,
        box,
        asked,
        seed=bench.request.seed,
        places=torch.from_numpy(bench.shifted.samples.places),
        surrogate=surrogate,
        chunk=who.batch,
        watch=bench.watch,
        progress=bench.go_on,
    )
    broken = found.broken
    if cell.at is None:
        reach = bench.perturbation.reaches(who.x, found.points)
    else:
        # In double precision: float32 would round it away from the radius.
        reach = found.found.double() * float(cell.at)
    row = AttackRow(
        attack=cell.name,
        radius=None if cell.at is None else float(cell.at),
        classified=classify(found.outputs, who.y, bins=bench.request.bins),
        broken=_places(broken),
        reach=_where(reach, broken),
        l2=_where(found.l2, broken),
        linf=_where(found.linf, broken),
        blind=_places(found.gradient_masked),
        seconds=perf_counter() - began,
    )
    return Finished(row=row, beyond=_beyond(who, found.points, who.y, broken))


def certified(bench: Bench, cell: Cell) -> Finished:
    """Labels that are proven for whole boxes.

    Raises
    ------
    MissingRule, Unbounded, BackendMissing, ...
        The method cannot do it.
    NotMeasured
        The watch is over.
    """
    began = perf_counter()
    assert cell.at is not None
    who, method, budget = bench.contestant, bench.plan.methods[cell.name], bench.request.memory
    classes = who.predict(who.x[:1]).shape[1]
    most = samples_within(budget, who.simple, method, 2 * classes - 1, 4)
    size = max(1, min(_MOST_BOUNDED, most))
    anytime = isinstance(method, AnytimeMethod)
    keeps, logs, guarantee = [], [], Guarantee.CERTIFIED
    with torch.no_grad():
        for first in range(0, len(who.x), size):
            bench.go_on(first, len(who.x))
            part = slice(first, first + size)
            y = who.y[part]
            box = bench.perturbation.box(who.x[part], cell.at)
            bounds = compute_bounds(
                who.prepared,
                box,
                method,
                with_margins(y, classes, torch.float32),
                memory_budget=budget,
                watch=bench.watch if anytime else None,
            )
            lower, upper = bounds.outer.lower, bounds.outer.upper
            keeps.append(proven(who.prepared, box, bounds, y, method=method, memory_budget=budget))
            around = Box(lower[:, :classes].double(), upper[:, :classes].double())
            logs.append(log_volume(around).cpu())
            guarantee = min(guarantee, bounds.guarantee)
    if anytime and bench.watch.over:
        raise NotMeasured("time was up: what was stopped proves less than the method does")
    volumes = torch.cat(logs)
    row = CertifiedRow(
        method=cell.name,
        radius=float(cell.at),
        guarantee=guarantee.name,
        certified=_places(torch.cat(keeps)),
        log_volumes=_where(volumes, torch.isfinite(volumes)),
        seconds=perf_counter() - began,
    )
    return Finished(row=row)


def measure(bench: Bench, cell: Cell) -> Finished:
    """One measure.

    Raises
    ------
    NotMeasured
        It could not be had; says why.
    """
    began = perf_counter()
    reading = MEASURES[cell.name].take(bench.subject)
    row = MeasureRow(
        measure=cell.name,
        value=float(reading.value),
        error=None if reading.error is None else float(reading.error),
        samples=reading.samples,
        note=reading.note,
        seconds=perf_counter() - began,
    )
    return Finished(row=row, cut=reading.cut)


def _reshaping(other: Contestant) -> Function:
    """The outputs of a network that may take its inputs in another shape."""

    def outputs(x: Tensor) -> Tensor:
        return other.outputs(x.reshape(len(x), *other.prepared.input_shape))

    return outputs


def _beyond(who: Contestant, points: Tensor, y: Tensor, broken: Tensor) -> tuple[int, ...]:
    """Those of the broken samples that are so by more than rounding."""
    chosen = broken.nonzero().squeeze(1)
    if len(chosen) == 0:
        return ()
    return tuple(chosen[who.beyond_rounding(points[chosen], y[chosen])].tolist())


def _places(chosen: Tensor) -> tuple[int, ...]:
    return tuple(chosen.nonzero().squeeze(1).tolist())


def _where(values: Tensor, chosen: Tensor) -> tuple[float | None, ...]:
    """Values as numbers, None where they are not chosen or not finite."""
    there = chosen & torch.isfinite(values)
    pairs = zip(values.double().tolist(), there.tolist(), strict=True)
    return tuple(value if keep else None for value, keep in pairs)
