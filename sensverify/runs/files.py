"""Files that are whole or not there, folders that one process has, and what the system refuses."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from sensverify.errors import InputError, InUse
from sensverify.runs.json_text import parse_json

try:
    import fcntl
except ImportError:  # On Windows, where nothing is kept from others.
    fcntl = None  # type: ignore[assignment]

_DRAFT = re.compile(r"\.(.+)\.\d+\.part")


@contextlib.contextmanager
def reading(path: Path, error: type[InputError] = InputError, remedy: str = "") -> Iterator[None]:
    """Within, what the system refuses is an error of this package that names the file."""
    with _refused("read", path, error, remedy):
        yield


@contextlib.contextmanager
def writing(path: Path, error: type[InputError] = InputError, remedy: str = "") -> Iterator[None]:
    """As `reading`, for a file or folder that is written."""
    with _refused("write", path, error, remedy):
        yield


@contextlib.contextmanager
def _refused(verb: str, path: Path, error: type[InputError], remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as refusal:
        reason = refusal.strerror or refusal
        raise error(f"cannot {verb} '{path}': {reason}", remedy) from None


def replace_file(path: Path, content: bytes) -> None:
    """Put a whole file in the place of another, or leave everything as it is.

    Raises
    ------
    OSError
    """
    with replacing(path) as stream:
        stream.write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Within, a draft that is written bit by bit; at the end it takes the place of the file.

    Where anything is raised within, everything stays as it is.

    Raises
    ------
    OSError
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    _sync_folder(path.parent)


def make_file(path: Path, content: bytes) -> bool:
    """Put a whole file where there is none; of several who try, on any machine, one does.

    Returns
    -------
    bool
        False where there is one already, which stays.

    Raises
    ------
    OSError
    """
    # Processes of several machines may have the same number.
    draft = path.with_name(f".{path.name}.{secrets.randbits(64)}.part")
    try:
        with draft.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _link(draft, path, content)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    _sync_folder(path.parent)
    return True


def _link(draft: Path, path: Path, content: bytes) -> None:
    """A second name of a whole file, where nothing has that name."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:
        # File systems without links.
        with path.open("xb") as stream:
            stream.write(content)


def draft_of(name: str) -> str | None:
    """The file that one of this name was to become in `replace_file`; None where it is no draft."""
    match = _DRAFT.fullmatch(name)
    return match[1] if match else None


def remove_drafts(folder: Path, ours: Callable[[str], bool]) -> None:
    """Remove what processes left that were killed while they wrote certain files.

    Only for who holds the folder's lock.

    Parameters
    ----------
    folder : Path
        Nothing happens where it is not there.
    ours : callable
        Whether a file of that name is one of them.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        name = draft_of(path.name)
        if name is not None and ours(name):
            with contextlib.suppress(OSError):
                path.unlink()


def write_json(path: Path, values: Mapping[str, Any], *, indent: int = 1) -> None:
    """Write plain values, all or nothing; numbers are finite.

    Raises
    ------
    InputError
        The system refuses.
    """
    with writing(path):
        replace_file(path, json_file(values, indent=indent))


def json_file(values: Mapping[str, Any], *, indent: int = 1) -> bytes:
    """The content of a file of plain values; numbers are finite."""
    text = json.dumps(values, indent=indent, allow_nan=False, ensure_ascii=False)
    return encoded(text + "\n")


def read_json(
    path: Path, schema: str, *, error: type[InputError] = InputError, remedy: str = ""
) -> dict[str, Any]:
    """The plain values of a file, without their schema.

    Parameters
    ----------
    path : Path
    schema : str
        The entry of that name in it.
    error : type of InputError
    remedy : str
        For a file that is of no use.

    Raises
    ------
    InputError
        The file cannot be read, is damaged, or is of another kind or version.
    """
    with reading(path, error, remedy):
        stored = path.read_bytes()
    try:
        found = parse_json(stored.decode("utf-8"))
    except ValueError:
        raise error(f"'{path}' is damaged: it holds no JSON", remedy) from None
    if not isinstance(found, dict) or found.pop("schema", None) != schema:
        raise error(f"'{path}' is of another kind or version: expected '{schema}'", remedy)
    return found


def encoded(text: str) -> bytes:
    """Text in UTF-8; what a file's name holds that is no UTF-8, as JSON's escapes."""
    return text.encode("utf-8", errors="backslashreplace")


def lock(handle: int, path: Path, kind: str, *, shared: bool = False) -> None:
    """Keep others from a file or folder until its handle is closed, where systems know locks.

    Parameters
    ----------
    handle : int
        Of what is kept.
    path : Path
        What the message names.
    kind : str
        What is in it: ``study``.
    shared : bool
        Whether it is kept only from those who do not share it.

    Raises
    ------
    InUse
        Another process has it.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(
            f"another process is at work on the {kind} in '{path}'", "wait for it, or stop it"
        ) from None
    except OSError:
        # File systems of networks may know no locks.
        pass


@contextlib.contextmanager
def locked(folder: Path, kind: str, *, shared: bool = False) -> Iterator[None]:
    """Within, alone with a folder, or with others who share it; see `lock`.

    Raises
    ------
    InputError
        Another process has it, or it cannot be opened.
    """
    if fcntl is None:
        yield
        return
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        lock(handle, folder, kind, shared=shared)
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """Bring names to the disk too, where the system lets folders be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
