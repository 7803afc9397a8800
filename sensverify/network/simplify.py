"""Rewrites of a network into an equal, smaller one."""

from __future__ import annotations

from weakref import WeakSet

from sensverify.network.graph import Network
from sensverify.network.rewrites.batch_norm import batch_norm_to_scale
from sensverify.network.rewrites.divide import divide_to_scale
from sensverify.network.rewrites.reshapes import drop_idle_shapes
from sensverify.network.rewrites.scales import fold_scales

REWRITES = (batch_norm_to_scale, divide_to_scale, drop_idle_shapes, fold_scales)
"""Applied in this order; each is a function ``Network -> Network`` that keeps every output."""

_SIMPLE: WeakSet[Network] = WeakSet()
"""Networks that no rewrite changes, which stays so."""


def simplify(network: Network) -> Network:
    """The network after every rewrite in `REWRITES`.

    Works alike on numpy and on tensor parameters, and keeps the autograd history of tensors. The
    nonlinear nodes stay, in their order, and so do the numbers that enter them, in row-major
    order; the parameters of affine ones are folded, which rounds.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> from sensverify.network.operators import Affine, Scale
    >>> build = sv.NetworkBuilder((2,))
    >>> node = build.add(Affine(np.eye(2)), build.input)
    >>> network = build.build(build.add(Scale(np.full(2, 3.0)), node))
    >>> len(network.nodes), len(sv.simplify(network).nodes)
    (3, 2)
    """
    if network in _SIMPLE:
        return network
    simple = network
    for rewrite in REWRITES:
        simple = rewrite(simple)
    if simple is network:
        _SIMPLE.add(network)
    return simple
