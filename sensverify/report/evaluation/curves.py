"""Accuracy against radius as inline SVG: attacks from above, certified from below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.scores import CurvePoint
from sensverify.report.evaluation.lines import (
    Line,
    accuracy_lines,
    all_radii,
    best_certified,
)
from sensverify.report.evaluation.words import (
    clipped,
    percent,
    radius_text,
    without_settings,
)

HUES = 6
"""Colours of lines in the style sheet; further lines repeat them with other dashes."""

_LABEL_GAP = 13.0
_LEAD = 17.0
"""From the end of the axis to a name."""
_WIDE_RADII = 40.0
"""Largest over smallest radius from which the axis is logarithmic."""


@dataclass(frozen=True)
class Stroke:
    """A line as it is drawn: its look is a class of the style sheet."""

    label: str
    look: str
    points: tuple[CurvePoint, ...]
    band: bool = False


@dataclass(frozen=True)
class Frame:
    """Where things are in a picture; a narrow one is for phones and small multiples."""

    width: float
    height: float
    right: float
    letters: int
    left: float = 40.0
    top: float = 12.0
    bottom: float = 40.0

    @property
    def inner(self) -> tuple[float, float]:
        """Width and height between the axes."""
        return self.width - self.left - self.right, self.height - self.top - self.bottom


WIDE = Frame(width=920, height=430, right=176, letters=24, left=48)
NARROW = Frame(width=380, height=300, right=112, letters=12)


def accuracy_chart(evaluation: Evaluation, model: ModelEvaluation, frame: Frame) -> str:
    """Every line of one network, and what is undecided between attacks and certificates."""
    lines = accuracy_lines(evaluation, model)
    best = best_certified(evaluation, lines)
    worst = next((line for line in lines if line.kind == "worst"), None)
    short = without_settings([line.name for line in lines])
    attacks = [line for line in lines if line.kind == "attack"]
    strokes = [
        Stroke(short[line.name], _hue(k), line.points)
        for k, line in enumerate(attacks)
        # Of one attack alone the worst is itself.
        if len(attacks) > 1
    ]
    for line in lines:
        if line.kind == "certified":
            look = "certified" if line is best else "also-certified"
            strokes.append(Stroke(short[line.name], look, line.points, band=line is best))
    if worst is not None:
        label = "worst of all" if len(attacks) > 1 else short[attacks[0].name]
        strokes.append(Stroke(label, "worst", worst.points, band=True))
    between = None if worst is None or best is None else (worst.points, best.points)
    words = f"Accuracy of {model.model.name} against radius. {_spoken(lines)}"
    return _draw(strokes, all_radii(evaluation), frame, words=words, between=between)


def overlay_chart(evaluation: Evaluation, frame: Frame) -> str:
    """Of every network the worst of all attacks and the best certificate, a colour each."""
    strokes, spoken = [], []
    for k, model in enumerate(evaluation.models):
        lines = accuracy_lines(evaluation, model)
        best = best_certified(evaluation, lines)
        for line in lines:
            if line.kind == "worst":
                strokes.append(Stroke(model.model.name, f"{_hue(k)} bold", line.points))
                spoken.append(Line("worst", model.model.name, line.points))
            elif line is best:
                label = _certified_label(model.model.name, frame.letters)
                strokes.append(Stroke(label, f"{_hue(k)} bold dashed", line.points))
                spoken.append(Line("certified", model.model.name, line.points))
    words = f"Accuracy of all networks against radius. {_spoken(tuple(spoken))}"
    return _draw(strokes, all_radii(evaluation), frame, words=words)


def _certified_label(name: str, letters: int) -> str:
    """A name with what the line is, or the name alone where there is no room for both."""
    room = letters - len(", certified")
    return f"{clipped(name, room)}, certified" if room > 6 else name


def _hue(place: int) -> str:
    return f"hue{place % HUES} dash{place // HUES % 3}"


def _draw(
    strokes: Sequence[Stroke],
    radii: Sequence[float],
    frame: Frame,
    *,
    words: str,
    between: tuple[tuple[CurvePoint, ...], tuple[CurvePoint, ...]] | None = None,
) -> str:
    wide, tall = frame.inner
    scale = _radius_scale(radii)

    def place(radius: float, share: float) -> str:
        return (
            f"{frame.left + wide * scale(radius):.1f},{frame.top + tall * (1 - min(share, 1)):.1f}"
        )

    parts = [
        f'<svg class="curves" viewBox="0 0 {frame.width:.0f} {frame.height:.0f}" role="img" '
        f'aria-label="{escape(words)}">',
        *_axes(radii, frame, scale),
    ]
    if between is not None:
        parts += _undecided(*between, frame=frame, scale=scale, place=place)
    for stroke in strokes:
        if stroke.band:
            parts.append(_band(stroke, place))
    for stroke in strokes:
        path = " ".join(place(point.radius, point.rate.share) for point in stroke.points)
        parts.append(f'<polyline class="line {stroke.look}" points="{path}"/>')
        if len(stroke.points) <= 12:
            parts += [_dot(stroke, point, place) for point in stroke.points]
    return "".join([*parts, *_labels(strokes, frame, scale), "</svg>"])


def _dot(stroke: Stroke, point: CurvePoint, place: Callable[[float, float], str]) -> str:
    x, y = place(point.radius, point.rate.share).split(",")
    words = f"{stroke.label}, radius {radius_text(point.radius)}: {percent(point.rate.share)}"
    return (
        f'<circle class="{stroke.look}" cx="{x}" cy="{y}" r="2.6"><title>{escape(words)}</title>'
        "</circle>"
    )


def _radius_scale(radii: Sequence[float]) -> Callable[[float], float]:
    """From a radius to its place between 0 and 1."""
    largest, smallest = max(radii), min(radii)
    if largest <= _WIDE_RADII * smallest:
        return lambda radius: radius / largest
    whole = math.log1p(largest / smallest)
    return lambda radius: math.log1p(radius / smallest) / whole


def _axes(radii: Sequence[float], frame: Frame, scale: Callable[[float], float]) -> list[str]:
    wide, tall = frame.inner
    end, floor = frame.left + wide, frame.top + tall
    parts = []
    for share in (0, 25, 50, 75, 100):
        y = f"{floor - tall * share / 100:.1f}"
        kind = "zero" if share == 0 else "grid"
        unit = " %" if share == 100 else ""
        parts.append(f'<line class="{kind}" x1="{frame.left}" x2="{end:.1f}" y1="{y}" y2="{y}"/>')
        parts.append(
            f'<text x="{frame.left - 6}" y="{float(y) + 4:.1f}" text-anchor="end">'
            f"{share}{unit if frame.width > 500 else ''}</text>"
        )
    for x, text in _marks(radii, frame, scale):
        parts.append(
            f'<line class="zero" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}"/>'
            f'<text x="{x:.1f}" y="{floor + 17:.0f}" text-anchor="middle">{text}</text>'
        )
    uneven = ", logarithmic" if scale(radii[0]) * radii[-1] > 1.01 * radii[0] else ""
    parts.append(
        f'<text class="axis" x="{frame.left + wide / 2:.0f}" y="{floor + 34:.0f}" '
        f'text-anchor="middle">radius{uneven}</text>'
    )
    return parts


def _marks(
    radii: Sequence[float], frame: Frame, scale: Callable[[float], float]
) -> list[tuple[float, str]]:
    """Places and numbers of the radii that have room; the largest and clean always do."""
    shown = [(frame.left, "clean")]
    free = frame.left + 22.0
    edge = frame.left + frame.inner[0]
    last = radius_text(radii[-1])
    for radius in radii[:-1]:
        text = radius_text(radius)
        x, half = frame.left + frame.inner[0] * scale(radius), 3.3 * len(text) + 4
        if x - half > free and x + half < edge - 3.3 * len(last) - 4:
            shown.append((x, text))
            free = x + half
    return [*shown, (edge, last)]


def _band(stroke: Stroke, place: Callable[[float, float], str]) -> str:
    """Wilson's interval around a line."""
    upper = [place(point.radius, point.rate.interval[1]) for point in stroke.points]
    lower = [place(point.radius, point.rate.interval[0]) for point in reversed(stroke.points)]
    return f'<polygon class="band {stroke.look}" points="{" ".join([*upper, *lower])}"/>'


def _undecided(
    worst: tuple[CurvePoint, ...],
    certified: tuple[CurvePoint, ...],
    *,
    frame: Frame,
    scale: Callable[[float], float],
    place: Callable[[float, float], str],
) -> list[str]:
    """The area between two lines as far as both go, with its name where it is tallest."""
    end = min(worst[-1].radius, certified[-1].radius)
    radii = sorted({p.radius for p in (*worst, *certified) if p.radius <= end})
    upper = [_between(worst, radius, scale) for radius in radii]
    lower = [_between(certified, radius, scale) for radius in radii]
    ring = [place(r, v) for r, v in zip(radii, upper, strict=True)]
    ring += [place(r, v) for r, v in zip(reversed(radii), reversed(lower), strict=True)]
    parts = [f'<polygon class="undecided" points="{" ".join(ring)}"/>']
    corners = [
        [(frame.left + frame.inner[0] * scale(r), v) for r, v in zip(radii, line, strict=True)]
        for line in (upper, lower)
    ]
    floor = [(x, 0.0) for x, _ in corners[0]]
    for name, above, below in (
        ("undecided", corners[0], corners[1]),
        ("certified", corners[1], floor),
    ):
        parts += _area_name(name, above, below, frame)
    return parts


def _area_name(
    name: str,
    above: Sequence[tuple[float, float]],
    below: Sequence[tuple[float, float]],
    frame: Frame,
) -> list[str]:
    """A name where there is most room for it between two lines, if there is enough."""
    half, best = 32.0, (0.0, 0.0, 0.0)
    first, last = above[0][0], above[-1][0]
    for step in range(41):
        x = first + half + (last - first - 2 * half) * step / 40
        around = [x - half, *(at for at, _ in above if abs(at - x) < half), x + half]
        roof = min(_height(above, at) for at in around)
        ground = max(_height(below, at) for at in around)
        best = max(best, (roof - ground, x, (roof + ground) / 2))
    room, x, middle = best
    if last - first < 2 * half or room * frame.inner[1] < 20:
        return []
    y = frame.top + frame.inner[1] * (1 - middle) + 4
    return [f'<text class="area" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{name}</text>']


def _between(
    points: tuple[CurvePoint, ...], radius: float, scale: Callable[[float], float]
) -> float:
    """The height of a drawn line at a radius."""
    return _height([(scale(p.radius), p.rate.share) for p in points], scale(radius))


def _height(corners: Sequence[tuple[float, float]], x: float) -> float:
    for (start, before), (stop, after) in pairwise(corners):
        if start <= x <= stop:
            return before + (x - start) / (stop - start) * (after - before)
    return corners[-1][1] if x > corners[0][0] else corners[0][1]


def _labels(strokes: Sequence[Stroke], frame: Frame, scale: Callable[[float], float]) -> list[str]:
    """Names at the ends of the lines, moved apart, each with a thin line to its own."""
    wide, tall = frame.inner
    ends = [(stroke, stroke.points[-1]) for stroke in strokes]
    ends.sort(key=lambda pair: -pair[1].rate.share)
    wanted = [frame.top + tall * (1 - point.rate.share) for _, point in ends]
    places = spread(wanted, _LABEL_GAP, frame.top + 4, frame.top + tall)
    parts = []
    edge = frame.left + wide
    for (stroke, point), y, at in zip(ends, wanted, places, strict=True):
        x = frame.left + wide * scale(point.radius)
        parts.append(
            f'<polyline class="lead {stroke.look}" '
            f'points="{x + 4:.1f},{y:.1f} {edge + 6:.1f},{y:.1f} {edge + 14:.1f},{at:.1f}"/>'
            f'<text class="name {stroke.look}" x="{edge + _LEAD:.1f}" y="{at + 4:.1f}">'
            f"{escape(clipped(stroke.label, frame.letters))}</text>"
        )
    return parts


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places at least ``gap`` apart, in order, as near as can be to ascending wanted ones.

    Neighbours that would overlap move as one block around their mean; where there is no room for
    all of them, they are as far apart as they can be.
    """
    if not wanted:
        return []
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


def _spoken(lines: Sequence[Line]) -> str:
    texts = []
    for line in lines:
        first, last = line.points[0], line.points[-1]
        texts.append(
            f"{line.kind} {line.name}: from {percent(first.rate.share)} to "
            f"{percent(last.rate.share)} at radius {radius_text(last.radius)}"
        )
    return "; ".join(texts)
