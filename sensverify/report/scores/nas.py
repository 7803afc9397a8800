"""Cells of NAS-Bench-201: what searches find, and the best ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sensverify.core.brief import count_of
from sensverify.models.nas201 import OPERATIONS, cell_at
from sensverify.report import document as doc
from sensverify.report.chart import Axis, Frame, Point, Stroke, line_chart, ticks, value_axis
from sensverify.report.formatting import DASH, percent, printed
from sensverify.report.scores.common import data, matrix, told
from sensverify.report.theme import HUES
from sensverify.scores.nas.search import Best, Goal, Mean, Searches
from sensverify.scores.nas.top import Tops

_FRAME = Frame(380, 250, left=48, right=100, letters=12)
_POINTS = 100
"""Places of a line over the queries."""

_NAMED = 3

_SHORT = dict(zip(OPERATIONS, ("none", "skip", "conv 1x1", "conv 3x3", "pool"), strict=True))
"""Operations in tables."""


def search_section(found: Searches) -> doc.Section:
    """Means over the cells that each strategy found, and the course of the searches."""
    return doc.Section(
        "nas-search",
        "Architecture search",
        tuple(_search_blocks(found)),
        data=(
            data("nas-means", lambda: map(_mean_values, found.means)),
            data("nas-optimum", lambda: map(_best_values, found.best)),
            data("nas-found", lambda: _found_values(found)),
            data("nas-courses", lambda: _course_values(found)),
        ),
    )


def _search_blocks(found: Searches) -> Iterator[doc.Block]:
    yield doc.Text(
        f"Means over {count_of(found.runs, 'search', 'searches')} by each strategy, of the best "
        f"cell in at most {count_of(found.queries, 'query', 'queries')}, with 95 % intervals by "
        "Student's t. Optimum: the largest value of each column, not always of one cell."
    )
    for goal in found.goals:
        rows = [doc.row("optimum", *(_optimum(each, found.measures) for each in found.best))]
        for strategy in found.strategies:
            own = [m for m in found.means if (m.objective, m.strategy) == (goal.column, strategy)]
            rows.append(doc.row(strategy, *(_cell(each, found.measures) for each in own)))
        columns = tuple(each.column for each in found.best)
        yield from matrix(columns, rows, f"search on {goal.column}")
        yield doc.Text(_goal_text(goal, found.measures), "note")
    yield doc.Group([_figure(goal, found) for goal in found.goals], "pair", on=doc.PAGE)
    lines = [*_without(found), *_others(found.others)]
    if lines:
        yield from told(lines)


def _goal_text(goal: Goal, measures: Collection[str]) -> str:
    shared = "" if goal.measured == goal.cells else f", {goal.measured:,} of them different"
    edges = ", ".join(_SHORT[name] for name in cell_at(goal.cell).operations)
    return (
        f"{goal.column}: {count_of(goal.cells, 'cell')} can be asked{shared}; the best, with "
        f"{_text(goal.column, goal.value, measures)}, is nas201:{goal.cell}, whose edges are "
        f"{edges}."
    )


def _without(found: Searches) -> Iterator[str]:
    for each in found.means:
        if each.runs < found.runs:
            yield (
                f"{each.column} is known of {each.runs:,} of the {found.runs:,} cells that "
                f"{each.strategy} found on {each.objective}."
            )


def _others(names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        yield f"Left out, as their names tell no cell: {', '.join(names[:_NAMED])}{more}."


def _text(column: str, value: float, measures: Collection[str]) -> str:
    return printed(value) if column in measures else percent(value, 2)


def _optimum(each: Best, measures: Collection[str]) -> doc.Cell:
    if each.value is None:
        return doc.Cell(DASH, title="known of no cell")
    title = f"nas201:{each.cell}"
    return doc.Cell(_text(each.column, each.value, measures), title=title, value=each.value)


def _cell(each: Mean, measures: Collection[str]) -> doc.Cell:
    if each.mean is None:
        return doc.Cell(DASH, title="known of no cell that was found")
    note = ""
    if each.upper is not None:
        reach = each.upper - each.mean
        note = f"± {printed(reach) if each.column in measures else f'{100 * reach:.2f}'}"
    return doc.Cell(
        _text(each.column, each.mean, measures),
        note=note,
        title=f"{each.runs:,} runs",
        value=each.mean,
    )


def _figure(goal: Goal, found: Searches) -> doc.Figure:
    strokes = []
    for place, strategy in enumerate(found.strategies):
        course = found.courses[goal.column, strategy]
        step = -(-len(course) // _POINTS)
        places = sorted({*range(0, len(course), step), len(course) - 1})
        points = tuple(
            Point(
                query + 1,
                float(course[query]),
                words=f"{strategy}, {count_of(query + 1, 'query', 'queries')}: "
                f"{_text(goal.column, float(course[query]), found.measures)}",
            )
            for query in places
        )
        strokes.append(Stroke(strategy, f"hue{place % HUES} bold", points))
    drawing = line_chart(
        strokes,
        _FRAME,
        _queries_axis(found.queries),
        _value_axis(goal, strokes, found.measures),
        words=f"Best {goal.column} so far by the number of queries, mean over the searches",
    )
    return doc.Figure([drawing], f"Best {goal.column} so far", look="card")


def _queries_axis(queries: int) -> Axis:
    end = max(queries, 2)
    marks = sorted({1, *(int(mark) for mark in ticks(0, end, about=4) if mark >= 1)})
    if len(marks) > 2 and marks[1] - 1 < 0.1 * end:
        del marks[1]
    return Axis(1, end, ticks=[(mark, f"{mark:,}") for mark in marks], title="queries")


def _value_axis(goal: Goal, strokes: Sequence[Stroke], measures: Collection[str]) -> Axis:
    values = [point.y for stroke in strokes for point in stroke.points] + [goal.value]
    if goal.column in measures:
        return value_axis(values)
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.02
    low, high = max(low - room, 0.0), min(high + room, 1.0)
    places = 0 if high - low > 0.04 else 1
    marks = [mark / 100 for mark in ticks(100 * low, 100 * high)]
    return Axis(low, high, ticks=[(mark, percent(mark, places)) for mark in marks])


def _mean_values(each: Mean) -> tuple[doc.Value, ...]:
    return (
        *(each.objective, each.strategy, each.column),
        *(each.runs, each.mean, each.lower, each.upper),
    )


def _best_values(each: Best) -> tuple[doc.Value, ...]:
    cell = None if each.cell is None else str(cell_at(each.cell))
    return each.column, each.value, each.cell, cell


def _found_values(found: Searches) -> Iterator[tuple[doc.Value, ...]]:
    for each in found.found:
        yield (
            *(each.objective, each.strategy, each.run, each.cell, str(cell_at(each.cell))),
            *(each.value, each.queries, each.after),
        )


def _course_values(found: Searches) -> Iterator[tuple[doc.Value, ...]]:
    for (objective, strategy), course in found.courses.items():
        for query, value in enumerate(course, start=1):
            yield objective, strategy, query, float(value)


def top_section(found: Tops) -> doc.Section:
    """The best cells with their edges, and how often operations stand on each."""
    return doc.Section(
        "nas-top",
        "The best cells",
        tuple(_top_blocks(found)),
        data=(
            data("nas-top", lambda: _top_values(found)),
            data(
                "nas-edges", lambda: ((s.edge, s.operation, s.top, s.every) for s in found.shares)
            ),
        ),
    )


def _top_blocks(found: Tops) -> Iterator[doc.Block]:
    having = f" with {found.having}" if found.having else ""
    yield doc.Text(
        f"The {count_of(len(found.cells), 'cell')} of {found.considered:,}{having} that have the "
        f"largest {found.by}. Edges lead from node to node, from the input, 0, to the output, 3."
    )
    rows = [
        doc.row(
            f"{each.cell.name}",
            *(
                doc.Cell(DASH if value is None else _text(name, value, found.measures), value=value)
                for name, value in zip(found.columns, each.values, strict=True)
            ),
        )
        for each in found.cells
    ]
    yield from matrix(found.columns, rows, f"the largest {found.by}")
    edges = ("0 to 1", "0 to 2", "1 to 2", "0 to 3", "1 to 3", "2 to 3")
    strings = [
        doc.row(each.cell.name, *(_SHORT[name] for name in each.cell.operations))
        for each in found.cells
    ]
    yield from matrix(edges, strings, "their edges")
    if len(found.cells) < found.considered:
        yield from _counts(found, edges)
    lines = [*_others(found.others)]
    if lines:
        yield from told(lines)


def _counts(found: Tops, edges: Sequence[str]) -> Iterator[doc.Block]:
    counted = [
        doc.row(
            _SHORT[name],
            *(
                doc.Cell(
                    percent(share.top, 0), note=f"({percent(share.every, 0)})", value=share.top
                )
                for share in found.shares
                if share.operation == name
            ),
        )
        for name in OPERATIONS
    ]
    title = "operations by edge, among these (and among all)"
    yield from matrix(edges, counted, title, strength=float)


def _top_values(found: Tops) -> Iterator[tuple[doc.Value, ...]]:
    for each in found.cells:
        for column, value in zip(found.columns, each.values, strict=True):
            yield each.rank, each.cell.index, str(each.cell), column, value
