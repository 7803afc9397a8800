"""The folder of a study: ``study.json``, the journal, ``runs/`` and ``report/``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sensverify.errors import InputError
from sensverify.runs.folder import RunFolder
from sensverify.runs.machine import machine_facts
from sensverify.studies.study import SCHEMA, Published, Study, StudyRun, Training
from sensverify.training.settings import TrainSettings

FILE = "study.json"


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
            before, machines, threads = _study(run, kept), _machines(run, kept), _threads(run, kept)
        study = study.with_threads(threads)
        if kept is not None:
            run.compare(before.deciding, study.deciding)
        if (here := machine_facts()) not in machines:
            machines.append(here)
        deciding = study.deciding
        # Studies without have no such keys, as those of earlier versions.
        if not study.evaluate:
            del deciding["evaluate"]
        analyses = {"analyses": list(study.analyses)} if study.analyses else {}
        run.write(
            {
                "title": study.title,
                "note": study.note,
                "variant": study.variant,
                "figures": list(study.figures),
                **analyses,
                "published": {name: asdict(each) for name, each in study.published.items()},
                **deciding,
                "threads": threads,
                "own": {each.name: dict(each.own) for each in study.runs},
                "machines": machines,
            }
        )
        yield study


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
    return _study(run, kept), _machines(run, kept)


def _run(folder: Path) -> RunFolder:
    return RunFolder(folder, "study", FILE, SCHEMA)


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
