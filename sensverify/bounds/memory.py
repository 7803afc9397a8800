"""How many samples fit a memory budget."""

from __future__ import annotations

from math import prod
from typing import Any

from sensverify.network import Network

DEFAULT_BUDGET = 1 << 30
"""Bytes that one call may take beside its inputs and results, unless it is told otherwise."""

_COPIES_OF_A_LAYER = 14
"""Arrays of a layer's size alive at once: two bounds, four lines, their windows, temporaries."""


def samples_within(
    budget: int, network: Network, method: Any, rows: int, itemsize: int, *, proof: bool = False
) -> int:
    """Samples that a method can take at once within a budget; at least one.

    Parameters
    ----------
    budget : int
        Bytes.
    network : Network
    method : Method
        Its ``extra_entries(network, rows)``, where it has one, gives the numbers it keeps for a
        sample on top of a few copies of every layer.
    rows : int
        Objectives of each sample.
    itemsize : int
        Bytes of one number.
    proof : bool
        Whether multipliers are kept: ``method.proof_entries(network, rows)`` numbers of double
        precision a sample, where the method says so. Those of finished chunks are part of the
        result and not counted.
    """
    entries = _COPIES_OF_A_LAYER * sum(prod(node.shape) for node in network.nodes)
    entries += 4 * rows
    extra = getattr(method, "extra_entries", None)
    if extra is not None:
        entries += extra(network, rows)
    size = entries * itemsize
    kept = getattr(method, "proof_entries", None)
    if proof and kept is not None:
        size += 8 * kept(network, rows)
    return max(1, budget // size)
