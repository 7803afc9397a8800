"""Balls around samples, of the Euclidean and of the sum norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sensverify.core.box import Array, Box, to_numpy
from sensverify.core.sets.input_set import InputSet
from sensverify.errors import BadBox, BadSetting


@dataclass(frozen=True, eq=False, repr=False)
class Ball(InputSet):
    """Inputs of a box within a distance of a sample: ``|x - point| <= reach``.

    Parameters
    ----------
    lower, upper, point
        As of `InputSet`.
    reach : array or tensor, shape ``[batch]``, float64
        The largest distance, at least 0.
    order : int
        2 for the Euclidean norm, 1 for the sum of all moves.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> ball = sv.Ball.around(np.array([[0.5, 0.5]]), 0.1, order=2)
    >>> ball.contains(np.array([[0.59, 0.5]])).all(), ball.contains(np.array([[0.59, 0.59]])).all()
    (np.True_, np.False_)
    """

    reach: Any
    order: int = 2

    kind: ClassVar[str] = "ball"

    @classmethod
    def around(
        cls, x: Array, reach: float, *, order: int = 2, clip: tuple[float, float] | None = None
    ) -> Ball:
        """Balls around samples, cut to a range of every feature when it is given.

        Parameters
        ----------
        x : array, shape ``[batch, *features]``
        reach : float
        order : int
        clip : (low, high), optional
        """
        wide = np.asarray(x, dtype=np.float64)
        box = Box.around(wide, reach, clip=clip)
        return cls(box.lower, box.upper, wide, np.full(len(wide), float(reach)), order)

    def _check(self) -> None:
        if self.order not in (1, 2):
            raise BadSetting(
                f"a ball is one of the norm 1 or 2, got {self.order!r}", "the largest norm is a box"
            )
        if not bool((self.reach >= 0).all()):
            raise BadBox("a ball needs a radius of at least 0")

    @property
    def words(self) -> str:
        name = {1: "sum of all moves", 2: "Euclidean distance"}[self.order]
        return f"{name} at most {float(self.reach.max()):g}"

    @property
    def spread(self) -> float:
        return float(self.features ** (1 / self.order))

    def _excess(self, moved: np.ndarray) -> np.ndarray:
        return np.linalg.norm(moved, ord=self.order, axis=-1) - to_numpy(self.reach)

    def _retracted(self, moved: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        reach = to_numpy(self.reach)[:, None]
        if self.order == 2:
            size = np.linalg.norm(moved, axis=-1, keepdims=True)
            return moved * np.minimum(1.0, reach / np.maximum(size, 1e-300))
        return shrunk(moved, reach)


def shrunk(moved: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The nearest moves whose magnitudes sum to at most ``reach``, ``[..., batch, features]``.

    Every magnitude is lowered by as much, down to 0 (Duchi et al. 2008, *Efficient projections onto
    the l1-ball for learning in high dimensions*). ``reach`` is ``[batch, 1]``.
    """
    size = abs(moved)
    ordered = -np.sort(-size, axis=-1)
    over = np.cumsum(ordered, axis=-1) - reach
    steps = np.arange(1, size.shape[-1] + 1)
    last = np.maximum((ordered * steps > over).sum(axis=-1, keepdims=True), 1)
    level = np.take_along_axis(over, last - 1, axis=-1) / last
    lowered = np.sign(moved) * np.maximum(size - np.maximum(level, 0), 0)
    return np.where(size.sum(axis=-1, keepdims=True) <= reach, moved, lowered)
