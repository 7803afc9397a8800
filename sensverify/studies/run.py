"""Run a study: every training that is not done yet, one after another or several at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sensverify.errors import BackendFailure, BadSetting, InputError, UnsoundResult
from sensverify.runs.journal import Journal
from sensverify.runs.machine import cores
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.shards import Shard
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Here, Processes, Task, Workers
from sensverify.studies.entries import FILE, ROWS, Entry, in_order, read_entries
from sensverify.studies.folder import open_shard, open_study, run_folder
from sensverify.studies.study import Study, Training
from sensverify.studies.train import check, peak_memory, training_task


@dataclass(frozen=True)
class StudyResult:
    """The trainings that a study has finished by now.

    Parameters
    ----------
    entries : tuple of Entry
        In the order of the study.
    total : int
        Trainings of the study.
    shard : Shard or None
        That was to be done.
    asked : int
        Trainings that were to be done by the end, of the shard where there is one.
    left : int
        Those of them that are not.
    """

    entries: tuple[Entry, ...]
    total: int
    shard: Shard | None = None
    asked: int = 0
    left: int = 0

    @property
    def complete(self) -> bool:
        """True where the whole study is done."""
        return len(self.entries) == self.total

    @property
    def failed(self) -> tuple[Entry, ...]:
        """Trainings that went wrong: results too."""
        return tuple(entry for entry in self.entries if entry.reason)


def run_study(
    study: Study,
    out: Path,
    *,
    resume: bool = False,
    jobs: int = 1,
    shard: Shard | None = None,
    data_dir: Path | None = None,
    watch: Watch | None = None,
    progress: Listener | None = None,
    workers: Workers | None = None,
) -> StudyResult:
    """Train everything that the folder does not have yet, or a shard of it.

    Every training writes the run directory ``runs/NAME-seedN`` of the folder; one that was stopped
    goes on from its last checkpoint. A training that goes wrong (NaN, collapse) is recorded with
    its reason, and the others go on.

    Parameters
    ----------
    study : Study
    out : Path
        The folder.
    resume : bool
        Whether the folder may hold results of this study already.
    jobs : int
        Trainings at once, each in a process of its own with its share of the cores. The weights
        depend, in their last bits, on the number of threads: what the first call chose stays.
    shard : Shard, optional
        Train only this part of the study, while others may be at work on theirs in the same
        folder. ``resume`` is about the shard alone.
    data_dir : Path, optional
        Where data sets are.
    watch : Watch, optional
        Stops the trainings in hand, each with a checkpoint.
    progress : callable, optional
        Called as a `Training` begins, goes on, and ends with an `Entry`.
    workers : Workers, optional
        Who trains; default: this process, or with more than one job processes of this machine.

    Raises
    ------
    InputError
        The folder holds something else, or something cannot be trained as asked; what is wrong
        with any of the trainings is said before the folder is made.
    UnsoundResult
        An attack refuted what a method had proven.
    BackendFailure
        A process died; raised when the others are done.
    """
    if jobs < 1:
        raise BadSetting(f"`jobs` needs a whole number of at least 1, got {jobs}")
    watch = watch if watch is not None else Watch()
    mine = shard.of(study.by_run) if shard is not None else list(study.trainings)
    done = {entry.key for entry in read_entries(out)}
    check(study, [each for each in mine if each.key not in done], data_dir=data_dir)
    threads = max(1, cores() // min(jobs, max(1, len(mine))))
    alone = workers is None and jobs > 1
    if workers is None:
        workers = Here() if jobs == 1 else Processes(jobs)
    with (
        _opened(out, study, shard, resume=resume, threads=threads) as (study, place),
        Journal(place / FILE, ROWS) as journal,
    ):
        # In the order of the study, which is that of its first results.
        keys = {each.key for each in mine}
        run = _Run(study, [each for each in study.trainings if each.key in keys], progress, jobs)
        run.train(journal, workers, _Place(out, data_dir, alone), watch)
        entries = in_order(study, read_entries(out))
        return StudyResult(entries, len(study.trainings), shard, len(mine), run.left)


@contextmanager
def _opened(
    out: Path, study: Study, shard: Shard | None, *, resume: bool, threads: int
) -> Iterator[tuple[Study, Path]]:
    """The study with its threads, and the folder of the journal."""
    if shard is not None:
        with open_shard(out, study, shard, resume=resume, threads=threads) as found:
            yield found
        return
    with open_study(out, study, resume=resume, threads=threads) as study:
        yield study, out


@dataclass(frozen=True)
class _Place:
    """The folder of a study, that of its data, and whether each training has its own process."""

    folder: Path
    data_dir: Path | None
    alone: bool


class _Run:
    """The trainings that are left of those asked for, and who hears how far they are."""

    def __init__(
        self, study: Study, asked: Sequence[Training], listener: Listener | None, jobs: int
    ) -> None:
        self._study = study
        self._tell = listener if listener is not None else lambda state: None
        self._pace = Pace({each: (each.name,) for each in asked}, at_once=jobs)
        self._left = {each.key: each for each in asked}

    @property
    def left(self) -> int:
        """The number of trainings that are left."""
        return len(self._left)

    def train(self, journal: Journal[Entry], workers: Workers, place: _Place, watch: Watch) -> None:
        """Train what is left.

        Raises
        ------
        SensverifyError
            The first that a training raised. After one that waiting for mends nothing, the others
            are stopped; else they are done first.
        """
        for entry in read_entries(place.folder):
            if entry.key in self._left:
                self._end(entry)
        self._tell(self._pace.state())
        tasks = [self._task(each, place) for each in self._left.values()]
        failure: Exception | None = None
        with closing(workers.run(tasks, watch, self._report)) as ends:
            for ended in ends:
                if ended.row is not None:
                    entry = Entry.of(ended.row)
                    if place.alone:
                        memory = peak_memory(Path(ended.task.data["folder"]))
                        entry = replace(entry, peak_memory=memory)
                    journal.add(entry)
                    self._end(entry, tell=True)
                    continue
                self._pace.leave(self._left[ended.task.key])
                if ended.error is not None:
                    failure = failure or _about(ended.task, ended.error)
                    if isinstance(ended.error, InputError | UnsoundResult):
                        workers.stop()
        if failure is not None:
            raise failure

    def _task(self, training: Training, place: _Place) -> Task:
        folder = run_folder(place.folder, training)
        return training_task(self._study, training, folder, data_dir=place.data_dir)

    def _report(self, task: Task, share: float) -> None:
        self._tell(self._pace.go_on(self._left[task.key], share))

    def _end(self, entry: Entry, *, tell: bool = False) -> None:
        training = self._left.pop(entry.key)
        state = self._pace.end(training, None if entry.reason else entry.all_seconds, entry)
        if tell:
            self._tell(state)


def _about(task: Task, error: Exception) -> Exception:
    """An error with the training that it is of, where it does not say so itself."""
    return error.about(task.key) if isinstance(error, BackendFailure) else error
