"""Run a study: every training that is not done yet, one after another or several at once."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from sensverify.errors import BackendFailure, BadSetting, InputError, UnsoundResult
from sensverify.runs.journal import Journal
from sensverify.runs.machine import cores
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Here, Processes, Task, Workers
from sensverify.studies.entries import FILE, ROWS, Entry, read_entries
from sensverify.studies.folder import open_study, run_folder
from sensverify.studies.study import Study, Training
from sensverify.studies.train import check, peak_memory, training_task


@dataclass(frozen=True)
class StudyResult:
    """The trainings that a study has finished by now.

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
    out: Path,
    *,
    resume: bool = False,
    jobs: int = 1,
    data_dir: Path | None = None,
    watch: Watch | None = None,
    progress: Listener | None = None,
    workers: Workers | None = None,
) -> StudyResult:
    """Train everything that the folder does not have yet.

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
    done = {entry.key for entry in read_entries(out)}
    check(study, [each for each in study.trainings if each.key not in done], data_dir=data_dir)
    threads = max(1, cores() // min(jobs, len(study.trainings)))
    if workers is None:
        workers = Here() if jobs == 1 else Processes(jobs)
    with (
        open_study(out, study, resume=resume, threads=threads) as study,
        Journal(out / FILE, ROWS) as journal,
    ):
        run = _Run(study, out, journal, jobs, progress)
        run.train(workers, watch, data_dir)
        return StudyResult(tuple(journal.rows), len(study.trainings))


class _Run:
    """The trainings of a study that are left, and who hears how far they are."""

    def __init__(
        self,
        study: Study,
        folder: Path,
        journal: Journal[Entry],
        jobs: int,
        listener: Listener | None,
    ) -> None:
        self._study, self._folder, self._journal = study, folder, journal
        self._alone = jobs > 1
        self._tell = listener if listener is not None else lambda state: None
        self._pace = Pace({each: (each.name,) for each in study.trainings}, at_once=jobs)
        self._left = {each.key: each for each in study.trainings}
        for entry in journal.rows:
            self._end(entry)

    def train(self, workers: Workers, watch: Watch, data_dir: Path | None) -> None:
        """Train what is left.

        Raises
        ------
        SensverifyError
            The first that a training raised. After one that waiting for mends nothing, the others
            are stopped; else they are done first.
        """
        self._tell(self._pace.state())
        tasks = [self._task(each, data_dir) for each in self._left.values()]
        failure: Exception | None = None
        with closing(workers.run(tasks, watch, self._report)) as ends:
            for ended in ends:
                if ended.row is not None:
                    entry = Entry.of(ended.row)
                    if self._alone:
                        memory = peak_memory(Path(ended.task.data["folder"]))
                        entry = replace(entry, peak_memory=memory)
                    self._journal.add(entry)
                    self._end(entry, tell=True)
                    continue
                self._pace.leave(self._left[ended.task.key])
                if ended.error is not None:
                    failure = failure or _about(ended.task, ended.error)
                    if isinstance(ended.error, InputError | UnsoundResult):
                        workers.stop()
        if failure is not None:
            raise failure

    def _task(self, training: Training, data_dir: Path | None) -> Task:
        folder = run_folder(self._folder, training)
        return training_task(self._study, training, folder, data_dir=data_dir)

    def _report(self, task: Task, share: float) -> None:
        self._tell(self._pace.go_on(self._left[task.key], share))

    def _end(self, entry: Entry, *, tell: bool = False) -> None:
        training = self._left.pop(entry.key)
        state = self._pace.end(training, None if entry.reason else entry.seconds, entry)
        if tell:
            self._tell(state)


def _about(task: Task, error: Exception) -> Exception:
    """An error with the training that it is of, where it does not say so itself."""
    return error.about(task.key) if isinstance(error, BackendFailure) else error
