"""Charts: drawings of lines, areas, boxes, dots and texts, placed by the scales of two axes.

A drawing is data. `sensverify.report.theme` says what its looks are, for light and dark pages;
`svg` writes it down, and `sensverify.report.raster` paints it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import pairwise
from typing import Literal

from sensverify.report.formatting import clipped, pretty_number

Place = tuple[float, float]

_LABEL_GAP, _LABEL_ROOM = 13.0, 17.0
"""Between the names of two lines, and from the end of the axis to a name."""

_TITLE = 22.0
"""Height of a title."""

_FEW = 12
"""Up to so many points of a line have a dot each."""

_TOLD = 60
"""Of more, up to so many tell their values."""


@dataclass(frozen=True)
class Mark:
    """A shape of a drawing, in its units, from the upper left corner; its look is of the theme.

    ``places`` are all corners of a line or an area, two opposite ones of a box, the middle of a
    dot, and where a text is anchored. ``text`` is that of a text, and of other shapes what is told
    on demand; ``size`` is the radius of a dot, or of the corners of a box.
    """

    shape: Literal["line", "area", "box", "dot", "text"]
    places: tuple[Place, ...]
    look: str = ""
    text: str = ""
    size: float = 0.0
    anchor: Literal["start", "middle", "end"] = "start"


@dataclass(frozen=True)
class Drawing:
    """A picture and its alternative text."""

    width: float
    height: float
    words: str
    marks: tuple[Mark, ...]
    look: str = ""


@dataclass(frozen=True)
class Frame:
    """Size of a picture and of the margins around its axes; names of lines have ``letters``."""

    width: float
    height: float
    left: float = 40.0
    right: float = 12.0
    top: float = 12.0
    bottom: float = 40.0
    letters: int = 0


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high``, evenly after ``warp``, with ticks and a title."""

    low: float
    high: float
    warp: Callable[[float], float] = float
    ticks: Sequence[tuple[float, str]] = ()
    title: str = ""

    def share(self, value: float) -> float:
        """Place of a value between the ends, from 0 to 1."""
        low, high = self.warp(self.low), self.warp(self.high)
        return (self.warp(value) - low) / (high - low)


@dataclass(frozen=True)
class Point:
    """A point of a line: its place, the band around it, and what is said of it."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    words: str = ""


@dataclass(frozen=True)
class Stroke:
    """A line with its name, which stands at its end.

    ``band`` is whether its band is drawn, ``ends`` whether there is a dot where it ends.
    """

    label: str
    look: str
    points: tuple[Point, ...]
    band: bool = False
    ends: bool = False


class Plot:
    """Marks by values on two axes within a frame."""

    def __init__(self, frame: Frame, x: Axis, y: Axis) -> None:
        self.frame, self.x, self.y = frame, x, y
        self.left, self.top = frame.left, frame.top
        self.right, self.floor = frame.width - frame.right, frame.height - frame.bottom
        self.marks: list[Mark] = []

    def at(self, x: float, y: float) -> Place:
        """The place of two values."""
        return (
            self.left + self.x.share(x) * (self.right - self.left),
            self.floor - self.y.share(y) * (self.floor - self.top),
        )

    def add(self, shape: Literal["line", "area"], values: Sequence[Place], look: str) -> None:
        """A line or an area with corners at these values."""
        self.marks.append(Mark(shape, tuple(self.at(*each) for each in values), look))

    def text(self, x: float, y: float, text: str, look: str = "", anchor: str = "middle") -> None:
        """A text at a place."""
        self.marks.append(Mark("text", ((x, y),), look, text, anchor=anchor))  # type: ignore[arg-type]

    def draw_axes(self) -> None:
        """Lines and numbers at the ticks of both axes, as far as there is room, and titles."""
        for value, text in self.y.ticks:
            y = self.at(self.x.low, value)[1]
            look = "zero" if value == self.y.low else "grid"
            self.marks.append(Mark("line", ((self.left, y), (self.right, y)), look))
            self.text(self.left - 6, y + 4, text, anchor="end")
        for x, text in self._roomy():
            ends = (x, self.floor), (x, self.floor + 4)
            self.marks.append(Mark("line", ends, "zero"))
            self.text(x, self.floor + 17, text)
        if self.x.title:
            self.text((self.left + self.right) / 2, self.floor + 34, self.x.title, "axis")

    def _roomy(self) -> Iterator[tuple[float, str]]:
        """The first and the last tick, and those between that do not touch another."""
        places = sorted((self.at(value, self.y.low)[0], text) for value, text in self.x.ticks)
        free, (end, last) = -math.inf, places[-1]
        for x, text in places[:-1]:
            half = 3.3 * len(text) + 4
            if x - half > free and x + half < end - 3.3 * len(last) - 4:
                yield x, text
                free = x + half
        yield end, last

    def drawing(self, words: str, look: str = "") -> Drawing:
        """The drawing so far."""
        return Drawing(self.frame.width, self.frame.height, words, tuple(self.marks), look)


def line_chart(
    strokes: Sequence[Stroke],
    frame: Frame,
    x: Axis,
    y: Axis,
    *,
    words: str,
    between: tuple[Stroke, Stroke] | None = None,
) -> Drawing:
    """Lines with their names at their ends, those that come later above, and alternative words.

    The area ``between`` two of them is shaded as undecided, what is below the second is certified.
    """
    plot = Plot(frame, x, y)
    plot.draw_axes()
    if between is not None:
        _draw_between(plot, *(stroke.points for stroke in between))
    for stroke in strokes:
        if stroke.band:
            upper = [(p.x, p.y if p.high is None else p.high) for p in stroke.points]
            lower = [(p.x, p.y if p.low is None else p.low) for p in reversed(stroke.points)]
            plot.add("area", upper + lower, f"band {stroke.look}")
    for stroke in strokes:
        plot.add("line", [(p.x, p.y) for p in stroke.points], f"line {stroke.look}")
        if stroke.label:
            plot.marks += _dots(plot, stroke)
        if stroke.ends:
            end = plot.at(stroke.points[-1].x, stroke.points[-1].y)
            plot.marks.append(Mark("dot", (end,), f"point {stroke.look}", size=3.5))
    _draw_names(plot, [stroke for stroke in strokes if stroke.label])
    return plot.drawing(words, "curves")


def _dots(plot: Plot, stroke: Stroke) -> Iterator[Mark]:
    """A dot at each of few points; of many, places around some that tell their values."""
    if len(stroke.points) <= _FEW:
        for p in stroke.points:
            yield Mark("dot", (plot.at(p.x, p.y),), f"point {stroke.look}", p.words, size=2.6)
        return
    told = [p for p in stroke.points if p.words]
    for p in told[:: math.ceil(len(told) / _TOLD) or 1]:
        yield Mark("dot", (plot.at(p.x, p.y),), "reach", p.words, size=6)


def _draw_between(plot: Plot, upper: Sequence[Point], lower: Sequence[Point]) -> None:
    """The area between two lines as far as both go, with its name where it is tallest."""
    end = min(upper[-1].x, lower[-1].x)
    values = sorted({p.x for p in (*upper, *lower) if p.x <= end})
    lines = [[plot.at(p.x, p.y) for p in points] for points in (upper, lower)]
    across = [plot.at(value, plot.y.low)[0] for value in values]
    above, below = ([(at, _height(line, at)) for at in across] for line in lines)
    plot.marks.append(Mark("area", (*above, *reversed(below)), "undecided"))
    _draw_area_name(plot, "undecided", above, below)
    _draw_area_name(plot, "certified", below, [(at, plot.floor) for at in across])


def _draw_area_name(plot: Plot, name: str, above: Sequence[Place], below: Sequence[Place]) -> None:
    """A name where there is most room for it between two lines, if there is enough."""
    half, best = 32.0, (0.0, 0.0, 0.0)
    first, last = above[0][0], above[-1][0]
    for step in range(41):
        x = first + half + (last - first - 2 * half) * step / 40
        around = [x - half, *(at for at, _ in above if abs(at - x) < half), x + half]
        roof = max(_height(above, at) for at in around)
        ground = min(_height(below, at) for at in around)
        best = max(best, (ground - roof, x, (roof + ground) / 2))
    room, x, middle = best
    if last - first >= 2 * half and room >= 20:
        plot.text(x, middle + 4, name, "area")


def _height(corners: Sequence[Place], x: float) -> float:
    for (start, before), (stop, after) in pairwise(corners):
        if start <= x <= stop:
            rise = 0.0 if stop == start else (x - start) / (stop - start) * (after - before)
            return before + rise
    return corners[-1][1] if x > corners[0][0] else corners[0][1]


def _draw_names(plot: Plot, strokes: Sequence[Stroke]) -> None:
    """Names at the ends of the lines, moved apart, each with a thin line to its own."""
    ends = [(stroke, plot.at(stroke.points[-1].x, stroke.points[-1].y)) for stroke in strokes]
    ends.sort(key=lambda pair: pair[1][1])
    places = spread([y for _, (_, y) in ends], _LABEL_GAP, plot.top + 4, plot.floor)
    edge = plot.right
    for (stroke, (x, y)), at in zip(ends, places, strict=True):
        lead = (x + 4, y), (max(x + 4, edge + 6), y), (edge + 14, at)
        plot.marks.append(Mark("line", lead, f"lead {stroke.look}"))
        name = clipped(stroke.label, plot.frame.letters)
        plot.text(edge + _LABEL_ROOM, at + 4, name, f"name {stroke.look}", "start")


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least ``gap`` apart, in order, as near as can be to ascending wanted ones.

    Neighbours that would overlap move as one block around their mean; where there is no room for
    all of them, they are as far apart as they can be.
    """
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    blocks: list[tuple[float, int]] = []  # top of the first label, labels
    for want in wanted:
        top, count = min(max(want, low), high), 1
        while blocks and blocks[-1][0] + gap * blocks[-1][1] > top:
            above, more = blocks.pop()
            # Each label of a block pulls it to where it would stand alone.
            top = (above * more + (top - gap * more) * count) / (more + count)
            count += more
            top = min(max(top, low), high - gap * (count - 1))
        blocks.append((top, count))
    return [top + gap * k for top, count in blocks for k in range(count)]


def histogram(values: Sequence[float], what: str) -> Drawing:
    """Counts of values in up to 30 equal classes, as columns."""
    low, high = min(values), max(values)
    if high - low <= 1e-9 * (abs(low) + abs(high)):
        low, high = low - 0.5, high + 0.5
    bins = max(5, min(30, round(2 * math.sqrt(len(values)))))
    counts = [0] * bins
    for value in values:
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    x = Axis(low, high, ticks=tick_texts(ticks(low, high)))
    plot = Plot(Frame(480, 120, 14, 14, 6, 20), x, Axis(0, max(counts)))
    for place, count in enumerate(counts):
        if count:
            start, stop = (low + (high - low) * (place + k) / bins for k in (0, 1))
            (left, top), (right, floor) = plot.at(start, count), plot.at(stop, 0)
            corners = (left + 1, min(top, floor - 2)), (right - 1, floor)
            words = f"{pretty_number(start)} to {pretty_number(stop)}: {count:,} of {len(values):,}"
            plot.marks.append(Mark("box", corners, "column", words, 1.5))
    plot.add("line", [(low, 0), (high, 0)], "zero")
    for tick, text in x.ticks:
        plot.text(plot.at(tick, 0)[0], plot.floor + 15, text)
    return plot.drawing(f"Histogram of {len(values)} {what} from {low:.4g} to {high:.4g}")


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, roughly ``about`` of them."""
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    marks = [k * step for k in range(first, first + 2 * about + 2)]
    return [0.0 if abs(mark) < step / 1e6 else mark for mark in marks if mark <= high + step * 1e-9]


def tick_text(value: float) -> str:
    """A tick's number: ``−0.5``, ``2 × 10⁵``, ``10¹²``."""
    return pretty_number(value).removeprefix("1\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\xa0")


def tick_texts(values: Sequence[float]) -> list[tuple[float, str]]:
    """Ticks with their numbers, in as many digits as tell them apart."""
    texts = [tick_text(value) for value in values]
    digits = 5
    while len(set(texts)) < len(set(values)) and digits <= 17:
        texts = [f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}") for value in values]
        digits += 1
    return list(zip(values, texts, strict=True))


def value_axis(values: Sequence[float], title: str = "", *, log: bool = False) -> Axis:
    """An axis with round numbers around some values; ``log`` where all of them are above 0."""
    low, high = min(values), max(values)
    if not high - low > 1e-6 * max(abs(low), abs(high), 1e-30):
        room = 0.5 * low if log else max(0.5 * abs(low), 0.5)
        low, high = low - room, high + room
    if log:
        room = 10 ** (0.04 * (math.log10(high) - math.log10(low)))
        low, high = low / room, high * room
    else:
        room = 0.04 * (high - low)
        low, high = low - room * (low != 0), high + room
    marks = ticks(low, high)
    if log and high >= 4 * low:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        factors = (1, 2, 5) if last - first <= 2 else (1,)
        powers = range(first, last + 1, math.ceil((last - first) / 6))
        marks = [factor * 10.0**power for power in powers for factor in factors]
        marks = [mark for mark in marks if low <= mark <= high]
    warp = math.log10 if log else float
    return Axis(low, high, warp, tick_texts(marks), title)


def titled(title: str, drawing: Drawing) -> Drawing:
    """The drawing with a title above."""
    marks = (Mark("text", ((10, 16),), "title", title), *_moved(drawing.marks, 0, _TITLE))
    return replace(drawing, height=drawing.height + _TITLE, marks=marks)


def _moved(marks: Sequence[Mark], dx: float, dy: float) -> Iterator[Mark]:
    for mark in marks:
        yield replace(mark, places=tuple((x + dx, y + dy) for x, y in mark.places))


def panels(drawings: Sequence[Drawing], *, columns: int, heading: str) -> Drawing:
    """Drawings of one size row by row, under a heading."""
    wide, tall, above = drawings[0].width, drawings[0].height, 30.0
    marks = [Mark("text", ((10, 18),), "heading", heading)]
    for place, drawing in enumerate(drawings):
        row, column = divmod(place, columns)
        marks += _moved(drawing.marks, wide * column, above + tall * row)
    size = wide * min(columns, len(drawings)), above + tall * math.ceil(len(drawings) / columns)
    words = "; ".join([heading, *(drawing.words for drawing in drawings)])
    return Drawing(*size, words, tuple(marks), "curves")


def svg(drawing: Drawing, *, style: str = "") -> str:
    """The drawing as an SVG element; all texts are escaped.

    With a style sheet it can be a file of its own.
    """
    alone = f' xmlns="http://www.w3.org/2000/svg" width="{drawing.width:.0f}"' if style else ""
    sheet = f"<style>{style}</style>" if style else ""
    return (
        f"<svg{_class(drawing.look)}{alone} "
        f'viewBox="0 0 {drawing.width:.0f} {drawing.height:.0f}" '
        f'role="img" aria-label="{escape(drawing.words)}">{sheet}'
        f"{''.join(map(_element, drawing.marks))}</svg>"
    )


def _class(look: str) -> str:
    return f' class="{escape(look)}"' if look else ""


def _element(mark: Mark) -> str:
    x, y = mark.places[0]
    if mark.shape == "text":
        anchor = "" if mark.anchor == "start" else f' text-anchor="{mark.anchor}"'
        where = f'x="{x:.1f}" y="{y:.1f}"{anchor}'
        return f"<text{_class(mark.look)} {where}>{escape(mark.text)}</text>"
    if mark.shape == "dot":
        name, where = "circle", f'cx="{x:.1f}" cy="{y:.1f}" r="{mark.size:g}"'
    elif mark.shape == "box":
        (left, right), (top, low) = (sorted(each) for each in zip(*mark.places, strict=True))
        name = "rect"
        where = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{low - top:.1f}"'
        where += f' rx="{mark.size:g}"' if mark.size else ""
    else:
        name = "polyline" if mark.shape == "line" else "polygon"
        where = f'points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in mark.places)}"'
    if not mark.text:
        return f"<{name}{_class(mark.look)} {where}/>"
    return f"<{name}{_class(mark.look)} {where}><title>{escape(mark.text)}</title></{name}>"
