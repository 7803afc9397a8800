"""Modules with several inputs or outputs as modules with one of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from inspect import Parameter
from inspect import signature as parameters_of
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from sensverify.errors import BadShape, UnsupportedOperator
from sensverify.formats.modules.emitting import Shape
from sensverify.formats.modules.tracing import evaluating
from sensverify.network.signature import Port, Signature
from sensverify.registry.names import did_you_mean

Shapes = Shape | Sequence[Shape] | Mapping[str, Shape]
"""Shape of one sample; or of one sample of every input, in order or by the parameter's name."""


class Joined(nn.Module):
    """A module that takes the numbers of all inputs in one tensor, and gives those of all outputs.

    Parameters
    ----------
    module : torch.nn.Module
    signature : Signature
        Shapes of its ports have no batch axis.
    """

    def __init__(self, module: nn.Module, signature: Signature, *, alone: bool) -> None:
        super().__init__()
        self.module, self.signature, self._alone = module, signature, alone

    def forward(self, x: Tensor) -> Tensor:
        """Outputs ``[batch, numbers]`` of inputs ``[batch, numbers]``; of one, in its own shape."""
        if self._alone:
            found = self.module(x)
        else:
            found = self.module(**{p.name: _part(x, p) for p in self.signature.inputs})
        values = [value for _, value in _named(found)]
        if len(values) == 1:
            return values[0]
        return torch.cat(
            [value.flatten(1) if value.ndim > 1 else value[:, None] for value in values], 1
        )


def joined_module(module: nn.Module, shapes: Shapes) -> Joined:
    """The module with one input and one output.

    Parameters
    ----------
    module : torch.nn.Module
        Takes tensors ``[batch, *shape]``, and returns one tensor, or a tuple, mapping or dataclass
        of them.
    shapes : tuple of int; or sequence or mapping of them

    Raises
    ------
    BadShape
        The shapes are not those of the module's parameters.
    UnsupportedOperator
        The module cannot be run on zeros, or returns something else than tensors.
    """
    given = named_shapes(module, shapes)
    alone = is_shape(shapes)
    inputs = [Port(name, tuple(shape)) for name, shape in given.items()]
    probe = Joined(module, Signature.of(inputs, ()), alone=alone)
    outputs = _outputs(probe, given, alone)
    return Joined(module, Signature.of(inputs, outputs), alone=alone)


def is_shape(shapes: Any) -> TypeGuard[Shape]:
    """Whether this is the shape of one input."""
    return isinstance(shapes, Sequence) and all(isinstance(n, int) for n in shapes)


def are_shapes(shapes: Any) -> bool:
    """Whether these are the shapes of several inputs, or of one by its name."""
    if isinstance(shapes, Mapping):
        return True
    whole = isinstance(shapes, Sequence) and not isinstance(shapes, str) and bool(shapes)
    return whole and all(isinstance(each, Sequence) for each in shapes)


def named_shapes(module: nn.Module, shapes: Shapes) -> dict[str, Shape]:
    """The shapes of a module's inputs by the names of its parameters.

    Raises
    ------
    BadShape
    """
    known = parameters_of(module.forward).parameters.values()
    open_ended = any(each.kind is Parameter.VAR_KEYWORD for each in known)
    plain = [
        each for each in known if each.kind not in (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
    ]
    names = [each.name for each in plain]
    who = f"the module {type(module).__name__}"
    if is_shape(shapes):
        return {names[0] if names else "x": tuple(shapes)}
    if isinstance(shapes, Mapping):
        given = dict(shapes)
    elif are_shapes(shapes) and len(shapes) <= len(names):
        rows: Any = list(shapes)
        given = {name: tuple(shape) for name, shape in zip(names, rows, strict=False)}
    else:
        raise BadShape(
            f"{who} takes {len(names)} inputs ({', '.join(names)}), got the shapes {shapes!r}"
        )
    for name, shape in given.items():
        if name not in names and not open_ended:
            raise BadShape(
                f"{who} has no input '{name}'{did_you_mean(name, names)}",
                f"its inputs are {', '.join(names)}",
            )
        if not isinstance(shape, Sequence) or any(not isinstance(n, int) or n < 1 for n in shape):
            raise BadShape(
                f"the input '{name}' needs positive sizes, one for every axis of a sample, got "
                f"{shape!r}"
            )
    missing = [
        each.name for each in plain if each.default is Parameter.empty and each.name not in given
    ]
    if missing:
        raise BadShape(
            f"{who} also takes {', '.join(missing)}", "give the shape of every input, by its name"
        )
    return {name: tuple(shape) for name, shape in given.items()}


def _part(x: Tensor, port: Port) -> Tensor:
    return x[:, port.part].reshape(x.shape[0], *port.shape)


def _outputs(probe: Joined, given: Mapping[str, Shape], alone: bool) -> list[Port]:
    """The module's outputs, as it gives them for zeros."""
    tensor = next(probe.module.parameters(), torch.zeros(()))
    kind = tensor.dtype if tensor.is_floating_point() else torch.float32
    zeros = {n: torch.zeros((1, *s), dtype=kind, device=tensor.device) for n, s in given.items()}
    try:
        with torch.no_grad(), evaluating(probe):
            found = probe.module(*zeros.values()) if alone else probe.module(**zeros)
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnsupportedOperator(
            f"the module {type(probe.module).__name__} cannot be run on inputs of the shapes "
            f"{dict(given)}: {first}"
        ) from error
    ports = [(name, value) for name, value in _named(found)]
    return [Port(name, tuple(value.shape[1:]), str(kind)[6:]) for name, value in ports]


def _named(found: Any) -> list[tuple[str, Tensor]]:
    """Tensors that a module returns, with their names."""
    if isinstance(found, Tensor):
        return [("output", found)]
    if isinstance(found, Mapping):
        items = list(found.items())
    elif is_dataclass(found):
        items = [(item.name, getattr(found, item.name)) for item in fields(found)]
    elif isinstance(found, tuple) and hasattr(found, "_fields"):
        items = list(zip(found._fields, found, strict=True))
    elif isinstance(found, Sequence):
        items = [(f"output_{i}", value) for i, value in enumerate(found)]
    else:
        items = [("output", found)]
    kept = [(str(name), value) for name, value in items if value is not None]
    if not kept or any(not isinstance(value, Tensor) for _, value in kept):
        raise UnsupportedOperator(
            f"the module returns {type(found).__name__} that holds something else than tensors",
            "return tensors, or a tuple or dict of them",
        )
    return kept
