"""From numpy to torch: the one place where a network's parameters become tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sensverify.box import Box
from sensverify.network import Network, simplify


def tensor_network(network: Network, *, dtype: torch.dtype, device: torch.device) -> Network:
    """The network with tensors as parameters, simplified.

    Numpy parameters are copied to ``dtype`` and ``device``. Tensors, those of a live module, keep
    their autograd history: bounds stay differentiable in them. Integer indices become ``int64``.
    """

    def convert(values: Any) -> torch.Tensor:
        if isinstance(values, np.ndarray | np.generic):
            # A copy: the arrays of a model file may be read-only views.
            values = torch.from_numpy(np.array(values))
        if values.dtype.is_floating_point:
            return values.to(device=device, dtype=dtype)
        return values.to(device=device, dtype=torch.int64)

    return simplify(network.map_arrays(convert))


def tensor_box(box: Box, *, dtype: torch.dtype | None = None, device: torch.device) -> Box:
    """The box with tensors as ends; ``dtype`` None keeps the box's own."""

    def convert(values: Any) -> torch.Tensor:
        if isinstance(values, np.ndarray):
            values = torch.from_numpy(np.array(values))
        return values.to(device=device, dtype=dtype or values.dtype)

    return Box(convert(box.lower), convert(box.upper))
