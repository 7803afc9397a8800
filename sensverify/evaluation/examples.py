"""Pictures of one sample, as it is and corrupted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.errors import SensverifyError
from sensverify.evaluation.corrupted import CorruptedSamples
from sensverify.evaluation.folder import FinishedTask
from sensverify.evaluation.results import CorruptionRow, Example
from sensverify.evaluation.task import EvaluationTask

CLEAN = "clean"
_SIDE = 64
"""Pixels along a picture, at most: a page holds a hundred of them."""


def make_examples(
    corrupted: CorruptedSamples, found: Sequence[Sequence[FinishedTask]]
) -> dict[str, tuple[Example, ...]]:
    """The first sample under every corruption that a network was asked about.

    Parameters
    ----------
    corrupted : CorruptedSamples
    found : sequence of sequence of FinishedTask
        The tasks of every network.
    """
    rows = [task.row for each in found for task in each]
    asked = dict.fromkeys(
        (row.corruption, row.severity) for row in rows if isinstance(row, CorruptionRow)
    )
    if not asked:
        return {}
    low, high = corrupted.pixels
    examples = {CLEAN: [_example("as it is", (corrupted.images[0] - low) / (high - low))]}
    for name, severity in asked:
        try:
            image = corrupted.at(EvaluationTask("corruption", name, severity), count=1)[0]
        except SensverifyError:
            # Rows of a run before this one may come from a machine that has more installed.
            continue
        example = _example(f"severity {severity}", (image - low) / (high - low))
        examples.setdefault(name, []).append(example)
    return {name: tuple(each) for name, each in examples.items()}


def _example(title: str, image: Tensor) -> Example:
    """A picture of values from 0 to 1, made smaller where it is large."""
    largest = max(image.shape[1:])
    if largest > _SIDE:
        rows, columns = (max(1, round(side * _SIDE / largest)) for side in image.shape[1:])
        image = functional.adaptive_avg_pool2d(image, (rows, columns))
    pixels = (255 * image.clamp(0, 1)).round().to(torch.uint8)
    shape = cast("tuple[int, int, int]", tuple(pixels.shape))
    return Example(title=title, shape=shape, pixels=pixels.contiguous().numpy().tobytes())
