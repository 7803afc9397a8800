"""Stages of a search, each of which follows from what is known before it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from sensverify.landscape.database import Database
from sensverify.landscape.energy import Energy
from sensverify.landscape.rows import Found
from sensverify.landscape.search import from_climbs, from_hops, from_starts
from sensverify.landscape.settings import Settings
from sensverify.runs.watch import Watch

Kind = Literal["starts", "hops", "climbs", "relu"]


@dataclass(frozen=True)
class Part:
    """One task of a landscape.

    Parameters
    ----------
    kind : "starts", "hops", "climbs" or "relu"
    number : int
        Of the round, 0 for what comes before the first.
    place : int
        In its round.
    count : int
        Searches.
    minima : tuple of str
        Keys of the minima that they begin at; empty for starts.
    partners : tuple of str
        Of climbs: for each minimum the key of another one, or nothing.
    """

    kind: Kind
    number: int
    place: int
    count: int
    minima: tuple[str, ...] = ()
    partners: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.kind}-{self.number}-{self.place}"

    def generator(self, seed: int) -> torch.Generator:
        """For all that the task draws; of each task another one."""
        digest = hashlib.sha256(f"{seed}/{self.key}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


Done = Sequence[Found]
Rounds = Generator[tuple[Part, ...], Done, None]


def rounds(settings: Settings, database: Database, *, relu: bool = False) -> Rounds:
    """The tasks of a landscape, stage by stage; each stage is sent what its tasks have found.

    The tasks of a stage depend on the database before it alone, and are taken in in their order:
    who does them, and how many at once, changes nothing.

    Parameters
    ----------
    settings : Settings
    database : Database
        It grows.
    relu : bool
        Whether new minima are continued to ReLU, after every stage.
    """
    search = settings.search
    continued: set[str] = set()

    def stage(parts: tuple[Part, ...], number: int) -> Rounds:
        for found in (yield parts):
            database.add(found)
        if relu:
            new = [key for key in (p.key for p in database.minima) if key not in continued]
            continued.update(new)
            if new:
                ends = yield tuple(_over("relu", number, sorted(new, key=_order), search.batch))
                for found in ends:
                    database.add(found)

    yield from stage(tuple(_starts(search.starts, search.batch)), 0)
    if search.walks and database.minima:
        lowest = [point.key for point in database.minima[: search.walks]]
        yield from stage(tuple(_over("hops", 1, lowest, search.batch)), 1)
    tried: Counter[str] = Counter()
    paired: set[tuple[str, str]] = set()
    for number in range(2, search.rounds + 2):
        if search.enough(len(database.minima), len(database.saddles)) or not database.minima:
            return
        chosen = list(database.least_connected(search.climbs, tried))
        # Fewer minima than searches: some are begun at more than once, in other directions.
        chosen = [chosen[k % len(chosen)] for k in range(search.climbs)]
        tried.update(chosen)
        pairs = _pairs(database, chosen, paired)
        parts = tuple(
            replace(each, partners=tuple(pairs[each.place * search.batch :][: each.count]))
            for each in _over("climbs", number, chosen, search.batch)
        )
        yield from stage(parts, number)


def _pairs(database: Database, chosen: Sequence[str], paired: set[tuple[str, str]]) -> list[str]:
    """For every second search the nearest minimum that its own was not paired with before."""
    found = []
    for place, key in enumerate(chosen):
        near = database.nearest(key) if place % 2 == 0 else ()
        other = next((each for each in near if (key, each) not in paired), "")
        if other:
            paired.update([(key, other), (other, key)])
        found.append(other)
    return found


def _order(key: str) -> int:
    return int(key[1:])


def _starts(count: int, batch: int) -> Iterator[Part]:
    for place, begin in enumerate(range(0, count, batch)):
        yield Part("starts", 0, place, min(batch, count - begin))


def _over(kind: Kind, number: int, minima: Sequence[str], batch: int) -> Iterator[Part]:
    for place, begin in enumerate(range(0, len(minima), batch)):
        chosen = tuple(minima[begin : begin + batch])
        yield Part(kind, number, place, len(chosen), chosen)


def do_part(
    energy: Energy,
    part: Part,
    minima: Mapping[str, torch.Tensor],
    settings: Settings,
    watch: Watch | None = None,
) -> Found:
    """Do a task.

    Parameters
    ----------
    energy : Energy
    part : Part
    minima : mapping from str to Tensor
        The weights of its minima, by key.
    settings : Settings
    watch : Watch, optional
    """
    generator = part.generator(settings.search.seed)
    if part.kind == "starts":
        starts = energy.starts(part.count, generator)
        return from_starts(energy, starts, settings, key=part.key, watch=watch)
    if part.kind == "hops":
        chosen = torch.stack([minima[key] for key in part.minima])
        return from_hops(energy, chosen, settings, generator, key=part.key, watch=watch)
    return from_climbs(
        energy,
        torch.stack([minima[key] for key in part.minima]),
        settings,
        generator,
        partners=[minima[key] if key else None for key in part.partners],
        key=part.key,
        watch=watch,
    )


def weights_of(database: Database, part: Part) -> dict[str, torch.Tensor]:
    """The weights of a task's minima and their partners, by key."""
    keys = dict.fromkeys((*part.minima, *filter(None, part.partners)))
    return {key: torch.tensor(database.points[key].weights) for key in keys}


def explore(
    energy: Energy,
    settings: Settings,
    *,
    watch: Watch | None = None,
    progress: Callable[[Database], None] | None = None,
) -> Database:
    """The database of any energy, searched here and now; nothing is written.

    Parameters
    ----------
    energy : Energy
    settings : Settings
    watch : Watch, optional
        When it is over, the stages that are done are given.
    progress : callable, optional
        Called after every stage.

    Examples
    --------
    >>> from sensverify.landscape import FunctionEnergy, Search, Settings
    >>> wells = FunctionEnergy(
    ...     lambda x: (x.square() - 1).square().sum(), size=2, low=-2.0, high=2.0
    ... )
    >>> database = explore(wells, Settings(search=Search(starts=12, rounds=2, climbs=8)))
    >>> len(database.minima), len(database.saddles)
    (4, 4)
    >>> link = database.links[0]
    >>> link.connects, database.points[link.saddle].negative
    (True, 1)
    """
    database = Database(energy.symmetry, settings.alike)
    stages = rounds(settings, database)
    parts = next(stages, ())
    while parts:
        done = []
        for part in parts:
            done.append(do_part(energy, part, weights_of(database, part), settings, watch))
            if watch is not None and watch.over:
                return database
        try:
            parts = stages.send(done)
        except StopIteration:
            break
        if progress is not None:
            progress(database)
    return database
