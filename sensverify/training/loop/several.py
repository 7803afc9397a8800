"""A training in several processes, told when to stop and heard by the one that started them."""

from __future__ import annotations

import copy
import queue
import signal
import threading
from dataclasses import replace
from typing import Any

from safetensors.torch import load, save
from torch import Tensor, nn
from torch.multiprocessing import get_context

from sensverify.errors import SensverifyError
from sensverify.runs.watch import Watch
from sensverify.training import engine
from sensverify.training.directory.module_state import load_module_state, module_state
from sensverify.training.directory.run_directory import RunDirectory
from sensverify.training.loop import epochs
from sensverify.training.loop.progress import Listener, Progress
from sensverify.training.plan import Plan

_PAUSE = 0.1


class _RemoteWatch(Watch):
    """Over when the process that started this one says so."""

    def __init__(self, event: Any) -> None:
        super().__init__()
        self._stopped = event


class _Ears(threading.Thread):
    """Hands on what the first process tells, and tells all of them when the watch is over."""

    def __init__(self, watch: Watch, listener: Listener | None) -> None:
        super().__init__(daemon=True)
        context = get_context("spawn")
        self.words, self.event = context.Queue(), context.Event()
        self.error: SensverifyError | None = None
        self.failure: BaseException | None = None
        self.state: dict[str, Tensor] = {}
        self._watch, self._listener, self._done = watch, listener, threading.Event()

    def run(self) -> None:
        while True:
            if self._watch.over:
                self.event.set()
            try:
                self._hear(self.words.get(timeout=_PAUSE))
            except queue.Empty:
                if self._done.is_set():
                    return

    def finish(self) -> None:
        """Hear the last words."""
        self._done.set()
        self.join()

    def _hear(self, word: Progress | SensverifyError | bytes) -> None:
        if isinstance(word, SensverifyError):
            self.error = self.error or word
        elif isinstance(word, bytes):
            self.state = load(word)
        elif self._listener is not None:
            try:
                self._listener(word)
            except BaseException as error:
                # Raised where the training is waited for; the rest is still heard, by nobody.
                self.failure, self._listener = error, None
                self.event.set()


def train_in_processes(
    module: nn.Module,
    plan: Plan,
    run: RunDirectory | None,
    watch: Watch,
    listener: Listener | None,
) -> epochs.Outcome:
    """As `epochs.train`, in as many processes as the settings have devices.

    The first Ctrl-C or SIGTERM stops the training as the watch does.

    Raises
    ------
    TrainingFailed, InputError
        What a process raised. What the listener raised stops the training, with a checkpoint,
        and is then raised as it is.
    """
    ears = _Ears(watch, listener)
    ears.start()
    # Every process has a copy of the module.
    plan = replace(plan, imported=None)
    try:
        with watch.stopping_on_signals():
            found = engine.run(plan.settings, _work, module, plan, run, ears.words, ears.event)
        ears.finish()
        load_module_state(module, ears.state)
    except Exception as error:
        ears.finish()
        if ears.error is not None:
            raise ears.error from error
        raise
    finally:
        ears.finish()
    if ears.failure is not None:
        raise ears.failure
    return found


def _work(
    this: engine.Engine,
    module: nn.Module,
    plan: Plan,
    run: RunDirectory | None,
    words: Any,
    event: Any,
) -> epochs.Outcome:
    """The work of one of the processes."""
    # A Ctrl-C reaches every process of the terminal; the one that started these acts on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # What was passed lies in memory that the processes share.
        module = copy.deepcopy(module)
        listener = words.put if this.rank == 0 else None
        found = epochs.train(this, module, plan, run, _RemoteWatch(event), listener)
        if this.rank == 0:
            # As bytes: tensors would go through memory that ends with this process.
            state = {k: v.detach().cpu().clone() for k, v in module_state(module).items()}
            words.put(save(state))
        return found
    except SensverifyError as error:
        # Without its causes, which may not go through a pipe.
        words.put(type(error)(error.problem, error.remedy))
        raise
