"""The record of a search by input splitting: how every sub-box came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.relaxation import Relaxation
from sensverify.core.proof import NONE, RULE, Cells
from sensverify.solvers.branch_and_bound.entries import Entries

FEW_FEATURES = 12
"""Input features that move, up to which the input box is split."""

CLIPPED = 0.05
"""Share of a box's width above which what was cut off becomes a cell of its own. Below it the
cells that follow are a little larger than the boxes that were bounded."""


@dataclass(frozen=True, eq=False)
class Weighed:
    """Cells that no single row closes, with the slopes and the weights that do.

    Parameters
    ----------
    cell : numpy array, shape ``[cells]``
    lower, upper : numpy array, shape ``[cells, entries]``
        CROWN's slopes.
    weights : numpy array, shape ``[cells, rows of the group]``
    """

    cell: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    weights: np.ndarray


@dataclass(eq=False)
class InputTree:
    """Cells of a `Proof` up to a number of bytes: beyond it, cells are not split any more.

    A cell that is not recorded has the number -1, and so have its parts.

    Parameters
    ----------
    entries : Entries
    budget : int
        Bytes; 0 records nothing.
    """

    entries: Entries
    budget: int
    _count: int = 0
    _full: bool = field(init=False)
    _bytes: int = 0
    _rows: dict[str, np.ndarray] = field(default_factory=dict)
    _weighed: list[Weighed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._full = self.budget == 0

    def roots(self, lower: Tensor, upper: Tensor) -> Tensor:
        """Whole boxes ``[problems, features]`` as cells; their numbers."""
        count, features = lower.shape
        if self._full or count * _bytes(features) > self.budget // 2:
            self._full = True
            return torch.full((count,), NONE, device=lower.device)
        self._rows = {
            "problem": np.arange(count),
            "parent": np.full(count, NONE),
            "side": np.zeros(count, np.int64),
            "split": np.full(count, NONE),
            "at": np.zeros(count),
            "lower": _numpy(lower).copy(),
            "upper": _numpy(upper).copy(),
        }
        self._count = count
        return torch.arange(count, device=lower.device)

    def split(self, cells: Tensor, feature: Tensor, at: Tensor) -> Tensor:
        """Cut cells in two: the numbers of the parts below ``at``, then of those above.

        Parameters
        ----------
        cells, feature, at : Tensor, shape ``[cells]``
        """
        if self._full or not len(cells):
            return torch.full((2 * len(cells),), NONE, device=cells.device)
        made = self._split(_numpy(cells), _numpy(feature), _numpy(at))
        return torch.as_tensor(made, device=cells.device)

    def clip(self, cells: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        """The cells of smaller boxes: what was cut off them is split off where it is wide.

        Parameters
        ----------
        cells : Tensor, shape ``[boxes]``
        lower, upper : Tensor, shape ``[boxes, features]``
            The part of each cell that is still open.
        """
        if self._full or not len(cells):
            return torch.full_like(cells, NONE)
        here, low, high = _numpy(cells).copy(), _numpy(lower), _numpy(upper)
        least = CLIPPED * (high - low)
        for side, end, part in ((1, "lower", low), (-1, "upper", high)):
            wide = side * (part - self._rows[end][here]) > least
            for feature in np.flatnonzero(wide.any(axis=0)):
                chosen = np.flatnonzero(wide[:, feature])
                made = self._split(
                    here[chosen], np.full(len(chosen), feature), part[chosen, feature]
                )
                here[chosen] = made[len(chosen) :] if side > 0 else made[: len(chosen)]
                if self._full:
                    return torch.full_like(cells, NONE)
        return torch.as_tensor(here, device=cells.device)

    def weigh(
        self,
        cells: Tensor,
        relaxations: Mapping[int, Relaxation],
        chosen: Tensor,
        weights: Tensor,
    ) -> None:
        """Close cells by a weighted sum of several rows and by CROWN's slopes.

        The slopes that the search has chosen together with the weights are better for this sum,
        and worse for the hidden layers, which a leaf bounds with the same slopes.

        Parameters
        ----------
        cells, chosen : Tensor, shape ``[cells]``
            Of the relaxations, those of these sub-boxes.
        weights : Tensor, shape ``[cells, rows of the group]``
        """
        if self._full or weights.shape[1] < 2 or not len(cells):
            return
        self._bytes += len(cells) * 2 * len(self.entries) * self.entries.dtype.itemsize
        if self._bytes > self.budget // 2:
            # Without them these cells only prove less.
            return
        slopes = (
            {p: getattr(r, name)[chosen] for p, r in relaxations.items()}
            for name in ("lower_slope", "upper_slope")
        )
        lower, upper = (self.entries.joined(part, len(cells)) for part in slopes)
        self._weighed.append(Weighed(_numpy(cells).copy(), lower, upper, _numpy(weights).copy()))

    def weighed(self) -> Weighed | None:
        """All such cells; None where there are none."""
        if not self._weighed:
            return None
        names = ("cell", "lower", "upper", "weights")
        return Weighed(*(np.concatenate([getattr(w, n) for w in self._weighed]) for n in names))

    def cells(self) -> Cells:
        """The record without line sets: the leaves find their lines by the rule."""
        rows = {name: values[: self._count] for name, values in self._rows.items()}
        none = np.full(self._count, NONE)
        return Cells(
            rows["problem"],
            none,
            rows["parent"],
            rows["side"],
            rows["split"],
            rows["at"],
            none,
            np.full(self._count, RULE),
        )

    def __len__(self) -> int:
        return self._count

    def _split(self, cells: np.ndarray, feature: np.ndarray, at: np.ndarray) -> np.ndarray:
        count, first = len(cells), self._count
        features = self._rows["lower"].shape[1]
        if (first + 2 * count) * _bytes(features) > self.budget // 2:
            self._full = True
            return np.full(2 * count, NONE)
        self._make_room(first + 2 * count)
        rows, made = self._rows, np.arange(first, first + 2 * count)
        rows["split"][cells], rows["at"][cells] = feature, at
        rows["problem"][made] = np.tile(rows["problem"][cells], 2)
        rows["parent"][made] = np.tile(cells, 2)
        rows["side"][made] = np.repeat([-1, 1], count)
        rows["split"][made], rows["at"][made] = NONE, 0.0
        rows["lower"][made] = np.tile(rows["lower"][cells], (2, 1))
        rows["upper"][made] = np.tile(rows["upper"][cells], (2, 1))
        rows["upper"][made[:count], feature] = at
        rows["lower"][made[count:], feature] = at
        self._count += 2 * count
        return made

    def _make_room(self, count: int) -> None:
        have = len(self._rows["parent"])
        if count > have:
            more = max(count, 2 * have) - have
            for name, values in self._rows.items():
                empty = np.zeros((more, *values.shape[1:]), values.dtype)
                self._rows[name] = np.concatenate([values, empty])


def _bytes(features: int) -> int:
    """Memory that a cell takes, with the room to grow."""
    return 2 * 8 * (5 + 2 * features)


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()
