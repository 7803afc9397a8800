"""Workers: who does the tasks of a run, here or in processes of their own.

A `Task` is plain data: the function's name and what it is called with. So is the row that it gives.
Whoever can call a function by name can be a back end: `Here`, `Processes`, or a cluster, as in
`sensverify.runs.ray_workers`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from math import inf
from multiprocessing import connection
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, Self

from sensverify.errors import BackendFailure, SensverifyError
from sensverify.runs.watch import STOPPING, TimeUp, Watch

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PlainRow = Mapping[str, Any]
Report = Callable[[float], None]
"""Called with the share of a task that is done."""

Work = Callable[[Mapping[str, Any], Watch, Report], PlainRow | None]
"""The function of a task: it takes the task's data, ends itself when the watch is over, and gives a
row, or None where it was stopped before there was one."""

POLL = 0.2
"""Seconds between two looks at the watch, and between two reports."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables of the environment in which libraries look for the number of threads."""

START = 300.0
"""Seconds a process may take to start and import everything."""


@dataclass(frozen=True)
class Task:
    """One part of a run, described by plain values.

    Parameters
    ----------
    key : str
        Names it in its run.
    work : str
        The function that does it, a `Work`: ``package.module:function``.
    data : mapping
        Plain values that the function is called with.
    seconds : float
        Of wall time, after which its process is ended; infinity for no limit.
    """

    key: str
    work: str
    data: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = inf

    @property
    def module(self) -> str:
        """The module of the function."""
        return self.work.partition(":")[0]

    def do(self, watch: Watch, report: Report) -> PlainRow | None:
        """Call the function."""
        function: Work = getattr(import_module(self.module), self.work.partition(":")[2])
        return function(self.data, watch, report)


@dataclass(frozen=True)
class Ended:
    """The end of a task.

    Parameters
    ----------
    task : Task
    row : mapping or None
        None where it was stopped, or failed.
    error : Exception or None
        The `SensverifyError` that it raised; a `BackendFailure` where its process died, `TimeUp`
        where that was ended because of its limit.
    seconds : float
        Of wall time.
    """

    task: Task
    row: PlainRow | None
    error: Exception | None
    seconds: float


class Workers(Protocol):
    """A back end that does tasks."""

    def run(
        self, tasks: Iterable[Task], watch: Watch, report: Callable[[Task, float], None]
    ) -> Generator[Ended, None, None]:
        """The ends of tasks, as they come.

        Parameters
        ----------
        tasks : iterable of Task
        watch : Watch
            When it is over, nothing is begun any more, and what is in hand ends early.
        report : callable
            Called with a task and the share of it that is done, in the process of the caller.

        Raises
        ------
        BackendFailure
            There is no way to do tasks.
        """
        ...

    def stop(self) -> None:
        """Go on as if the watch were over."""
        ...


class Here:
    """One task after another, in this process; their limits of time are left to them."""

    def __init__(self) -> None:
        self._stopped = False

    def run(
        self, tasks: Iterable[Task], watch: Watch, report: Callable[[Task, float], None]
    ) -> Generator[Ended, None, None]:
        """See `Workers.run`."""
        for task in tasks:
            if watch.over or self._stopped:
                return
            report(task, 0.0)
            began = perf_counter()
            row, error = None, None
            try:
                row = task.do(watch, lambda share, task=task: report(task, share))  # type: ignore[misc]
            except SensverifyError as failure:
                error = failure
            yield Ended(task, row, error, perf_counter() - began)

    def stop(self) -> None:
        """See `Workers.stop`."""
        self._stopped = True


class Processes:
    """Processes that work at the same time: one that dies or hangs costs one task, never the run.

    Parameters
    ----------
    count : int
    threads : int or None
        Of each process; None as torch chooses.
    reuse : bool
        Whether a process does one task after another, and keeps what it has loaded.
    patience : float
        Seconds that tasks have to end themselves when the watch is over.
    grace : float
        Seconds past its limit after which a task's process is ended.

    Notes
    -----
    As a context manager it keeps processes from one `run` to the next, where they are reused, and
    ends them at its own end.
    """

    def __init__(
        self,
        count: int,
        *,
        threads: int | None = None,
        reuse: bool = False,
        patience: float = inf,
        grace: float = 10.0,
    ) -> None:
        self._count, self._threads, self._reuse = count, threads, reuse
        self._patience, self._grace = patience, grace
        self._stop_at = inf
        self._kept: list[_Worker] | None = None

    def __enter__(self) -> Self:
        self._kept = []
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._kept or ():
            worker.end()
        self._kept = None

    def run(
        self, tasks: Iterable[Task], watch: Watch, report: Callable[[Task, float], None]
    ) -> Generator[Ended, None, None]:
        """See `Workers.run`."""
        waiting = deque(tasks)
        workers = self._taken(report)
        told = False
        try:
            while True:
                if watch.over:
                    self.stop()
                stopping = self._stop_at < inf
                if stopping and not told:
                    told = True
                    for worker in workers:
                        worker.stop()
                busy = sum(worker.task is not None for worker in workers)
                if (stopping or not waiting) and not busy:
                    return
                if perf_counter() >= self._stop_at + self._patience:
                    return
                if not stopping:
                    self._begin(workers, waiting, busy)
                connection.wait([worker.connection for worker in workers], timeout=POLL)
                for worker in list(workers):
                    ended = worker.hear(report)
                    if worker.dead or (ended is not None and not self._reuse):
                        worker.end()
                        workers.remove(worker)
                    if ended is not None:
                        yield ended
        finally:
            for worker in workers:
                if self._kept is None or worker.dead or worker.task is not None:
                    worker.end()
                else:
                    self._kept.append(worker)

    def _taken(self, report: Callable[[Task, float], None]) -> list[_Worker]:
        """The processes that were kept, without those that died meanwhile."""
        kept = self._kept or []
        for worker in kept:
            worker.hear(report)
            if worker.dead:
                worker.end()
        if self._kept is not None:
            self._kept = []
        return [worker for worker in kept if not worker.dead]

    def stop(self) -> None:
        """See `Workers.stop`."""
        self._stop_at = min(self._stop_at, perf_counter())

    def _begin(self, workers: list[_Worker], waiting: deque[Task], busy: int) -> None:
        while len(workers) < min(self._count, len(waiting) + busy):
            workers.append(_Worker(waiting[0].module, self._threads, self._grace))
        for worker in workers:
            if worker.idle and waiting:
                worker.give(waiting.popleft())


class _Worker:
    """A process seen from outside: starting, idle, busy with a task, or dead."""

    def __init__(self, module: str, threads: int | None, grace: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # No daemon: a training in several processes starts more of them.
        self._process = context.Process(target=_work, args=(theirs, module, threads))
        with _environment(threads):
            self._process.start()
        # The other end is the process's own: when that dies, this one says so.
        theirs.close()
        self.task: Task | None = None
        self.dead = False
        self._grace = grace
        self._ready = False
        self._began = perf_counter()
        self._deadline = self._began + START

    @property
    def idle(self) -> bool:
        """True while it waits for a task."""
        return self._ready and not self.dead and self.task is None

    def give(self, task: Task) -> None:
        """Hand over a task."""
        self.task = task
        self._began = perf_counter()
        self._deadline = self._began + task.seconds + self._grace
        self._send(task)

    def stop(self) -> None:
        """Ask it to end its task early."""
        self._send(None)

    def _send(self, message: Task | None) -> None:
        # What died just now is noticed when the answer is read.
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def hear(self, report: Callable[[Task, float], None]) -> Ended | None:
        """The end of its task, or nothing yet."""
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if message is None:
                    self._ready, self._deadline = True, inf
                elif not isinstance(message, float):
                    return self._ended(*message)
                elif self.task is not None:
                    report(self.task, message)
        except (EOFError, OSError):
            self.dead = True
            if self._ready and self.task is None:
                return None
            self._process.join(POLL)
            code = self._process.exitcode
            why = "; out of memory?" if code == -signal.SIGKILL else ""
            died = f"its process died (exit code {code}{why})"
            return self._failed(BackendFailure(died, "fewer `jobs` at once take less memory"))
        if perf_counter() > self._deadline:
            self.dead = True
            return self._failed(TimeUp("did not stop in time, and was ended"))
        return None

    def _failed(self, error: Exception) -> Ended:
        if not self._ready:
            died = isinstance(error, BackendFailure)
            how = f"died while it started: {error}" if died else f"did not start within {START:g} s"
            raise BackendFailure(f"a process {how}")
        return self._ended(None, error)

    def _ended(self, row: PlainRow | None, error: Exception | None) -> Ended:
        assert self.task is not None
        ended = Ended(self.task, row, error, perf_counter() - self._began)
        self.task, self._deadline = None, inf
        return ended

    def end(self) -> None:
        """End the process and what it has started."""
        if self._ready:
            # Before it is waited for: until then its number belongs to no other.
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self.connection.close()


@contextlib.contextmanager
def _environment(threads: int | None) -> Iterator[None]:
    """The number of threads, where libraries of a new process look for it when they are loaded."""
    before = {name: os.environ.get(name) for name in THREADS if threads is not None}
    os.environ.update(dict.fromkeys(before, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(channel: Connection, module: str, threads: int | None) -> None:
    """The life of a process: tasks, until nobody is there to ask for more."""
    # A group of its own: what reaches the whole terminal is the parent's business, which says stop,
    # and what is started here ends with this process.
    os.setsid()
    for number in STOPPING:
        # Nothing is done, rather than ignored: programs that are started here would inherit that.
        signal.signal(number, lambda *_: None)
    # If the memory runs out, the system ends one of us, not the parent.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    import_module(module)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    watch = Watch()
    tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(channel, watch, tasks), daemon=True).start()
    with contextlib.suppress(OSError):
        channel.send(None)
        while (task := tasks.get()) is not None:
            channel.send(attempt(task, watch, _Reports(channel)))


def attempt(task: Task, watch: Watch, report: Report) -> tuple[PlainRow | None, Exception | None]:
    """The row of a task, or its error, whatever that is."""
    try:
        return task.do(watch, report), None
    except SensverifyError as error:
        return None, error
    except Exception as error:
        traceback.print_exc()
        return None, BackendFailure(f"{type(error).__name__}: {error}")


class _Reports:
    """Tells the parent now and then which share of a task is done."""

    def __init__(self, channel: Connection) -> None:
        self._channel, self._said = channel, -inf

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self._said >= POLL:
            self._said = now
            # A parent that is gone is noticed by who listens to it.
            with contextlib.suppress(OSError):
                self._channel.send(float(share))


def _listen(channel: Connection, watch: Watch, tasks: queue.SimpleQueue[Task | None]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            task = channel.recv()
            if task is None:
                watch.stop()
            else:
                tasks.put(task)
    # A parent that is gone wants no more work either.
    watch.stop()
    tasks.put(None)
