"""The lines that are to be found: below weighted sums of rows, on boxes or on sets in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
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
    box : Box of tensors, shape ``[items or 1, *input_shape]``
        A single one is that of all items.
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
        """Lower ends of the boxes, ``[items or 1, features]``."""
        return flattened(self.box.lower)

    @property
    def upper(self) -> Tensor:
        """Upper ends of the boxes, ``[items or 1, features]``."""
        return flattened(self.box.upper)

    def box_of(self, item: int) -> Box:
        """The box of one item, ``[1, *input_shape]``."""
        return self.box if self.box.batch == 1 else self.box[item : item + 1]

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
        ends = self.lower.unsqueeze(1), self.upper.unsqueeze(1)
        found: Tensor = _Least.apply(lines, *ends)  # type: ignore[no-untyped-call]
        return found


class _Least(torch.autograd.Function):
    """The least values of linear functions on boxes, each at a vertex: its own gradient."""

    @staticmethod
    def forward(ctx: Any, lines: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        vertex = torch.where(lines > 0, lower, upper)
        ctx.save_for_backward(vertex)
        return torch.linalg.vecdot(lines, vertex)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (vertex,) = ctx.saved_tensors
        return grads[0].unsqueeze(-1) * vertex, None, None
