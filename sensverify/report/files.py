"""Writing what a run found, never over something that is there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sensverify.errors import InputError


def check_targets(paths: Sequence[Path], *, force: bool) -> None:
    """Refuse, before any work is done, files that could not be written afterwards.

    Raises
    ------
    InputError
        A file is there already and ``force`` is false, its folder is missing or cannot be written
        to, or one file is named twice.
    """
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise InputError(f"'{paths[0]}' is named for two different outputs; give two files")
    for path in paths:
        try:
            _check_target(path, force=force)
        except OSError as error:
            raise InputError(f"cannot write '{path}': {error.strerror or error}") from None


def _check_target(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; give the name of a file")
    # A link that leads nowhere is there too.
    if os.path.lexists(path) and not force:
        raise InputError(f"'{path}' exists and is not overwritten; give another name, or --force")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder '{path.parent}' to write '{path.name}' into")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder '{path.parent}' cannot be written to")


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write the whole file or nothing: an interrupted run leaves no half of it.

    Raises
    ------
    InputError
        The file appeared in the meantime and ``force`` is false, or the system refuses.
    """
    # Not made from the file's name: that may be as long as a name can be.
    draft = path.with_name(f".sensverify.{os.getpid()}.part")
    try:
        try:
            # A file name that is no UTF-8 reaches us with characters that UTF-8 has no bytes for.
            with draft.open("x", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
            if not force:
                # Claims the name; fails where a file appeared in the meantime.
                path.open("x").close()
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from None
