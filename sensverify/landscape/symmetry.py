"""Changes of weights that leave a network as it is, and the one form that all equivalent ones have.

Neurons of a hidden layer can change places; where the activation is odd, a neuron's sign can be
turned over in what comes in and in what goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import factorial, prod

import torch
from torch import Tensor

from sensverify.landscape.layout import Layout

_PROBE = 20231
"""Seed of the directions that neurons are ordered along."""


_NOWHERE = Layout()


@dataclass(frozen=True)
class Hidden:
    """One hidden layer's neurons, or channels, in the weights.

    Parameters
    ----------
    units : int
    enter : tuple of str
        Parameters whose first axis counts these units.
    leave : str
        The parameter whose second axis counts them, or blocks of entries of each.
    odd : bool
        Whether the activation is odd, so that signs are free.
    """

    units: int
    enter: tuple[str, ...]
    leave: str
    odd: bool


@dataclass(frozen=True)
class Symmetry:
    """The exchanges of neurons, and of their signs, that are free.

    Parameters
    ----------
    layout : Layout
        Where the parameters are in a flat vector.
    hidden : tuple of Hidden
        From the input to the output; empty where nothing is free.
    """

    layout: Layout = _NOWHERE
    hidden: tuple[Hidden, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.hidden)

    @property
    def order(self) -> int:
        """The number of equivalent vectors of a vector without equal neurons."""
        signs = prod(2**each.units for each in self.hidden if each.odd)
        return signs * prod(factorial(each.units) for each in self.hidden)

    def canonical(self, weights: Tensor) -> Tensor:
        """The same form ``[size]`` for all equivalent vectors ``[size]``, up to rounding.

        From the input on, every layer's neurons get the sign in which their incoming weights have a
        positive product with a fixed direction, and are ordered by that product.
        """
        if not self.hidden:
            return weights.clone()
        parts = {name: each.clone() for name, each in self.layout.parts(weights).items()}
        for layer, each in enumerate(self.hidden):
            rows = torch.cat([parts[name].reshape(each.units, -1) for name in each.enter], dim=1)
            along = rows @ _direction(rows.shape[1], layer).to(rows)
            signs = torch.ones_like(along)
            if each.odd:
                signs = torch.where(along < 0, -1.0, 1.0).to(along)
                along = along.abs()
            self._change(parts, each, signs, torch.argsort(along, stable=True))
        return self.layout.flat(parts)

    def aligned(self, weights: Tensor, to: Tensor) -> Tensor:
        """The equivalent vector that is near to another one.

        From the input on, the neurons of every layer are matched one to one so that products of
        their incoming weights, of the last layer's outgoing ones too, with those of the other
        vector are largest in sum.
        """
        from scipy.optimize import linear_sum_assignment

        if not self.hidden:
            return weights.clone()
        parts = {name: each.clone() for name, each in self.layout.parts(weights).items()}
        others = self.layout.parts(to)
        for each in self.hidden:
            # Outgoing weights can be compared where they lead to the outputs.
            last = each is self.hidden[-1]
            products = _rows(others, each, last) @ _rows(parts, each, last).T
            gains = products.abs() if each.odd else products
            _, columns = linear_sum_assignment(gains.numpy(), maximize=True)
            order = torch.as_tensor(columns)
            turned = products[torch.arange(each.units), order] < 0
            signs = torch.ones_like(products[0])
            if each.odd:
                signs[order] = torch.where(turned, -1.0, 1.0).to(signs)
            self._change(parts, each, signs, order)
        return self.layout.flat(parts)

    def drawn(self, weights: Tensor, generator: torch.Generator) -> Tensor:
        """An equivalent vector: every exchange and every sign drawn at random."""
        if not self.hidden:
            return weights.clone()
        parts = {name: each.clone() for name, each in self.layout.parts(weights).items()}
        for each in self.hidden:
            signs = torch.ones(each.units, dtype=weights.dtype)
            if each.odd:
                signs = 2.0 * torch.randint(0, 2, (each.units,), generator=generator) - 1
            order = torch.randperm(each.units, generator=generator)
            self._change(parts, each, signs.to(weights), order)
        return self.layout.flat(parts)

    @staticmethod
    def _change(parts: dict[str, Tensor], hidden: Hidden, signs: Tensor, order: Tensor) -> None:
        for name in hidden.enter:
            there = parts[name]
            shape = (-1, *[1] * (there.ndim - 1))
            parts[name] = (there * signs.reshape(shape))[order]
        there = parts[hidden.leave]
        # After flattening, every channel is a block of columns.
        blocks = there.reshape(there.shape[0], hidden.units, -1)
        parts[hidden.leave] = (blocks * signs[:, None])[:, order].reshape(there.shape)


def symmetry_of(
    module: torch.nn.Module, layout: Layout, entrywise: tuple[type, ...], odd: tuple[type, ...]
) -> Symmetry:
    """The free exchanges of a chain of linear and convolutional layers; none for other modules.

    Parameters
    ----------
    module : torch.nn.Module
    layout : Layout
        Of its parameters.
    entrywise : tuple of type
        Layers between the others that act on every entry alone, or flatten.
    odd : tuple of type
        Those of them with ``f(-x) = -f(x)``.
    """
    if not isinstance(module, torch.nn.Sequential):
        return Symmetry(layout)
    weighted: list[tuple[str, torch.nn.Module]] = []
    between: list[list[torch.nn.Module]] = []
    for name, layer in module.named_children():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            weighted.append((name, layer))
            between.append([])
        elif between:
            between[-1].append(layer)
        elif next(layer.parameters(), None) is not None:
            return Symmetry(layout)
    hidden = []
    for place, ((name, layer), (after, _)) in enumerate(pairwise(weighted)):
        if not all(isinstance(each, entrywise) for each in between[place]):
            return Symmetry(layout)
        if isinstance(layer, torch.nn.Conv2d) and layer.groups != 1:
            return Symmetry(layout)
        enter = tuple(f"{name}.{part}" for part, _ in layer.named_parameters())
        leave = f"{after}.weight"
        if not {*enter, leave} <= set(layout.names):
            # Neurons with weights that are not trained stay where they are.
            continue
        units = layout.shapes[layout.names.index(enter[0])][0]
        acting = [each for each in between[place] if not isinstance(each, torch.nn.Flatten)]
        free = all(isinstance(each, odd) for each in acting)
        hidden.append(Hidden(units, enter, leave, free))
    return Symmetry(layout, tuple(hidden))


def _rows(parts: Mapping[str, Tensor], hidden: Hidden, leaving: bool) -> Tensor:
    """Incoming, and maybe outgoing, weights of every unit, ``[units, weights]``."""
    enter = [parts[name].reshape(hidden.units, -1) for name in hidden.enter]
    if not leaving:
        return torch.cat(enter, dim=1)
    there = parts[hidden.leave]
    leave = there.reshape(there.shape[0], hidden.units, -1).transpose(0, 1)
    return torch.cat([*enter, leave.reshape(hidden.units, -1)], dim=1)


def _direction(size: int, layer: int) -> Tensor:
    generator = torch.Generator().manual_seed(_PROBE + layer)
    return torch.randn(size, generator=generator, dtype=torch.float64)


NONE = Symmetry()
