"""The worst of the points that an attack has met."""

from __future__ import annotations

import torch
from torch import Tensor


def loses(outputs: Tensor, y: Tensor) -> Tensor:
    """Whether the label is not the largest output, ``[batch]``; the first of equals is the largest.

    Outputs that are no finite numbers lose, too: they are kept, for whoever judges the attack to
    complain about.
    """
    return (outputs.argmax(dim=1) != y) | ~torch.isfinite(outputs).all(dim=1)


def along(selection: Tensor, like: Tensor) -> Tensor:
    """Values of every sample, ``[batch]``, in a shape that broadcasts against ``like``."""
    return selection.reshape(-1, *(1,) * (like.ndim - 1))


class WorstSeen:
    """The worst point of every sample so far.

    One where the label loses goes before any where it does not, and a larger value before a smaller
    one.

    Parameters
    ----------
    points : Tensor, shape ``[batch, *features]``
        What there is before anything was seen.
    y : int64 Tensor, shape ``[batch]``
    labelled : bool
        Whether it matters that a label loses.

    Attributes
    ----------
    points : Tensor like the one given
    wrong : bool Tensor, shape ``[batch]``
        Whether a point was seen where the label loses.
    """

    def __init__(self, points: Tensor, y: Tensor, *, labelled: bool = True) -> None:
        self.points = points
        self.wrong = torch.zeros_like(y, dtype=torch.bool)
        self._y = y
        self._labelled = labelled
        self._values = torch.full(y.shape, -torch.inf, dtype=points.dtype, device=points.device)

    def see(self, points: Tensor, outputs: Tensor, values: Tensor) -> None:
        """Keep these points where they are worse than what was seen.

        Parameters
        ----------
        points : Tensor, shape ``[batch, *features]``
        outputs : Tensor, shape ``[batch, classes]``
        values : Tensor, shape ``[batch]``
            What the attack raises.
        """
        wrong = loses(outputs, self._y) if self._labelled else self.wrong
        larger = values.nan_to_num(torch.inf) > self._values
        worse = (wrong & ~self.wrong) | ((wrong == self.wrong) & larger)
        self.points = torch.where(along(worse, points), points, self.points)
        self._values = torch.where(worse, values.to(self._values.dtype), self._values)
        self.wrong = torch.where(worse, wrong, self.wrong)

    def part(self, index: Tensor) -> WorstSeen:
        """What was seen of some samples, to go on with them alone."""
        part = WorstSeen(self.points[index], self._y[index], labelled=self._labelled)
        part.wrong, part._values = self.wrong[index], self._values[index]
        return part

    def put(self, index: Tensor, part: WorstSeen) -> None:
        """What a part has become, back in its place."""
        self.points = self.points.index_copy(0, index, part.points)
        self.wrong = self.wrong.index_copy(0, index, part.wrong)
        self._values = self._values.index_copy(0, index, part._values)
