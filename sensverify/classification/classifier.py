"""A network that tells classes apart: run, checked beyond rounding, and bounded on samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from sensverify.bounds import Method, compute_bounds
from sensverify.bounds.forward import forward
from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.bounds.tensors import flattened, tensor_network
from sensverify.classification.margins import changes, proven, with_margins
from sensverify.core.box import Box
from sensverify.core.results import Guarantee
from sensverify.network import Network
from sensverify.runs.watch import Watch

MOST_AT_ONCE = 512
"""Samples of one forward pass, where memory does not limit them more."""

_COPIES = 8
"""Arrays of the size of all layers that a forward pass with its gradient may take."""


@dataclass(frozen=True, eq=False)
class BoundedLabels:
    """Bounds around the outputs and the margins of samples, and the labels that they prove.

    Parameters
    ----------
    outputs : Box of tensors, shape ``[batch, classes]``, float64
        Contains all outputs.
    margins : Tensor, shape ``[batch, classes - 1]``
        Lower bounds on ``f_y - f_j`` for every class j but the label y.
    proven : boolean Tensor, shape ``[batch]``
        See `sensverify.classification.margins.proven`.
    guarantee : Guarantee
        Of the bounds.
    """

    outputs: Box
    margins: Tensor
    proven: Tensor
    guarantee: Guarantee


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network that tells classes apart, computed in float32.

    Parameters
    ----------
    network : Network
        As `prepare` gives it: tensors without history, layers as they are in the file.
    device : torch.device
        Of its tensors.
    batch : int
        Samples of one forward pass.
    """

    network: Network
    device: torch.device
    batch: int = MOST_AT_ONCE

    @classmethod
    def within(cls, network: Network, device: torch.device, memory_budget: int) -> Classifier:
        """A classifier whose forward passes with their gradients fit a number of bytes."""
        most = memory_budget // (4 * _COPIES * network.entries)
        return cls(network, device, max(1, min(MOST_AT_ONCE, most)))

    @cached_property
    def simple(self) -> Network:
        """The network simplified, once: the one that is evaluated."""
        return tensor_network(self.network, dtype=torch.float32, device=self.device)

    @property
    def classes(self) -> int:
        """Number of outputs."""
        return prod(self.network.output_shape)

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs, ``[batch, classes]``; differentiable in x."""
        return flattened(forward(self.simple, x))

    def predict(self, x: Tensor) -> Tensor:
        """The outputs at any number of inputs in the network's shape or another of that size."""
        x = x.reshape(-1, *self.network.input_shape)
        with torch.no_grad():
            return torch.cat([self(x[part]) for part in self._parts(len(x))])

    def changes(self, points: Tensor, y: Tensor) -> Tensor:
        """Points where the label is not the largest output by more than rounding, ``[points]``."""
        parts = [changes(self.network, points[p], y[p]) for p in self._parts(len(points))]
        return torch.cat(parts) if parts else y.new_zeros(0, dtype=torch.bool)

    def bound(
        self,
        box: Box,
        y: Tensor,
        method: Method,
        *,
        memory_budget: int = DEFAULT_BUDGET,
        watch: Watch | None = None,
    ) -> BoundedLabels:
        """Bounds on the outputs and margins over boxes, and which labels they prove.

        Parameters
        ----------
        box : Box of tensors, shape ``[batch, *input_shape]``, float32
        y : Tensor, shape ``[batch]``, int64
        method : Method
        memory_budget : int
            Bytes.
        watch : Watch, optional
            For a method that can be stopped.

        Raises
        ------
        MissingRule, Unbounded, BackendMissing, ...
            See `compute_bounds`.
        """
        rows = with_margins(y, self.classes, torch.float32)
        bounds = compute_bounds(
            self.network, box, method, rows, memory_budget=memory_budget, watch=watch
        )
        lower, upper = bounds.outer.lower, bounds.outer.upper
        return BoundedLabels(
            outputs=Box(lower[:, : self.classes].double(), upper[:, : self.classes].double()),
            margins=lower[:, self.classes :],
            proven=proven(self.network, box, bounds, y, method=method, memory_budget=memory_budget),
            guarantee=bounds.guarantee,
        )

    def _parts(self, count: int) -> Iterator[slice]:
        for first in range(0, count, self.batch):
            yield slice(first, first + self.batch)
