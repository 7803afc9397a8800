"""The output intervals of a sample as a drawing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sensverify.report.chart import Axis, Drawing, Frame, Mark, Plot, tick_text, ticks
from sensverify.report.formatting import clipped
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
    for tick in ticks(low, high):
        plot.add("line", [(tick, 0), (tick, len(rows))], "zero" if tick == 0 else "grid")
        plot.text(plot.at(tick, 0)[0], frame.height - 5, tick_text(tick))
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
