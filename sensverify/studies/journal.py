"""What has been trained: one JSON line a finished training, added as it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from sensverify.errors import InputError

FILE = "journal.jsonl"
DONE, FAILED = "done", "failed"


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
    """A file of JSON lines that is only ever added to, by one process at a time.

    A last line without its end, left by a process that was killed, is cut off.

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
        self._stream: BinaryIO | None = None
        self.entries: list[Entry] = []

    def __enter__(self) -> Journal:
        try:
            self._stream = self._path.open("a+b")
            _lock(self._stream, self._path)
            self._stream.seek(0)
            contents = self._stream.read()
            whole = contents.rfind(b"\n") + 1
            self.entries = _parse(self._path, contents[:whole])
            self._stream.truncate(whole)
        except OSError as error:
            raise InputError(f"cannot write '{self._path}': {error.strerror or error}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    def add(self, entry: Entry) -> None:
        """Write one line and hand it to the disk."""
        if self._stream is None:
            raise RuntimeError("the journal is not open")
        line = json.dumps(asdict(entry), allow_nan=False, ensure_ascii=False) + "\n"
        try:
            self._stream.write(line.encode("utf-8", errors="backslashreplace"))
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise InputError(f"cannot write '{self._path}': {error.strerror or error}") from None
        self.entries.append(entry)


def read_journal(folder: Path) -> list[Entry]:
    """What a study has finished by now; nothing where it has no journal yet.

    Raises
    ------
    InputError
        The file cannot be read or holds something else.
    """
    path = folder / FILE
    try:
        contents = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from None
    return _parse(path, contents[: contents.rfind(b"\n") + 1])


def _parse(path: Path, contents: bytes) -> list[Entry]:
    known = {each.name for each in fields(Entry)}
    found = []
    for number, line in enumerate(contents.splitlines(), start=1):
        try:
            values = json.loads(line)
            entry = Entry(**{name: value for name, value in values.items() if name in known})
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"'{path}', line {number}, is no line of a study's journal") from None
        found.append(entry)
    return found


def _lock(stream: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Not on Windows.
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"another process is running the study in '{path.parent}'; wait for it, or stop it"
        ) from None
