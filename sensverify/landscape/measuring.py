"""Sensitivities of all minima of a landscape, and along trainings, in its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.bounds.threads import torch_threads
from sensverify.errors import BadData, BadSetting, MissingRule, Unbounded
from sensverify.formats.modules import from_module
from sensverify.landscape.course import Snapshot
from sensverify.landscape.folder import Landscape
from sensverify.landscape.network_energy import NetworkEnergy
from sensverify.landscape.points import StationaryPoint
from sensverify.landscape.request import LandscapeRequest
from sensverify.landscape.rows import packed, unpacked
from sensverify.landscape.sensitivity import (
    AroundSamples,
    NetworkRow,
    SensitivitySettings,
    main_sigma,
    measure_network,
    names_of,
    take_measures,
)
from sensverify.network import Network
from sensverify.runs.journal import Journal, RowType
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Here, Processes, Report, Task, Workers

FILE = "sensitivity.jsonl"
"""The journal, beside that of the landscape."""

KIND = "measurement of a landscape"


@dataclass(frozen=True)
class Entry:
    """A network that is measured: at one radius, or by its measures.

    Parameters
    ----------
    digest : str
        Of its weights, its activation and the settings: what is done once is not done again.
    name : str
        Key of the minimum, or the seed and the step of a training, and what is measured.
    row : NetworkRow
    seconds : float
        Of wall time.
    """

    digest: str
    name: str
    row: NetworkRow
    seconds: float = 0.0


def _to_plain(entry: Entry) -> dict[str, Any]:
    return {
        "digest": entry.digest,
        "name": entry.name,
        "values": dict(entry.row.values),
        "reasons": dict(entry.row.reasons),
        "seconds": entry.seconds,
    }


def _from_plain(values: Mapping[str, Any]) -> Entry:
    known = {str(n): None if v is None else float(v) for n, v in values["values"].items()}
    reasons = {str(name): str(why) for name, why in values["reasons"].items()}
    row = NetworkRow(values=known, reasons=reasons)
    return Entry(str(values["digest"]), str(values["name"]), row, float(values["seconds"]))


ROWS = RowType(KIND, _to_plain, _from_plain)


@dataclass(frozen=True, eq=False)
class Subject:
    """A network to measure, as plain values tell it.

    Parameters
    ----------
    name : str
    weights : numpy array, shape ``[size]``
    relu : bool
        Whether every activation is ReLU, in the place of the one that was searched with.
    """

    name: str
    weights: np.ndarray
    relu: bool


@dataclass(frozen=True, eq=False)
class MeasuredLandscape:
    """The networks of a landscape that are measured by now.

    Parameters
    ----------
    rows : mapping from str to NetworkRow
        By key of the minimum.
    course : tuple of (Snapshot, NetworkRow)
        Along trainings.
    complete : bool
    seconds : float
        Of wall time for what there is, of all workers together.
    """

    rows: Mapping[str, NetworkRow]
    course: tuple[tuple[Snapshot, NetworkRow], ...] = ()
    complete: bool = False
    seconds: float = field(default=0.0)


def chosen_minima(landscape: Landscape, count: int | None = None) -> tuple[StationaryPoint, ...]:
    """Minima from the lowest energy on; where fewer are wanted, some at even steps.

    Of minima that end at one network with ReLU there is the lowest alone.

    Raises
    ------
    BadData
        There is none.
    BadSetting
        The number is below 1.
    """
    found = landscape.database.minima
    if not found:
        if landscape.complete:
            raise BadData("the landscape has no minimum: every search was lost")
        raise BadData("the landscape has no minimum yet", "go on with the search")
    if count is not None and count < 1:
        raise BadSetting(f"`minima` needs a number of at least 1, got {count}")
    found = tuple(each for each in found if each.key not in landscape.repeats)
    if count is None or count >= len(found):
        return found
    places = np.unique(np.linspace(0, len(found) - 1, count).round().astype(int))
    return tuple(found[place] for place in places)


def measure_landscape(
    landscape: Landscape,
    folder: Path,
    settings: SensitivitySettings,
    *,
    minima: Sequence[StationaryPoint],
    course: Sequence[Snapshot] = (),
    jobs: int = 1,
    data_dir: Path | None = None,
    watch: Watch | None = None,
    progress: Listener | None = None,
    workers: Workers | None = None,
) -> MeasuredLandscape:
    """Measure what the folder does not have yet.

    Parameters
    ----------
    landscape : Landscape
    folder : Path
        Where `FILE` is kept: rows are added, and none is ever lost. It may hold those of other
        settings.
    settings : SensitivitySettings
    minima : sequence of StationaryPoint
    course : sequence of Snapshot
        Of trainings, measured at one radius: see `main_sigma`.
    jobs : int
        Networks at once, each in a process of its own.
    data_dir : Path, optional
    watch : Watch, optional
        Stops the networks in hand, of which nothing is kept.
    progress : callable, optional
        Called as the name of a measurement begins and ends, with an `Entry`.
    workers : Workers, optional

    Raises
    ------
    InputError
        The journal is another file or in use.
    BackendFailure
        A process died; raised when the others are done.

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
    >>> lowest = chosen_minima(landscape)[:2]
    >>> measured = measure_landscape(landscape, Path("land"), settings, minima=lowest)
    >>> measured.complete, len(measured.rows)
    (True, 2)
    >>> row = measured.rows[lowest[0].key].values
    >>> row["sensitivity(exact, sigma=0.05, all)"] <= row["sensitivity(crown, sigma=0.05, all)"]
    True
    """
    if jobs < 1:
        raise BadSetting(f"`jobs` needs a whole number of at least 1, got {jobs}")
    watch = watch or Watch()
    request = landscape.request
    alone = replace(settings, sigmas=(main_sigma(settings),), measures=())
    subjects = [
        *((settings, Subject(p.key, p.final_weights, p.relu is not None)) for p in minima),
        *((alone, Subject(each.name, each.weights, request.relu)) for each in course),
    ]
    parts = {
        subject.name: _tasks(request, subject, asked, data_dir=data_dir)
        for asked, subject in subjects
    }
    if workers is None:
        workers = Here() if jobs == 1 else Processes(jobs, threads=1, reuse=True)
    with Journal(folder / FILE, ROWS) as journal:
        tasks = {name: task for each in parts.values() for name, task in each.items()}
        _measure(tasks, journal, workers, watch, (jobs, progress))
        done = {entry.digest: entry for entry in journal.rows}
    found = {
        name: _joined([done[task.key].row for task in each.values()])
        for name, each in parts.items()
        if all(task.key in done for task in each.values())
    }
    return MeasuredLandscape(
        rows={point.key: found[point.key] for point in minima if point.key in found},
        course=tuple((each, found[each.name]) for each in course if each.name in found),
        complete=len(found) == len(parts),
        seconds=sum(done[task.key].seconds for task in tasks.values() if task.key in done),
    )


def _joined(rows: Sequence[NetworkRow]) -> NetworkRow:
    """The measurements of a network, task by task, as one."""
    return NetworkRow(
        values={name: value for row in rows for name, value in row.values.items()},
        reasons={what: why for row in rows for what, why in row.reasons.items()},
    )


def _measure(
    tasks: Mapping[str, Task],
    journal: Journal[Entry],
    workers: Workers,
    watch: Watch,
    how: tuple[int, Listener | None],
) -> None:
    jobs, progress = how
    tell = progress if progress is not None else lambda state: None
    done = {entry.digest for entry in journal.rows}
    pace = Pace({name: ("network",) for name in tasks}, at_once=jobs)
    for name, task in tasks.items():
        if task.key in done:
            pace.end(name, None)
    # Equal weights are measured once.
    left = {task.key: task for task in tasks.values() if task.key not in done}
    names = {task.key: [n for n, t in tasks.items() if t.key == task.key] for task in left.values()}
    tell(pace.state())
    failure: Exception | None = None

    def report(task: Task, share: float) -> None:
        tell(pace.go_on(names[task.key][0], share))

    with closing(workers.run(list(left.values()), watch, report)) as ends:
        for ended in ends:
            key = ended.task.key
            if ended.row is None:
                pace.leave(names[key][0])
                failure = failure or ended.error
                continue
            row = NetworkRow(values=ended.row["values"], reasons=ended.row["reasons"])
            entry = Entry(key, names[key][0], row, ended.seconds)
            journal.add(entry)
            for name in names[key]:
                state = pace.end(name, ended.seconds, entry)
            tell(state)
    if failure is not None:
        raise failure


def _tasks(
    request: LandscapeRequest,
    subject: Subject,
    settings: SensitivitySettings,
    *,
    data_dir: Path | None,
) -> dict[str, Task]:
    """The tasks of a network by name: one a radius, and one for its measures.

    So who asks for another radius, or for measures, has the others already.
    """
    asked = {
        f"sigma {sigma:.6g}": replace(settings, sigmas=(sigma,), measures=()).plain()
        for sigma in settings.sigmas
    }
    if settings.measures:
        asked["measures"] = {"sigmas": [settings.sigmas[0]], "measures": list(settings.measures)}
    return {
        f"{subject.name}, {what}": _task(request, subject, each, data_dir=data_dir)
        for what, each in asked.items()
    }


def _task(
    request: LandscapeRequest,
    subject: Subject,
    settings: Mapping[str, Any],
    *,
    data_dir: Path | None,
) -> Task:
    """A measurement as a task, whose key tells what is measured of what."""
    asked = request.as_dict()["landscape"]
    plain = {
        "landscape": {name: value for name, value in asked.items() if name != "title"},
        "weights": packed(subject.weights),
        "relu": subject.relu,
        "settings": settings,
    }
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    data = {
        "request": json.dumps(request.as_dict()),
        "weights": plain["weights"],
        "relu": subject.relu,
        "settings": settings,
        "data_dir": None if data_dir is None else str(data_dir),
    }
    return Task(digest, "sensverify.landscape.measuring:work", data)


def work(data: Mapping[str, Any], watch: Watch, report: Report) -> dict[str, Any] | None:
    """Measure one network; None where the watch stopped it before its end."""
    _, samples = _loaded(data["request"], data["relu"], data["data_dir"])
    settings = SensitivitySettings.of(data["settings"])
    row: NetworkRow | None
    try:
        network = _network(data["request"], data["relu"], data["data_dir"], data["weights"])
        # Of small matrices, on which several threads wait for each other.
        with torch_threads(1):
            if settings.measures:
                row = take_measures(network, samples, settings)
            else:
                row = measure_network(network, samples, settings, watch=watch)
    except (MissingRule, Unbounded) as error:
        names = settings.measures or names_of(settings)
        row = NetworkRow(values=dict.fromkeys(names), reasons={"network": str(error)})
    if row is None:
        return None
    return {"values": dict(row.values), "reasons": dict(row.reasons)}


@lru_cache(maxsize=1)
def _network(request: str, relu: bool, data_dir: str | None, weights: str) -> Network:
    energy, samples = _loaded(request, relu, data_dir)
    return from_module(energy.with_weights(unpacked(weights)), samples.x.shape[1:])


@lru_cache(maxsize=4)
def _loaded(request: str, relu: bool, data_dir: str | None) -> tuple[NetworkEnergy, AroundSamples]:
    asked = LandscapeRequest.of(json.loads(request))
    split = asked.split(data_dir=data_dir)
    energy = asked.relu_energy(split) if relu else asked.energy(split=split)
    return energy, AroundSamples.of(split)
