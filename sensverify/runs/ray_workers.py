"""Workers on a Ray cluster: actors that keep what they have loaded, and are replaced when they die.

What an actor gives goes to whoever runs the tasks, who alone keeps it: a node that is lost costs
the tasks that it had in hand, and these are done again elsewhere.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from math import inf
from time import perf_counter, sleep
from typing import Any

from sensverify.errors import BackendFailure, BadSetting, InUse
from sensverify.runs.ray_actor import AT_ONCE, Actor
from sensverify.runs.ray_cluster import check_address, check_there, connected, room
from sensverify.runs.watch import TimeUp, Watch
from sensverify.runs.workers import POLL, START, Ended, Task

LOOK = 5.0
"""Seconds between two looks at which nodes there are."""

LINGER = 60.0
"""Seconds in which the process of a worker that was lost may still keep its folder from others."""

_OURS = "SENSVERIFY_"
"""Variables of the environment that workers get."""


class Ray:
    """Actors on a Ray cluster, as many as fit.

    Parameters
    ----------
    address : str, optional
        ``HOST:PORT``. Default: the cluster that ``RAY_ADDRESS`` names or that runs on this machine,
        else one of this machine alone.
    count : int, optional
        Most workers at a time.
    cpus, gpus : float
        Of each worker; of a GPU a part, such as 0.25, where several are to share one. The whole
        part of ``cpus`` is the number of its threads.
    retries : int
        How often a task is done again whose worker died.
    patience : float
        Seconds that tasks have to end themselves when the watch is over.
    grace : float
        Seconds past its limit after which a task's worker is ended.

    Raises
    ------
    BadSetting
        A value that cannot be one.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        count: int | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        retries: int = 3,
        patience: float = inf,
        grace: float = 10.0,
    ) -> None:
        if address is not None and address != "auto":
            check_address(address)
        # Written so that NaN fails it.
        if not (0 <= cpus < inf and 0 <= gpus < inf and cpus + gpus > 0):
            raise BadSetting(f"a worker has `cpus` and `gpus` of at least 0, got {cpus} and {gpus}")
        if gpus > 1 and gpus != int(gpus):
            raise BadSetting(f"`gpus` is a part of one GPU or a whole number, got {gpus:g}")
        if retries < 0 or (count is not None and count < 1):
            raise BadSetting("a cluster needs at least one worker and no fewer than 0 `retries`")
        self.address, self.cpus, self.gpus, self.retries = address, cpus, gpus, retries
        self._count, self._patience, self._grace = count, patience, grace
        self._stop_at = inf
        self._checked = False

    def check(self) -> None:
        """Refuse a cluster that is not there, in bounded time; nothing is started.

        Raises
        ------
        BackendMissing
            Ray is not installed.
        BadSetting, BackendFailure
            There is no cluster at the address.
        """
        if not self._checked:
            check_there(self.address)
            self._checked = True

    def run(
        self, tasks: Iterable[Task], watch: Watch, report: Callable[[Task, float], None]
    ) -> Generator[Ended, None, None]:
        """See `Workers.run`."""
        waiting = deque(tasks)
        if not waiting:
            return
        self.check()
        with connected(self.address) as (ray, own):
            most = inf if self._count is None else self._count
            crew = _Crew(ray, self, waiting, min(most, len(waiting)), self._grace, own=own)
            try:
                while True:
                    if watch.over:
                        self.stop()
                    if self._stop_at < inf:
                        crew.stop()
                    late = perf_counter() >= self._stop_at + self._patience
                    if late or crew.finished:
                        return
                    yield from crew.work(report)
            finally:
                crew.end()

    def stop(self) -> None:
        """See `Workers.stop`."""
        self._stop_at = min(self._stop_at, perf_counter())


class _Crew:
    """The actors of a run, and the tasks that wait for one."""

    def __init__(
        self, ray: Any, asked: Ray, waiting: deque[Task], most: float, grace: float, *, own: bool
    ) -> None:
        self._ray, self._asked, self._waiting = ray, asked, waiting
        self._most, self._grace, self._own = most, grace, own
        self._hands: list[_Hand] = []
        self._deaths: Counter[str] = Counter()
        self._died: dict[str, float] = {}
        self._stopping = False
        self._room, self._looked = 0, -inf
        self._alive, self._failed = perf_counter(), 0

    @property
    def finished(self) -> bool:
        """True where nothing is in hand, and nothing is left or will be begun."""
        return not self._busy and (self._stopping or not self._waiting)

    @property
    def _busy(self) -> int:
        return sum(hand.task is not None for hand in self._hands)

    def stop(self) -> None:
        """Begin nothing more, and let the tasks in hand end themselves."""
        if not self._stopping:
            self._stopping = True
            for hand in self._hands:
                hand.stop()

    def work(self, report: Callable[[Task, float], None]) -> Iterable[Ended]:
        """Give tasks to who is idle, wait a moment, and the ends of those that ended."""
        if not self._stopping:
            self._hire()
            for hand in self._hands:
                if hand.idle and self._waiting:
                    hand.give(self._waiting.popleft())
        pending = [hand.pending for hand in self._hands if hand.pending is not None]
        if pending:
            self._ray.wait(pending, timeout=POLL)
        else:
            sleep(POLL)
        for hand in list(self._hands):
            task = hand.task
            ended = hand.hear(report)
            if hand.dead:
                self._hands.remove(hand)
                hand.end()
                if task is not None and ended is None:
                    ended = self._lost(task, hand)
                elif not hand.ready:
                    self._did_not_start(hand)
            elif hand.ready:
                self._alive, self._failed = perf_counter(), 0
            if ended is not None and not self._again(ended):
                yield ended
        if not self._stopping and perf_counter() > self._alive + START:
            raise BackendFailure(f"no node of the Ray cluster {self._needs()} within {START:g} s")

    def end(self) -> None:
        """End all of them."""
        for hand in self._hands:
            hand.end()

    def _hire(self) -> None:
        if perf_counter() >= self._looked + LOOK:
            self._looked = perf_counter()
            self._room = room(self._ray, self._asked.cpus, self._asked.gpus)
            if not self._room and self._own:
                raise BackendFailure(
                    f"this machine has no place for a worker: none {self._needs()}"
                )
        # Where there is room for none, one that waits makes a cluster that can grow do so.
        wanted = min(self._most, max(1, self._room), len(self._waiting) + self._busy)
        while len(self._hands) < wanted:
            self._hands.append(_Hand(self._ray, self._asked, self._waiting[0].module, self._grace))

    def _needs(self) -> str:
        return f"had {self._asked.cpus:g} CPUs and {self._asked.gpus:g} GPUs for a worker"

    def _did_not_start(self, hand: _Hand) -> None:
        """Go on with those who did, where there are some."""
        self._failed += 1
        if self._failed > self._asked.retries:
            if not any(each.ready for each in self._hands):
                raise BackendFailure(f"workers die while they start: {hand.reason}")
            self._most = len(self._hands)

    def _lost(self, task: Task, hand: _Hand) -> Ended | None:
        """The end of a task whose worker died; none where it is done again."""
        self._deaths[task.key] += 1
        self._died[task.key] = perf_counter()
        if self._stopping:
            return Ended(task, None, None, hand.seconds)
        if self._deaths[task.key] <= self._asked.retries:
            self._waiting.appendleft(task)
            return None
        times = self._deaths[task.key]
        problem = f"its worker died {times} times, the last on '{hand.node}': {hand.reason}"
        return Ended(task, None, BackendFailure(problem), hand.seconds)

    def _again(self, ended: Ended) -> bool:
        """Whether a task is done again because a lost worker of it lives on for a moment."""
        died = self._died.get(ended.task.key)
        if not isinstance(ended.error, InUse) or died is None or self._stopping:
            return False
        if perf_counter() > died + LINGER:
            return False
        sleep(POLL)
        self._waiting.append(ended.task)
        return True


class _Hand:
    """An actor seen from outside: starting, idle, busy with a task, or dead."""

    def __init__(self, ray: Any, asked: Ray, module: str, grace: float) -> None:
        self._ray, self._grace = ray, grace
        remote = ray.remote(
            num_cpus=asked.cpus, num_gpus=asked.gpus, max_concurrency=AT_ONCE, max_restarts=0
        )(Actor)
        self._actor = remote.remote()
        variables = {name: v for name, v in os.environ.items() if name.startswith(_OURS)}
        threads = max(1, int(asked.cpus))
        self.pending: Any = self._actor.begin.remote(module, os.getcwd(), variables, threads)
        self._share: Any = None
        self.task: Task | None = None
        self.ready = self.dead = False
        self.node, self.reason = "", ""
        self._began, self._deadline = perf_counter(), inf

    @property
    def idle(self) -> bool:
        """True while it waits for a task."""
        return self.ready and not self.dead and self.task is None

    @property
    def seconds(self) -> float:
        """Since its task was given."""
        return perf_counter() - self._began

    def give(self, task: Task) -> None:
        """Hand over a task."""
        self.task, self._began = task, perf_counter()
        self._deadline = self._began + task.seconds + self._grace
        self.pending, self._share = self._actor.do.remote(task), None

    def stop(self) -> None:
        """Ask it to end its task early."""
        self._actor.stop.remote()

    def hear(self, report: Callable[[Task, float], None]) -> Ended | None:
        """The end of its task, or nothing yet; of one whose actor died, nothing."""
        if self.pending is not None and self._came(self.pending):
            return self._answered()
        if self.task is None:
            return None
        if perf_counter() > self._deadline:
            self.dead = True
            return self._ended(None, TimeUp("did not stop in time, and was ended"))
        if self._share is None:
            self._share = self._actor.share.remote()
        elif self._came(self._share):
            with contextlib.suppress(self._ray.exceptions.RayError):
                report(self.task, self._ray.get(self._share))
            self._share = None
        return None

    def end(self) -> None:
        """End its process, if it lives."""
        with contextlib.suppress(Exception):
            self._ray.kill(self._actor)

    def _came(self, answer: Any) -> bool:
        return bool(self._ray.wait([answer], timeout=0)[0])

    def _answered(self) -> Ended | None:
        answer, self.pending = self.pending, None
        try:
            found, error = self._ray.get(answer)
        except self._ray.exceptions.RayError as failure:
            self.dead, self.reason = True, _short(failure)
            if not self.ready and not isinstance(failure, _lost_errors(self._ray)):
                raise BackendFailure(f"a worker did not start: {self.reason}") from None
            return None
        if not self.ready:
            self.ready, self.node = True, found
            if error is not None:
                raise error
            return None
        return self._ended(found, error)

    def _ended(self, row: Any, error: Exception | None) -> Ended:
        assert self.task is not None
        ended = Ended(self.task, row, error, self.seconds)
        self.task, self._deadline = None, inf
        return ended


def _lost_errors(ray: Any) -> tuple[type[Exception], ...]:
    """Errors that say that an actor, or its node, is gone."""
    found = ray.exceptions
    return (found.ActorDiedError, found.ActorUnavailableError, found.NodeDiedError)


def _short(error: Exception) -> str:
    """The first sentence of one of Ray's errors, which are long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
