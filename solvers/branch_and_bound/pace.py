"""Choice of the sub-problems that the next step takes, and of their number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from sensverify.solvers.branch_and_bound.records import Records

Items = TypeVar("Items", bound=Records)

Merit = Callable[[Items], Tensor]
"""The promise of items, ``[items]``: the most promising are split first."""


@dataclass(eq=False)
class Pace:
    """Larger steps while they are short: the watch is looked at between them.

    Parameters
    ----------
    width : int
        Sub-problems of the next step.
    most : int
        Of any step.
    seconds : float
        How long a step should take at most.
    """

    width: int
    most: int
    seconds: float

    def after(self, seconds: float) -> None:
        """Adapt to how long a step has taken."""
        if seconds < self.seconds / 2:
            self.width = min(2 * self.width, self.most)
        elif seconds > self.seconds:
            self.width = max(2, self.width // 2)

    def parents(self, items: Items, merit: Merit[Items], budget: int) -> tuple[Items, Items]:
        """The most promising items to cut in two, and the others.

        Best first while they take at most half of the budget in bytes, for the sake of what is
        proven at any moment; then the least promising, which end soonest.
        """
        count = min(max(1, self.width // 2), len(items))
        wide = len(items) * items.bytes_each <= budget // 2
        values = merit(items)
        chosen = values.topk(count, largest=wide).indices
        rest = torch.ones_like(values, dtype=torch.bool)
        rest[chosen] = False
        return items[chosen], items[rest]

    def surplus(self, items: Items, merit: Merit[Items], budget: int) -> tuple[Items, Items]:
        """The most promising items, as many as the budget has room for, and the others."""
        most = max(self.most, budget // items.bytes_each)
        if len(items) <= most:
            return items, items[:0]
        order = merit(items).argsort(descending=True)
        return items[order[:most]], items[order[most:]]
