"""Places of named parameters in one flat vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """Parameters one after another in a flat vector.

    Parameters
    ----------
    names : tuple of str
    shapes : tuple of tuple of int
    """

    names: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, module: nn.Module) -> Layout:
        """Of the parameters of a module that are trained, in their order."""
        found = [(name, tuple(p.shape)) for name, p in module.named_parameters() if p.requires_grad]
        return cls(tuple(name for name, _ in found), tuple(shape for _, shape in found))

    @property
    def size(self) -> int:
        """Numbers in the vector."""
        return sum(prod(shape) for shape in self.shapes)

    def parts(self, weights: Tensor) -> dict[str, Tensor]:
        """The parameters of a vector ``[size]``, as views of it."""
        parts, begin = {}, 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            parts[name] = weights[begin : begin + prod(shape)].view(shape)
            begin += prod(shape)
        return parts

    def flat(self, parts: Mapping[str, Tensor]) -> Tensor:
        """The vector ``[size]`` of parameters."""
        if not self.names:
            raise ValueError("a layout of no parameters has no vector")
        return torch.cat([parts[name].reshape(-1) for name in self.names])
