"""A network as measures take it: its weights as they are now, in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sensverify.errors import Unbounded
from sensverify.network import Network

_NEGLIGIBLE = 1e-30


def prepare(network: Network, device: str | torch.device = "cpu") -> Network:
    """The network with float32 tensors without history, and without denormal numbers.

    The weights of a neuron that weight decay has killed are denormal, and processors take ten times
    as long over those: weights below 1e-30 of their layer's largest become zero, which is far below
    rounding.

    Parameters
    ----------
    network : Network
        Read from a file or live; nothing about it is changed.
    device : str or torch.device
        Of the computation.

    Raises
    ------
    Unbounded
        A weight is not finite, or float32 does not hold it.
    """

    def fixed(values: Any) -> Any:
        # A number that arithmetic has left of an array without axes is none of numpy's arrays.
        if isinstance(values, np.ndarray | np.generic):
            if not np.issubdtype(values.dtype, np.floating):
                return values
            values = torch.from_numpy(np.array(values))
        values = values.detach()
        if not values.dtype.is_floating_point:
            return values
        values = values.to(device, torch.float32)
        if not bool(torch.isfinite(values).all()):
            raise Unbounded(
                "the network's weights hold NaN or infinity, or what float32 does not hold",
                "train with a smaller learning rate or loss weight",
            )
        size = values.abs()
        return torch.where(size <= _NEGLIGIBLE * size.max(), 0.0, values)

    return network.map_arrays(fixed)
