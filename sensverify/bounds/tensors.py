"""From numpy to torch: the one place where a network's parameters become tensors."""

from __future__ import annotations

from dataclasses import replace
from math import copysign, inf
from typing import Any

import numpy as np
import torch

from sensverify.core.box import Box
from sensverify.core.sets import InputSet
from sensverify.errors import BadSetting
from sensverify.network import Network, Node, simplify
from sensverify.network.operators import Clip


def flattened(values: torch.Tensor, axes: int = 1) -> torch.Tensor:
    """All numbers behind the first axes as one axis, also where there is one and no axis for it.

    A sample, an input as well as an output, may be a single number without axes: a batch of them
    has the shape ``[batch]``, and comes out as ``[batch, 1]``.
    """
    return values.unsqueeze(-1).flatten(axes)


def tensor_network(
    network: Network, *, dtype: torch.dtype, device: torch.device, fold: bool = True
) -> Network:
    """The network with tensors as parameters, simplified unless ``fold`` is false.

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

    largest = torch.finfo(dtype).max
    live = network.map_arrays(convert)
    nodes = tuple(_within(node, largest) for node in live.nodes)
    if any(new is not old for new, old in zip(nodes, live.nodes, strict=True)):
        live = Network(nodes)
    return simplify(live) if fold else live


def _within(node: Node, largest: float) -> Node:
    """The node, with ends of a `Clip` that its dtype cannot hold as the infinities they are."""
    if not isinstance(node.operator, Clip):
        return node
    ends = (node.operator.low, node.operator.high)
    low, high = (copysign(inf, end) if abs(end) > largest else end for end in ends)
    if (low, high) == ends:
        return node
    return replace(node, operator=Clip(low, high))


def find_device(device: str | torch.device) -> torch.device:
    """The device of that name.

    Raises
    ------
    BadSetting
        There is none.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise BadSetting(f"there is no device {device!r}: {str(error).splitlines()[0]}") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise BadSetting(f"`device={found}`: torch finds no CUDA device here", "use `device=cpu`")
    return found


def tensor_box(box: Box, *, dtype: torch.dtype | None = None, device: torch.device) -> Box:
    """The box with tensors as ends; ``dtype`` None keeps the box's own.

    A narrower dtype rounds the ends outward: the box contains the one that was given. An input set
    stays one.
    """

    def convert(values: Any) -> torch.Tensor:
        if isinstance(values, np.ndarray):
            values = torch.from_numpy(np.array(values))
        return values.to(device=device)

    lower, upper = convert(box.lower), convert(box.upper)
    if dtype is not None:
        lower, upper = _rounded_down(lower, dtype), -_rounded_down(-upper, dtype)
    if isinstance(box, InputSet):
        # What tells a set from the box around it stays in double precision.
        return box.converted(lower, upper, lambda values: convert(values).double())
    return box if lower is box.lower and upper is box.upper else Box(lower, upper)


def _rounded_down(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The largest numbers of a dtype that are at most the values, differentiable in these."""
    near = values.to(dtype)
    fixed = near.detach()
    below = torch.nextafter(fixed, torch.full_like(fixed, -inf))
    return near - torch.where(fixed.to(values.dtype) > values, fixed - below, 0.0)
