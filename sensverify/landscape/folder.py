"""The folder of a landscape: ``landscape.json`` and the journal; and reading it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import nn

from sensverify.core.record import versions
from sensverify.data import Split
from sensverify.errors import InputError, UnknownName
from sensverify.landscape.database import Database
from sensverify.landscape.network_energy import NetworkEnergy
from sensverify.landscape.repeats import repeats
from sensverify.landscape.request import LandscapeRequest
from sensverify.landscape.rounds import rounds
from sensverify.landscape.rows import KIND, ROWS, Found
from sensverify.landscape.sensitivity import AroundSamples
from sensverify.registry.names import did_you_mean
from sensverify.runs.folder import RunFolder
from sensverify.runs.journal import Journal, read_journal

SCHEMA = "sensverify.landscape/1"
FILE, JOURNAL = "landscape.json", "journal.jsonl"


@contextmanager
def open_landscape(
    folder: Path, request: LandscapeRequest, *, resume: bool
) -> Iterator[Journal[Found]]:
    """The journal of a new landscape, or of one that was stopped, kept from other processes.

    Raises
    ------
    InputError
        The folder holds something else, or another landscape, or this one without ``resume``; or it
        is in use or cannot be written.
    """
    wanted = json.loads(json.dumps(request.as_dict()))
    run = _run(folder)
    with run.open(resume=resume) as kept:
        if kept is None:
            kept = {**wanted, "versions": versions()}
            run.write(kept)
        # Its name decides nothing; and goals may be raised, as rounds may.
        free = ("landscape.title", *(f"search.{n}" for n in ("rounds", "minima", "saddles")))
        run.compare(kept, wanted, free=free)
        if any(kept[table] != values for table, values in wanted.items()):
            run.write({**kept, **wanted})
        with Journal(folder / JOURNAL, ROWS) as journal:
            yield journal


@dataclass(frozen=True, eq=False)
class Landscape:
    """A landscape that a folder holds, as far as it has been searched.

    Parameters
    ----------
    request : LandscapeRequest
    database : Database
        Of the stages that are whole, and of those tasks of the one in hand that are done.
    split : Split
        The data.
    complete : bool
        Whether nothing is left to search.
    rows : tuple of Found
        The tasks that are done, in their order.
    """

    request: LandscapeRequest
    database: Database
    split: Split
    complete: bool
    rows: tuple[Found, ...]

    @classmethod
    def read(cls, folder: str | Path, *, data_dir: str | Path | None = None) -> Landscape:
        """From the folder of a run, which may go on meanwhile.

        Raises
        ------
        InputError
            There is no landscape in it, or it is damaged; or its data cannot be found.
        """
        run = _run(Path(folder))
        kept = run.read()
        if kept is None:
            raise InputError(f"'{folder}' holds no landscape: there is no file '{FILE}' in it")
        try:
            kept.pop("versions", None)
            request = LandscapeRequest.of(kept)
        except InputError as error:
            raise run.damaged(str(error)) from None
        rows = read_journal(Path(folder) / JOURNAL, ROWS)
        split = request.split(data_dir=data_dir)
        energy = request.energy(split=split)
        database = Database(energy.symmetry, request.settings.alike)
        complete = replay(request, database, rows)
        return cls(request, database, split, complete, tuple(rows))

    @property
    def seconds(self) -> float:
        """Processor time of all tasks that are done."""
        return sum(row.seconds for row in self.rows)

    @cached_property
    def energy(self) -> NetworkEnergy:
        """The energy that was searched."""
        return self.request.energy(split=self.split)

    def module(self, key: str) -> nn.Module:
        """The network at a point, in float64: with ReLU where the point was continued to it.

        Raises
        ------
        UnknownName
            There is no such point.
        """
        points = self.database.points
        if key not in points:
            raise UnknownName(f"the landscape has no point '{key}'{did_you_mean(key, points)}")
        point = points[key]
        energy = self.energy if point.relu is None else self._relu
        return energy.with_weights(point.final_weights)

    @cached_property
    def repeats(self) -> dict[str, str]:
        """Keys of minima whose network with ReLU is that of a lower one, with the key of that.

        See `sensverify.landscape.repeats.repeats`.
        """
        if all(point.relu is None for point in self.database.minima):
            return {}
        return repeats(self.database.minima, self._relu, AroundSamples.of(self.split).x)

    @cached_property
    def _relu(self) -> NetworkEnergy:
        return self.request.relu_energy(self.split)


def replay(request: LandscapeRequest, database: Database, rows: Sequence[Found]) -> bool:
    """Take the tasks of a journal into a database, in their order; whether nothing is left.

    Tasks of a stage that is not whole are taken in too.
    """
    done = {row.key: row for row in rows}
    stages = rounds(request.settings, database, relu=request.relu)
    try:
        parts = next(stages)
        while all(part.key in done for part in parts):
            parts = stages.send([done[part.key] for part in parts])
    except StopIteration:
        return True
    for part in parts:
        if part.key in done:
            database.add(done[part.key])
    return False


def _run(folder: Path) -> RunFolder:
    return RunFolder(folder, KIND, FILE, SCHEMA)
