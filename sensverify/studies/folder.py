"""The folder of a study: ``study.json``, the journal, ``runs/`` and ``report/``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sensverify.errors import InputError
from sensverify.runs.files import differences, replace_file
from sensverify.runs.machine import machine_facts
from sensverify.studies.study import SCHEMA, Contender, Published, Study, Training
from sensverify.training.settings import TrainSettings

FILE = "study.json"


def run_folder(folder: Path, training: Training) -> Path:
    """Where a training keeps what it writes."""
    return folder / "runs" / training.key


def open_study(folder: Path, study: Study, *, resume: bool, threads: int) -> Study:
    """Make the folder of a new study, or go into that of one that was stopped.

    Parameters
    ----------
    folder : Path
    study : Study
    resume : bool
        Whether the folder may have results of this study already.
    threads : int
        For trainings that name no number of threads. A study that was stopped keeps its own.

    Returns
    -------
    Study
        With the number of threads in it.

    Raises
    ------
    InputError
        The folder holds something else, or another study, or this one without ``resume``; or it
        cannot be written.
    """
    path = folder / FILE
    kept = _contents(path)
    if kept is None:
        # A process that was killed while it began leaves no more than its draft.
        drafts = [entry.name for entry in folder.glob(f".{FILE}.*.part")]
        try:
            if folder.exists() and any(entry.name not in drafts for entry in folder.iterdir()):
                raise InputError(f"'{folder}' is not empty and holds no study; give another --out")
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write '{folder}': {error.strerror or error}") from None
        study = study.with_threads(threads)
        machines = [machine_facts()]
    else:
        if not resume:
            raise InputError(
                f"'{folder}' holds a study already; go on with it with --resume, or give another "
                "--out"
            )
        before = _study(path, kept)
        threads = _threads(path, kept)
        study = study.with_threads(threads)
        changed = _differences(before.deciding, study.deciding)
        if changed:
            raise InputError(
                f"'{folder}' holds another study: {'; '.join(changed[:3])}; give another --out"
            )
        machines = _machines(path, kept)
        if (here := machine_facts()) not in machines:
            machines.append(here)
    try:
        replace_file(path, _text(study, threads, machines).encode())
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from None
    return study


def load_study(folder: Path) -> tuple[Study, list[dict[str, Any]]]:
    """The study that a folder holds, and the facts of the machines it was run on, in order.

    Raises
    ------
    InputError
        There is none, or its file is damaged.
    """
    path = folder / FILE
    kept = _contents(path)
    if kept is None:
        raise InputError(f"'{folder}' holds no study: there is no file '{FILE}' in it")
    return _study(path, kept), _machines(path, kept)


def _text(study: Study, threads: int, machines: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(
        {
            "schema": SCHEMA,
            "title": study.title,
            "note": study.note,
            "variant": study.variant,
            "figures": list(study.figures),
            "published": {name: asdict(each) for name, each in study.published.items()},
            **study.deciding,
            "threads": threads,
            "own": {each.name: dict(each.own) for each in study.contenders},
            "machines": machines,
        },
        indent=1,
        ensure_ascii=False,
    )


def _contents(path: Path) -> dict[str, Any] | None:
    try:
        if not path.exists():
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from None
    except ValueError:
        raise InputError(f"'{path}' is damaged: it holds no JSON") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise InputError(f"'{path}' is not a study of this version: its schema is not '{SCHEMA}'")
    return found


def _study(path: Path, kept: Mapping[str, Any]) -> Study:
    try:
        return Study(
            title=kept["title"],
            note=kept["note"],
            data=kept["data"],
            model=kept["model"],
            seeds=tuple(kept["seeds"]),
            contenders=tuple(_contender(run, kept["own"]) for run in kept["runs"]),
            standardise=kept["standardise"],
            variant=kept["variant"],
            figures=tuple(kept["figures"]),
            published={name: Published(**each) for name, each in kept["published"].items()},
        )
    except (KeyError, TypeError, AttributeError, InputError) as error:
        raise InputError(f"'{path}' is damaged: {error}") from None


def _contender(run: Mapping[str, Any], own: Mapping[str, Any]) -> Contender:
    settings = TrainSettings.of(dict(run["settings"]))
    return Contender(run["name"], run["loss"], settings, own.get(run["name"], {}), run["terms"])


def _machines(path: Path, kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    # The first studies kept one machine.
    machines = kept.get("machines", [kept.get("machine")])
    if not isinstance(machines, list) or not all(isinstance(each, dict) for each in machines):
        raise InputError(f"'{path}' is damaged: it says no machines")
    return list(machines)


def _threads(path: Path, kept: Mapping[str, Any]) -> int:
    threads = kept.get("threads")
    if not isinstance(threads, int):
        raise InputError(f"'{path}' is damaged: it says no number of threads")
    return threads


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two studies, in words."""
    names = [[run["name"] for run in each["runs"]] for each in (before, now)]
    if names[0] == names[1]:
        before, now = _with_named_runs(before), _with_named_runs(now)
    else:
        before, now = {**before, "runs": names[0]}, {**now, "runs": names[1]}
    return [
        f"{' '.join(keys)} was {there!r} there and is {here!r} here"
        for keys, there, here in differences(before, now)
    ]


def _with_named_runs(study: Mapping[str, Any]) -> dict[str, Any]:
    """Its runs one by one instead of in a list."""
    others = {key: value for key, value in study.items() if key != "runs"}
    return others | {f"run '{run['name']}':": run for run in study["runs"]}
