"""Energies: smooth functions of a flat vector, with gradients and second derivatives in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, vmap

from sensverify.errors import BadSetting, BadShape
from sensverify.landscape.symmetry import NONE, Symmetry

DENSE = 4000
"""Weights up to which a Hessian is held whole: 128 MB."""

_COLUMNS = 128
"""Columns of a Hessian that are computed at once."""


@runtime_checkable
class Energy(Protocol):
    """A function of flat vectors in float64, all of whose methods take them in batches.

    Attributes
    ----------
    size : int
        Numbers in a vector.
    symmetry : Symmetry
        The changes of a vector that leave its energy as it is.
    kinked : bool
        Whether gradients may jump.
    """

    @property
    def size(self) -> int: ...

    @property
    def symmetry(self) -> Symmetry: ...

    @property
    def kinked(self) -> bool: ...

    def value(self, points: Tensor) -> Tensor:
        """Energies ``[batch]`` of ``[batch, size]``."""
        ...

    def gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Energies ``[batch]`` and gradients ``[batch, size]``."""
        ...

    def product(self, points: Tensor, directions: Tensor) -> Tensor:
        """Products ``[batch, size]`` of the Hessians at the points with one direction each."""
        ...

    def hessian(self, point: Tensor) -> Tensor:
        """The symmetric matrix ``[size, size]`` of second derivatives at one point ``[size]``."""
        ...

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        """Random points ``[count, size]`` to begin a search at."""
        ...


@dataclass(frozen=True, eq=False)
class FunctionEnergy:
    """The energy that a torch function of one flat vector is; its derivatives are torch's own.

    Parameters
    ----------
    function : callable
        From ``[size]`` to a scalar Tensor, such that `torch.func.vmap` and `torch.func.grad` can
        transform it.
    size : int
    low, high : float
        Starts are drawn evenly from this range, in every coordinate.
    symmetry : Symmetry
        Default: none is known.
    kinked : bool
        Whether gradients may jump.

    Examples
    --------
    >>> import torch
    >>> bowl = FunctionEnergy(lambda x: (x - 1).square().sum(), size=2)
    >>> values, gradients = bowl.gradient(torch.zeros(1, 2, dtype=torch.float64))
    >>> values.tolist(), gradients.tolist()
    ([2.0], [[-2.0, -2.0]])
    """

    function: Callable[[Tensor], Tensor]
    size: int
    low: float = -1.0
    high: float = 1.0
    symmetry: Symmetry = NONE
    kinked: bool = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise BadSetting(f"an energy needs a size of at least 1, got {self.size}")
        if not self.low < self.high:
            raise BadSetting(f"starts need a range, got {self.low} to {self.high}")

    @cached_property
    def _values(self) -> Callable[[Tensor], Tensor]:
        return cast("Callable[[Tensor], Tensor]", vmap(self.function))

    @cached_property
    def _gradients(self) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        return cast(
            "Callable[[Tensor], tuple[Tensor, Tensor]]", vmap(grad_and_value(self.function))
        )

    @cached_property
    def _products(self) -> Callable[[Tensor, Tensor], Tensor]:
        return cast("Callable[[Tensor, Tensor], Tensor]", vmap(self._product))

    def _product(self, point: Tensor, direction: Tensor) -> Tensor:
        # The gradient along a direction, differentiated: half the time of a forward derivative.
        along = grad(lambda at: grad(self.function)(at) @ direction)
        return cast(Tensor, along(point))

    def value(self, points: Tensor) -> Tensor:
        """See `Energy.value`."""
        with torch.no_grad():
            return self._values(self._checked(points))

    def gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """See `Energy.gradient`."""
        gradients, values = self._gradients(self._checked(points))
        return values, gradients

    def product(self, points: Tensor, directions: Tensor) -> Tensor:
        """See `Energy.product`."""
        return self._products(self._checked(points), directions)

    def hessian(self, point: Tensor) -> Tensor:
        """See `Energy.hessian`."""
        self._checked(point[None])
        units = torch.eye(self.size, dtype=point.dtype, device=point.device)
        column = vmap(lambda unit: self._product(point, unit), chunk_size=_COLUMNS)
        matrix = column(units)
        return (matrix + matrix.T) / 2

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        """See `Energy.starts`."""
        shares = torch.rand(count, self.size, generator=generator, dtype=torch.float64)
        return self.low + (self.high - self.low) * shares

    def _checked(self, points: Tensor) -> Tensor:
        if points.ndim != 2 or points.shape[1] != self.size:
            raise BadShape(
                f"the energy takes points of shape [batch, {self.size}], got {tuple(points.shape)}"
            )
        return points
