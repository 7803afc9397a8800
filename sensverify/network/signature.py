"""Named inputs and outputs of a network, whose graph has one input and one output.

Inside, several inputs are one: their numbers one after the other, each in row-major order. Which
of them is which stands here, beside the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from sensverify.errors import BadShape
from sensverify.network.shapes import Shape
from sensverify.registry.names import did_you_mean

_SHOWN = 8
"""Names in a message."""


@dataclass(frozen=True)
class Port:
    """One named input or output.

    Parameters
    ----------
    name : str
        In the file, or of the module's parameter.
    shape : tuple of int
        As the file declares it, with a batch axis of 1 where it has one.
    dtype : str
        Element type in numpy's words, ``float32`` or ``int64``.
    start : int
        Place of its first number among those of all inputs, or of all outputs.
    values : (int, int) or None
        The least and the largest value, where it is an integer that chooses rows of a table.
    """

    name: str
    shape: Shape
    dtype: str = "float32"
    start: int = 0
    values: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """Number of numbers."""
        return prod(self.shape)

    @property
    def part(self) -> slice:
        """Places of its numbers."""
        return slice(self.start, self.start + self.size)

    @property
    def integer(self) -> bool:
        """Whether it holds integers."""
        return np.dtype(self.dtype).kind in "iu"

    @property
    def entries(self) -> tuple[str, ...]:
        """A name for each of its numbers: ``pose[0,2]``; the bare name where there is one."""
        if self.size == 1:
            return (self.name,)
        places = np.ndindex(*sample_shape(self))
        return tuple(f"{self.name}[{','.join(map(str, at))}]" for at in places)


@dataclass(frozen=True)
class Signature:
    """The named inputs and outputs of a network.

    Parameters
    ----------
    inputs, outputs : tuple of Port
        In the order of their numbers.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @classmethod
    def of(cls, inputs: Sequence[Port], outputs: Sequence[Port]) -> Signature:
        """Inputs and outputs, each placed behind the one before."""
        return cls(_placed(inputs), _placed(outputs))

    @property
    def numbers(self) -> int:
        """Number of numbers of all inputs."""
        return sum(port.size for port in self.inputs)

    @property
    def numbered(self) -> str:
        """Which numbers are whose: ``x0 to x35 are image, x36 to x38 pose; y0 is risk``."""
        return "; ".join(
            f"{_numbered(letter, ports)}"
            for letter, ports in (("x", self.inputs), ("y", self.outputs))
        )

    @property
    def enumerable(self) -> bool:
        """Whether some input chooses rows of a table."""
        return any(port.values is not None for port in self.inputs)

    def joined(self, arrays: Mapping[str, Any], *, what: str = "the samples") -> np.ndarray:
        """Samples of all inputs as one array ``[samples, numbers]``.

        Parameters
        ----------
        arrays : mapping of str to array
            For every input's name its samples, ``[samples, ...]``; further names are left alone.
        what : str
            Name of the arrays in messages.

        Raises
        ------
        BadShape
            An input is missing, or its array has another number of values or of samples.
        """
        parts: list[np.ndarray] = []
        for port in self.inputs:
            if port.name not in arrays:
                raise BadShape(
                    f"{what}: there is no array for the input '{port.name}'"
                    f"{did_you_mean(port.name, arrays)}",
                    f"name one for each of the inputs {listed(self.inputs)}",
                )
            values = np.asarray(arrays[port.name])
            if values.ndim == 0 or prod(values.shape[1:]) != port.size:
                raise BadShape(
                    f"{what}: the array for the input '{port.name}' has the shape {values.shape}; "
                    f"expected one axis of samples, and then {port.size} numbers (shape "
                    f"{port.shape})"
                )
            if parts and len(values) != len(parts[0]):
                raise BadShape(
                    f"{what}: the input '{self.inputs[0].name}' has {len(parts[0])} samples and "
                    f"'{port.name}' {len(values)}"
                )
            parts.append(values.reshape(len(values), -1))
        return np.concatenate(parts, axis=1)

    def inputs_of(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Every input's part of samples ``[samples, numbers]``, by its name, with its axes.

        Its batch axis of 1, where it has one, makes room for that of the samples.
        """
        return {
            port.name: np.ascontiguousarray(values[:, port.part]).reshape(
                len(values), *sample_shape(port)
            )
            for port in self.inputs
        }

    @property
    def output_names(self) -> tuple[str, ...]:
        """A name for each number of several outputs; empty where there is one output."""
        if len(self.outputs) < 2:
            return ()
        return tuple(name for port in self.outputs for name in port.entries)


def listed(ports: Sequence[Port]) -> str:
    """The first names, for a message."""
    names = ", ".join(port.name for port in ports[:_SHOWN])
    return names + (", ..." if len(ports) > _SHOWN else "")


def _numbered(letter: str, ports: Sequence[Port]) -> str:
    found: list[str] = []
    for port in ports:
        first, last = port.start, port.start + port.size - 1
        places = f"{letter}{first}" if port.size == 1 else f"{letter}{first} to {letter}{last}"
        verb = "" if found else "is " if port.size == 1 else "are "
        found.append(f"{places} {verb}{port.name}")
    return ", ".join(found)


def _placed(ports: Sequence[Port]) -> tuple[Port, ...]:
    start, found = 0, []
    for port in ports:
        found.append(replace(port, start=start))
        start += port.size
    return tuple(found)


def sample_shape(port: Port) -> Shape:
    """Shape of one sample, without a batch axis of 1."""
    return port.shape[1:] if port.shape[:1] == (1,) and len(port.shape) > 1 else port.shape
