"""Trainings in processes of their own, several at once: one that dies costs one training."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing import connection
from typing import TYPE_CHECKING

from sensverify.errors import BackendFailure, InputError, UnsoundResult
from sensverify.runs.watch import STOPPING, Watch
from sensverify.studies.journal import Entry
from sensverify.studies.train import Job, peak_memory, train

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_POLL = 0.2
"""Seconds between two looks at the watch."""

_STOP = "stop"


def train_all(
    jobs: Sequence[Job], *, at_once: int, watch: Watch, report: Callable[[Job, float], None]
) -> Iterator[tuple[Job, Entry]]:
    """The results of trainings, in the order in which they end.

    Parameters
    ----------
    jobs : sequence of Job
    at_once : int
        Processes that train at the same time.
    watch : Watch
        When it is over, every process writes a checkpoint and ends, and no other begins.
    report : callable
        Called with a job and the share of it that is done.

    Raises
    ------
    InputError
        A training cannot be done as asked; the others are stopped as by the watch.
    UnsoundResult
        An attack refuted what a method had proven; the others are stopped likewise.
    BackendFailure
        A process died, e.g. for lack of memory; raised when the others are done.
    """
    waiting = deque(jobs)
    workers: list[_Worker] = []
    stopping = False
    failure: Exception | None = None
    try:
        while True:
            while waiting and len(workers) < at_once and not stopping:
                workers.append(_Worker(waiting.popleft()))
            if not workers:
                break
            connection.wait([worker.connection for worker in workers], timeout=_POLL)
            for worker in list(workers):
                worker.poll(report)
                if not worker.ended:
                    continue
                worker.end()
                workers.remove(worker)
                if worker.failure is not None:
                    failure = failure or worker.failure
                elif worker.entry is not None:
                    yield worker.job, worker.entry
            if (watch.over or isinstance(failure, InputError | UnsoundResult)) and not stopping:
                stopping = True
                for worker in workers:
                    worker.stop()
    finally:
        for worker in workers:
            worker.end()
    if failure is not None:
        raise failure


class _Worker:
    """A process seen from outside."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.entry: Entry | None = None
        self.failure: Exception | None = None
        self.ended = False
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, job))
        self._process.start()
        # The other end is the process's own: when that dies, this one says so.
        theirs.close()

    def poll(self, report: Callable[[Job, float], None]) -> None:
        """Hear what it has to say."""
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, float):
                    report(self.job, message)
                    continue
                if isinstance(message, Exception):
                    self.failure = message
                else:
                    self.entry = message
                self.ended = True
                return
        except (EOFError, OSError):
            self.ended = True
            self._process.join()
            code = self._process.exitcode
            why = "; out of memory?" if code == -signal.SIGKILL else ""
            self.failure = BackendFailure(
                f"the process of {self.job.training.key} died (exit code {code}{why}); "
                "--resume goes on from its last checkpoint, --jobs 1 takes less memory"
            )

    def stop(self) -> None:
        """Ask it to write a checkpoint and to end."""
        with contextlib.suppress(OSError):
            self.connection.send(_STOP)

    def end(self) -> None:
        """Wait for a process that has said its last word; end one that has not."""
        if not self.ended:
            self._process.kill()
        self.connection.close()
        self._process.join()


def _work(channel: Connection, job: Job) -> None:
    """What a process does: one training."""
    # What reaches the whole process group is the parent's business; it says stop.
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    watch = Watch()
    threading.Thread(target=_listen, args=(channel, watch), daemon=True).start()
    said = 0.0

    def report(share: float) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= _POLL:
            said = now
            channel.send(float(share))

    last: Entry | Exception | None
    try:
        entry = train(job, watch=watch, report=report)
        last = None if entry is None else replace(entry, peak_memory=peak_memory(job.folder))
    except (InputError, UnsoundResult) as error:
        last = error
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        import traceback

        traceback.print_exc()
        last = BackendFailure(f"{job.training.key}: {type(error).__name__}: {error}")
    with contextlib.suppress(OSError):
        channel.send(last)


def _listen(channel: Connection, watch: Watch) -> None:
    # A parent that is gone wants no more work either.
    with contextlib.suppress(EOFError, OSError):
        channel.recv()
    watch.stop()
