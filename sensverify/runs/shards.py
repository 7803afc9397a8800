"""Shards: a run that is cut into parts, each done by who does not know of the others.

Every shard has a folder of its own below that of the run, with its record and its journal, and
nobody else writes there. Which parts a shard has follows from the order of all parts alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from sensverify.errors import BadSetting, InputError
from sensverify.runs.files import reading
from sensverify.runs.folder import RunFolder
from sensverify.runs.machine import machine_facts

FOLDER = "shards"
"""In the folder of a run, beside the journal of what was done without."""

RECORD, SCHEMA = "shard.json", "sensverify.shard/1"

_NAME = re.compile(r"([1-9][0-9]*)-of-([1-9][0-9]*)")
_MOST = 1_000_000
_SHOWN = 6
"""Parts that a message names."""

Part = TypeVar("Part")


@dataclass(frozen=True, order=True)
class Shard:
    """One part of a run that is cut into several.

    Parameters
    ----------
    number : int
        From 1.
    count : int
        Of all shards.

    Raises
    ------
    BadSetting
        There is no such shard.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count <= _MOST:
            raise BadSetting(
                f"there is no shard {self.number} of {self.count}",
                "shards of 3 are 1/3, 2/3 and 3/3",
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard of a text such as ``2/3``.

        Raises
        ------
        BadSetting
            It says something else.
        """
        parts = [part.strip() for part in text.split("/")]
        if len(parts) != 2 or not all(part.isdecimal() and len(part) < 8 for part in parts):
            raise BadSetting(f"'{text}' is no shard: expected one of a count, such as 2/3")
        return cls(int(parts[0]), int(parts[1]))

    def of(self, parts: Sequence[Part]) -> list[Part]:
        """Its share of parts that stand in the same order for all: every count-th.

        The shards together have every part once, and parts that stand side by side go to
        different ones.
        """
        return list(parts[self.number - 1 :: self.count])

    @property
    def name(self) -> str:
        """The name of its folder: ``2-of-3``."""
        return f"{self.number}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


@dataclass(frozen=True)
class Begun:
    """A shard that somebody has begun.

    Parameters
    ----------
    shard : Shard
    folder : Path
    plan : str
        SHA-256 of the plan that it is a part of.
    machines : tuple of mapping
        It was worked on there.
    """

    shard: Shard
    folder: Path
    plan: str
    machines: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Shards:
    """The shards of one run.

    Parameters
    ----------
    folder : Path
        Holds nothing else.
    kind : str
        The run, for messages: ``study``.
    """

    folder: Path
    kind: str

    def begun(self) -> list[Begun]:
        """All that are there, in order.

        Raises
        ------
        InputError
            They are of different plans or counts, or one is damaged.
        """
        found = []
        for shard in self._there():
            kept = self._run(shard).read()
            # Without its record it has been begun just now.
            if kept is not None:
                found.append(self._begun(shard, kept))
        for each in found[1:]:
            self._same(found[0], each.shard, each.plan)
        return found

    def check(self, plan: str) -> list[Begun]:
        """As `begun`, refused where they are of another plan than this one.

        Raises
        ------
        InputError
        """
        found = self.begun()
        if found and found[0].plan != plan:
            raise self._other(found[0].shard, f"the {self.kind} asked for now")
        return found

    @contextmanager
    def open(self, shard: Shard, plan: str, *, resume: bool) -> Iterator[Path]:
        """Within, alone with one of them: its folder.

        Parameters
        ----------
        shard : Shard
        plan : str
            `digest` of everything that the parts of the run, and their order, follow from.
        resume : bool
            Whether it may be begun already.

        Raises
        ------
        InputError
            It is begun and ``resume`` is false, or is in use; or the run's shards are of another
            plan or count.
        """
        for each in self.begun():
            self._same(each, shard, plan)
        run, here = self._run(shard), machine_facts()
        with run.open(resume=resume) as kept:
            before = () if kept is None else self._begun(shard, kept).machines
            machines = [*before, *([] if here in before else [here])]
            run.write({"shard": str(shard), "plan": plan, "machines": machines})
            yield run.path

    def journals(self, name: str) -> list[Path]:
        """The files of that name in the folders of the shards, in order."""
        paths = (self.folder / shard.name / name for shard in self._there())
        return [path for path in paths if path.is_file()]

    def _there(self) -> list[Shard]:
        with reading(self.folder):
            paths = list(self.folder.iterdir()) if self.folder.is_dir() else []
        matches = (_NAME.fullmatch(path.name) for path in paths)
        return sorted(Shard(int(match[1]), int(match[2])) for match in matches if match)

    def _run(self, shard: Shard) -> RunFolder:
        return RunFolder(self.folder / shard.name, "shard", RECORD, SCHEMA)

    def _begun(self, shard: Shard, kept: Mapping[str, Any]) -> Begun:
        run, machines = self._run(shard), kept.get("machines")
        if not isinstance(machines, list) or not all(isinstance(each, dict) for each in machines):
            raise run.damaged("it says no machines")
        if kept.get("shard") != str(shard):
            raise run.damaged(f"it is of shard {kept.get('shard')}, not of {shard}")
        return Begun(shard, run.path, str(kept.get("plan")), tuple(machines))

    def _same(self, there: Begun, shard: Shard, plan: str) -> None:
        if there.shard.count != shard.count:
            raise InputError(
                f"'{self.folder}' holds shards of {there.shard.count}, and {shard} is one of "
                f"{shard.count}",
                f"the {self.kind} goes on in {there.shard.count} shards, or without `shard`",
            )
        if there.plan != plan:
            raise self._other(there.shard, f"shard {shard} as it is asked for now")

    def _other(self, shard: Shard, what: str) -> InputError:
        return InputError(
            f"shard {shard} in '{self.folder}' is of another plan than {what}",
            "all shards are begun with the same request; give another `out`",
        )


def digest(plan: Any) -> str:
    """SHA-256 of plain values, by which plans are told apart."""
    return sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def journals(folder: Path, name: str) -> list[Path]:
    """The journals of that name in a run's folder and in those of its shards, that are there."""
    whole = [folder / name] if (folder / name).is_file() else []
    return [*whole, *Shards(folder / FOLDER, "run").journals(name)]


def each_once(
    rows: Iterable[tuple[Path, Part]], key: Callable[[Part], str], kind: str
) -> dict[str, Part]:
    """Rows of several journals, by their keys.

    Raises
    ------
    InputError
        Two journals have a row of the same key.
    """
    found: dict[str, Part] = {}
    places: dict[str, Path] = {}
    for path, row in rows:
        name = key(row)
        if places.setdefault(name, path) != path:
            raise InputError(
                f"'{path}' and '{places[name]}' both hold '{name}' of the {kind}",
                "keep one of the two",
            )
        found[name] = row
    return found


def left_text(
    keys: Sequence[str], done: Iterable[str], begun: Sequence[Begun], what: str
) -> list[str]:
    """Sentences on the parts that are not done, all and shard by shard.

    Parameters
    ----------
    keys : sequence of str
        All parts, in the order that shards follow.
    done : iterable of str
    begun : sequence of Begun
    what : str
        Parts, in a word: ``trainings``.
    """
    there = set(done)
    left = [key for key in keys if key not in there]
    if not left:
        return []
    told = [f"{len(left)} of {len(keys)} {what} are not done: {_named(left)}"]
    known = {each.shard for each in begun}
    for number in range(1, begun[0].shard.count + 1) if begun else ():
        shard = Shard(number, begun[0].shard.count)
        mine = shard.of(keys)
        missed = [key for key in mine if key not in there]
        if missed:
            state = "lacks" if shard in known else "was not begun; it has"
            told.append(f"shard {shard} {state} {len(missed)} of {len(mine)}: {_named(missed)}")
    return told


def _named(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", …" if len(keys) > _SHOWN else "")
