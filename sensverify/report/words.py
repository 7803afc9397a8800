"""What a guarantee means, in words a reader without the field's terms understands."""

from __future__ import annotations

from sensverify.core.results import Guarantee

GUARANTEE_WORDS = {
    Guarantee.ESTIMATE: (
        "Not proven. The intervals come from sampled or attacked inputs; the network can leave "
        "them."
    ),
    Guarantee.PROBABILISTIC: (
        "Proven up to chance: the intervals hold with the probability the method states."
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


def softmax_text(softmax: str | None) -> str | None:
    """What results are about where a file ends in a softmax; None where it does not."""
    if softmax is None:
        return None
    return (
        f"the file ends in {softmax}, which keeps the order of what enters it: labels are those "
        "of the file, outputs and their widths those of what enters it"
    )


def certified_word(certified: bool | None, *, labelled: bool = True) -> str:
    """``certified``, ``changes`` or ``undecided``; a dash where there is no label."""
    if not labelled:
        return "-"
    return {True: "certified", False: "changes", None: "undecided"}[certified]


def number(value: float | None) -> str:
    """A number for people: four significant digits; a dash for None."""
    return "-" if value is None else f"{value:.4g}"


def at_most(value: float) -> str:
    """An upper bound for people: two significant digits, never below the value."""
    text = f"{value:.2g}"
    return text if float(text) >= value else f"{1.05 * value:.2g}"


def pretty_number(value: float) -> str:
    """A number as it is set in print: four significant digits, powers of ten raised."""
    text = f"{value:.4g}".replace("-", "\N{MINUS SIGN}")
    digits, e, power = text.partition("e")
    if not e:
        return text
    exponent = str(int(power.replace("\N{MINUS SIGN}", "-"))).translate(_RAISED)
    return f"{digits}\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}10{exponent}"


def share(value: float | None, count: int) -> str:
    """A share of ``count`` samples: ``96.7 % (29 of 30)``; a dash for None."""
    return "-" if value is None else f"{100 * value:.1f} % ({round(value * count)} of {count})"


def duration(seconds: float) -> str:
    """A time span for people: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
