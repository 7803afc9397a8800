"""Finished tasks of a landscape as lines of a journal: what each has found."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sensverify.landscape.points import DescentPath, ReluEnd, StationaryPoint
from sensverify.runs.journal import RowType

KIND = "landscape"


@dataclass(frozen=True, eq=False)
class FoundLink:
    """A saddle of a task's points and the ends of its paths, by their places among the points."""

    saddle: int
    minima: tuple[int, int]
    paths: tuple[DescentPath, DescentPath]


@dataclass(frozen=True, eq=False)
class Found:
    """Points and links that a task has found.

    Parameters
    ----------
    key : str
        Of the task.
    points : tuple of StationaryPoint
        Without keys; equivalent ones may be among them.
    links : tuple of FoundLink
    ends : mapping from str to ReluEnd
        By the key that a minimum has in the database.
    lost : mapping from str to int
        Searches that ended at no such point, by the reason: ``diverged``, ``not converged``,
        ``other index``, ``path without end``.
    seconds : float
        Of processor time.
    evaluations : int
        Of the energy with its gradient.
    """

    key: str
    points: tuple[StationaryPoint, ...] = ()
    links: tuple[FoundLink, ...] = ()
    ends: Mapping[str, ReluEnd] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    evaluations: int = 0


def packed(values: Any) -> str:
    """Float64 numbers as text: their bytes, little-endian, in base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode("ascii")


def unpacked(text: str) -> np.ndarray:
    """Back, ``[numbers]``."""
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").astype(np.float64)


def to_plain(row: Found) -> dict[str, Any]:
    """A row as JSON holds it."""
    return {
        "key": row.key,
        "points": [_plain_point(each) for each in row.points],
        "links": [_plain_link(each) for each in row.links],
        "ends": {key: _plain_end(each) for key, each in row.ends.items()},
        "lost": dict(row.lost),
        "seconds": row.seconds,
        "evaluations": row.evaluations,
    }


def from_plain(values: Mapping[str, Any]) -> Found:
    """Back."""
    points = tuple(_point(each) for each in values["points"])
    links = tuple(_link(each, len(points)) for each in values["links"])
    ends = {str(key): _end(each) for key, each in values["ends"].items()}
    lost = {str(name): int(count) for name, count in values["lost"].items()}
    return Found(
        str(values["key"]),
        points,
        links,
        ends,
        lost,
        float(values["seconds"]),
        int(values["evaluations"]),
    )


ROWS = RowType(KIND, to_plain, from_plain)


def _plain_point(point: StationaryPoint) -> dict[str, Any]:
    return {
        "weights": packed(point.weights),
        "energy": point.energy,
        "gradient_norm": point.gradient_norm,
        "spectrum": packed(point.spectrum),
        "negative": point.negative,
        "zero": point.zero,
        "zero_tolerance": point.zero_tolerance,
        "stationary": point.stationary,
        "origin": point.origin,
        "relu": None if point.relu is None else _plain_end(point.relu),
    }


def _plain_end(end: ReluEnd) -> dict[str, Any]:
    return {**asdict(end), "weights": packed(end.weights)}


def _end(values: Mapping[str, Any]) -> ReluEnd:
    return ReluEnd(**{**values, "weights": unpacked(values["weights"])})


def _point(values: Mapping[str, Any]) -> StationaryPoint:
    weights, spectrum = unpacked(values["weights"]), unpacked(values["spectrum"])
    if weights.shape != spectrum.shape or not np.isfinite(weights).all():
        raise ValueError("a point whose weights and eigenvalues do not fit")
    return StationaryPoint(
        weights=weights,
        energy=float(values["energy"]),
        gradient_norm=float(values["gradient_norm"]),
        spectrum=spectrum,
        negative=int(values["negative"]),
        zero=int(values["zero"]),
        zero_tolerance=float(values["zero_tolerance"]),
        stationary=bool(values["stationary"]),
        origin=str(values["origin"]),
        # Journals of before have none.
        relu=None if values.get("relu") is None else _end(values["relu"]),
    )


def _plain_link(link: FoundLink) -> dict[str, Any]:
    return {
        "saddle": link.saddle,
        "minima": list(link.minima),
        "paths": [[packed(each.lengths), packed(each.energies)] for each in link.paths],
    }


def _link(values: Mapping[str, Any], count: int) -> FoundLink:
    saddle, ends = int(values["saddle"]), [int(each) for each in values["minima"]]
    if not all(0 <= each < count for each in (saddle, *ends)):
        raise ValueError("a link to a point that is not there")
    first, second = (_path(each) for each in values["paths"])
    return FoundLink(saddle, (ends[0], ends[1]), (first, second))


def _path(values: Sequence[str]) -> DescentPath:
    lengths, energies = map(unpacked, values)
    return DescentPath(lengths, energies)
