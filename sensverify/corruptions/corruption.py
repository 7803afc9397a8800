"""A corruption: a function of images, tables of its strengths, and the source of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from sensverify.errors import BadSetting, BadShape

Value = float | int | str
"""Value of a parameter of a corruption's function."""

SMALL = 96
"""Images with a shorter side than this take the table written for small images, if there is one."""

_ALIKE = 1.25
"""Sides within this factor of a table's take its lengths as they are printed."""

CHANNELS = (1, 3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Parameters of a corruption, one value for each severity.

    Parameters
    ----------
    values : mapping from str to tuple
        By name of the parameter; all of one length.
    side : int
        Pixels along the shorter side of the images that it was written for.
    lengths : mapping from str to int
        Parameters in pixels, with the power of the image's side that they grow with.
    whole : tuple of str
        Names in ``lengths`` that are rounded to whole numbers, at least 1.
    """

    values: Mapping[str, tuple[Value, ...]]
    side: int = 224
    lengths: Mapping[str, int] = field(default_factory=dict)
    whole: tuple[str, ...] = ()

    @property
    def severities(self) -> int:
        """Number of severities: one where there are no parameters."""
        return len(next(iter(self.values.values()), (None,)))

    def row(self, severity: int, side: int) -> dict[str, Value]:
        """The parameters for images of this shorter side, lengths in their own pixels."""
        ratio = side / self.side
        factor = 1.0 if 1 / _ALIKE <= ratio <= _ALIKE else ratio
        row: dict[str, Value] = {}
        for name, values in self.values.items():
            value = values[severity - 1]
            if name in self.lengths and not isinstance(value, str):
                value = value * factor ** self.lengths[name]
                value = max(1, round(value)) if name in self.whole else value
            row[name] = value
        return row


@dataclass(frozen=True, kw_only=True, eq=False)
class Corruption:
    """A way to make images worse, in some severities.

    Parameters
    ----------
    name : str
        The key in `CORRUPTIONS`.
    function : callable
        Takes images ``[n, channels, rows, columns]`` in [0, 1], `Draws` and the parameters by name;
        gives new images of that shape, which need not keep to [0, 1].
    summary : str
        One sentence without a full stop.
    source : str
        Publication that defines it.
    group : str
        Set of corruptions that it belongs to.
    tables : tuple of Table
        By ascending side; the first of two is for images with sides below 96 pixels.
    needs_colour : bool
        Whether images of one channel are refused.
    smallest : int
        Pixels of the shortest side that it makes sense for.
    chosen : bool
        Whether its strengths are those that somebody asks for, rather than those of its source.
    """

    name: str
    function: Callable[..., Tensor]
    summary: str = ""
    source: str = ""
    group: str = ""
    tables: tuple[Table, ...] = (Table(values={}),)
    needs_colour: bool = False
    smallest: int = 8
    chosen: bool = False

    @property
    def family(self) -> str:
        """``noise``, ``blur``, ``weather``, ...: the module of the function."""
        return self.function.__module__.rpartition(".")[2]

    @property
    def severities(self) -> int:
        """Number of severities, which count from 1."""
        return self.tables[0].severities

    def parameters(self, severity: int, size: tuple[int, int]) -> dict[str, Value]:
        """Parameters of a severity for images of this size.

        Parameters
        ----------
        severity : int
        size : (rows, columns)

        Returns
        -------
        dict of parameter to value
            Lengths are in pixels of these images. Tables state them for images of one size (32 or
            224 pixels): images with a shorter side within a quarter of that take them as they are,
            for others they grow with it.

        Raises
        ------
        BadSetting
            There is no such severity.
        """
        if isinstance(severity, bool) or severity not in range(1, self.severities + 1):
            raise BadSetting(
                f"corruption '{self.name}' has severities from 1 to {self.severities}, "
                f"got {severity}"
            )
        side = min(size)
        table = self.tables[0] if side < SMALL else self.tables[-1]
        return table.row(int(severity), side)

    def parameter_text(self, severity: int, size: tuple[int, int]) -> str:
        """Parameters of a severity as text, such as ``radius 3, sigma 0.7``; empty without any.

        Raises
        ------
        BadSetting
            There is no such severity.
        """
        return ", ".join(
            f"{name} {value}" if isinstance(value, str) else f"{name} {value:.3g}"
            for name, value in self.parameters(severity, size).items()
        )

    def incompatibility(self, shape: tuple[int, ...]) -> str | None:
        """Reason why samples of this shape cannot be corrupted so; None where they can.

        Parameters
        ----------
        shape : tuple of int
            Shape of one sample: ``(channels, rows, columns)``.
        """
        if len(shape) != 3 or shape[0] not in CHANNELS:
            return (
                "corruptions are for images of shape [channels, rows, columns] with 1 or 3 "
                f"channels; samples have shape {list(shape)}"
            )
        if self.needs_colour and shape[0] == 1:
            return f"'{self.name}' changes colours, and images of one channel have none"
        if min(shape[1:]) < self.smallest:
            return (
                f"'{self.name}' is for images of at least {self.smallest} x {self.smallest} "
                f"pixels, these have {shape[1]} x {shape[2]}"
            )
        return None

    def check(self, shape: tuple[int, ...]) -> None:
        """Refuse samples of a shape that `incompatibility` has a reason against.

        Raises
        ------
        BadShape
            With that reason.
        """
        reason = self.incompatibility(shape)
        if reason is not None:
            raise BadShape(reason)
