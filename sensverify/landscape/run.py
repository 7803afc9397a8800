"""Run a landscape: every task that is not done yet, one after another or several at once."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

from sensverify.errors import BadSetting, InputError
from sensverify.landscape.curvature import check_dense
from sensverify.landscape.database import Database
from sensverify.landscape.folder import Landscape, open_landscape
from sensverify.landscape.request import LandscapeRequest
from sensverify.landscape.rounds import Part, rounds
from sensverify.landscape.rows import Found, from_plain
from sensverify.landscape.tasks import task_of
from sensverify.runs.journal import Journal
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Here, Processes, Task, Workers


def run_landscape(
    request: LandscapeRequest,
    out: Path,
    *,
    resume: bool = False,
    jobs: int = 1,
    data_dir: Path | None = None,
    watch: Watch | None = None,
    progress: Listener | None = None,
    workers: Workers | None = None,
) -> Landscape:
    """Search everything that the folder does not have yet.

    Each stage (starts, hops, rounds of climbs, ends with ReLU) follows from the database before it,
    and its tasks are taken in in their order: killed, resumed, with any number of jobs, the
    database is the same.

    Parameters
    ----------
    request : LandscapeRequest
    out : Path
        The folder.
    resume : bool
        Whether the folder may hold a part of this landscape already.
    jobs : int
        Tasks at once, each in a process of its own.
    data_dir : Path, optional
        Where data sets are.
    watch : Watch, optional
        Stops the tasks in hand, of which nothing is kept.
    progress : callable, optional
        Called as a `Part` of a stage begins, goes on, and ends with a `Found`.
    workers : Workers, optional
        Who searches; default: this process, or with more than one job processes of this machine.

    Raises
    ------
    InputError
        The folder holds something else, or the energy cannot be made as asked, or has more weights
        than a Hessian can be held of.
    BackendFailure
        A process died; raised when the other tasks of the stage are done.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sensverify.landscape import LandscapeRequest, Search, Settings
    >>> request = LandscapeRequest(
    ...     data="iris", model="mlp-4", activation="tanh", standardise=True,
    ...     settings=Settings(search=Search(starts=4, rounds=1, climbs=2)),
    ... )
    >>> landscape = run_landscape(request, Path("land"))
    >>> landscape.complete, len(landscape.database.minima) > 1
    (True, True)
    >>> lowest = landscape.database.minima[0]
    >>> lowest.stationary, landscape.module(lowest.key)[-1]
    (True, Linear(in_features=4, out_features=3, bias=True))
    """
    if jobs < 1:
        raise BadSetting(f"`jobs` needs a whole number of at least 1, got {jobs}")
    watch = watch if watch is not None else Watch()
    # What is wrong is said before the folder is made.
    energy = request.energy(split=request.split(data_dir=data_dir))
    check_dense(energy)
    with ExitStack() as stack:
        journal = stack.enter_context(open_landscape(out, request, resume=resume))
        if workers is None and jobs > 1:
            # Kept from stage to stage.
            workers = stack.enter_context(Processes(jobs, threads=1, reuse=True))
        run = _Run(request, Database(energy.symmetry, request.settings.alike), journal)
        run.search(workers or Here(), watch, (jobs, progress, data_dir))
    return Landscape.read(out, data_dir=data_dir)


class _Run:
    """The stages of a landscape."""

    def __init__(
        self, request: LandscapeRequest, database: Database, journal: Journal[Found]
    ) -> None:
        self._request, self._database, self._journal = request, database, journal
        self._done = {row.key: row for row in journal.rows}

    def search(
        self, workers: Workers, watch: Watch, how: tuple[int, Listener | None, Path | None]
    ) -> None:
        """Do stage after stage, until none is left or the watch is over."""
        stages = rounds(self._request.settings, self._database, relu=self._request.relu)
        try:
            parts = next(stages)
            while self._stage(parts, workers, watch, how):
                parts = stages.send([self._done[part.key] for part in parts])
        except StopIteration:
            return

    def _stage(
        self,
        parts: tuple[Part, ...],
        workers: Workers,
        watch: Watch,
        how: tuple[int, Listener | None, Path | None],
    ) -> bool:
        """Do the tasks of a stage that are left; whether all are done."""
        jobs, progress, data_dir = how
        tell = progress if progress is not None else lambda state: None
        pace = Pace({part: (part.kind,) for part in parts}, at_once=jobs)
        left = {part.key: part for part in parts if part.key not in self._done}
        for part in parts:
            if part.key not in left:
                pace.end(part, None)
        if not left:
            return True
        tell(pace.state())
        tasks = [
            task_of(self._request, part, self._database, data_dir=data_dir)
            for part in left.values()
        ]

        def report(task: Task, share: float) -> None:
            tell(pace.go_on(left[task.key], share))

        failure: Exception | None = None
        with closing(workers.run(tasks, watch, report)) as ends:
            for ended in ends:
                part = left[ended.task.key]
                if ended.row is not None:
                    found = from_plain(ended.row)
                    self._journal.add(found)
                    self._done[part.key] = found
                    tell(pace.end(part, ended.seconds, found))
                    continue
                pace.leave(part)
                if ended.error is not None:
                    failure = failure or ended.error
                    if isinstance(ended.error, InputError):
                        workers.stop()
        if failure is not None:
            raise failure
        return all(part.key in self._done for part in parts)
