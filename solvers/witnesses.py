"""Witnesses: inputs that meet a query."""

from __future__ import annotations

import numpy as np
import torch

from sensverify.bounds import forward_pass
from sensverify.core.queries import Accept, Query
from sensverify.network import Network


def is_witness(network: Network, query: Query, point: np.ndarray, accept: Accept | None) -> bool:
    """True where an input meets a query when it is evaluated on its own, and is accepted.

    A search evaluates many inputs at once, and products of matrices are rounded otherwise in
    another batch: an input that just meets a limit there may miss it by the last bit where whoever
    asked evaluates it.

    Parameters
    ----------
    network : Network
    query : Query
    point : numpy array, shape ``[*input_shape]``, float64
        Inside the query's box.
    accept : callable or None
        Has the last word.
    """
    with torch.no_grad():
        outputs = forward_pass(network, torch.from_numpy(point)[None]).numpy()
    return bool(query.met_by(outputs)[0]) and (accept is None or accept(point))
