"""Processes that answer properties: one that dies or hangs costs one instance, never the run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING

from sensverify.errors import BackendFailure, SensverifyError
from sensverify.models.loading import LoadedModel, load_model
from sensverify.runs.watch import Watch
from sensverify.verification.property import PropertyRequest, check_property

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_GRACE = 10.0
"""Seconds past its time limit after which a process is ended."""

_START = 300.0
"""Seconds a process may take to start and import everything."""

_POLL = 0.2
"""Seconds between two looks at the watch."""

_PARAMETERS = 1 << 25
"""Most parameters, in numbers, of the models that a process keeps."""


@dataclass(frozen=True)
class Outcome:
    """The answer to one request: a word of VNN-COMP, or ``error`` with a note."""

    verdict: str
    seconds: float
    explored: int = 0
    note: str = ""


def answers(
    requests: Iterable[PropertyRequest], *, jobs: int, watch: Watch
) -> Iterator[tuple[int, Outcome]]:
    """The answers to requests, in the order in which they come.

    Parameters
    ----------
    requests : iterable of PropertyRequest
        Each with a time limit.
    jobs : int
        Processes that work at the same time; they share the cores.
    watch : Watch
        Ends everything at once; what is not answered by then has no answer.

    Yields
    ------
    (int, Outcome)
        Place of the request, counted from 0, and its answer.

    Raises
    ------
    BackendFailure
        A process could not be started.
    """
    waiting = deque(enumerate(requests))
    threads = max(1, cores() // jobs)
    workers: list[_Worker] = []
    try:
        while not watch.over:
            busy = sum(worker.number is not None for worker in workers)
            if not waiting and not busy:
                return
            while len(workers) < min(jobs, len(waiting) + busy):
                workers.append(_Worker(threads))
            for worker in workers:
                if worker.idle and waiting:
                    worker.give(*waiting.popleft())
            connection.wait([worker.connection for worker in workers], timeout=_POLL)
            for worker in list(workers):
                number, outcome = worker.number, worker.poll()
                if worker.dead:
                    worker.end()
                    workers.remove(worker)
                if outcome is not None and number is not None:
                    yield number, outcome
    finally:
        for worker in workers:
            worker.end()


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Worker:
    """A process seen from outside: starting, idle, busy with request ``number``, or dead."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        # A daemon: it ends with this process, whatever happens.
        self._process = context.Process(target=_work, args=(theirs, threads), daemon=True)
        with _environment(threads):
            self._process.start()
        # The other end is the process's own: when that dies, this one says so.
        theirs.close()
        self.number: int | None = None
        self.dead = False
        self._ready = False
        self._began = time.perf_counter()
        self._deadline = self._began + _START

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return self._ready and not self.dead and self.number is None

    def give(self, number: int, request: PropertyRequest) -> None:
        """Hand over a request."""
        self.number = number
        self._began = time.perf_counter()
        self._deadline = self._began + (request.timeout or inf) + _GRACE
        # What died just now is noticed when the answer is read.
        with contextlib.suppress(OSError):
            self.connection.send(request)

    def poll(self) -> Outcome | None:
        """What it has to say: an answer, or that it died over one, or nothing yet."""
        seconds = time.perf_counter() - self._began
        try:
            while self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, Outcome):
                    self.number, self._deadline = None, inf
                    return message
                self._ready, self._deadline = True, inf
        except (EOFError, OSError):
            self.dead = True
            return self._died(seconds)
        if time.perf_counter() > self._deadline:
            self.dead = True
            if not self._ready:
                raise BackendFailure(f"a process did not start within {_START:g} s")
            return Outcome("timeout", seconds, note="did not stop in time, and was ended")
        return None

    def _died(self, seconds: float) -> Outcome:
        self._process.join(_POLL)
        code = self._process.exitcode
        if not self._ready:
            raise BackendFailure(f"a process died while it started (exit code {code})")
        why = "; out of memory?" if code == -signal.SIGKILL else ""
        return Outcome("error", seconds, note=f"its process died (exit code {code}{why})")

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
def _environment(threads: int) -> Iterator[None]:
    """The number of threads, where libraries of a new process look for it when they are loaded."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(channel: Connection, threads: int) -> None:
    """What a process does: answer requests until nobody is there to ask."""
    import torch

    # A group of its own: Ctrl-C is the parent's business, and what is started here ends with it.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # If the memory runs out, the system ends one of us, not the parent.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    torch.set_num_threads(threads)
    try:
        channel.send("ready")
        while True:
            channel.send(_outcome(channel.recv()))
    except (EOFError, OSError):
        return


def _outcome(request: PropertyRequest) -> Outcome:
    began = time.perf_counter()
    try:
        # The time to read a model counts, though only the first instance of it pays.
        watch = Watch(request.timeout)
        report = check_property(request, watch=watch, model=_MODELS.loaded(request))
    except MemoryError:
        return Outcome("error", time.perf_counter() - began, note="out of memory")
    except SensverifyError as error:
        return Outcome("error", time.perf_counter() - began, note=str(error))
    except Exception as error:  # Whatever it is, it is this instance's own.
        note = f"{type(error).__name__}: {error}"
        return Outcome("error", time.perf_counter() - began, note=note)
    seconds = time.perf_counter() - began
    return Outcome(report.verdict.value, seconds, report.explored, "; ".join(report.warnings))


class _Models:
    """The models a process has used last, as many as fit a budget."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, LoadedModel] = OrderedDict()

    def loaded(self, request: PropertyRequest) -> LoadedModel:
        """The model of a request."""
        path = request.model
        if path not in self._kept:
            self._kept[path] = load_model(
                path, runtime_check=request.runtime_check, order_only=True
            )
        self._kept.move_to_end(path)
        while len(self._kept) > 1 and self._parameters() > _PARAMETERS:
            self._kept.popitem(last=False)
        return self._kept[path]

    def _parameters(self) -> int:
        return sum(model.network.parameters for model in self._kept.values())


_MODELS = _Models()
