"""The folder of a study: ``study.json``, the journal, ``runs/``, ``shards/`` and ``report/``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sensverify.errors import InputError
from sensverify.runs.folder import RunFolder
from sensverify.runs.machine import machine_facts
from sensverify.runs.shards import FOLDER as SHARDS
from sensverify.runs.shards import Begun, Shard, Shards, digest
from sensverify.studies.study import SCHEMA, Published, Study, StudyRun, Training
from sensverify.training.settings import TrainSettings

FILE = "study.json"
_KIND = "study"


def run_folder(folder: Path, training: Training) -> Path:
    """The run directory of a training."""
    return folder / "runs" / training.key


@contextmanager
def open_study(folder: Path, study: Study, *, resume: bool, threads: int) -> Iterator[Study]:
    """The folder of a new study, or of one that was stopped, kept from other processes.

    Parameters
    ----------
    folder : Path
    study : Study
    resume : bool
        Whether the folder may have results of this study already.
    threads : int
        For trainings that name no number of threads. A study that was stopped keeps its own.

    Yields
    ------
    Study
        With the number of threads in it.

    Raises
    ------
    InputError
        The folder holds something else, or another study, or this one without ``resume``; or it is
        in use or cannot be written.
    """
    run = _run(folder)
    with run.open(resume=resume) as kept:
        machines: list[dict[str, Any]] = []
        if kept is not None:
            machines = _machines(run, kept)
            study = _same(run, kept, study)
        else:
            study, kept = study.with_threads(threads), {"threads": threads}
        Shards(folder / SHARDS, _KIND).check(_plan(kept, study))
        if (here := machine_facts()) not in machines:
            machines.append(here)
        record = _record(study, _threads(run, kept), machines)
        run.write({**record, "plan": kept["plan"]} if "plan" in kept else record)
        yield study


@contextmanager
def open_shard(
    folder: Path, study: Study, shard: Shard, *, resume: bool, threads: int
) -> Iterator[tuple[Study, Path]]:
    """One shard of a study, beside others that may be at work on theirs.

    Parameters
    ----------
    folder : Path
        Of the study; the first who comes puts its record there.
    study : Study
    shard : Shard
    resume : bool
        Whether this shard may be begun already.
    threads : int
        As in `open_study`: those of who comes first.

    Yields
    ------
    study : Study
        With the number of threads in it.
    place : Path
        The folder of the shard's journal.

    Raises
    ------
    InputError
        As in `open_study`; or the folder's shards are of another count, or this one is in use.
    """
    run = _run(folder)
    first = study.with_threads(threads)
    record = {**_record(first, threads, []), "plan": digest(first.deciding)}
    with run.join(record) as kept:
        study = _same(run, kept, study)
        with Shards(folder / SHARDS, _KIND).open(shard, _plan(kept, study), resume=resume) as place:
            yield study, place


def begun_shards(folder: Path) -> list[Begun]:
    """The shards of a study that are begun.

    Raises
    ------
    InputError
        They are of another plan than the study, or of different ones.
    """
    run = _run(folder)
    kept = run.read() or {}
    return Shards(folder / SHARDS, _KIND).check(_plan(kept, _study(run, kept)))


def _plan(kept: Mapping[str, Any], study: Study) -> str:
    """The plan that shards are of: as the record says it, though a later version adds settings."""
    return str(kept.get("plan", digest(study.deciding)))


def _same(run: RunFolder, kept: Mapping[str, Any], study: Study) -> Study:
    """The study with the threads that its folder says; another one than there is refused."""
    before = _study(run, kept)
    study = study.with_threads(_threads(run, kept))
    run.compare(before.deciding, study.deciding)
    return study


def _record(study: Study, threads: int, machines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    deciding = study.deciding
    # Studies without have no such keys, as those of earlier versions.
    if not study.evaluate:
        del deciding["evaluate"]
    analyses = {"analyses": list(study.analyses)} if study.analyses else {}
    if study.papers:
        analyses["papers"] = list(study.papers)
    return {
        "title": study.title,
        "note": study.note,
        "variant": study.variant,
        "figures": list(study.figures),
        **analyses,
        "published": {name: asdict(each) for name, each in study.published.items()},
        **deciding,
        "threads": threads,
        "own": {each.name: dict(each.own) for each in study.runs},
        "machines": list(machines),
    }


def load_study(folder: Path) -> tuple[Study, list[dict[str, Any]]]:
    """The study that a folder holds, and the facts of the machines it was run on, in order.

    Raises
    ------
    InputError
        There is none, or its file is damaged.
    """
    run = _run(folder)
    kept = run.read()
    if kept is None:
        raise InputError(f"'{folder}' holds no study: there is no file '{FILE}' in it")
    study, machines = _study(run, kept), _machines(run, kept)
    for each in begun_shards(folder):
        machines += [dict(there) for there in each.machines if there not in machines]
    return study, machines


def _run(folder: Path) -> RunFolder:
    return RunFolder(folder, _KIND, FILE, SCHEMA)


def _study(run: RunFolder, kept: Mapping[str, Any]) -> Study:
    try:
        return Study(
            title=kept["title"],
            note=kept["note"],
            data=kept["data"],
            model=kept["model"],
            seeds=tuple(kept["seeds"]),
            runs=tuple(_study_run(each, kept["own"]) for each in kept["runs"]),
            standardise=kept["standardise"],
            evaluate=dict(kept.get("evaluate", {})),
            variant=kept["variant"],
            figures=tuple(kept["figures"]),
            analyses=tuple(kept.get("analyses", ())),
            papers=tuple(kept.get("papers", ())),
            published={name: Published(**each) for name, each in kept["published"].items()},
        )
    except (KeyError, TypeError, AttributeError, InputError) as error:
        raise run.damaged(str(error)) from None


def _study_run(values: Mapping[str, Any], own: Mapping[str, Any]) -> StudyRun:
    name, settings = values["name"], TrainSettings.of(dict(values["settings"]))
    run = StudyRun(name, values["loss"], settings, own.get(name, {}), values["terms"])
    return run.on(values.get("data", ""), values.get("model", ""))


def _machines(run: RunFolder, kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    machines = kept.get("machines")
    if not isinstance(machines, list) or not all(isinstance(each, dict) for each in machines):
        raise run.damaged("it says no machines")
    return list(machines)


def _threads(run: RunFolder, kept: Mapping[str, Any]) -> int:
    threads = kept.get("threads")
    if not isinstance(threads, int):
        raise run.damaged("it says no number of threads")
    return threads
