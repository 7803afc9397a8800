"""The worst of the points that an attack has met."""

from __future__ import annotations

import torch
from torch import Tensor


def misclassified(outputs: Tensor, y: Tensor) -> Tensor:
    """Mask of samples whose label is not the largest output, ``[batch]``; of equals the first is.

    Outputs that are no finite numbers lose, too: they are kept, for whoever judges the attack to
    complain about.
    """
    return (outputs.argmax(dim=1) != y) | ~torch.isfinite(outputs).all(dim=1)


def per_sample(selection: Tensor, like: Tensor) -> Tensor:
    """Values of every sample, ``[batch]``, in a shape that broadcasts against ``like``."""
    return selection.reshape(-1, *(1,) * (like.ndim - 1))


class WorstPoints:
    """Record of the worst point of every sample so far.

    One where the label loses goes before any where it does not, and a larger value before a smaller
    one.

    Parameters
    ----------
    points : Tensor, shape ``[batch, *features]``
        The points before any other was evaluated.
    y : int64 Tensor, shape ``[batch]``
    labelled : bool
        True where points at which the label loses go before others.

    Attributes
    ----------
    points : Tensor, shape ``[batch, *features]``
    wrong : bool Tensor, shape ``[batch]``
        Whether a point was found where the label loses.
    """

    def __init__(self, points: Tensor, y: Tensor, *, labelled: bool = True) -> None:
        self.points = points
        self.wrong = torch.zeros_like(y, dtype=torch.bool)
        self._y = y
        self._labelled = labelled
        self._values = torch.full(y.shape, -torch.inf, dtype=points.dtype, device=points.device)

    def update(self, points: Tensor, outputs: Tensor, values: Tensor) -> None:
        """Record these points where they are worse than those before.

        Parameters
        ----------
        points : Tensor, shape ``[batch, *features]``
        outputs : Tensor, shape ``[batch, classes]``
        values : Tensor, shape ``[batch]``
            Loss that the attack raises.
        """
        wrong = misclassified(outputs, self._y) if self._labelled else self.wrong
        larger = values.nan_to_num(torch.inf) > self._values
        worse = (wrong & ~self.wrong) | ((wrong == self.wrong) & larger)
        self.points = torch.where(per_sample(worse, points), points, self.points)
        self._values = torch.where(worse, values.to(self._values.dtype), self._values)
        self.wrong = torch.where(worse, wrong, self.wrong)

    def subset(self, index: Tensor) -> WorstPoints:
        """The record of some samples, to go on with them alone."""
        subset = WorstPoints(self.points[index], self._y[index], labelled=self._labelled)
        subset.wrong, subset._values = self.wrong[index], self._values[index]
        return subset

    def merge(self, index: Tensor, subset: WorstPoints) -> None:
        """Put the record of some samples back in its place."""
        self.points = self.points.index_copy(0, index, subset.points)
        self.wrong = self.wrong.index_copy(0, index, subset.wrong)
        self._values = self._values.index_copy(0, index, subset._values)
