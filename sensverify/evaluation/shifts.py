"""Cells about shifted samples: corruptions, and sequences of small ones."""

from __future__ import annotations

from math import prod
from time import perf_counter

import torch

from sensverify.corruptions import SEQUENCES
from sensverify.corruptions import sequence as make_sequence
from sensverify.evaluation.bench import Bench
from sensverify.evaluation.cell import Cell
from sensverify.evaluation.folder import Finished
from sensverify.evaluation.results import CorruptionRow, SequenceRow
from sensverify.measures.classification import check_finite
from sensverify.measures.classified import classify
from sensverify.measures.shift import flip_rate, minimal_sample_distance

_COPIES = 4
"""Arrays of the size of the frames that a sequence may take."""


def corruption(bench: Bench, cell: Cell) -> Finished:
    """Predictions on corrupted samples.

    Raises
    ------
    Unbounded
        An output is not finite.
    BackendMissing
        The corruption needs a package that is not installed.
    """
    began = perf_counter()
    who, shifted = bench.contestant, bench.shifted
    bench.go_on(0, len(who.x))
    images = shifted.corrupted(cell)
    outputs = who.predict(images.to(who.x.device))
    check_finite(outputs, 0)
    assert isinstance(cell.at, int)
    row = CorruptionRow(
        corruption=cell.name,
        severity=cell.at,
        parameter=shifted.parameter(cell),
        classified=classify(outputs, who.y, bins=bench.request.bins),
        msd=minimal_sample_distance(outputs, who.clean_outputs),
        source=shifted.source(cell),
        seconds=perf_counter() - began,
    )
    return Finished(row=row)


def sequence(bench: Bench, cell: Cell) -> Finished:
    """How often predictions flip along a sequence.

    Raises
    ------
    Unbounded
        An output is not finite.
    NotMeasured
        The watch is over.
    """
    began = perf_counter()
    who, kind, shifted = bench.contestant, SEQUENCES[cell.name], bench.shifted
    images = shifted.images
    needed = _COPIES * 4 * kind.length(images.shape) * prod(images.shape[1:])
    size = max(1, min(who.batch, bench.request.memory // needed))
    predictions = []
    for first in range(0, len(images), size):
        bench.go_on(first, len(images))
        frames = make_sequence(
            images[first : first + size],
            cell.name,
            seed=bench.request.seed,
            places=shifted.samples.places[first : first + size],
            pixels=shifted.pixels,
        )
        outputs = who.predict(frames.flatten(0, 1).to(who.x.device))
        check_finite(outputs, first)
        predictions.append(outputs.argmax(dim=1).reshape(frames.shape[:2]).cpu())
    found = torch.cat(predictions)
    row = SequenceRow(
        sequence=cell.name,
        frames=found.shape[1],
        samples=len(found),
        flip_rate=flip_rate(found, against=kind.against),
        against=kind.against,
        seconds=perf_counter() - began,
    )
    return Finished(row=row)
