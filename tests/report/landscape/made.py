"""A landscape made by hand, with measurements as large as those of a search."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from sensverify.landscape.answers import MeasuredMinimum, answers, over_estimates
from sensverify.landscape.course import Snapshot
from sensverify.landscape.findings import Findings, tree_of
from sensverify.landscape.points import DescentPath, Link, ReluEnd, StationaryPoint
from sensverify.landscape.request import LandscapeRequest
from sensverify.landscape.sensitivity import (
    ATTAINED,
    Column,
    NetworkRow,
    SensitivitySettings,
    columns_of,
    names_of,
    undecided_name,
)

PATH = DescentPath(np.array([0.0, 1.0]), np.array([1.0, 0.0]))


def made(
    count: int = 60,
    *,
    slope: float = 20.0,
    marked: int = 3,
    title: str = "Iris",
    settings: SensitivitySettings | None = None,
    **changed: Any,
) -> Findings:
    """Minima in two valleys, whose sensitivities rise with the energy at a slope.

    Parameters
    ----------
    count : int
    slope : float
    marked : int
        Minima that are not stationary.
    title : str
    settings : SensitivitySettings, optional
    **changed
        Other fields of the findings.
    """
    settings = settings or SensitivitySettings()
    draws = np.random.default_rng(3)
    energies = np.sort(0.05 + 0.01 * draws.gamma(3, 1, count))
    minima = [_point(f"m{at + 1}", energy, at >= marked) for at, energy in enumerate(energies)]
    saddles, links = [], []
    for at in range(1, count - 1):
        # The last one is linked with nothing.
        other = int(draws.integers(at % 2, at, endpoint=False)) if at > 2 else 0
        height = float(energies[at] + draws.exponential(0.008))
        saddles.append(_point(f"s{at}", height, True))
        links.append(Link(f"s{at}", (f"m{other + 1}", f"m{at + 1}"), (PATH, PATH)))
    points = {each.key: each for each in (*minima, *saddles)}
    tree, refused = tree_of(minima, points, links)
    keys = tuple(each.key for each in minima)
    measured = [
        MeasuredMinimum(
            key=point.key,
            energy=point.final_energy,
            smooth_energy=point.energy,
            weight_norm=float(draws.normal(9, 1)),
            stationary=at >= marked,
            stationarity=1e-8 if at >= marked else 0.02,
            funnel=keys[int(tree.funnel[at])],
            basin_log_volume=None,
            values=_values(settings, slope * point.energy, draws),
        )
        for at, point in enumerate(minima)
    ]
    course = tuple(
        (
            Snapshot(10 * at, 1.0 / (1 + at), np.zeros(4)),
            NetworkRow(values=_values(settings, 0.1 * at, draws), reasons={}),
        )
        for at in range(30)
    )
    values: dict[str, Any] = {
        "request": LandscapeRequest(data="iris", model="iris", relu=True, title=title),
        "complete": True,
        "tree": tree,
        "keys": keys,
        "points": points,
        "saddles": tuple(saddles),
        "links": tuple(links),
        "refused": refused,
        "settings": settings,
        "minima": tuple(measured),
        "answers": answers(measured, settings, resamples=100),
        "over": over_estimates(measured, settings),
        "course": course,
        "reasons": {},
        "samples": 150,
        "test": 30,
        "seconds": 100.0,
    }
    return Findings(**{**values, **changed})


def _point(key: str, energy: float, good: bool) -> StationaryPoint:
    weights = np.zeros(4)
    end = ReluEnd(weights, float(energy), 0.01, 0.0 if good else 0.02, 1e-3, 9, good)
    return StationaryPoint(
        weights=weights,
        energy=float(energy),
        gradient_norm=1e-8,
        spectrum=np.ones(4),
        negative=int(key.startswith("s")),
        zero=0,
        zero_tolerance=1e-9,
        relu=end if key.startswith("m") else None,
        key=key,
    )


def _values(
    settings: SensitivitySettings, height: float, draws: np.random.Generator
) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys(names_of(settings), 0.02)
    base = height + 0.4 * float(draws.normal())
    factors = {"exact": 1.002, ATTAINED: 1.0, "alpha-crown": 1.5, "crown": 2.5, "lp-dual": 2.2}
    for column in columns_of(settings):
        logarithm = base + log(factors[column.method]) + 30 * column.sigma
        volume = column.figure == "sensitivity"
        found[column.name] = float(np.exp(logarithm)) if volume else logarithm
    for sigma in settings.sigmas:
        if "exact" in settings.methods:
            found[undecided_name(sigma)] = 0.0
    return found


def exact_name(part: str = "all") -> str:
    """Column of the exact sensitivity at sigma 0.1."""
    return Column("sensitivity", "exact", 0.1, part).name
