"""Tidy tables of a landscape: one fact a row, for files and for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import numpy as np

from sensverify.landscape.findings import Findings
from sensverify.landscape.sensitivity import names_of
from sensverify.report.document import Data, Value

_MINIMUM = (
    *("minimum", "energy", "smooth energy", "weight norm", "stationary", "stationarity"),
    *("gradient norm", "zero modes", "basin log-volume", "funnel", "joins at", "joins"),
    *("found",),
)
_ESTIMATES = ("value", "lower", "upper", "p_value", "reason")
_RANKS = (
    *("column", "group", "minima"),
    *(f"{what} {each}" for what in ("spearman", "kendall", "partial") for each in _ESTIMATES),
)


def tables(found: Findings) -> tuple[Data, ...]:
    """All of them; those of a landscape without saddles have no row."""
    names = names_of(found.settings)
    return (
        Data("minima", (*_MINIMUM, *names), lambda: _minima(found)),
        Data("saddles", ("saddle", "energy", "one", "other", "in tree"), lambda: _saddles(found)),
        Data("ranks", _RANKS, lambda: _ranks(found)),
        Data(
            "over-estimates",
            ("method", "sigma", "minimum", "over-estimate"),
            lambda: _over(found),
        ),
        Data("course", ("seed", "step", "energy", *names), lambda: _course(found)),
        Data("reasons", ("reason", "minima"), lambda: sorted(found.reasons.items())),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None


def _minima(found: Findings) -> Iterator[tuple[Value, ...]]:
    measured = {each.key: each for each in found.minima}
    names = names_of(found.settings)
    tree = found.tree
    for place in np.argsort(tree.energies, kind="stable").tolist():
        key = found.keys[place]
        each, point = measured.get(key), found.points[key]
        joined = int(tree.into[place])
        values = {} if each is None else each.values
        yield (
            key,
            _finite(point.final_energy),
            _finite(point.energy),
            _finite(float(np.linalg.norm(point.final_weights))),
            None if each is None else each.stationary,
            None if each is None else _finite(each.stationarity),
            _finite(point.gradient_norm),
            point.zero,
            _finite(point.log_volume),
            found.keys[int(tree.funnel[place])],
            _finite(float(tree.joins[place])),
            found.keys[joined] if joined != place else None,
            point.origin,
            *(_finite(values.get(name)) for name in names),
        )


def _saddles(found: Findings) -> Iterator[tuple[Value, ...]]:
    links = {each.saddle: each for each in found.links}
    refused = {each.saddle for each in found.refused}
    for point in found.saddles:
        link = links.get(point.key)
        ends = (None, None) if link is None else link.minima
        in_tree = link is not None and point.key not in refused
        yield point.key, _finite(point.energy), *ends, in_tree


def _ranks(found: Findings) -> Iterator[tuple[Value, ...]]:
    for each in found.answers.ranks:
        row: list[Value] = [each.column, each.group, each.networks]
        for estimate in (each.spearman, each.kendall, each.partial):
            numbers = (estimate.value, estimate.lower, estimate.upper, estimate.p_value)
            row += [*map(_finite, numbers), estimate.reason or None]
        yield tuple(row)


def _over(found: Findings) -> Iterator[tuple[Value, ...]]:
    for each in found.over:
        for minimum, value in zip(found.minima, each.values, strict=True):
            yield each.method, each.sigma, minimum.key, _finite(value)


def _course(found: Findings) -> Iterator[tuple[Value, ...]]:
    names = names_of(found.settings)
    for shot, row in found.course:
        values = (_finite(row.values.get(name)) for name in names)
        yield shot.seed, shot.step, _finite(shot.energy), *values
