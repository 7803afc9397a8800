"""The record of a search: every sub-box that was bounded, and how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SplitTree:
    """All nodes of a search by input splitting, in the order in which they were made.

    The boxes asked about are the roots. The two children of a node cover its clipped box, cut at
    the middle of ``feature``; a node without children was closed, or is left open in a search that
    was stopped. What lies between a node's box and its clipped one was closed by the lines below
    the rows on the node's own box.

    Parameters
    ----------
    parent : numpy array, shape ``[nodes]``, int64
        -1 for roots.
    lower, upper : numpy array, shape ``[nodes, features]``, float64
        The box that the node's bounds hold on.
    clipped_lower, clipped_upper : numpy array, shape ``[nodes, features]``, float64
        The part of it that is still open, and that its children cover.
    feature : numpy array, shape ``[nodes]``, int64
        The feature that the node is, or would be, cut along.
    bounds : numpy array, shape ``[nodes, rows]``, float64
        Proven on the node's box; infinite for rows that an ancestor has closed already.
    """

    parent: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    clipped_lower: np.ndarray
    clipped_upper: np.ndarray
    feature: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.parent)


@dataclass(frozen=True, eq=False)
class SignTree:
    """All nodes of a search by splitting ReLUs, in the order in which they were made.

    A root is a target with no sign fixed; roots appear again where hidden layers were bounded anew
    before the search. The two children of a node fix one neuron of it as active and as inactive,
    and so cover it.

    Parameters
    ----------
    parent : numpy array, shape ``[nodes]``, int64
        -1 for roots.
    target : numpy array, shape ``[nodes]``, int64
        The pair of a box and a group of rows, in the order of the search.
    neuron : numpy array, shape ``[nodes]``, int64
        The neuron that was fixed to make the node, counted over all ReLU nodes; -1 for roots.
    sign : numpy array, shape ``[nodes]``, int64
        1 for active, -1 for inactive, 0 for roots.
    bounds : numpy array, shape ``[nodes]``, float64
        Proven below the target's weighted distance to its limits.
    """

    parent: np.ndarray
    target: np.ndarray
    neuron: np.ndarray
    sign: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.parent)


@dataclass(eq=False)
class TreeRecorder:
    """Collects the nodes of a tree up to a number of bytes; beyond it there is none."""

    budget: int
    kind: type[SplitTree] | type[SignTree] = SplitTree
    _steps: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    _nodes: int = 0
    _bytes: int = 0

    @property
    def next_node(self) -> int:
        """Number of the next node."""
        return self._nodes

    def add(self, *arrays: Tensor) -> None:
        """Nodes with the fields of the tree, each with a leading axis of nodes."""
        self._nodes += len(arrays[0])
        self._bytes += sum(values.numel() * values.element_size() for values in arrays)
        if self._bytes <= self.budget:
            self._steps.append(tuple(values.detach().cpu().numpy().copy() for values in arrays))
        else:
            self._steps.clear()

    def tree(self) -> SplitTree | SignTree | None:
        """The tree, or None where it outgrew its budget."""
        if self._bytes > self.budget or not self._steps:
            return None
        return self.kind(*(np.concatenate(parts) for parts in zip(*self._steps, strict=True)))
