"""Networks compared in pairs: tables of the tests, and all networks on one plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from sensverify.evaluation.curves import CurvePoint, middle_radius
from sensverify.evaluation.pairs import KINDS, LEVEL, Comparison
from sensverify.evaluation.results import Evaluation
from sensverify.evaluation.scores import Summary
from sensverify.report import document as doc
from sensverify.report.chart import (
    Axis,
    Drawing,
    Frame,
    Mark,
    Plot,
    Point,
    Stroke,
    line_chart,
    tick_text,
    ticks,
)
from sensverify.report.evaluation.common import interval
from sensverify.report.formatting import DASH, count_of, percent, points, radius_text, spoken
from sensverify.report.theme import HUES

SHOWN = 6
"""Pairs that a terminal has tables for."""

_DATA = (
    *("first", "second", "kind", "name", "at", "samples", "both", "only_first", "only_second"),
    *("neither", "difference", "lower", "upper", "p_value", "adjusted", "untested"),
)
_TITLES = {
    "clean": "Clean samples",
    "worst": "All attacks together",
    "attack": "Each attack",
    "certified": "Certified",
    "corruption": "Corruptions",
    "shift": "Other data sets",
}
_READING = (
    "Only samples that one of two networks alone has right tell them apart. The difference is the "
    "accuracy (or the share that is certified) of the second network minus that of the first, in "
    "points, with Newcombe's 95 % interval for pairs; p is McNemar's exact test, the chance of so "
    "uneven pairs if both were equally good. Of many comparisons some look like a difference by "
    "chance: p is adjusted after Holm for all comparisons of a kind on this page, and what is then "
    f"below {LEVEL:g} is called better. No difference shown is not the same as no difference: more "
    "samples may show one."
)
_FRAME = Frame(380, 300, left=44, right=112, top=30, letters=12)


def pair_section(
    evaluation: Evaluation, summaries: Sequence[Summary], found: Sequence[Comparison]
) -> doc.Section:
    """Networks on planes of two accuracies, and the tests of every two; nothing of one network."""
    blocks = [*_page(evaluation, summaries, found), *_terminal(evaluation, found)]
    data = doc.Data("pairs", _DATA, lambda: map(_values, found))
    return doc.Section("pairs", "Compared in pairs", tuple(blocks), data=(data,))


def _values(each: Comparison) -> Sequence[doc.Value]:
    pair, case = each.paired, (each.first, each.second, each.kind, each.name, each.at)
    if pair is None:
        return (*case, *(None,) * (len(_DATA) - len(case) - 1), each.untested)
    counts = pair.samples, pair.both, pair.only_first, pair.only_second, pair.neither
    numbers = pair.difference, *pair.interval, pair.p_value, each.adjusted
    return (*case, *counts, *numbers, None)


def _page(
    evaluation: Evaluation, summaries: Sequence[Summary], found: Sequence[Comparison]
) -> Iterator[doc.Block]:
    if not found:
        return
    yield doc.Text(_READING, "note", on=doc.PAGE)
    cards = list(_planes(evaluation, summaries))
    if cards:
        yield doc.Group(cards, "cards", on=doc.PAGE)
    yield replace(_table(evaluation, _first_ones(evaluation, found)), on=doc.PAGE)
    for kind in KINDS:
        own = [each for each in found if each.kind == kind]
        if own and kind != "clean":
            title = f"{_TITLES[kind]}: {count_of(len(own), 'comparison')}"
            yield doc.Group([_table(evaluation, own)], "details", title, on=doc.PAGE)


def _first_ones(evaluation: Evaluation, found: Sequence[Comparison]) -> list[Comparison]:
    """The few that sum every pair up: clean, all attacks and certified at the middle radius."""
    radius = middle_radius(evaluation)
    return [
        each
        for each in found
        if each.kind == "clean" or (each.kind in ("worst", "certified") and each.at == radius)
    ]


def _table(evaluation: Evaluation, found: Sequence[Comparison]) -> doc.Table:
    names = [model.model.name for model in evaluation.models]
    two = len(names) == 2
    only = [f"only {name}" for name in names] if two else ["only the first", "only the second"]
    columns = doc.columns(
        "what both have met",
        *only,
        doc.Column("difference", note="points"),
        "p",
        "adjusted p",
        doc.Column("what it shows", "about"),
    )
    rows = []
    for (first, second), own in groupby(found, key=_pair):
        rows += [] if two else [doc.Row(doc.Span(f"{first}, then {second}", "b"))]
        rows += [doc.Row(_question(each), _cells(each)) for each in own]
    return doc.Table(columns, rows, "plain pairs", sortable=True, search="comparisons")


def _pair(each: Comparison) -> tuple[str, str]:
    return each.first, each.second


def _cells(each: Comparison) -> list[doc.Cell]:
    pair = each.paired
    if pair is None or each.adjusted is None:
        return [
            *(doc.Cell(DASH) for _ in range(5)),
            doc.Cell(f"not tested: {each.untested}", "note"),
        ]
    better = each.better
    said = "no difference shown" if better is None else doc.Span(f"{better} is better", "b")
    lower, upper = pair.interval
    return [
        doc.Cell(f"{pair.only_first:,}", value=pair.only_first),
        doc.Cell(f"{pair.only_second:,}", value=pair.only_second),
        doc.Cell(
            _signed(pair.difference),
            note=f"{points(lower)} to {points(upper)}",
            value=pair.difference,
        ),
        doc.Cell(_chance(pair.p_value), value=pair.p_value),
        doc.Cell(_chance(each.adjusted), value=each.adjusted),
        doc.Cell(said, "about"),
    ]


def _question(each: Comparison) -> str:
    if each.kind == "clean":
        return "clean"
    if each.kind == "corruption":
        return f"{spoken(each.name)}, severity {each.at}"
    if each.kind == "shift":
        return f"on {each.name}"
    at = "" if each.at is None else f" at {radius_text(each.at)}"
    name = {"worst": "worst of attacks", "certified": f"certified, {each.name}"}
    return f"{name.get(each.kind, each.name)}{at}"


def _signed(difference: float) -> str:
    text = points(difference)
    return text if difference <= 0 or float(text) == 0 else f"+{text}"


def _chance(p_value: float) -> str:
    """A p-value: three decimals."""
    return "<\N{NO-BREAK SPACE}0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _terminal(evaluation: Evaluation, found: Sequence[Comparison]) -> Iterator[doc.Block]:
    """A short table for every pair."""
    pairs = groupby(_first_ones(evaluation, found), key=_pair)
    tables = [(names, list(own)) for names, own in pairs]
    if not tables:
        return
    columns = [
        doc.Column("", align="left", wrap="whole"),
        *doc.columns("only 1st", "only 2nd", "points", "95 % interval", "p"),
    ]
    untested: dict[str, None] = {}
    for (first, second), own in tables[:SHOWN]:
        rows = []
        for each in own:
            pair = each.paired
            if pair is None:
                untested[f"{first}, {second}: {_question(each)}: {each.untested}"] = None
                cells = [DASH, DASH, DASH, "not tested", DASH]
            else:
                counts, (lower, upper) = (pair.only_first, pair.only_second), pair.interval
                ends = f"{points(lower)} to {points(upper)}"
                p_value = DASH if each.adjusted is None else _chance(each.adjusted)
                cells = [*map(str, counts), _signed(pair.difference), ends, p_value]
            rows.append(
                doc.row(_question(each), *cells, look="" if each.better is None else "best")
            )
        title = f"{first}, then {second}: right in one alone"
        yield doc.Table(columns, rows, title=title, on=doc.TERMINAL)
    left = len(tables) - SHOWN
    more = f"; {count_of(left, 'more pair')} on the page" if left > 0 else ""
    text = (
        "points: accuracy of the second minus that of the first; p: McNemar's exact test, adjusted "
        f"after Holm for all comparisons of a kind{more}"
    )
    yield doc.Text(text, "dim", on=doc.TERMINAL)
    for line in untested:
        yield doc.Text(f"not tested: {line}", "warning", on=doc.TERMINAL)


# ---- drawings ------------------------------------------------------------------------------------


def _planes(evaluation: Evaluation, summaries: Sequence[Summary]) -> Iterator[doc.Figure]:
    """Clean accuracy against what is certified, and against accuracy under all attacks."""
    radius = middle_radius(evaluation)
    at = "" if radius is None else f" at {radius_text(radius)}"
    kinds: tuple[tuple[str, Callable[[Summary], CurvePoint | None]], ...] = (
        ("certified", lambda summary: summary.certified),
        ("worst of attacks", lambda summary: summary.worst),
    )
    for what, take in kinds:
        if sum(take(summary) is not None for summary in summaries) > 1:
            notes = [
                "Whiskers are 95 % intervals of each network alone. On the dashed line nothing is "
                "lost to the radius."
            ]
            drawing = plane_chart(summaries, take, what)
            yield doc.Figure([drawing], f"Clean and {what}{at}", notes, look="card")


def plane_chart(
    summaries: Sequence[Summary], take: Callable[[Summary], CurvePoint | None], what: str
) -> Drawing:
    """Every network as a point of its clean accuracy and another one, with both intervals.

    Parameters
    ----------
    summaries : sequence of Summary
    take : callable
        The other accuracy of a network; those without are left out.
    what : str
        What that is, in words.
    """
    known = [(k, s, point) for k, s in enumerate(summaries) if (point := take(s)) is not None]
    x = _axis([s.clean.interval[0] for _, s, _ in known], "clean accuracy (%)")
    y = _axis([point.rate.interval[0] for _, _, point in known], "")
    plot, strokes, told = Plot(_FRAME, x, y), [], []
    least = max(x.low, y.low)
    plot.add("line", [(least, least), (1.0, 1.0)], "diagonal")
    for place, summary, point in known:
        look, clean, other = f"hue{place % HUES}", summary.clean, point.rate
        plot.add("line", [(end, other.share) for end in clean.interval], f"line {look}")
        plot.add("line", [(clean.share, end) for end in other.interval], f"line {look}")
        words = (
            f"{summary.model}: clean {percent(clean.share)} ({interval(clean)}), {what} "
            f"{percent(other.share)} ({interval(other)})"
        )
        at = Point(clean.share, other.share, words=words)
        strokes.append(Stroke(summary.model, look, (at,), ends=True))
        told.append(words)
    corner = plot.at(1.0, 1.0)
    plot.marks.append(Mark("dot", (corner,), "size", "ideal: always right", size=3.5))
    plot.text(corner[0] - 7, corner[1] - 7, "ideal", "axis", "end")
    plot.text(plot.left - 36, corner[1] - 16, f"{what} (%)", "axis", "start")
    drawn = line_chart(strokes, _FRAME, x, y, words="; ".join(told))
    return replace(drawn, marks=(*drawn.marks, *plot.marks))


def _axis(lows: Sequence[float], title: str) -> Axis:
    """From below the lowest interval to the ideal."""
    low = max(min(lows) - 0.04 * (1 - min(lows)), 0.0)
    marks = [(tick, tick_text(round(100 * tick, 6))) for tick in ticks(low, 1.0, about=4)]
    return Axis(low, 1.0, ticks=marks, title=title)
