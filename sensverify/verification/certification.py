"""The results of certifying: the checked certificate, and what is left of proposed bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sensverify.certificates import (
    Checked,
)
from sensverify.core.box import Box
from sensverify.core.brief import count_of
from sensverify.core.results import Bounds


@dataclass(frozen=True, eq=False)
class Certification:
    """A certificate that the independent check has passed, read back from its bytes.

    Parameters
    ----------
    data : bytes
        Of the file.
    checked : Checked
    seconds : float
        That reading and checking took.
    path : str or None
        Where it was written.
    """

    data: bytes
    checked: Checked
    seconds: float
    path: str | None = None

    def __repr__(self) -> str:
        size, place = count_of(len(self.data), "byte"), self.path or "not kept"
        return f"Certification({place}, {size}, {self.checked.summary})"


@dataclass(frozen=True, eq=False)
class CheckedBounds:
    """Bounds that are left of proposed ones after rigorous arithmetic.

    Parameters
    ----------
    bounds : Bounds
        The outer box is the checked one, in float64; guarantee CERTIFIED.
    proposed : Box of numpy arrays, shape ``[batch, objectives]``, float64
        The outer box as the method returned it.
    float32 : numpy array, shape ``[batch, outputs]``
        By how much an output that is evaluated in float32 can differ from the real-valued one; of a
        comparison, the difference of two such outputs.
    """

    bounds: Bounds
    proposed: Box
    float32: np.ndarray

    def beside(self, row: int) -> dict[str, Any]:
        """Fields of a `SampleResult` beside the checked box, for the sample in a row."""
        count = self.float32.shape[1]
        return {
            "proposed_lower": self.proposed.lower[row, :count],
            "proposed_upper": self.proposed.upper[row, :count],
            "float32_margin": self.float32[row],
        }
