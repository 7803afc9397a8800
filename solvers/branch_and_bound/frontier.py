"""The sub-boxes that are still open."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sensverify.bounds.signs import Signs
from sensverify.solvers.branch_and_bound.input_tree import InputTree
from sensverify.solvers.branch_and_bound.records import Records


@dataclass(frozen=True, eq=False)
class SubBoxes(Records):
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
        Its cell in the record of the search.
    turns : Tensor, shape ``[boxes, rows]``, int16
        How many of the splits that led to it were made for the sake of each row.
    signs : dict from ReLU node to Tensor ``[boxes, *shape]``, int8
    """

    lower: Tensor
    upper: Tensor
    problem: Tensor
    bounds: Tensor
    feature: Tensor
    node: Tensor
    turns: Tensor
    signs: Signs

    def halves(self, tree: InputTree) -> SubBoxes:
        """Each cut in the middle of its feature: first all lower halves, then all upper ones.

        Parameters
        ----------
        tree : InputTree
            Takes a record of it.
        """
        place = self.feature.unsqueeze(1)
        low, high = self.lower.gather(1, place), self.upper.gather(1, place)
        middle = low / 2 + high / 2
        upper = torch.cat([self.upper.scatter(1, place, middle), self.upper])
        lower = torch.cat([self.lower, self.lower.scatter(1, place, middle)])
        node = tree.split(self.node, self.feature, middle.squeeze(1))
        return replace(self + self, lower=lower, upper=upper, node=node)

    def splittable(self) -> Tensor:
        """Mask of boxes whose chosen feature holds a number inside of its ends, ``[boxes]``."""
        place = self.feature.unsqueeze(1)
        low, high = self.lower.gather(1, place), self.upper.gather(1, place)
        middle = low / 2 + high / 2
        return ((low < middle) & (middle < high)).squeeze(1)
