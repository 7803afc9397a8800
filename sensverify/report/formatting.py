"""Numbers, shares, radii and guarantees as text for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context

from sensverify.core.brief import count_of as count_of
from sensverify.core.results import Guarantee
from sensverify.formats.onnx.heads import Head
from sensverify.models.loading import ModelFacts
from sensverify.network.signature import Signature

DASH = "\N{EN DASH}"
_SPACE = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"

GUARANTEE_WORDS = {
    Guarantee.ESTIMATE: (
        "Not proven. The intervals come from sampled or attacked inputs; the network can leave "
        "them."
    ),
    Guarantee.PROBABILISTIC: (
        "Not proven. The intervals are estimated by random numbers, about as often too narrow as "
        "too wide; how far they are off has a probability that the method states."
    ),
    Guarantee.SOLVER: (
        "Proven up to a solver's own tolerances: no input in the box produces an output outside "
        "of these intervals by more than those."
    ),
    Guarantee.SOUND: (
        "Proven: no input in the box produces an output outside of these intervals. The proof "
        "holds in real arithmetic; it was computed in floating-point numbers, so the last digits "
        "carry rounding."
    ),
    Guarantee.CERTIFIED: (
        "Proven and checked: no input in the box produces an output outside of these intervals. "
        "They were re-derived with rigorous arithmetic for the real-valued function of the file's "
        "stored weights, and an independent check of the certificate passed."
    ),
}
"""One or two sentences for every `Guarantee`."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def head_text(head: Head | None) -> str | None:
    """The values that results are about where the end of a file was cut off; else None."""
    if head is None:
        return None
    text = (
        f"the file ends in {head}, which keeps the order of what enters it: labels are those "
        "of the file, outputs and their widths those of what enters it"
    )
    if head.single:
        text += "; that is one number, the outputs of two classes are minus and plus half of it"
    return text


def file_text(model: ModelFacts) -> str | None:
    """Differences of a file from the network that was read of it; None where there are none."""
    parts = []
    if model.integers is not None:
        parts.append(f"takes {model.integers}: here its input moves over all real numbers")
    if model.batch > 1:
        parts.append(f"was exported with batch {model.batch}: here every sample stands alone")
    if model.signature is not None:
        parts.extend(_ports_text(model.signature))
    return f"the file {'; it '.join(parts)}" if parts else None


def _ports_text(signature: Signature) -> Iterator[str]:
    inputs = ", ".join(f"{each.name} {each.shape}" for each in signature.inputs)
    if len(signature.inputs) > 1:
        yield f"takes {inputs}: here one after the other"
    if len(signature.outputs) > 1:
        outputs = ", ".join(f"{each.name} {each.shape}" for each in signature.outputs)
        yield f"gives {outputs}: here one after the other"
    for each in signature.inputs:
        if each.values is not None:
            low, high = each.values
            yield (
                f"takes integers {each.name} from {low} to {high}, which choose rows of a table: "
                "here it moves over all real numbers between them"
            )


def number(value: float | None) -> str:
    """A number for a terminal: four significant digits; a dash for None."""
    return "-" if value is None else f"{value:.4g}"


def aligned_number(value: float) -> str:
    """Four significant digits, zeros at their end included, for columns whose decimals align."""
    return "0" if value == 0 else f"{value:#.4g}".rstrip(".").replace(".e", "e")


def rounded_down(value: float) -> float:
    """A finite number in four digits that is not above it."""
    return float(Context(4, ROUND_FLOOR).create_decimal_from_float(value))


def rounded_up(value: float) -> float:
    """A finite number in four digits that is not below it."""
    return float(Context(4, ROUND_CEILING).create_decimal_from_float(value))


def class_name(names: Sequence[str], place: int | None) -> str:
    """Name of a class; its number where it has none, a dash for None."""
    if place is None:
        return DASH
    return names[place] if place < len(names) else str(place)


def at_most(value: float) -> str:
    """An upper bound for people: two significant digits, never below the value."""
    text = f"{value:.2g}"
    return text if float(text) >= value else f"{1.05 * value:.2g}"


def pretty_number(value: float) -> str:
    """A number as it is set in print: four significant digits, powers of ten raised."""
    text = f"{value:.4g}".replace("-", _MINUS)
    digits, e, power = text.partition("e")
    if not e:
        return text
    return times_power(digits, int(power.replace(_MINUS, "-")))


def times_power(digits: str, power: int) -> str:
    """Digits times a power of ten: ``5.53 × 10³``."""
    return f"{digits}{_SPACE}\N{MULTIPLICATION SIGN}{_SPACE}10{str(power).translate(_RAISED)}"


def printed(value: float | None) -> str:
    """As `pretty_number`, whole numbers below a milliard with every digit; a dash for None."""
    if value is None:
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    whole = 1e3 <= abs(value) < 1e9 and value == round(value)
    return f"{round(value):,}" if whole else pretty_number(value)


def share(value: float | None, count: int) -> str:
    """A share of ``count`` samples: ``96.7 % (29 of 30)``; a dash for None."""
    return "-" if value is None else f"{100 * value:.1f} % ({round(value * count)} of {count})"


def percent(share: float | None, places: int = 1) -> str:
    """A share of 1 as ``96.7 %``; a dash for None."""
    return DASH if share is None else f"{signed(100 * share, places)}{_SPACE}%"


def signed(value: float, places: int) -> str:
    """A number with so many decimals and a true minus sign, never a minus zero."""
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", _MINUS)


def points(difference: float | None) -> str:
    """A difference of two shares, in percentage points: ``−3.2``; a dash for None."""
    return DASH if difference is None else signed(100 * difference, 1)


def radius_text(radius: float) -> str:
    """A radius: ``0.1``, or ``8/255`` where it is a whole number of grey levels."""
    levels = 255 * radius
    whole = round(levels)
    if 0 < whole <= 255 and abs(levels - whole) < 1e-5 and len(f"{radius:.10g}") > 6:
        return f"{whole}/255"
    return f"{radius:.4g}"


def shape_text(shape: Sequence[int], cross: str = "\N{MULTIPLICATION SIGN}") -> str:
    """A shape: ``1 x 28 x 28``."""
    return f" {cross} ".join(map(str, shape)) or "1"


def spoken(name: str) -> str:
    """A corruption's name in words: ``gaussian noise``."""
    return name.replace("_", " ").replace("-", " ")


def clipped(text: str, length: int) -> str:
    """A text that is at most so long."""
    return text if len(text) <= length else text[: length - 1] + "…"


def without_settings(names: Sequence[str]) -> dict[str, str]:
    """Names of attacks or methods without what stands in brackets, where they stay apart."""
    short = {name: _outside(name) for name in names}
    shared = Counter(short.values())
    return {name: name if shared[text] > 1 else text for name, text in short.items()}


def _outside(name: str) -> str:
    """A name without its brackets and what is in them."""
    depth, left = 0, ""
    for sign in name:
        depth += sign == "("
        left += sign if depth == 0 else ""
        depth -= sign == ")"
    return left.strip()
