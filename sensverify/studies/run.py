"""Run a study: every training that is not done yet, one after another or several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from sensverify.errors import BadSetting
from sensverify.runs.machine import cores
from sensverify.runs.watch import Watch
from sensverify.studies.folder import open_study, run_folder
from sensverify.studies.journal import Entry, Journal, read_journal
from sensverify.studies.pool import train_all
from sensverify.studies.study import Study, Training
from sensverify.studies.train import Job, check, train


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Parameters
    ----------
    done, total : int
        Trainings.
    running : mapping from Training to float
        Those in hand, with the share of each that is done.
    seconds_left : float or None
        An estimate; None where nothing is known yet.
    entry : Entry or None
        The training that has just ended.
    """

    done: int
    total: int
    running: Mapping[Training, float]
    seconds_left: float | None
    entry: Entry | None = None


@dataclass(frozen=True)
class Outcome:
    """What a study has by now.

    Parameters
    ----------
    entries : tuple of Entry
    total : int
        Trainings of the study.
    """

    entries: tuple[Entry, ...]
    total: int

    @property
    def complete(self) -> bool:
        return len(self.entries) == self.total

    @property
    def failed(self) -> tuple[Entry, ...]:
        """Trainings that went wrong: results too."""
        return tuple(entry for entry in self.entries if entry.reason)


def run_study(
    study: Study,
    folder: Path,
    *,
    resume: bool = False,
    jobs: int = 1,
    data_dir: Path | None = None,
    watch: Watch | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Train everything that the folder does not have yet.

    Every training writes the run directory ``runs/NAME-seedN`` of the folder; one that was stopped
    goes on from its last checkpoint. A training that goes wrong (NaN, collapse) is recorded with
    its reason, and the others go on.

    Parameters
    ----------
    study : Study
    folder : Path
    resume : bool
        Whether the folder may hold results of this study already.
    jobs : int
        Trainings at once, each in a process of its own with its share of the cores. The weights
        depend, in their last bits, on the number of threads: what the first call chose stays.
    data_dir : Path, optional
        Where data sets are.
    watch : Watch, optional
        Stops the trainings in hand, each with a checkpoint.
    progress : callable, optional

    Raises
    ------
    InputError
        The folder holds something else, or something cannot be trained as asked; what is wrong
        with any of the trainings is said before the folder is made.
    UnsoundResult
        An attack refuted what a method had proven.
    BackendFailure
        A process died.
    """
    if jobs < 1:
        raise BadSetting(f"jobs needs a whole number of at least 1, got {jobs}")
    watch = watch if watch is not None else Watch()
    done = {entry.key for entry in read_journal(folder)}
    check(study, [each for each in study.trainings if each.key not in done], data_dir=data_dir)
    threads = max(1, cores() // min(jobs, len(study.trainings)))
    study = open_study(folder, study, resume=resume, threads=threads)
    with Journal(folder) as journal:
        finished = {entry.key for entry in journal.entries}
        todo = [
            Job(each, study, run_folder(folder, each), data_dir)
            for each in study.trainings
            if each.key not in finished
        ]
        clock = _Clock(study.trainings, journal.entries, at_once=jobs)
        tell = progress if progress is not None else lambda state: None
        tell(clock.state())

        def report(job: Job, share: float) -> None:
            clock.shares[job.training] = share
            tell(clock.state())

        if jobs == 1:
            results = _one_by_one(todo, watch, report)
        else:
            results = train_all(todo, at_once=jobs, watch=watch, report=report)
        for job, entry in results:
            journal.add(entry)
            clock.end(job.training, entry)
            tell(clock.state(entry))
        return Outcome(tuple(journal.entries), len(study.trainings))


def _one_by_one(
    jobs: Sequence[Job], watch: Watch, report: Callable[[Job, float], None]
) -> Iterator[tuple[Job, Entry]]:
    for job in jobs:
        if watch.over:
            return
        report(job, 0.0)
        entry = train(job, watch=watch, report=partial(report, job))
        if entry is not None:
            yield job, entry


class _Clock:
    """Estimates the time left from how long each loss takes."""

    def __init__(
        self, trainings: Sequence[Training], entries: Sequence[Entry], *, at_once: int
    ) -> None:
        self.shares: dict[Training, float] = {}
        self._left = {each.key: each for each in trainings}
        self._total, self._at_once = len(trainings), at_once
        self._begun: dict[Training, tuple[float, float]] = {}
        self._seconds: dict[str, list[float]] = {}
        for entry in entries:
            self._note(entry)

    def end(self, training: Training, entry: Entry) -> None:
        """A training is done."""
        self.shares.pop(training, None)
        self._begun.pop(training, None)
        self._note(entry)

    def _note(self, entry: Entry) -> None:
        self._left.pop(entry.key, None)
        if not entry.reason:
            self._seconds.setdefault(entry.run, []).append(entry.seconds)

    def state(self, entry: Entry | None = None) -> Progress:
        """How far the study is now."""
        done = self._total - len(self._left)
        return Progress(done, self._total, dict(self.shares), self._estimate(), entry)

    def _estimate(self) -> float | None:
        now = perf_counter()
        known = {name: sum(times) / len(times) for name, times in self._seconds.items()}
        for training, share in self.shares.items():
            # What was trained before a stop tells nothing of the pace now.
            began, from_share = self._begun.setdefault(training, (now, share))
            if share > from_share and training.name not in known:
                known[training.name] = (now - began) / (share - from_share)
        if not known:
            return None
        usual = sum(known.values()) / len(known)
        left = [
            known.get(each.name, usual) * (1 - self.shares.get(each, 0.0))
            for each in self._left.values()
        ]
        # No sooner than the longest of them.
        return max(sum(left) / self._at_once, max(left, default=0.0))
