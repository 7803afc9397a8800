"""Writing what a run found, never over something that is there."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sensverify.errors import InputError


def check_targets(paths: Sequence[Path], *, inputs: Sequence[Path] = (), force: bool) -> None:
    """Refuse, before any work is done, files that could not or must not be written afterwards.

    Parameters
    ----------
    paths : sequence of Path
    inputs : sequence of Path
        Files that the run reads: never overwritten, also not by ``force``.
    force : bool

    Raises
    ------
    InputError
        A file is there already and ``force`` is false, its folder is missing or cannot be written
        to, one file is named twice, or a file is one of the inputs.
    """
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise InputError(f"'{paths[0]}' is named for two different outputs", "give two files")
    for path in paths:
        if any(_same_file(path, given) for given in inputs):
            problem = f"'{path}' is what this run reads"
            raise InputError(problem, "give another name for its output")
        try:
            _check_target(path, force=force)
        except OSError as error:
            raise InputError(f"cannot write '{path}': {error.strerror or error}") from None


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        # One of them is not there, and may be made by the run.
        return os.path.realpath(one) == os.path.realpath(other)


def _check_target(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise InputError(f"'{path}' is a folder", "give the name of a file")
    # A link that leads nowhere is there too.
    if os.path.lexists(path) and not force:
        raise InputError(
            f"'{path}' exists and is not overwritten", "give another name, or `force=True`"
        )
    if path.is_symlink() or (path.exists() and not path.is_file()):
        # Replacing it would break what it stands for.
        raise InputError(f"'{path}' is a link or no plain file", "give the name of one")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder '{path.parent}' to write '{path.name}' into")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"the folder '{path.parent}' cannot be written to")


@dataclass(frozen=True)
class Kind:
    """Files of one kind, which a folder holds beside others.

    Parameters
    ----------
    named : callable
        Whether a file of that name is one of those to be written.
    made : callable
        Whether a file was written by an earlier run, by what is in it: only that is given up.
    """

    named: Callable[[str], bool]
    made: Callable[[Path], bool]

    def there(self, folder: Path) -> list[Path]:
        """The files in a folder that have such names."""
        return sorted(path for path in folder.iterdir() if self.named(path.name))

    def require(self, found: Sequence[Path]) -> None:
        """Refuse, with `InputError`, to replace a file that nobody but its owner can make again."""
        for path in found:
            if path.is_symlink() or not path.is_file() or not self.made(path):
                raise InputError(
                    f"'{path}' is no file of an earlier run, and is not replaced",
                    "give another folder, or move it",
                )


def check_folder(folder: Path, ours: Kind, *, others: Sequence[Path] = (), force: bool) -> None:
    """Refuse, before any work is done, a folder whose files could not or must not be written.

    Parameters
    ----------
    folder : Path
        It need not be there yet.
    ours : Kind
        What is to be written.
    others : sequence of Path
        Files that the run reads, or writes for something else: never one of ours.
    force : bool

    Raises
    ------
    InputError
        A file that is named as ours is there already and ``force`` is false, or no earlier run has
        made it, or it is one of the others; something else has the name of the folder; or that is
        in one that is missing or cannot be written to.
    """
    place = os.path.realpath(folder)
    for other in others:
        real = os.path.realpath(other)
        if real == place or (os.path.dirname(real) == place and ours.named(os.path.basename(real))):
            raise InputError(
                f"'{other}' would be one of the files in '{folder}'", "give another folder"
            )
    if not folder.is_dir():
        _check_target(folder, force=False)
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"the folder '{folder}' cannot be written to")
    there = ours.there(folder)
    if there and not force:
        raise InputError(
            f"'{there[0]}' exists and is not overwritten", "give another folder, or `force=True`"
        )
    ours.require(there)


def write_folder(
    folder: Path, contents: Mapping[str, str | bytes], ours: Kind, *, force: bool
) -> None:
    """Write files into a folder, all or none; it is made where it is not there.

    Files of an earlier run, which ``force`` gives up, are removed once the new ones are whole.

    Raises
    ------
    InputError
        As `write_files`, or a file that is named as ours was made by no earlier run; nothing is
        removed then.
    """
    if not contents and not folder.is_dir():
        return
    new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        before = ours.there(folder) if force else []
    except OSError as error:
        raise InputError(f"cannot write '{folder}': {error.strerror or error}") from None
    ours.require(before)
    try:
        write_files({folder / name: content for name, content in contents.items()}, force=force)
    except BaseException:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    # The last ones first: a picture goes before the arrays that tell whose it is.
    for path in reversed(before):
        if path.name not in contents:
            with contextlib.suppress(OSError):
                path.unlink()


def write_files(contents: Mapping[Path, str | bytes], *, force: bool) -> None:
    """Write all files or none, each whole: an interrupted run leaves no half of one.

    Text is written as UTF-8. Everything is on the disk before the first file gets its name. Only
    where the system then refuses a name, a file that ``force`` has replaced by then stays replaced.

    Raises
    ------
    InputError
        A file appeared in the meantime and ``force`` is false, or the system refuses.
    """
    drafts: list[Path] = []
    made: list[Path] = []
    path = Path()
    try:
        for number, (path, content) in enumerate(contents.items()):
            # Not made from the file's name: that may be as long as a name can be.
            draft = path.with_name(f".sensverify.{os.getpid()}.{number}.part")
            with draft.open("xb") as stream:
                drafts.append(draft)
                stream.write(_encoded(content))
        for path in contents:
            if _claimed(path, force=force):
                made.append(path)
        for draft, path in zip(drafts, contents, strict=True):
            os.replace(draft, path)
    except BaseException as error:
        for left in (*drafts, *made):
            with contextlib.suppress(OSError):
                left.unlink()
        if isinstance(error, OSError):
            raise InputError(f"cannot write '{path}': {error.strerror or error}") from None
        raise


def _encoded(content: str | bytes) -> bytes:
    if isinstance(content, bytes):
        return content
    # A file name that is no UTF-8 reaches us with characters that UTF-8 has no bytes for.
    return content.encode("utf-8", errors="backslashreplace")


def _claimed(path: Path, *, force: bool) -> bool:
    """Take a name; False where there is a file that may be overwritten."""
    try:
        path.open("x").close()
    except FileExistsError:
        if force:
            return False
        raise
    return True
