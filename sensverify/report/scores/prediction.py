"""Correlations with targets as matrices, and what holds without a backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sensverify.report import document as doc
from sensverify.report.formatting import DASH, signed
from sensverify.report.scores.common import data, matrix, reasons, told
from sensverify.scores.prediction import Estimate, Prediction, Predictions


def prediction_section(found: Predictions) -> doc.Section:
    """Correlations with their intervals, with clean accuracy held fixed or not."""
    return doc.Section(
        "prediction",
        "Prediction of robustness",
        tuple(_blocks(found)),
        data=(
            data("predictions", lambda: map(_values, found.pairs)),
            data("left-out", lambda: _left_out(found)),
        ),
    )


def _blocks(found: Predictions) -> Iterator[doc.Block]:
    text = (
        f"Pearson's correlation of robustness to the shifts on the left with that to those above, "
        f"by {found.metric}. Points are {found.over}."
    )
    if found.resamples:
        text += f" Beside each, the 95 % interval over them ({found.resamples:,} resamples)."
    if found.benchmark:
        text += f" The benchmark is the mean of {', '.join(found.benchmark)}."
    yield doc.Text(text)
    yield from _matrix(found, lambda each: each.pearson, "correlation")
    title = "correlation with clean accuracy held fixed"
    yield from _matrix(found, lambda each: each.partial, title)
    pairs = [
        (f"{each.column} with {each.target}", estimate.reason)
        for each in found.pairs
        for estimate in dict.fromkeys((each.pearson, each.partial))
        if estimate.reason
    ]
    if pairs:
        yield from told(reasons(pairs))
    rows = [_without(each) for each in found.pairs if each.left_out]
    if rows:
        yield doc.Text(
            "With one backbone left out at a time: the least and the largest correlation of the "
            "others, how far a target is from the line of the others on average, and the share of "
            "its variance that these lines explain (below 0, its mean is nearer)."
        )
        columns = ("target", "least", "largest", "distance", "explained")
        yield from matrix(columns, rows, "without one backbone")


def _matrix(
    found: Predictions, take: Callable[[Prediction], Estimate], title: str
) -> Iterator[doc.Block]:
    wide = len(found.targets)
    rows = [
        doc.row(name, *(_cell(take(p), p) for p in found.pairs[place * wide : (place + 1) * wide]))
        for place, name in enumerate(found.columns)
    ]
    yield from matrix(found.targets, rows, title, strength=float)


def _cell(each: Estimate, pair: Prediction) -> doc.Cell:
    if each.value is None:
        return doc.Cell(DASH, title=each.reason)
    note = ""
    if each.lower is not None and each.upper is not None:
        note = f"{signed(each.lower, 2)} to {signed(each.upper, 2)}"
    chance = "" if each.p_value is None else f", p = {each.p_value:.2g}"
    title = f"{pair.networks} points{chance}"
    return doc.Cell(signed(each.value, 3), note=note, title=title, value=each.value)


def _without(each: Prediction) -> doc.Row:
    known = [one for one in each.left_out if one.correlation is not None]
    ends: list[doc.Cell] = [doc.Cell(DASH), doc.Cell(DASH)]
    if known:
        ordered = sorted(known, key=lambda one: one.correlation or 0)
        ends = [
            doc.Cell(
                signed(one.correlation or 0, 3),
                title=f"without {one.backbone}",
                value=one.correlation,
            )
            for one in (ordered[0], ordered[-1])
        ]
    missed = [one.error for one in each.left_out]
    weights = [one.networks for one in each.left_out]
    distance: float | None = None
    if all(error is not None for error in missed):
        total = sum((error or 0) * count for error, count in zip(missed, weights, strict=True))
        distance = total / sum(weights)
    return doc.row(
        each.column, each.target, *ends, _number(distance, 4), _number(each.explained, 3)
    )


def _number(value: float | None, places: int) -> doc.Cell:
    return doc.Cell(DASH if value is None else signed(value, places), value=value)


def _values(each: Prediction) -> tuple[doc.Value, ...]:
    one, other = each.pearson, each.partial
    return (
        *(each.column, each.target, each.networks),
        *(one.value, one.lower, one.upper, one.p_value),
        *(other.value, other.lower, other.upper, other.p_value),
        *(each.explained, one.reason or None, other.reason or None),
    )


def _left_out(found: Predictions) -> Iterator[tuple[doc.Value, ...]]:
    for pair in found.pairs:
        for each in pair.left_out:
            yield (
                *(pair.column, pair.target, each.backbone, each.networks),
                *(each.correlation, each.error),
            )
