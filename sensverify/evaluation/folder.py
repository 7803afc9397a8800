"""The folder of an evaluation: what was asked, and a journal with a line for each finished cell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sensverify.core.provenance import versions
from sensverify.errors import InputError
from sensverify.evaluation.results import Row
from sensverify.evaluation.rows import from_plain, to_plain
from sensverify.runs.files import JsonLines, differences, not_a_line, replace_file

SCHEMA = "sensverify.evaluation/1"
ASKED, JOURNAL = "asked.json", "journal.jsonl"
_WHAT = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A cell that is done.

    Parameters
    ----------
    row : Row
        Of a cell that would fail again, a `Missing`.
    beyond : tuple of int
        Positions of the samples whose label is not the largest output by more than rounding: at
        their own point for a clean row, at the attack's for that of an attack.
    cut : bool
        Whether more time would have given another row: it is reported, but not kept.
    """

    row: Row
    beyond: tuple[int, ...] = ()
    cut: bool = False


class Journal:
    """The finished cells of an evaluation, kept in a folder where there is one.

    Parameters
    ----------
    folder : Path or None
        None keeps cells only while the process lives.
    deciding : mapping
        Plain values of everything that decides what a cell finds, but for its network.
    resume : bool
        Whether the folder may hold cells already.

    Attributes
    ----------
    begun_with : dict from str to str
        Versions of what the first cells were found with; empty without a folder.

    Raises
    ------
    InputError
        The folder holds something else, or cells that were found with other settings, or cells
        without ``resume``; it is in use, damaged or cannot be written.
    """

    def __init__(self, folder: Path | None, deciding: Mapping[str, Any], *, resume: bool) -> None:
        self._folder, self._deciding, self._resume = folder, deciding, resume
        self._lines: JsonLines | None = None
        self._stack = ExitStack()
        self._found: dict[str, Finished] = {}
        self.begun_with: dict[str, str] = {}

    def __enter__(self) -> Journal:
        if self._folder is None:
            return self
        self.begun_with = _begin(self._folder, self._deciding, resume=self._resume)
        path = self._folder / JOURNAL
        lines = self._stack.enter_context(JsonLines(path, _WHAT))
        try:
            self._found = _read(path, lines.lines)
        except BaseException:
            self._stack.close()
            raise
        self._lines = lines
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def get(self, key: str) -> Finished | None:
        """What is known of a cell of a network."""
        return self._found.get(key)

    def add(self, key: str, cell: str, finished: Finished) -> None:
        """Keep a cell, on the disk where there is a folder.

        Parameters
        ----------
        key : str
            Of the cell and its network.
        cell : str
            The cell in words, for whoever reads the file.
        finished : Finished
        """
        if self._lines is not None:
            row = to_plain(finished.row)
            self._lines.add({"key": key, "cell": cell, "beyond": list(finished.beyond), "row": row})
        self._found[key] = finished


def _begin(folder: Path, deciding: Mapping[str, Any], *, resume: bool) -> dict[str, str]:
    """Say in a new folder what is asked; refuse another one that does not go on with that.

    Gives the versions that the folder was begun with.
    """
    path = folder / ASKED
    wanted = json.loads(json.dumps(deciding))
    try:
        if path.exists():
            kept = _contents(path)
            begun_with = kept.pop("versions", {})
            if not resume:
                raise InputError(
                    f"'{folder}' holds an evaluation already; go on with it with --resume, or give "
                    "another --out"
                )
            changed = [_difference(*each) for each in differences(kept, wanted)]
            if changed:
                raise InputError(
                    f"'{folder}' holds an evaluation with other settings: "
                    f"{'; '.join(changed[:3])}; give another --out"
                )
            return dict(begun_with)
        # A process that was killed while it began leaves no more than its draft.
        drafts = {entry.name for entry in folder.glob(f".{ASKED}.*.part")}
        if folder.exists() and any(entry.name not in drafts for entry in folder.iterdir()):
            raise InputError(f"'{folder}' is not empty and holds no evaluation; give another --out")
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"schema": SCHEMA, **wanted, "versions": versions()}
        replace_file(path, (json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode())
        return versions()
    except OSError as error:
        raise InputError(f"cannot write '{folder}': {error.strerror or error}") from None


def _contents(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"'{path}' is damaged: it holds no JSON") from None
    if not isinstance(found, dict) or found.pop("schema", None) != SCHEMA:
        raise InputError(f"'{path}' is of no evaluation of this version: expected '{SCHEMA}'")
    return found


def _difference(keys: tuple[str, ...], there: Any, now: Any) -> str:
    where = " ".join(keys)
    if where.endswith("sha256"):
        return f"the {where.removesuffix('_sha256').removesuffix(' sha256')} is another one"
    return f"{where} is {there!r} there and {now!r} here"


def _read(path: Path, lines: list[dict[str, Any]]) -> dict[str, Finished]:
    found = {}
    for number, values in enumerate(lines, start=1):
        try:
            row, beyond = from_plain(values["row"]), tuple(map(int, values["beyond"]))
            found[str(values["key"])] = Finished(row=row, beyond=beyond)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise not_a_line(path, number, _WHAT) from None
    return found
