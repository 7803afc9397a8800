"""What has been trained: one JSON line a finished training, added as it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any

from sensverify.runs.files import JsonLines, not_a_line, read_lines

FILE = "journal.jsonl"
DONE, FAILED = "done", "failed"
_WHAT = "study"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """How one training ended.

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
        How many were trained.
    reason : str
        Why it failed.
    metrics : mapping
        From ``"test"`` and ``"train"`` to the final metrics by their column names; None for what
        is not known.
    samples : mapping from str to int
        How many samples these were taken on.
    peak_memory : int or None
        Most that it held, in bytes; None where it shared its process with other trainings.
    """

    run: str
    seed: int
    status: str
    seconds: float
    epochs: int
    reason: str = ""
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)
    peak_memory: int | None = None

    @property
    def key(self) -> str:
        """Name of its run directory."""
        return f"{self.run}-seed{self.seed}"


def plain_number(value: Any) -> float | int | None:
    """A number as JSON holds it: None for NaN, infinity and None."""
    if value is None or not isfinite(value):
        return None
    return value if isinstance(value, int) else float(value)


class Journal:
    """The journal of a study, open for one process.

    Parameters
    ----------
    folder : Path
        Of the study; it is there.

    Raises
    ------
    InputError
        The file cannot be read or written, holds something else, or is in use.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lines = JsonLines(self._path, _WHAT)
        self.entries: list[Entry] = []

    def __enter__(self) -> Journal:
        self._lines.__enter__()
        try:
            self.entries = _entries(self._path, self._lines.lines)
        except BaseException:
            self._lines.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.__exit__(kind, error, trace)

    def add(self, entry: Entry) -> None:
        """Write one line and hand it to the disk."""
        self._lines.add(asdict(entry))
        self.entries.append(entry)


def read_journal(folder: Path) -> list[Entry]:
    """What a study has finished by now; nothing where it has no journal yet.

    Raises
    ------
    InputError
        The file cannot be read or holds something else.
    """
    path = folder / FILE
    return _entries(path, read_lines(path, _WHAT))


def _entries(path: Path, lines: list[dict[str, Any]]) -> list[Entry]:
    known = {each.name for each in fields(Entry)}
    found = []
    for number, values in enumerate(lines, start=1):
        try:
            found.append(Entry(**{name: v for name, v in values.items() if name in known}))
        except TypeError:
            raise not_a_line(path, number, _WHAT) from None
    return found
