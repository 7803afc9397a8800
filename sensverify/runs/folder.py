"""The folder of a run: begun once, gone on with by who asks the same, and kept from others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensverify.errors import InputError
from sensverify.runs.files import (
    draft_of,
    json_file,
    locked,
    make_file,
    read_json,
    remove_drafts,
    write_json,
    writing,
)

_SHOWN = 80
"""Characters of a value in a message."""

_NAMED = 3
"""Differences in a message."""

_ANOTHER = "give another `out`"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run: a record of what was asked, and the files of its kind.

    Parameters
    ----------
    path : Path
    kind : str
        The run, for messages: ``study``.
    record : str
        Name of the file that says what was asked.
    schema : str
        Of that file.
    files : tuple of str
        Names of the other files that the run writes: drafts of them, and of the record, are left
        by processes that were killed.
    error : type of InputError
        What a record raises that is damaged, or of another run.
    indent : int
        Of the record.
    """

    path: Path
    kind: str
    record: str
    schema: str
    files: tuple[str, ...] = ()
    error: type[InputError] = InputError
    indent: int = 1

    @contextmanager
    def open(self, *, resume: bool) -> Iterator[dict[str, Any] | None]:
        """Within, alone with the folder, which is made where it is missing.

        Parameters
        ----------
        resume : bool
            Whether there may be a run in it already; where there is none, one is begun.

        Yields
        ------
        dict or None
            The record; None in a folder that has nothing yet.

        Raises
        ------
        InputError
            The folder holds something else, or a run and ``resume`` is false, or is in use, or
            cannot be written to. Nothing in it was changed.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        # Before anything is looked at, and of what is never replaced: the folder itself.
        with locked(self.path, self.kind):
            with writing(self.path):
                there = sorted(entry.name for entry in self.path.iterdir())
            kept = self._kept([name for name in there if not self._is_draft(name)], resume)
            remove_drafts(self.path, self._is_ours)
            yield kept

    @contextmanager
    def join(self, values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Within, beside others who have joined it too: each works in a place of its own there.

        Parameters
        ----------
        values : mapping
            The record, where nobody has put one down yet.

        Yields
        ------
        dict
            The record: that of the first who came.

        Raises
        ------
        InputError
            The folder holds something else, or somebody is alone with it, or it cannot be written
            to. Nothing in it was changed.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path, self.kind, shared=True):
            with writing(self.path):
                there = sorted(entry.name for entry in self.path.iterdir())
            # Those who come at the same moment leave drafts for a moment, and then the record.
            kept = self._kept([name for name in there if not self._is_draft(name)], resume=True)
            if kept is None:
                with writing(self.path / self.record):
                    content = json_file({"schema": self.schema, **values}, indent=self.indent)
                    make_file(self.path / self.record, content)
                kept = self.read()
            assert kept is not None
            yield kept

    def read(self) -> dict[str, Any] | None:
        """The record, without its schema; None where there is none.

        Raises
        ------
        InputError
        """
        path = self.path / self.record
        if not os.path.lexists(path):
            return None
        return read_json(path, self.schema, error=self.error, remedy=_ANOTHER)

    def damaged(self, why: str) -> InputError:
        """The error for a record whose values are wrong."""
        return self.error(f"'{self.path / self.record}' is damaged: {why}", _ANOTHER)

    def write(self, values: Mapping[str, Any]) -> None:
        """Put down what was asked.

        Raises
        ------
        InputError
            The system refuses.
        """
        record = {"schema": self.schema, **values}
        write_json(self.path / self.record, record, indent=self.indent)

    def compare(
        self, there: Mapping[str, Any], now: Mapping[str, Any], *, free: Sequence[str] = ()
    ) -> None:
        """Refuse to go on with something else than was asked first.

        Parameters
        ----------
        there : mapping
            The record; entries that ``now`` has not are not looked at.
        now : mapping
            Plain values.
        free : sequence of str
            What may be another one, such as ``model.name``.

        Raises
        ------
        InputError
            The message says what differs.
        """
        asked_then = {name: there.get(name) for name in now}
        changed = [
            _difference(*each)
            for each in differences(asked_then, now)
            if ".".join(each[0]) not in free
        ]
        if changed:
            more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
            raise self.error(
                f"'{self.path}' holds another {self.kind}: {'; '.join(changed[:_NAMED])}{more}",
                f"resume with what the {self.kind} was begun with, or give another `out`",
            )

    def _kept(self, there: Sequence[str], resume: bool) -> dict[str, Any] | None:
        if not there:
            return None
        kept = self.read()
        if kept is None:
            raise InputError(
                f"'{self.path}' is not empty and holds no {self.kind}: it has no '{self.record}', "
                f"but '{there[0]}'",
                _ANOTHER,
            )
        if not resume:
            raise InputError(
                f"'{self.path}' holds a {self.kind} already, and nothing in it is overwritten",
                "go on with it with `resume`, or give another `out`",
            )
        return kept

    def _is_draft(self, name: str) -> bool:
        draft = draft_of(name)
        return draft is not None and self._is_ours(draft)

    def _is_ours(self, name: str) -> bool:
        return name == self.record or name in self.files


def differences(there: Any, now: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """The places where two plain values differ.

    Parameters
    ----------
    there, now : what JSON holds
    *path : str
        The keys that lead to them.

    Yields
    ------
    path : tuple of str
        Of keys, through mappings that both sides have; the entries of two lists with the same names
        (``[{"name": ...}, ...]``) are looked at by name.
    there, now : Any
        What is behind them; None where nothing is.
    """
    if there == now:
        return
    names = _names(there), _names(now)
    if isinstance(there, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*there, *now)):
            yield from differences(there.get(key), now.get(key), *path, key)
    elif names[0] is None or names[1] is None:
        yield path, there, now
    elif names[0] != names[1]:
        yield path, *names
    else:
        for name, before, after in zip(names[0], there, now, strict=True):
            yield from differences(before, after, *path, f"'{name}'")


def _names(value: Any) -> list[Any] | None:
    """The names of the entries of a list, where all have one."""
    if isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        names = [each.get("name") for each in value]
        return names if None not in names else None
    return None


def _difference(keys: tuple[str, ...], there: Any, now: Any) -> str:
    where = ".".join(keys)
    if where.endswith("sha256"):
        return f"{where.removesuffix('sha256').rstrip('_.')} is another one"
    return f"{where} is {_short(there)} there and {_short(now)} now"


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
