"""From the text of an option to its value."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from click import BadParameter

from sensverify.core.numbers import RangeShare, parse_number, parse_radius, parse_share
from sensverify.errors import InputError

if TYPE_CHECKING:
    from sensverify.runs.shards import Shard

Value = TypeVar("Value")

_DECIMAL = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def sample_range(text: str) -> tuple[int | None, int | None]:
    """``A:B``, ``A:``, ``:B``; or ``A`` for one sample."""
    match = re.fullmatch(r"(\d{0,18})(:?)(\d{0,18})", text)
    if match is None or text in ("", ":"):
        raise BadParameter(f"'{text}' is not a range A:B of samples, counted from 0")
    first, colon, last = match.groups()
    if not colon:
        return int(first), int(first) + 1
    return (int(first) if first else None), (int(last) if last else None)


def radius(text: str) -> float | RangeShare | Path:
    """A number, a fraction, a percentage of the data's own range, or a ``.npy`` file."""
    return _parsed(parse_radius, text)


def plain_radius(text: str) -> float | RangeShare:
    """The same without files."""
    found = radius(text)
    if isinstance(found, Path):
        raise BadParameter(f"'{text}' is a file; one number is expected here")
    return found


def number(text: str) -> float:
    """A number, or a fraction such as ``8/255``."""
    return _parsed(parse_number, text)


def numbers(text: str) -> tuple[float, ...]:
    """Numbers or fractions with commas between them."""
    return tuple(number(part.strip()) for part in text.split(","))


def metric_names(text: str) -> tuple[str, ...]:
    """Names with commas between them, in capitals as metrics have them."""
    found = tuple(part.strip().upper() for part in text.split(","))
    if not all(found):
        raise BadParameter(f"'{text}' is no list of names such as ERR,PGD_ERR")
    return found


def share(text: str) -> float:
    """A number, a fraction, or a percentage."""
    return _parsed(parse_share, text)


def _parsed(parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except InputError as error:
        raise BadParameter(str(error)) from None


def shape(text: str) -> tuple[int, ...]:
    """Lengths of axes: ``3,32,32`` or ``3x32x32``."""
    parts = re.split(r"[,x]", text.strip().strip("()[]").rstrip(","))
    if not all(re.fullmatch(r"\s*[1-9]\d{0,8}\s*", part) for part in parts):
        raise BadParameter(f"'{text}' is not a shape such as 3,32,32")
    return tuple(int(part) for part in parts)


def shapes(text: str) -> tuple[int, ...] | dict[str, tuple[int, ...]]:
    """A shape; or of several inputs ``image=3,32,32;pose=7``."""
    if "=" not in text:
        return shape(text)
    found: dict[str, tuple[int, ...]] = {}
    for part in text.split(";"):
        name, _, lengths = (each.strip() for each in part.partition("="))
        if not name or name in found:
            raise BadParameter(f"'{text}' is not of the form image=3,32,32;pose=7")
        found[name] = shape(lengths)
    return found


def setting(text: str) -> tuple[str, str]:
    """``KEY=VALUE``; the key with underscores, as the method's field is written."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (key and equals and value):
        raise BadParameter(f"'{text}' is not of the form KEY=VALUE")
    return key.replace("-", "_"), value


def shard(text: str) -> Shard:
    """``I/N``: one of N parts, counted from 1."""
    from sensverify.runs.shards import Shard

    return _parsed(Shard.parse, text)


def size(text: str) -> int:
    """Bytes: ``4GB``, ``512MiB``, ``2000000``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", text.strip().upper())
    if match is None or (match[3] and not match[2]):
        raise BadParameter(f"'{text}' is not a size such as 4GB or 512MiB")
    count = int(float(match[1]) * (_BINARY if match[3] else _DECIMAL)[match[2]])
    if count <= 0:
        raise BadParameter("a memory budget must be above 0")
    return count
