"""Drawings as PNG, painted by matplotlib in the theme's colours on light paper."""

from __future__ import annotations

import io
from typing import Any

from sensverify.errors import missing
from sensverify.report.chart import Drawing, Mark
from sensverify.report.theme import PALETTE, properties

_DOTS = 160
"""Dots an inch, of 100 units."""


def png(drawing: Drawing) -> bytes:
    """The drawing as a PNG file.

    Raises
    ------
    BackendMissing
        matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise missing("matplotlib", "train", "a figure of a study") from None
    with matplotlib.rc_context({"font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}):
        # Not through pyplot, which keeps every figure and wants to know about windows.
        size = drawing.width / 100, drawing.height / 100
        figure = Figure(figsize=size, facecolor=PALETTE["card"][0])
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, drawing.width), ylim=(drawing.height, 0))
        axes.set_axis_off()
        for place, mark in enumerate(drawing.marks):
            _paint(axes, mark, place)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=_DOTS, metadata={"Software": None})
    return stream.getvalue()


def _paint(axes: Any, mark: Mark, order: int) -> None:
    look = properties(mark.look)
    xs, ys = zip(*mark.places, strict=True)
    opacity = float(look.get("opacity", 1))
    # A unit is a hundredth of an inch, a point 1/72.
    width = 0.72 * float(look.get("stroke-width", "1").removesuffix("px"))
    if mark.shape == "text":
        axes.text(
            *(xs[0], ys[0], mark.text),
            color=look.get("fill", PALETTE["soft"][0]),
            size=0.72 * float(look.get("font-size", "11px").removesuffix("px")),
            weight="bold" if int(look.get("font-weight", "400")) >= 600 else "normal",
            style=look.get("font-style", "normal"),
            ha={"start": "left", "middle": "center", "end": "right"}[mark.anchor],
            va="baseline",
            zorder=order,
        )
    elif mark.shape == "line":
        dashes = look.get("stroke-dasharray", "none")
        pattern = "-" if dashes == "none" else (0, [float(d) / width for d in dashes.split()])
        axes.plot(
            *(xs, ys),
            **{"color": look.get("stroke", "none"), "linewidth": width, "linestyle": pattern},
            **{"alpha": opacity, "solid_joinstyle": "round", "zorder": order},
        )
    elif mark.shape == "dot":
        from matplotlib.patches import Circle

        dot = Circle((xs[0], ys[0]), mark.size, color=look.get("fill", "none"), zorder=order)
        axes.add_patch(dot)
    else:
        if mark.shape == "box":
            xs, ys = (xs[0], xs[1], xs[1], xs[0]), (ys[0], ys[0], ys[1], ys[1])
        axes.fill(xs, ys, color=look.get("fill", "none"), alpha=opacity, lw=0, zorder=order)
