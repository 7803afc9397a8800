"""Samples that are images, each beside its counterexample and the difference between the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensverify.report import document as doc
from sensverify.report.pixels import fitting
from sensverify.report.verification.counterexample import panels

_BUDGET = 1_500_000
"""Bytes that all pictures of samples may take together."""


@dataclass(frozen=True, eq=False)
class Pictured:
    """A sample ``[channels, rows, columns]``, and maybe an input with another class.

    ``kept`` and ``becomes`` are the names of both classes.
    """

    index: int
    sample: np.ndarray
    found: np.ndarray | None = None
    kept: str = ""
    becomes: str = ""

    @property
    def moved(self) -> float:
        """The largest change of a pixel; 0 for a sample that has another class by itself."""
        if self.found is None:
            return 0.0
        return float(np.abs(self.found.astype(np.float64) - self.sample).max())


def sample_pictures(
    samples: Sequence[Pictured], pixels: tuple[float, float]
) -> dict[int, doc.Pictures]:
    """Pictures of every sample by its index; ``pixels`` are the values of black and white."""
    images = {
        str(each.index): panels(each.sample, each.found, pixels)
        if each.found is not None and each.moved
        else panels(each.sample, each.sample, pixels)[:1]
        for each in samples
    }
    made = fitting(images, _BUDGET, difference=2)
    return {each.index: _block(each, made[str(each.index)]) for each in samples}


def _block(each: Pictured, images: Sequence[str]) -> doc.Pictures:
    captions: list[doc.Line] = ["input"]
    if len(images) > 1:
        captions = [
            f"input: {each.kept}",
            ("counter\N{SOFT HYPHEN}example: ", doc.Span(each.becomes, "strong")),
            f"difference, at most {each.moved:.3g}",
        ]
    words = [f"Sample {each.index}", f"Counterexample of sample {each.index}", "Difference"]
    made = zip(images, captions, words, strict=False)
    return doc.Pictures([doc.Picture(*picture) for picture in made])
