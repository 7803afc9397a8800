"""Numbers as people write them: ``0.03``, ``8/255``, ``5%``."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from sensverify.errors import BadBox, BadSetting


@dataclass(frozen=True)
class RangeShare:
    """A radius as a share of the range that data have by their nature, as pixels have one.

    Parameters
    ----------
    share : float
        Finite and at least 0.
    """

    share: float

    def __post_init__(self) -> None:
        # Written so that a NaN fails it.
        if not 0 <= self.share < float("inf"):
            raise BadBox(f"a radius must be finite and at least 0, got {self}")

    def __str__(self) -> str:
        return f"{100 * self.share:g}%"

    def of(self, *ranges: tuple[float, float] | None, data: str) -> float:
        """The radius, by the first finite one of the ranges.

        Parameters
        ----------
        *ranges : (low, high) or None
        data : str
            Name of the data, for the message.

        Raises
        ------
        BadSetting
            None of them is known and finite.
        """
        for ends in ranges:
            if ends is not None and all(map(isfinite, ends)):
                return self.share * (ends[1] - ends[0])
        raise BadSetting(
            f"a radius of {self} is a share of the range that all features of data '{data}' have, "
            "and none is known",
            "give `sigma`, a share of each feature's own range, or the radius as a number",
        )


def parse_number(text: str) -> float:
    """A number, or a fraction such as ``8/255``.

    Raises
    ------
    BadSetting
        It is neither.
    """
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise BadSetting(f"'{text}' is neither a number nor a fraction such as 8/255") from None


def parse_share(text: str) -> float:
    """A share: a number, a fraction, or a percentage such as ``5%``.

    Raises
    ------
    BadSetting
        It is none of these.
    """
    text = text.strip()
    return parse_number(text.removesuffix("%")) / 100 if text.endswith("%") else parse_number(text)


def parse_radius(text: str) -> float | RangeShare | Path:
    """A radius: a number, a fraction, a percentage of the data's own range, or an ``.npy`` file.

    Raises
    ------
    BadSetting
        It is none of these.
    BadBox
        A percentage is negative or not finite.
    """
    if text.endswith(".npy"):
        return Path(text)
    try:
        return RangeShare(parse_share(text)) if text.strip().endswith("%") else parse_number(text)
    except BadSetting:
        raise BadSetting(
            f"'{text}' is no radius",
            "give a number, a fraction such as 8/255, a percentage of the data's own range such as "
            "5%, or a file that ends in .npy",
        ) from None
