"""The report of a benchmark: every instance with its result, beside those of earlier runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sensverify.core.record import RunRecord
from sensverify.core.shown import Shown
from sensverify.errors import BadData, BadSetting, InputError
from sensverify.runs.journal import read_journal
from sensverify.verification.benchmark import (
    DECIDED,
    BenchmarkSummary,
    Instance,
    InstanceResult,
    Key,
    result_rows,
)

FAILING = ("sat", "timeout", "unknown", "error")
"""Verdicts that a benchmark can be asked not to end with."""


@dataclass(frozen=True, eq=False)
class EarlierResults:
    """Results of another run over the same folder.

    Parameters
    ----------
    path : Path
        The file of results.
    method : str
        That found them.
    results : tuple of InstanceResult
        Of the instances that are asked about.
    """

    path: Path
    method: str
    results: tuple[InstanceResult, ...]


@dataclass(frozen=True)
class Disagreement:
    """Two verdicts on one instance of which one is wrong.

    Parameters
    ----------
    here, there : InstanceResult
    path : Path
        The file that holds the second.
    """

    here: InstanceResult
    there: InstanceResult
    path: Path


@dataclass(frozen=True, eq=False)
class BenchmarkReport(Shown):
    """All results of a benchmark, as far as it was run, and everything needed to repeat it.

    Parameters
    ----------
    folder, out : Path
        Of the instances, and the file of their results.
    instances_sha256 : str
        Of ``instances.csv``.
    instances : tuple of Instance
        All that are asked about.
    results : tuple of InstanceResult
        One for each of those that have been run.
    method : str
        With its settings.
    timeout : float or None
        Most seconds for an instance, where its own limit is longer.
    only : str
        What an instance has in its name.
    jobs : int
        Processes at a time.
    fail_on : tuple of str
        Verdicts that no instance should end with.
    compared : tuple of EarlierResults
    interrupted : bool
        Whether somebody stopped the run.
    seconds : float
        Wall time of this run; instances of earlier ones took their own.
    machine : mapping
        What it ran on.
    record : RunRecord
    left : tuple of str
        Sentences on what shards have not done yet.
    """

    folder: Path
    out: Path
    instances_sha256: str
    instances: tuple[Instance, ...]
    results: tuple[InstanceResult, ...]
    method: str
    timeout: float | None
    only: str
    jobs: int
    fail_on: tuple[str, ...] = ()
    compared: tuple[EarlierResults, ...] = ()
    interrupted: bool = False
    seconds: float = 0.0
    machine: dict[str, Any] = field(default_factory=dict)
    record: RunRecord = field(default_factory=RunRecord.now)
    left: tuple[str, ...] = ()

    @cached_property
    def summary(self) -> BenchmarkSummary:
        """Counts and times."""
        return BenchmarkSummary.of(self.instances, self.results)

    @cached_property
    def rows(self) -> tuple[tuple[Instance, InstanceResult | None], ...]:
        """Every instance, in the order of the folder, with its result; None where it has none."""
        left = by_key(self.results)
        return tuple((each, next(left[each.key], None)) for each in self.instances)

    @property
    def failed(self) -> dict[str, int]:
        """Counts of the instances that ended as none should."""
        return self.summary.ended(self.fail_on)

    @cached_property
    def disagreements(self) -> tuple[Disagreement, ...]:
        """Verdicts that contradict one of the other runs."""
        return tuple(
            Disagreement(here, there, other.path)
            for other in self.compared
            for here, there in pairs(self.results, other.results)
            if {here.verdict, there.verdict} == set(DECIDED)
        )

    @property
    def broken(self) -> int:
        """Count of the instances whose error keeps it open whether they end as none should."""
        return self.summary.ended(["error"]).get("error", 0) if self.fail_on else 0

    @property
    def exit_status(self) -> int:
        """0; 1 for a contradiction or what should not be; 3 where instances are left, or open."""
        summary = self.summary
        if summary.wrong or self.failed or self.disagreements:
            return 1
        unfinished = bool(self.fail_on) and summary.done < summary.total
        return 3 if self.interrupted or unfinished or self.broken else 0

    def limit_of(self, instance: Instance) -> float:
        """Seconds that an instance may take."""
        return instance.timeout if self.timeout is None else min(instance.timeout, self.timeout)

    def __repr__(self) -> str:
        summary = self.summary
        counts = ", ".join(f"{count} {word}" for word, count in summary.verdicts.items())
        done = f"{summary.done} of {summary.total} instances"
        return f"BenchmarkReport({self.folder.name}, {done}{f': {counts}' if counts else ''})"


def by_key(results: Sequence[InstanceResult]) -> dict[Key, Iterator[InstanceResult]]:
    """The results of every instance, one after another: it may be listed several times."""
    found: dict[Key, list[InstanceResult]] = defaultdict(list)
    for result in results:
        found[result.instance.key].append(result)
    made = defaultdict[Key, Iterator[InstanceResult]](lambda: iter(()))
    made.update({key: iter(values) for key, values in found.items()})
    return made


def pairs(
    first: Sequence[InstanceResult], second: Sequence[InstanceResult]
) -> Iterator[tuple[InstanceResult, InstanceResult]]:
    """The results of two runs about the same instances."""
    others = by_key(second)
    for here in first:
        there = next(others[here.instance.key], None)
        if there is not None:
            yield here, there


def check_failing(words: Sequence[str]) -> None:
    """Refuse verdicts that are none, or that are no failure.

    Raises
    ------
    BadSetting
    """
    wrong = [word for word in words if word not in FAILING]
    if wrong:
        raise BadSetting(
            f"'{wrong[0]}' is nothing that `fail_on` can name", f"give some of {', '.join(FAILING)}"
        )


def read_earlier(
    path: Path, everything: Sequence[Instance], asked: Sequence[Instance]
) -> EarlierResults:
    """The results of another run over the same folder, of the instances that are asked about.

    Parameters
    ----------
    path : Path
        A file of results; another process may be writing it.
    everything, asked : sequence of Instance
        All that the folder has, and those that are asked about.

    Raises
    ------
    BadData
        There is no such file, it is about another folder, by several methods, or has no result of
        an instance that is asked about.
    InputError
        It cannot be read, or holds something else.
    """
    if not path.is_file():
        raise BadData(f"there is no file of results '{path}'", _ANOTHER)
    keys = {instance.key for instance in asked}
    try:
        found = read_journal(path, result_rows(path, everything, None))
    except InputError as error:
        raise type(error)(error.problem, _ANOTHER) from None
    results = tuple(result for result in found if result.instance.key in keys)
    methods = sorted({result.method for result in results})
    if len(methods) != 1:
        what = f"of several methods, {', '.join(methods)}" if methods else "none of these instances"
        raise BadData(f"the results in '{path}' are {what}", _ANOTHER)
    return EarlierResults(path, methods[0], results)


_ANOTHER = "give the results of another run over this folder to `compare`"
