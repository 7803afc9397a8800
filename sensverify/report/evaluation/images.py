"""Small pictures of samples inside the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from sensverify.evaluation.results import Example
from sensverify.report.pixels import fitting, smaller

_BUDGET = 350_000
"""Bytes that all pictures of a page may take together."""


def thumbnail(example: Example, side: int) -> np.ndarray:
    """Rows, columns and channels of an example, by block means not larger than ``side``."""
    return smaller(_image(example), side)


def pictures(examples: Mapping[str, Iterable[Example]]) -> dict[str, list[str]]:
    """Data URIs of all examples, as large as the page has room for."""
    return fitting({name: [*map(_image, group)] for name, group in examples.items()}, _BUDGET)


def _image(example: Example) -> np.ndarray:
    image = np.frombuffer(example.pixels, dtype=np.uint8).reshape(example.shape)
    return image.transpose(1, 2, 0)
