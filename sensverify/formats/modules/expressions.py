"""Arrays computed from a live module's parameters whenever they are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor, nn


class Origin(IntEnum):
    """Part of a module that an array depends on; of several, the largest counts."""

    FIXED = 0
    """Numbers in the module's source."""
    BUFFER = 1
    """Buffers, or tensors that the module keeps otherwise."""
    PARAMETER = 2


@dataclass(frozen=True, eq=False)
class Expression:
    """The value of an expression over live parameters, computed anew at every reading.

    A module may transpose, negate or normalise a parameter before it uses it. Storing the outcome
    would freeze it at the values of the import; this stores how to get it. It has what a network
    asks of an array: a shape, a dtype, and conversion to a tensor, with autograd history.

    Parameters
    ----------
    compute : callable
        Returns the tensor; called at every reading, under the caller's gradient mode.
    shape : torch.Size
    dtype : torch.dtype
    origin : Origin
        Part of the module that it depends on.
    """

    compute: Callable[[], Tensor]
    shape: torch.Size
    dtype: torch.dtype
    origin: Origin

    @classmethod
    def of(cls, function: Callable[..., Tensor], *arrays: Tensor | Expression) -> Expression:
        """``function(*arrays)``, computed at every reading."""

        def compute() -> Tensor:
            return function(*(current(array) for array in arrays))

        with torch.no_grad():
            now = compute()
        return cls(compute, now.shape, now.dtype, origin(arrays))

    @classmethod
    def fixed(cls, values: Tensor) -> Expression:
        """Numbers that no part of the module can change."""
        return cls(lambda: values, values.shape, values.dtype, Origin.FIXED)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """The present value, converted as by ``Tensor.to``; differentiable in the parameters."""
        return self.compute().to(*args, **kwargs)

    def detach(self) -> Tensor:
        """The present value without autograd history."""
        return self.compute().detach()


def origin(value: Any) -> Origin:
    """Part of the module that a value depends on: an array, a number, or several of them."""
    if isinstance(value, list | tuple):
        return max((origin(item) for item in value), default=Origin.FIXED)
    if isinstance(value, Expression):
        return value.origin
    if isinstance(value, nn.Parameter):
        return Origin.PARAMETER
    return Origin.BUFFER if isinstance(value, Tensor) else Origin.FIXED


def current(value: Any) -> Any:
    """A `Expression` array's present value; anything else, lists included, with those replaced."""
    if isinstance(value, Expression):
        return value.compute()
    if isinstance(value, list | tuple):
        return type(value)(current(item) for item in value)
    return value
