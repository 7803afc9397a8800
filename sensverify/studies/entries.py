"""The rows of a study: one for each training that has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensverify.runs.journal import RowType, read_journal
from sensverify.runs.shards import each_once, journals

if TYPE_CHECKING:
    from sensverify.studies.study import Study

FILE = "journal.jsonl"
DONE, FAILED = "done", "failed"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The end of one training.

    Parameters
    ----------
    run : str
        Name of the loss.
    seed : int
    status : str
        ``done``; or ``failed``, which is a result too: with these settings it fails again.
    seconds : float
        Wall time of the training, with its metrics, over all its parts.
    epochs : int
        Trained.
    reason : str
        Of a failure.
    missed : str
        The goal that was not reached in all epochs, in words; empty where there is none.
    metrics : mapping
        From ``"test"`` and ``"train"`` to the final metrics by their column names; None for what
        is not known.
    samples : mapping from str to int
        How many samples these were taken on.
    evaluation_seconds : float
        Wall time of what came after it, by the process that ended it; 0 where there was nothing.
    peak_memory : int or None
        Most that it held, in bytes; None where it shared its process with other trainings.
    """

    run: str
    seed: int
    status: str
    seconds: float
    epochs: int
    reason: str = ""
    missed: str = ""
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)
    evaluation_seconds: float = 0.0
    peak_memory: int | None = None

    @property
    def key(self) -> str:
        """Name of its run directory."""
        return f"{self.run}-seed{self.seed}"

    @property
    def all_seconds(self) -> float:
        """Wall time with the evaluation."""
        return self.seconds + self.evaluation_seconds

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Entry:
        """The entry of plain values; other names among them are passed over."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})


def _plain(entry: Entry) -> dict[str, Any]:
    values = asdict(entry)
    for name in ("missed", "evaluation_seconds"):
        if not values[name]:
            # As in the journals of earlier versions.
            del values[name]
    return values


ROWS = RowType[Entry]("study", _plain, Entry.of)


def read_entries(folder: Path) -> list[Entry]:
    """The trainings that a study has finished by now, in all its shards; none without a journal.

    Raises
    ------
    InputError
        A journal cannot be read or holds something else, or two of them hold the same training.
    """
    rows = ((path, row) for path in journals(folder, FILE) for row in read_journal(path, ROWS))
    return list(each_once(rows, lambda entry: entry.key, "study").values())


def in_order(study: Study, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Entries as the study has its trainings, whoever was done first: sums depend on it."""
    places = {each.key: place for place, each in enumerate(study.trainings)}
    return tuple(sorted(entries, key=lambda entry: places.get(entry.key, len(places))))


def plain_number(value: Any) -> float | int | None:
    """A number as JSON holds it: None for NaN, infinity and None."""
    if value is None or not isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)
