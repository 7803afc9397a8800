"""A landscape with its measurements, its tree and its answers: all that a report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, log10

import numpy as np

from sensverify.core.record import RunRecord
from sensverify.landscape.answers import (
    FEWEST_OF_FUNNEL,
    Answers,
    MeasuredMinimum,
    OverEstimate,
    answers,
    over_estimates,
)
from sensverify.landscape.course import Snapshot
from sensverify.landscape.disconnectivity import Disconnectivity, disconnectivity
from sensverify.landscape.folder import Landscape
from sensverify.landscape.measuring import MeasuredLandscape
from sensverify.landscape.points import Link, StationaryPoint
from sensverify.landscape.relu import Continuation
from sensverify.landscape.request import LandscapeRequest
from sensverify.landscape.sensitivity import NetworkRow, SensitivitySettings

_BELOW = 1e-6
"""Energy by which a saddle may lie below an end of its paths, in shares of the larger of 1 and it:
a path ends within the tolerance of a descent, and what it ends at may be known already as another
of the same energy."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Findings:
    """A landscape as far as it is searched and measured.

    Parameters
    ----------
    request : LandscapeRequest
    complete : bool
        Whether nothing is left to search.
    tree : Disconnectivity
        Of all minima, by the energies that were searched.
    keys : tuple of str
        Of all minima, in the order of the tree.
    points : mapping from str to StationaryPoint
        All points, by key.
    saddles : tuple of StationaryPoint
    links : tuple of Link
    refused : tuple of Link
        Whose saddle lies below a minimum that it leads down to: not in the tree.
    settings : SensitivitySettings
    minima : tuple of MeasuredMinimum
        From the lowest energy.
    answers : Answers
    over : tuple of OverEstimate
    course : tuple of (Snapshot, NetworkRow)
        Along trainings, one after the other.
    reasons : mapping from str to int
        Why something could not be measured, and of how many minima.
    samples, test : int
        Numbers of all samples and of test samples.
    repeats : mapping from str to str
        Minima that end at the network of another, which alone is measured, and its key.
    seconds : float
        That the measurements took, of all workers together.
    record : RunRecord
    """

    request: LandscapeRequest
    complete: bool
    tree: Disconnectivity
    keys: tuple[str, ...]
    points: Mapping[str, StationaryPoint]
    saddles: tuple[StationaryPoint, ...]
    links: tuple[Link, ...]
    refused: tuple[Link, ...]
    settings: SensitivitySettings
    minima: tuple[MeasuredMinimum, ...]
    answers: Answers
    over: tuple[OverEstimate, ...]
    course: tuple[tuple[Snapshot, NetworkRow], ...]
    reasons: Mapping[str, int]
    samples: int
    test: int
    seconds: float
    repeats: Mapping[str, str] = field(default_factory=dict)
    record: RunRecord = field(default_factory=RunRecord.now)

    @property
    def title(self) -> str:
        """Of the landscape."""
        request = self.request
        return request.title or f"{request.model} on {request.data}"

    @property
    def stationary(self) -> tuple[MeasuredMinimum, ...]:
        """The measured minima that are stationary within their tolerance."""
        return tuple(each for each in self.minima if each.stationary)

    @property
    def funnels(self) -> dict[str, int]:
        """Minima of each funnel that has enough of them, by the key of its lowest."""
        found = Counter(self.keys[place] for place in self.tree.funnel.tolist())
        return {key: found[key] for key in self.keys if found[key] >= FEWEST_OF_FUNNEL}


def findings(
    landscape: Landscape,
    measured: MeasuredLandscape,
    settings: SensitivitySettings,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Findings:
    """Put together what there is of a landscape.

    Parameters
    ----------
    landscape : Landscape
    measured : MeasuredLandscape
        Of some of its minima or all.
    settings : SensitivitySettings
        That they were measured with.
    resamples, seed : int
        See `answers`.

    Raises
    ------
    BadData
        There is no minimum; or see `answers`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sensverify.landscape import LandscapeRequest, Search, Settings, run_landscape
    >>> from sensverify.landscape.sensitivity import SensitivitySettings
    >>> request = LandscapeRequest(
    ...     data="iris", model="mlp-4-4", activation="tanh", standardise=True, scale=3.0,
    ...     settings=Settings(search=Search(starts=10, rounds=0)),
    ... )
    >>> landscape = run_landscape(request, Path("land"))
    >>> settings = SensitivitySettings(sigmas=(0.05,), methods=("exact", "crown"), gap=0.01)
    >>> from sensverify.landscape.measuring import chosen_minima, measure_landscape
    >>> minima = chosen_minima(landscape, 3)
    >>> measured = measure_landscape(landscape, Path("land"), settings, minima=minima)
    >>> found = findings(landscape, measured, settings)
    >>> found.answers.claim.verdict in ("holds", "the opposite holds", "is open")
    True
    >>> from sensverify.report.landscape.write import write_networks, write_report
    >>> [path.name for path in write_report(found, Path("land"))][-1]
    'report.html'
    >>> write_networks(found, landscape, Path("networks"))[0].suffix
    '.onnx'
    """
    database = landscape.database
    points = database.minima
    tree, refused = tree_of(points, database.points, database.links)
    keys = tuple(point.key for point in points)
    relu = landscape.request.settings.relu
    funnel = {key: keys[place] for key, place in zip(keys, tree.funnel.tolist(), strict=True)}
    minima = [
        _minimum(point, funnel[point.key], measured.rows[point.key], relu)
        for point in points
        if point.key in measured.rows and point.key not in landscape.repeats
    ]
    minima.sort(key=lambda each: (each.energy, each.key))
    reasons = Counter(
        f"{what}: {why}" for row in measured.rows.values() for what, why in row.reasons.items()
    )
    return Findings(
        request=landscape.request,
        complete=landscape.complete,
        tree=tree,
        keys=keys,
        points=database.points,
        saddles=database.saddles,
        links=database.links,
        refused=refused,
        settings=settings,
        minima=tuple(minima),
        answers=answers(minima, settings, resamples=resamples, seed=seed),
        over=over_estimates(minima, settings),
        course=measured.course,
        reasons=dict(reasons),
        samples=len(landscape.split.train) + len(landscape.split.test),
        test=len(landscape.split.test),
        seconds=measured.seconds,
        repeats=landscape.repeats,
    )


def tree_of(
    minima: Sequence[StationaryPoint],
    points: Mapping[str, StationaryPoint],
    links: Sequence[Link],
) -> tuple[Disconnectivity, tuple[Link, ...]]:
    """The disconnectivity graph of a database, and the links that cannot be in it.

    Parameters
    ----------
    minima : sequence of StationaryPoint
    points : mapping from str to StationaryPoint
        All points, by key.
    links : sequence of Link

    Raises
    ------
    BadData
        There is no minimum, or an energy is no finite number.
    """
    places = {point.key: place for place, point in enumerate(minima)}
    kept: list[Link] = []
    refused: list[Link] = []
    for link in links:
        above = max(points[key].energy for key in link.minima)
        good = points[link.saddle].energy >= above - _BELOW * max(1.0, abs(above))
        (kept if good else refused).append(link)
    heights = [
        # What lies below by rounding alone is as high.
        max(points[each.saddle].energy, *(points[key].energy for key in each.minima))
        for each in kept
    ]
    ends = [[places[key] for key in each.minima] for each in kept]
    energies = [point.energy for point in minima]
    found = disconnectivity(energies, heights, np.array(ends, dtype=np.int64).reshape(-1, 2))
    return found, tuple(refused)


def _minimum(
    point: StationaryPoint, funnel: str, row: NetworkRow, relu: Continuation
) -> MeasuredMinimum:
    end, volume = point.relu, point.log_volume
    return MeasuredMinimum(
        key=point.key,
        energy=point.final_energy,
        smooth_energy=point.energy,
        weight_norm=float(np.linalg.norm(point.final_weights)),
        stationary=point.stationary and (end is None or end.passed),
        stationarity=point.gradient_norm if end is None else relu.judged_by(end),
        funnel=funnel,
        basin_log_volume=volume if isfinite(volume) else None,
        values=row.values,
    )


def file_names(minima: Sequence[MeasuredMinimum]) -> dict[str, str]:
    """Names of files by keys, in the order of the energies: ``0001-m12.onnx``."""
    digits = max(4, int(log10(max(len(minima), 1))) + 1)
    return {each.key: f"{at:0{digits}d}-{each.key}.onnx" for at, each in enumerate(minima, start=1)}
