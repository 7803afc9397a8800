"""The output intervals of a sample as a drawing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sensverify.report.chart import Axis, Drawing, Frame, Mark, Plot, tick_texts, ticks
from sensverify.report.formatting import clipped, printed
from sensverify.verification.results import SampleResult

OUTPUTS = 40
"""Outputs drawn for one sample; of more, those that reach highest."""

_ROW, _AXIS = 22.0, 20.0


def drawn_outputs(sample: SampleResult) -> list[int]:
    """The outputs in the picture, in order; the label and the prediction are always among them."""
    if len(sample.upper) <= OUTPUTS:
        return list(range(len(sample.upper)))
    drawn = {sample.prediction} | ({sample.label} if sample.label is not None else set())
    for k in np.argsort(-sample.upper, kind="stable"):
        if len(drawn) == OUTPUTS:
            break
        drawn.add(int(k))
    return sorted(drawn)


def interval_chart(sample: SampleResult, names: Sequence[str]) -> Drawing:
    """One bar for every output interval, a dot at the network's own output, the label's in colour.

    Outputs have ``names``.
    """
    rows = drawn_outputs(sample)
    shown = [clipped(names[k], 14) for k in rows]
    low, high = _span(sample, rows)
    left = 12 + 6.4 * max(len(name) for name in shown)
    frame = Frame(360, _ROW * len(rows) + _AXIS, left, 12, 0, _AXIS)
    plot = Plot(frame, Axis(low, high), Axis(len(rows), 0))
    for tick, number in tick_texts(ticks(low, high)):
        plot.add("line", [(tick, 0), (tick, len(rows))], "zero" if tick == 0 else "grid")
        plot.text(plot.at(tick, 0)[0], frame.height - 5, number)
    for line, (k, name) in enumerate(zip(rows, shown, strict=True)):
        own = k == sample.label
        dot = plot.at(float(sample.output[k]), line + 0.5)
        plot.text(left - 7, dot[1] + 4, name, "own" if own else "", "end")
        told = f"{names[k]}: {sample.lower[k]:.4g} to {sample.upper[k]:.4g}"
        bars = [("own-bar" if own else "outer", sample.lower[k], sample.upper[k], 6.0)]
        if sample.inner_lower is not None and sample.inner_upper is not None:
            ends = sample.inner_lower[k], sample.inner_upper[k]
            told += f", attained {ends[0]:.4g} to {ends[1]:.4g}"
            bars.append(("inner", *ends, 2.0))
        for look, lower, upper, half in bars:
            start, stop = plot.at(float(lower), 0)[0], plot.at(float(upper), 0)[0]
            middle, wide = (start + stop) / 2, max(stop - start, 2.0)  # one point still shows
            corners = [(middle - wide / 2, dot[1] - half), (middle + wide / 2, dot[1] + half)]
            plot.marks.append(Mark("box", tuple(corners), look, told, size=2))
        plot.marks.append(Mark("dot", (dot,), "dot", f"{names[k]}: {sample.output[k]:.4g}", size=4))
    texts = [f"{names[k]} {sample.lower[k]:.4g} to {sample.upper[k]:.4g}" for k in rows[:12]]
    more = "" if len(texts) == len(sample.lower) else ", and more in the numbers below"
    return plot.drawing(f"Output intervals of sample {sample.index}: {', '.join(texts)}{more}")


def _span(sample: SampleResult, rows: list[int]) -> tuple[float, float]:
    low = float(min(sample.lower[rows].min(), sample.output[rows].min()))
    high = float(max(sample.upper[rows].max(), sample.output[rows].max()))
    room = 0.04 * (high - low)
    # Far from zero, a span of a few units in the last place leaves nothing to divide by.
    least = 1e-6 * max(abs(low), abs(high), 1e-30)
    if not room > least:
        room = max(0.5 * max(abs(low), abs(high)), 0.5)
    return low - room, high + room


RIVALS = 12
"""Margins drawn for one sample; of more, the least."""

_BAR = 17.0


def margin_chart(sample: SampleResult, names: Sequence[str]) -> Drawing | None:
    """One bar for the least margin over every rival, the least one first, from zero on.

    All right of zero: the class keeps its place. None where there are no margins.
    """
    margins = sample.margins
    if margins is None or np.isnan(margins).all():
        return None
    order = np.argsort(margins, kind="stable")
    rows = [int(k) for k in order if not np.isnan(margins[k])]
    shown = [clipped(names[k], 14) for k in rows[:RIVALS]]
    low, high = _around_zero([float(margins[k]) for k in rows[:RIVALS]])
    left = 12 + 6.4 * max(len(name) for name in shown)
    frame = Frame(360, _BAR * len(shown) + _AXIS, left, 12, 0, _AXIS)
    plot = Plot(frame, Axis(low, high), Axis(len(shown), 0))
    for tick, number in tick_texts(ticks(low, high, about=4)):
        plot.add("line", [(tick, 0), (tick, len(shown))], "grid")
        plot.text(plot.at(tick, 0)[0], frame.height - 5, number)
    for line, (k, name) in enumerate(zip(rows, shown, strict=False)):
        margin = float(margins[k])
        zero, middle = plot.at(0, line + 0.5)
        end = plot.at(min(max(margin, low), high), 0)[0]
        look = "kept" if margin > 0 else "lost" if sample.kept is False else "unsure"
        # Next to nothing still shows, on its side of zero.
        end = max(end, zero + 2) if margin > 0 else min(end, zero - 2)
        corners = (zero, middle - 5), (end, middle + 5)
        plot.text(left - 7, middle + 4, name, "", "end")
        plot.marks.append(Mark("box", corners, look, f"over {names[k]}: {printed(margin)}", 1.5))
    plot.add("line", [(0, 0), (0, len(shown))], "sure")
    texts = ", ".join(f"{names[k]} {printed(float(margins[k]))}" for k in rows[:RIVALS])
    return plot.drawing(f"Least margins of sample {sample.index} over: {texts}")


def _around_zero(values: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis with zero on it, and with room at the side of what is infinite."""
    finite = [value for value in values if abs(value) < 1e300] or [0.0]
    low, high = min(0.0, *finite, 0.0), max(0.0, *finite, 0.0)
    room = 0.06 * (high - low)
    if not room > 1e-300:
        room = 0.5
    return low - room, high + room
