"""The sub-boxes that are still open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from sensverify.bounds.signs import Signs


@dataclass(frozen=True, eq=False)
class SubBoxes:
    """Some sub-boxes, with what is known about each.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[boxes, features]``
    problem : Tensor, shape ``[boxes]``, int64
        Which of the boxes asked about each belongs to.
    bounds : Tensor, shape ``[boxes, rows]``
        Proven lower bounds of the rows; infinite where the row is closed on the sub-box.
    feature : Tensor, shape ``[boxes]``, int64
        The feature to split next.
    node : Tensor, shape ``[boxes]``, int64
        Place in the split tree.
    signs : dict from ReLU node to Tensor ``[boxes, *shape]``, int8
    """

    lower: Tensor
    upper: Tensor
    problem: Tensor
    bounds: Tensor
    feature: Tensor
    node: Tensor
    signs: Signs

    def __len__(self) -> int:
        return len(self.problem)

    def __getitem__(self, chosen: Tensor) -> SubBoxes:
        return self._mapped(lambda values: values[chosen])

    def __add__(self, other: SubBoxes) -> SubBoxes:
        return SubBoxes(
            torch.cat([self.lower, other.lower]),
            torch.cat([self.upper, other.upper]),
            torch.cat([self.problem, other.problem]),
            torch.cat([self.bounds, other.bounds]),
            torch.cat([self.feature, other.feature]),
            torch.cat([self.node, other.node]),
            {p: torch.cat([values, other.signs[p]]) for p, values in self.signs.items()},
        )

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> SubBoxes:
        return SubBoxes(
            change(self.lower),
            change(self.upper),
            change(self.problem),
            change(self.bounds),
            change(self.feature),
            change(self.node),
            {position: change(values) for position, values in self.signs.items()},
        )

    @property
    def bytes_each(self) -> int:
        """Memory that one sub-box takes."""
        arrays = [getattr(self, item.name) for item in fields(self)[:-1]]
        each = [values[:1].numel() * values.element_size() for values in arrays]
        return max(1, sum(each) + sum(values[:1].numel() for values in self.signs.values()))

    def halves(self) -> SubBoxes:
        """Each cut in the middle of its feature: first all lower halves, then all upper ones."""
        place = self.feature.unsqueeze(1)
        low, high = self.lower.gather(1, place), self.upper.gather(1, place)
        middle = low / 2 + high / 2
        upper = torch.cat([self.upper.scatter(1, place, middle), self.upper])
        lower = torch.cat([self.lower, self.lower.scatter(1, place, middle)])
        return replace(self + self, lower=lower, upper=upper)

    def splittable(self) -> Tensor:
        """Where the chosen feature has a number strictly between its ends, ``[boxes]``."""
        place = self.feature.unsqueeze(1)
        low, high = self.lower.gather(1, place), self.upper.gather(1, place)
        middle = low / 2 + high / 2
        return ((low < middle) & (middle < high)).squeeze(1)
