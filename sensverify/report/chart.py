"""Pictures as inline SVG: the output intervals of a sample, and how log-volumes are spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from sensverify.verification.results import SampleResult

OUTPUTS = 40
"""Outputs drawn for one sample; of more, those that reach highest."""

_WIDTH, _ROW, _AXIS, _RIGHT = 360.0, 22.0, 20.0, 12.0


def drawn_outputs(sample: SampleResult) -> list[int]:
    """The outputs in the picture, in order; the label and the prediction are always among them."""
    if len(sample.upper) <= OUTPUTS:
        return list(range(len(sample.upper)))
    kept = {sample.prediction} | ({sample.label} if sample.label is not None else set())
    for k in np.argsort(-sample.upper, kind="stable"):
        if len(kept) == OUTPUTS:
            break
        kept.add(int(k))
    return sorted(kept)


def interval_chart(sample: SampleResult, names: Sequence[str]) -> str:
    """One bar for every output interval, a dot at the network's own output, the label's in colour.

    Parameters
    ----------
    sample : SampleResult
    names : sequence of str
        What to call the outputs; escaped here.
    """
    rows = drawn_outputs(sample)
    shown = [_short(names[k]) for k in rows]
    left = 12 + 6.4 * max(len(name) for name in shown)
    low, high = _span(sample, rows)
    height = _ROW * len(rows) + _AXIS

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (_WIDTH - left - _RIGHT)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(_spoken(sample, names))}">'
    ]
    for tick in ticks(low, high):
        kind = "zero" if tick == 0 else "grid"
        x = f"{place(tick):.1f}"
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="0" y2="{height - _AXIS:.0f}"/>')
        parts.append(
            f'<text x="{x}" y="{height - 5:.0f}" text-anchor="middle">{tick_text(tick)}</text>'
        )
    for line, (k, name) in enumerate(zip(rows, shown, strict=True)):
        parts += _interval(sample, k, name, _ROW * line, left, place)
    return "".join([*parts, "</svg>"])


def _interval(
    sample: SampleResult, k: int, name: str, top: float, left: float, at: Callable[[float], float]
) -> list[str]:
    own = k == sample.label
    middle = top + _ROW / 2
    bars = [("own-bar" if own else "outer", sample.lower[k], sample.upper[k], 12.0)]
    if sample.inner_lower is not None and sample.inner_upper is not None:
        bars.append(("inner", sample.inner_lower[k], sample.inner_upper[k], 4.0))
    parts = [
        f'<text class="{"own" if own else "name"}" x="{left - 7:.1f}" '
        f'y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>'
    ]
    for kind, lower, upper, thick in bars:
        # An interval of one point still shows.
        width = max(at(upper) - at(lower), 2.0)
        x = (at(upper) + at(lower) - width) / 2
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{middle - thick / 2:.1f}" width="{width:.1f}" '
            f'height="{thick:.0f}" rx="2"/>'
        )
    parts.append(f'<circle class="dot" cx="{at(sample.output[k]):.1f}" cy="{middle:.1f}" r="4"/>')
    return parts


def histogram(values: Sequence[float]) -> str:
    """How many values fall into each of up to 30 equal classes, as columns."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * (abs(low) + abs(high)):
        low, high = low - 0.5, high + 0.5
    bins = max(5, min(30, round(2 * math.sqrt(len(values)))))
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    width, height, left, right = 480.0, 100.0, 14.0, 14.0

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - right)

    spoken = f"Histogram of {len(values)} log-volumes from {low:.4g} to {high:.4g}"
    parts = [
        f'<svg viewBox="0 0 {width:.0f} {height + _AXIS:.0f}" role="img" aria-label="{spoken}">'
    ]
    for count, start, stop in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        if count:
            tall = max(2.0, (height - 6) * count / int(counts.max()))
            x, wide = place(start) + 1, place(stop) - place(start) - 2
            parts.append(
                f'<rect class="column" x="{x:.1f}" y="{height - tall:.1f}" width="{wide:.1f}" '
                f'height="{tall:.1f}" rx="1.5"/>'
            )
    parts.append(
        f'<line class="zero" x1="{left}" x2="{width - right}" y1="{height}" y2="{height}"/>'
    )
    for tick in ticks(low, high):
        parts.append(
            f'<text x="{place(tick):.1f}" y="{height + 15:.0f}" text-anchor="middle">'
            f"{tick_text(tick)}</text>"
        )
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, roughly ``about`` of them."""
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    marks = [k * step for k in range(first, first + 2 * about + 2)]
    return [0.0 if abs(mark) < step / 1e6 else mark for mark in marks if mark <= high + step * 1e-9]


def tick_text(value: float) -> str:
    """A tick's number with a true minus sign."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _span(sample: SampleResult, rows: list[int]) -> tuple[float, float]:
    low = float(min(sample.lower[rows].min(), sample.output[rows].min()))
    high = float(max(sample.upper[rows].max(), sample.output[rows].max()))
    room = 0.04 * (high - low)
    # Far from zero, a span of a few units in the last place leaves nothing to divide by.
    least = 1e-6 * max(abs(low), abs(high), 1e-30)
    if not room > least:
        room = max(0.5 * max(abs(low), abs(high)), 0.5)
    return low - room, high + room


def _short(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"


def _spoken(sample: SampleResult, names: Sequence[str]) -> str:
    rows = drawn_outputs(sample)[:12]
    texts = [f"{names[k]} {sample.lower[k]:.4g} to {sample.upper[k]:.4g}" for k in rows]
    more = "" if len(rows) == len(sample.lower) else ", and more in the numbers below"
    return f"Output intervals of sample {sample.index}: " + ", ".join(texts) + more
