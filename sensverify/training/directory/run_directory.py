"""The directory of a training: its configuration, its result, and who works in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isinf
from pathlib import Path
from typing import Any

from sensverify.errors import BadCheckpoint
from sensverify.runs.files import read_json, remove_drafts, write_json
from sensverify.runs.folder import RunFolder
from sensverify.training.directory.checkpoints import checkpoint_files, is_checkpoint
from sensverify.training.directory.configuration import COMPARED, MAY_CHANGE, plain
from sensverify.training.directory.export import CARD, INITIAL, MODEL, SAMPLE
from sensverify.training.directory.log import METRICS, STEP_METRICS, STEPS
from sensverify.training.settings import TrainSettings

SCHEMA, RESULT_SCHEMA = "sensverify.train/1", "sensverify.train-result/1"

CONFIG, RESULT, PAGE, CHECKPOINTS = "config.json", "result.json", "report.html", "checkpoints"

MADE_AGAIN = "delete it and resume: it is made again from the last checkpoint"
"""For a result that is damaged."""

_FILES = (RESULT, PAGE, METRICS, STEPS, STEP_METRICS, INITIAL, MODEL, CARD, SAMPLE)
_INDENT = 2


@dataclass(frozen=True)
class RunDirectory:
    """The files of one training.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def result(self) -> dict[str, Any] | None:
        """The result of a finished training, or None while it is not finished."""
        path = self.path / RESULT
        if not path.exists():
            return None
        return read_json(path, RESULT_SCHEMA, error=BadCheckpoint, remedy=MADE_AGAIN)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Say that the training is finished.

        JSON has no infinities: they become the texts ``inf`` and ``-inf``, which `float` reads.
        NaN becomes null.

        Raises
        ------
        InputError
            The system refuses.
        """
        record = {"schema": RESULT_SCHEMA, **plain(_spelt(result))}
        write_json(self.path / RESULT, record, indent=_INDENT)


@contextmanager
def open_run(
    path: str | Path, config: Mapping[str, Any], *, resume: bool
) -> Iterator[RunDirectory]:
    """A run directory for this configuration, kept from other processes meanwhile.

    Parameters
    ----------
    path : str or Path
        Made where it is missing.
    config : mapping
        See `describe`.
    resume : bool
        Whether to go on with a training that is there; where there is none, it is begun.

    Raises
    ------
    InputError
        The directory holds something and ``resume`` is false, holds no training, is in use, or
        cannot be written to.
    BadCheckpoint
        It holds a training of another configuration; the message says what differs.
    """
    run = RunDirectory(Path(path))
    folder = RunFolder(run.path, "training", CONFIG, SCHEMA, _FILES, BadCheckpoint, _INDENT)
    with folder.open(resume=resume) as there:
        if there is None:
            folder.write(plain(config))
        else:
            asked = {part: plain(config[part]) for part in COMPARED}
            folder.compare(_with_newer_settings(there), asked, free=MAY_CHANGE)
            if not (run.path / RESULT).exists() and checkpoint_files(run.checkpoints):
                _compare_versions(run.path, there.get("versions"), config["versions"])
        remove_drafts(run.checkpoints, is_checkpoint)
        yield run


def _with_newer_settings(there: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record of a run that an earlier version began, with the defaults of later settings."""
    kept = there.get("settings")
    if not isinstance(kept, Mapping):
        return there
    return {**there, "settings": {**plain(TrainSettings().as_dict()), **kept}}


def _compare_versions(path: Path, there: Any, now: Mapping[str, str]) -> None:
    """Warn where a training goes on with other versions than it was begun with."""
    there = there if isinstance(there, Mapping) else {}
    others = [
        f"{name} {there.get(name, '(unknown)')} (now {version})"
        for name, version in now.items()
        if there.get(name) != version
    ]
    if others:
        warnings.warn(
            f"the training in '{path}' was begun with {', '.join(others)}: the last bits of its "
            "weights may differ from those of an unbroken training",
            # Whoever called fit: above are open_run and its context manager's __enter__.
            stacklevel=5,
        )


def last_good(run: RunDirectory) -> str:
    """Which checkpoint is there, in words."""
    files = checkpoint_files(run.checkpoints)
    return f"the last checkpoint is '{files[-1]}'" if files else "there is no checkpoint yet"


def _spelt(value: Any) -> Any:
    """Infinities as text."""
    if isinstance(value, Mapping):
        return {key: _spelt(item) for key, item in value.items()}
    return str(value) if isinstance(value, float) and isinf(value) else value
