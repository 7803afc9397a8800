"""The number of samples that fit a memory budget."""

from __future__ import annotations

from sensverify.bounds.method import Method
from sensverify.network import Network

DEFAULT_BUDGET = 1 << 30
"""Bytes that one call may take beside its inputs and results, unless it is told otherwise."""

_COPIES_OF_A_LAYER = 14
"""Arrays of a layer's size alive at once: two bounds, four lines, their windows, temporaries."""


def samples_within(
    budget: int, network: Network, method: Method, rows: int, itemsize: int, *, proof: bool = False
) -> int:
    """Samples that a method can take at once within a budget; at least one.

    Parameters
    ----------
    budget : int
        Bytes.
    network : Network
    method : Method
        Its `extra_entries` come on top of a few copies of every layer.
    rows : int
        Objectives of each sample.
    itemsize : int
        Bytes of one number.
    proof : bool
        Whether multipliers are kept: the method's `proof_entries` a sample. Those of finished
        chunks are part of the result and not counted.
    """
    extra = method.extra_entries(network, rows)
    kept = method.proof_entries(network, rows) if proof else 0
    return samples_that_fit(budget, network, rows, itemsize, extra=extra, kept=kept)


def samples_that_fit(
    budget: int, network: Network, rows: int, itemsize: int, *, extra: int = 0, kept: int = 0
) -> int:
    """`samples_within` for ``extra`` numbers a sample, and ``kept`` in double precision."""
    entries = _COPIES_OF_A_LAYER * network.entries
    size = (entries + 4 * rows + extra) * itemsize + 8 * kept
    return max(1, budget // size)
