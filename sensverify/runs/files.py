"""Files that a run keeps: journals that only grow, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from sensverify.errors import InputError


class JsonLines:
    """A file of JSON objects, one a line, that is only ever added to, by one process at a time.

    A last line without its end, left by a process that was killed, is cut off.

    Parameters
    ----------
    path : Path
        In a folder that is there.
    what : str
        What the lines are of, for messages: ``study``.

    Raises
    ------
    InputError
        The file cannot be read or written, holds something else, or is in use.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path, self._what = path, what
        self._stream: BinaryIO | None = None
        self.lines: list[dict[str, Any]] = []

    def __enter__(self) -> JsonLines:
        try:
            self._stream = self._path.open("a+b")
            _lock(self._stream, self._path, self._what)
            self._stream.seek(0)
            contents = self._stream.read()
            whole = contents.rfind(b"\n") + 1
            self.lines = _parse(self._path, contents[:whole], self._what)
            self._stream.truncate(whole)
        except OSError as error:
            self._close()
            raise InputError(f"cannot write '{self._path}': {error.strerror or error}") from None
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def add(self, values: Mapping[str, Any]) -> None:
        """Write one line and hand it to the disk.

        Parameters
        ----------
        values : mapping
            What JSON holds; numbers are finite.
        """
        if self._stream is None:
            raise RuntimeError("the journal is not open")
        line = json.dumps(dict(values), allow_nan=False, ensure_ascii=False) + "\n"
        try:
            self._stream.write(line.encode("utf-8", errors="backslashreplace"))
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise InputError(f"cannot write '{self._path}': {error.strerror or error}") from None
        self.lines.append(json.loads(line))

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def read_lines(path: Path, what: str) -> list[dict[str, Any]]:
    """The whole lines of such a file; none where it is not there yet.

    Raises
    ------
    InputError
        The file cannot be read or holds something else.
    """
    try:
        contents = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from None
    return _parse(path, contents[: contents.rfind(b"\n") + 1], what)


def replace_file(path: Path, content: bytes) -> None:
    """Put a whole file in the place of another, or leave everything as it is.

    Raises
    ------
    OSError
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    _sync_folder(path.parent)


def differences(there: Any, now: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Where two plain values differ, for whoever goes on with what a folder keeps.

    Parameters
    ----------
    there, now : what JSON holds
    *path : str
        The keys that lead to them.

    Yields
    ------
    path : tuple of str
        Of keys, through mappings that both sides have.
    there, now : Any
        What is behind them; None where nothing is.
    """
    if there == now:
        return
    if isinstance(there, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*there, *now)):
            yield from differences(there.get(key), now.get(key), *path, key)
    else:
        yield path, there, now


def _parse(path: Path, contents: bytes, what: str) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(contents.splitlines(), start=1):
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise not_a_line(path, number, what)
        found.append(values)
    return found


def not_a_line(path: Path, number: int, what: str) -> InputError:
    """The error for a line, counted from 1, that does not hold what it should."""
    return InputError(f"'{path}', line {number}, is no line of the journal of a {what}")


def _sync_folder(folder: Path) -> None:
    """Bring names to the disk too, where the system lets folders be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _lock(stream: BinaryIO, path: Path, what: str) -> None:
    try:
        import fcntl
    except ImportError:  # Not on Windows.
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"another process is running the {what} in '{path.parent}'; wait for it, or stop it"
        ) from None
