"""The folder of an evaluation: what was asked, and a journal with a line for each finished task."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensverify.core.record import versions
from sensverify.errors import InputError
from sensverify.evaluation.results import Row
from sensverify.evaluation.rows import from_plain, to_plain
from sensverify.runs.folder import RunFolder
from sensverify.runs.journal import Journal, RowType, read_journal
from sensverify.runs.shards import FOLDER as SHARDS
from sensverify.runs.shards import Begun, Shard, Shards, each_once

SCHEMA = "sensverify.evaluation/1"
ASKED, JOURNAL, JSON_FILE, PAGE_FILE = (
    "asked.json",
    "journal.jsonl",
    "evaluation.json",
    "report.html",
)
_KIND = "evaluation"


@dataclass(frozen=True, kw_only=True)
class FinishedTask:
    """A task that is done.

    Parameters
    ----------
    row : Row
        Of a task that would fail again, a `Missing`.
    certainly_wrong : tuple of int
        Positions of the samples whose label is not the largest output by more than rounding: at
        their own point for a clean row, at the attack's for that of an attack.
    cut : bool
        Whether more time would have given another row: it is reported, but not kept.
    """

    row: Row
    certainly_wrong: tuple[int, ...] = ()
    cut: bool = False


@dataclass(frozen=True)
class Entry:
    """A line of the journal.

    Parameters
    ----------
    key : str
        Of a task and its network.
    task : str
        The task in words, for whoever reads the file.
    finished : FinishedTask
    """

    key: str
    task: str
    finished: FinishedTask


def _plain(entry: Entry) -> dict[str, Any]:
    found = entry.finished
    row = to_plain(found.row)
    return {"key": entry.key, "cell": entry.task, "beyond": list(found.certainly_wrong), "row": row}


def _entry(values: Mapping[str, Any]) -> Entry:
    row, beyond = from_plain(values["row"]), tuple(map(int, values["beyond"]))
    return Entry(
        str(values["key"]), str(values["cell"]), FinishedTask(row=row, certainly_wrong=beyond)
    )


ROWS = RowType(_KIND, _plain, _entry)


class FinishedTasks:
    """The finished tasks of an evaluation, kept in a journal where there is one.

    Parameters
    ----------
    journal : Journal or None
        None keeps tasks only while the process lives.
    begun_with : mapping from str to str
        Versions of what the first tasks were found with; empty without a folder.
    others : iterable of Entry
        That other journals hold.
    """

    def __init__(
        self,
        journal: Journal[Entry] | None = None,
        begun_with: Mapping[str, str] | None = None,
        others: Iterable[Entry] = (),
    ) -> None:
        self._journal = journal
        rows = (*others, *(journal.rows if journal else ()))
        self._found = {each.key: each.finished for each in rows}
        self.begun_with = dict(begun_with or {})

    def get(self, key: str) -> FinishedTask | None:
        """The finished task of that key."""
        return self._found.get(key)

    def add(self, key: str, task: str, finished: FinishedTask) -> None:
        """Keep a task, on the disk where there is a folder; see `Entry`."""
        if self._journal is not None:
            self._journal.add(Entry(key, task, finished))
        self._found[key] = finished


@contextmanager
def open_evaluation(
    folder: Path | None, deciding: Mapping[str, Any], *, resume: bool
) -> Iterator[FinishedTasks]:
    """The finished tasks of an evaluation, and a place for more.

    Parameters
    ----------
    folder : Path or None
    deciding : mapping
        Plain values of everything that decides what a task finds, but for its network.
    resume : bool
        Whether the folder may hold tasks already.

    Raises
    ------
    InputError
        The folder holds something else, or tasks that were found with other settings, or tasks
        without ``resume``; it is in use, damaged or cannot be written.
    """
    if folder is None:
        yield FinishedTasks()
        return
    wanted, run = json.loads(json.dumps(deciding)), _run(folder)
    with run.open(resume=resume) as kept:
        if kept is None:
            kept = {**wanted, "versions": versions()}
            run.write(kept)
        run.compare(kept, wanted)
        begun = shards_in(folder).begun()
        with Journal(folder / JOURNAL, ROWS) as journal:
            files = [each.folder / JOURNAL for each in begun]
            yield FinishedTasks(journal, _versions(kept, begun), _entries(files))


@contextmanager
def open_shard(
    folder: Path, deciding: Mapping[str, Any], shard: Shard, plan: str, *, resume: bool
) -> Iterator[FinishedTasks]:
    """The finished tasks of one shard, beside others that may be at work on theirs.

    Parameters
    ----------
    folder, deciding
        As of `open_evaluation`; the first who comes puts the record there.
    shard : Shard
    plan : str
        Digest of all tasks in their order.
    resume : bool
        Whether this shard may be begun already.

    Raises
    ------
    InputError
        As of `open_evaluation`; or the folder's shards are of another plan or count.
    """
    wanted, run = json.loads(json.dumps(deciding)), _run(folder)
    with run.join({**wanted, "versions": versions()}) as kept:
        run.compare(kept, wanted)
        with (
            shards_in(folder).open(shard, plan, resume=resume) as place,
            Journal(place / JOURNAL, ROWS) as journal,
        ):
            yield FinishedTasks(journal, kept.get("versions"), _entries([folder / JOURNAL]))


def read_finished(folder: Path, deciding: Mapping[str, Any]) -> tuple[FinishedTasks, list[Begun]]:
    """The finished tasks that a folder holds by now, and its shards; others may be at work there.

    Raises
    ------
    InputError
        It holds no evaluation, or another one, or shards of different plans.
    """
    run = _run(folder)
    kept = run.read()
    if kept is None:
        raise InputError(f"'{folder}' holds no evaluation: there is no file '{ASKED}' in it")
    run.compare(kept, json.loads(json.dumps(deciding)))
    begun = shards_in(folder).begun()
    found = _entries([folder / JOURNAL, *(each.folder / JOURNAL for each in begun)])
    return FinishedTasks(None, _versions(kept, begun), found), begun


def shards_in(folder: Path) -> Shards:
    """The shards of an evaluation."""
    return Shards(folder / SHARDS, _KIND)


def _run(folder: Path) -> RunFolder:
    return RunFolder(folder, _KIND, ASKED, SCHEMA, (JSON_FILE, PAGE_FILE))


def _entries(files: Sequence[Path]) -> list[Entry]:
    rows = ((path, row) for path in files for row in read_journal(path, ROWS))
    return list(each_once(rows, lambda entry: entry.key, _KIND).values())


def _versions(kept: Mapping[str, Any], begun: Sequence[Begun]) -> dict[str, str]:
    """Versions at the beginning; what is another one in a shard, as it is there."""
    found = dict(kept.get("versions") or {})
    for machine in (machine for each in begun for machine in each.machines):
        found |= {k: v for k, v in machine.get("versions", {}).items() if versions().get(k) != v}
    return found
