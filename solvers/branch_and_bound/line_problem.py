"""The lines that are to be found: below weighted sums of rows, on boxes or on sets in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from sensverify.bounds.ibp import Interval
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.support import least_value
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.core.sets import InputSet
from sensverify.network import Network


@dataclass(frozen=True, eq=False)
class LineProblem:
    """Weighted sums of rows to bound below, each on a box of its own, or on a set.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    box : Box of tensors, shape ``[items, *input_shape]``
    relaxations : dict from nonlinear node to Relaxation, with a batch of items
    rows : Tensor, shape ``[items, rows, *target]``, the node's shape flattened
    limits : Tensor, shape ``[items, rows]``
        What each row is held against.
    present : boolean Tensor, shape ``[items, rows]``
        False for padding.
    ends : dict from node to pairs of Tensors ``[items, *shape]``
        Bounds on what enters: without them, only lines around ReLUs are chosen.
    cuts : dict from node to pairs of Tensors ``[items, *shape]``
        Constraints with multipliers: the ends of what enters, infinite for none.
    target : int or None
        The node that the rows are of; None is the output.
    empty : boolean Tensor or None, shape ``[items]``
        Where no input lies, so that whatever is asked holds.
    fixed : bool
        Whether lines are as they are given, and none is chosen.
    """

    network: Network
    box: Box
    relaxations: Mapping[int, Relaxation]
    rows: Tensor
    limits: Tensor
    present: Tensor
    ends: Mapping[int, Interval] = field(default_factory=dict)
    cuts: Mapping[int, Interval] = field(default_factory=dict)
    target: int | None = None
    empty: Tensor | None = None
    fixed: bool = False

    @property
    def lower(self) -> Tensor:
        """Lower ends of the boxes, ``[items, features]``."""
        return flattened(self.box.lower)

    @property
    def upper(self) -> Tensor:
        """Upper ends of the boxes, ``[items, features]``."""
        return flattened(self.box.upper)

    def narrowed(self, network: Network) -> LineProblem:
        """The same in float32, with a network of such parameters: near to it, and no proof."""
        box = self.box
        if not isinstance(box, InputSet):
            box = Box(box.lower.float(), box.upper.float())
        return replace(
            self,
            network=network,
            box=box,
            relaxations={p: lines.map(Tensor.float) for p, lines in self.relaxations.items()},
            rows=self.rows.float(),
            limits=self.limits.float(),
            ends={p: (low.float(), high.float()) for p, (low, high) in self.ends.items()},
        )

    def least(self, lines: Tensor) -> Tensor:
        """The smallest values of linear functions of the input, ``[items, lines]``.

        Parameters
        ----------
        lines : Tensor, shape ``[items, lines, features]``
            Their coefficients.
        """
        if isinstance(self.box, InputSet):
            return least_value(self.box, lines)
        middle = (lines * (self.lower / 2 + self.upper / 2).unsqueeze(1)).sum(dim=2)
        return middle - (lines.abs() * (self.upper / 2 - self.lower / 2).unsqueeze(1)).sum(dim=2)
