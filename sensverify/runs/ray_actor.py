"""One worker of a Ray cluster, inside of its process: it keeps what its tasks have loaded."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from importlib import import_module

from sensverify.errors import BackendFailure
from sensverify.runs.watch import Watch
from sensverify.runs.workers import THREADS, PlainRow, Task, attempt

AT_ONCE = 3
"""Calls at a time: a task, the question how far it is, and the one to stop."""


class Actor:
    """Tasks, one after another; the other methods are called meanwhile."""

    def __init__(self) -> None:
        self._watch, self._share = Watch(), 0.0

    def begin(
        self, module: str, folder: str, environment: Mapping[str, str], threads: int
    ) -> tuple[str, Exception | None]:
        """Get ready to work as if in the process that asks.

        Parameters
        ----------
        module : str
            Of the tasks.
        folder : str
            The one that paths are relative to.
        environment : mapping
            Variables of that process.
        threads : int
            Of torch.

        Returns
        -------
        node : str
            The machine's name.
        error : Exception or None
            Why there can be no work here.
        """
        node = socket.gethostname()
        os.environ.update({**environment, **dict.fromkeys(THREADS, str(threads))})
        try:
            os.chdir(folder)
        except OSError as error:
            problem = f"the node '{node}' cannot work in '{folder}': {error.strerror}"
            return node, BackendFailure(problem, "the nodes of a cluster need a common file system")
        try:
            import_module(module)
        except ImportError as error:
            return node, BackendFailure(f"on the node '{node}': {error}")
        if torch := sys.modules.get("torch"):
            # It may have been loaded before.
            torch.set_num_threads(threads)
        return node, None

    def do(self, task: Task) -> tuple[PlainRow | None, Exception | None]:
        """The row of a task, or its error."""
        self._share = 0.0
        return attempt(task, self._watch, self._tell)

    def share(self) -> float:
        """The part of the task in hand that is done."""
        return self._share

    def stop(self) -> None:
        """Let the task in hand end itself early."""
        self._watch.stop()

    def _tell(self, share: float) -> None:
        self._share = float(share)
