"""Modules whose operators are not those of a network, run by torch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sensverify.errors import UnsupportedOperator
from sensverify.formats.modules.importing import from_module
from sensverify.formats.modules.tracing import evaluating
from sensverify.network import Network, NetworkBuilder
from sensverify.network.opaque import Opaque


def from_any_module(module: nn.Module, input_shape: tuple[int, ...]) -> Network:
    """The network of a module; where it has operators without a counterpart, one that is called.

    Parameters
    ----------
    module : torch.nn.Module
    input_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    Network
        That of `from_module`; or with one operator, `Opaque`: the module in evaluation mode, with
        its parameters as they are at every call. Its ``opaque`` says why.

    Raises
    ------
    UnsupportedOperator
        The module does not run on one tensor ``[batch, *input_shape]``.
    BadShape
        See `from_module`.
    """
    try:
        return from_module(module, input_shape)
    except UnsupportedOperator as error:
        called = _Called(module)
        kept = 0

        def count(values: Tensor) -> Tensor:
            nonlocal kept
            kept += values.numel()
            return values

        try:
            with torch.autograd.graph.saved_tensors_hooks(count, lambda values: values):
                shape = tuple(called(torch.zeros(1, *input_shape, requires_grad=True)).shape)
        except Exception:  # What a module raises has no class in common.
            raise error from None
        if len(shape) < 2 or shape[0] != 1 or prod(shape) < 1:
            raise
        operator = Opaque(
            called,
            shape[1:],
            error.problem,
            gradients=True,
            parameters=sum(p.numel() for p in module.parameters()),
            entries=kept,
        )
        builder = NetworkBuilder(tuple(input_shape))
        return builder.build(builder.add(operator, builder.input, name=type(module).__name__))


@dataclass(frozen=True, eq=False)
class _Called:
    """A module in evaluation mode, where it lies and in its precision."""

    module: nn.Module

    def __call__(self, x: Tensor) -> Tensor:
        own = next((p for p in self.module.parameters() if p.is_floating_point()), x)
        # The one form of attention that can be differentiated twice.
        with evaluating(self.module), sdpa_kernel(SDPBackend.MATH):
            outputs: Tensor = self.module(x.to(own.device, own.dtype))
        return outputs.to(x)


@dataclass(frozen=True, eq=False)
class Imported:
    """A module's network, and the tensors that the module had then.

    Parameters
    ----------
    network : Network
    tensors : tuple of (Tensor, torch.device)
        Parameters and buffers, and where each lay.
    """

    network: Network
    tensors: tuple[tuple[Tensor, torch.device], ...]

    @classmethod
    def of(cls, module: nn.Module, input_shape: tuple[int, ...]) -> Imported:
        """The import of a module by `from_any_module`."""
        return cls(from_any_module(module, input_shape), _tensors_of(module))

    def again(self, module: nn.Module, input_shape: tuple[int, ...]) -> Imported:
        """The import of the same module later: this one, where it has the same tensors still.

        A move to another device puts others in their place. Whoever lets the module do more in
        between than be moved and given other numbers imports it anew.
        """
        found = _tensors_of(module)
        same = len(found) == len(self.tensors) and all(
            mine is yours and here == there
            for (mine, here), (yours, there) in zip(self.tensors, found, strict=True)
        )
        return self if same else Imported.of(module, input_shape)


def _tensors_of(module: nn.Module) -> tuple[tuple[Tensor, torch.device], ...]:
    return tuple((each, each.device) for each in (*module.parameters(), *module.buffers()))
