"""Epochs: steps, metrics, checkpoints, and where to stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from math import isnan
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from sensverify.bounds.threads import torch_threads
from sensverify.errors import BadCheckpoint, BadSetting, TrainingFailed
from sensverify.runs.watch import Watch
from sensverify.training.directory.checkpoints import (
    Checkpoint,
    newest_checkpoint,
    resumed_after,
    write_checkpoint,
)
from sensverify.training.directory.log import EpochRow, TrainingLog
from sensverify.training.directory.module_state import load_module_state, module_state
from sensverify.training.directory.run_directory import RunDirectory, last_good
from sensverify.training.engine import Engine
from sensverify.training.loop.collapse import CollapseAlarm
from sensverify.training.loop.goal import is_reached
from sensverify.training.loop.measuring import Measuring
from sensverify.training.loop.patience import Patience
from sensverify.training.loop.progress import Listener, Progress
from sensverify.training.loop.steps import StepFigures, Stepper
from sensverify.training.plan import Plan
from sensverify.training.schedules import Plateau, PlateauState

Row = dict[str, float | int | None]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The end of a training, over all runs.

    Attributes
    ----------
    steps, epochs : int
    seconds : float
    interrupted : bool
        Whether epochs are left.
    course : tuple of mapping
        The rows of the epochs of this run.
    resumed : tuple of int
        Steps after which a later run went on.
    """

    steps: int
    epochs: int
    seconds: float
    interrupted: bool
    course: tuple[EpochRow, ...] = ()
    resumed: tuple[int, ...] = ()


def train(
    engine: Engine,
    module: nn.Module,
    plan: Plan,
    run: RunDirectory | None,
    watch: Watch,
    listener: Listener | None,
) -> Outcome:
    """Train in this process until the end, or until the watch is over.

    Goes on from the newest checkpoint of the run directory. Leaves torch's random states and its
    number of threads as they were.

    Raises
    ------
    TrainingFailed
        The message names the last checkpoint.
    InputError
        A file cannot be read or written.
    """
    devices = [engine.device.index or 0] if engine.device.type == "cuda" else []
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(torch_threads(plan.settings.threads))
        try:
            loop = _Loop(engine, module, plan, run, watch)
            loop.listener = listener
            with loop.begin():
                return loop.go()
        except TrainingFailed as error:
            where = "" if run is None else f"; {last_good(run)}"
            raise TrainingFailed(f"{error}{where}") from error


class _Loop:
    """A training in one process, and what it must keep to go on later."""

    listener: Listener | None = None

    def __init__(
        self,
        engine: Engine,
        module: nn.Module,
        plan: Plan,
        run: RunDirectory | None,
        watch: Watch,
    ) -> None:
        self._engine, self._plan, self._watch, self._run = engine, plan, watch, run
        self._module = module.to(engine.device)
        network = plan.network_of(self._module)
        self._measuring = Measuring(network, plan, engine.device)
        self._stepper = Stepper(engine, self._module, network, plan)
        self._log: TrainingLog | None = None
        self._steps = self._epochs = 0
        self._resumed: tuple[int, ...] = ()
        self._course: list[EpochRow] = []
        self._sums: dict[str, tuple[float, int]] = {}
        self._alarm = CollapseAlarm()
        self._metrics: dict[str, float] | None = None
        self._reached = False
        limit = plan.settings.patience
        self._patience = None if limit is None else Patience(limit)
        # The last step that metrics were taken after, whose number `metric_every_steps` divides.
        self._measured = 0
        self._rate = 0.0
        self._before, self._started = 0.0, perf_counter()
        self._saved = self._started

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Load the newest checkpoint, and within, write what happens."""
        checkpoint = None if self._run is None else newest_checkpoint(self._run.checkpoints)
        if checkpoint is not None:
            self._load(checkpoint)
        with self._open_log(resumed=checkpoint is not None) as self._log:
            yield

    def go(self) -> Outcome:
        """Train until the end, or until the watch is over."""
        batches, settings = self._plan.batches.count, self._plan.settings
        stopped = self._engine.any(self._watch.over) or not self._measure_step()
        while self._left and not stopped:
            end = (self._epochs + 1) * batches
            while self._steps < end and not stopped:
                self._step()
                measured = self._measure_step()
                late = perf_counter() - self._saved >= settings.checkpoint_seconds
                if late and self._steps < end:
                    self._save()
                stopped = not measured or self._engine.any(self._watch.over)
            stopped = stopped or not self._end_epoch()
            self._save()
        if self._patience is not None and not self._left:
            self._patience.give_back(self._module)
        done = self._steps, self._epochs, self._elapsed
        return Outcome(*done, self._left, tuple(self._course), self._resumed)

    @property
    def _left(self) -> bool:
        """Whether there are epochs to make: not all are, nor has the training reached its goal."""
        return self._epochs < self._plan.settings.epochs and not self._reached

    @property
    def _elapsed(self) -> float:
        return self._before + perf_counter() - self._started

    @property
    def _leads(self) -> bool:
        return self._engine.rank == 0

    def _step(self) -> None:
        figures = self._stepper.make(self._steps)
        self._check_followed(figures)
        self._steps += 1
        self._rate = figures.learning_rate
        for name, value in {**figures.losses, "batch error": figures.error}.items():
            if not isnan(value):
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = total + value * figures.samples, count + figures.samples
        if self._log is not None:
            self._log.step(self._step_row(figures))
        self._tell(figures.losses)

    def _measure_step(self) -> bool:
        """Metrics after a step where they are due; False where the watch was over meanwhile.

        They are then taken when the training goes on, before its next step.
        """
        step = self._steps
        if step == self._measured or not self._measuring.due_at(step):
            return True
        metrics = self._measuring.watched(self._watch) if self._leads else {}
        if self._engine.any(self._leads and self._watch.over):
            return False
        self._measured = step
        if self._log is not None:
            row = {"step": step, "epoch": self._epochs + 1, "seconds": round(self._elapsed, 3)}
            self._log.measured(row | metrics)
        return True

    def _check_followed(self, figures: StepFigures) -> None:
        """Refuse, at the first step, a schedule that looks at an error which the loss has not."""
        schedule = self._stepper.schedule
        if isinstance(schedule, Plateau) and schedule.of == "error" and isnan(figures.error):
            raise BadSetting(
                f"the schedule '{self._plan.settings.schedule}' looks at the error on "
                f"mini-batches, which the loss '{self._plan.recipe}' does not compute",
                "use plateau(of=loss)",
            )

    def _end_epoch(self) -> bool:
        """Metrics, the alarm, a row; False where the watch was over before they were there."""
        metrics: dict[str, float | None] = {}
        if self._leads and self._measuring.due(self._epochs + 1):
            metrics = self._measuring.watched(self._watch)
        # Metrics of a part of the samples are no row; they are taken when the training goes on.
        if self._engine.any(self._leads and self._watch.over):
            return False
        if self._leads:
            self._measuring.look(self._alarm, self._steps)
        losses = {name: total / count for name, (total, count) in self._sums.items()}
        row = self._epoch_row(losses) | metrics
        self._course.append({name: value for name, value in row.items() if value is not None})
        if self._log is not None:
            self._log.epoch(row)
        self._follow_plateau(losses | {k: v for k, v in metrics.items() if v is not None})
        self._epochs += 1
        self._reached = self._engine.any(self._leads and is_reached(self._plan.settings, metrics))
        self._wait(metrics)
        self._sums = {}
        if metrics:
            self._metrics = {k: v for k, v in metrics.items() if v is not None}
            self._tell(losses)
        return True

    def _wait(self, metrics: Mapping[str, float | None]) -> None:
        """Keep the weights in every process where the first one sees better ones, or stop."""
        if self._patience is None:
            return
        if self._engine.any(self._leads and self._patience.is_better(metrics)):
            self._patience.keep(metrics, self._epochs, self._module)
        self._reached = self._reached or self._patience.is_over(self._epochs)

    def _follow_plateau(self, figures: Mapping[str, float]) -> None:
        """Lower the learning rate in every process where the first one sees a plateau."""
        schedule, before = self._stepper.schedule, self._stepper.plateau
        if not isinstance(schedule, Plateau):
            return
        after = schedule.after(before, figures[schedule.column]) if self._leads else before
        if self._engine.any(after.factor != before.factor):
            after = replace(after, factor=schedule.lowered(before.factor))
        self._stepper.plateau = after

    def _step_row(self, figures: StepFigures) -> Row:
        return {
            "step": self._steps,
            "epoch": self._epochs + 1,
            "seconds": round(self._elapsed, 3),
            "learning rate": figures.learning_rate,
            "ramp": figures.ramp,
            **figures.losses,
            "batch error": None if isnan(figures.error) else figures.error,
            "gradient norm": figures.gradient_norm,
        }

    def _epoch_row(self, losses: Mapping[str, float]) -> Row:
        return {
            "epoch": self._epochs + 1,
            "step": self._steps,
            "seconds": round(self._elapsed, 3),
            "learning rate": self._rate,
            **losses,
        }

    def _tell(self, losses: Mapping[str, float]) -> None:
        if self.listener is None:
            return
        epochs, batches = self._plan.settings.epochs, self._plan.batches.count
        self.listener(
            Progress(
                epoch=min((self._steps - 1) // batches + 1, epochs),
                epochs=epochs,
                step=self._steps,
                steps=self._stepper.steps,
                losses=losses,
                learning_rate=self._rate,
                metrics=self._metrics,
            )
        )

    def _open_log(self, resumed: bool) -> AbstractContextManager[TrainingLog | None]:
        if self._run is None or not self._leads:
            return nullcontext()
        terms = ("loss", *self._plan.terms)
        head = ("seconds", "learning rate")
        return TrainingLog(
            self._run.path,
            ("epoch", "step", *head, *terms, "batch error", *self._measuring.columns),
            ("step", "epoch", *head, "ramp", *terms, "batch error", "gradient norm"),
            (self._epochs, self._steps) if resumed else None,
            step_metrics=("step", "epoch", "seconds", *self._measuring.columns)
            if self._plan.settings.metric_every_steps
            else (),
        )

    def _save(self) -> None:
        self._saved = perf_counter()
        if self._run is None or not self._leads:
            return
        if self._log is not None:
            self._log.sync()
        tensors = {f"model/{k}": v for k, v in module_state(self._module).items()}
        tensors |= {f"terms/{k}": v for k, v in self._stepper.terms_state.items()}
        if self._patience is not None:
            tensors |= {f"best/{k}": v for k, v in self._patience.state.items()}
        moments, numbers = split_state(self._stepper.optimiser.state_dict()["state"])
        facts = {
            "epochs": self._epochs,
            "position": self._steps - self._epochs * self._plan.batches.count,
            "sums": self._sums,
            "optimiser": numbers,
            "precision": self._engine.state(),
            "left out": self._stepper.left_out,
            "alarm": asdict(self._alarm),
            "metrics": self._metrics,
            "measured": self._measured,
            **({"reached": True} if self._reached else {}),
            **({"patience": self._patience.facts} if self._patience is not None else {}),
            "plateau": asdict(self._stepper.plateau),
            "seconds": self._elapsed,
            "rate": self._rate,
            **({"resumed": self._resumed} if self._resumed else {}),
        }
        write_checkpoint(
            self._run.checkpoints,
            Checkpoint(
                self._steps, tensors | {f"optimiser/{k}": v for k, v in moments.items()}, facts
            ),
        )

    def _load(self, checkpoint: Checkpoint) -> None:
        """Become what was saved.

        Raises
        ------
        BadCheckpoint
            Its tensors are not those of this training.
        """
        names = ("model", "terms", "optimiser", "best")
        parts: dict[str, dict[str, Tensor]] = {name: {} for name in names}
        optimiser, facts = self._stepper.optimiser, checkpoint.facts
        try:
            for name, values in checkpoint.tensors.items():
                part, _, rest = name.partition("/")
                parts[part][rest] = values
            # In place: the live network holds these very tensors.
            load_module_state(self._module, parts["model"])
            state = joined_state(parts["optimiser"], facts["optimiser"])
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": state, "param_groups": groups})
            self._engine.load_state(facts["precision"])
            # Earlier checkpoints have no such numbers.
            self._stepper.left_out = int(facts.get("left out", 0))
            self._sums = {name: (total, count) for name, (total, count) in facts["sums"].items()}
            self._alarm = CollapseAlarm(**facts["alarm"])
            self._metrics = facts["metrics"]
            self._measured = int(facts.get("measured", 0))
            self._reached = bool(facts.get("reached", False))
            if self._patience is not None:
                self._patience.restore(facts["patience"], parts["best"])
            self._stepper.plateau = PlateauState(**facts.get("plateau", {}))
            self._before, self._rate = facts["seconds"], facts["rate"]
            self._steps, self._epochs = checkpoint.step, facts["epochs"]
            self._resumed = tuple(sorted({*resumed_after(checkpoint), checkpoint.step}))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            words = " ".join(str(error).split())[:200]
            raise BadCheckpoint(
                f"the checkpoint of step {checkpoint.step} is not one of this training: {words}; "
                "delete it and resume from the one before, or start again in another directory"
            ) from None
        device = self._engine.device
        self._stepper.terms_state = {k: v.to(device) for k, v in parts["terms"].items()}


def split_state(state: Mapping[Any, Mapping[str, Any]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's state as tensors named ``index/name``, and the rest as plain values."""
    tensors: dict[str, Tensor] = {}
    others: dict[str, Any] = {}
    for index, values in state.items():
        for name, value in values.items():
            (tensors if isinstance(value, Tensor) else others)[f"{index}/{name}"] = value
    return tensors, others


def joined_state(
    tensors: Mapping[str, Tensor], others: Mapping[str, Any]
) -> dict[int, dict[str, Any]]:
    """Join again what `split_state` took apart."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **others}.items():
        index, _, name = key.partition("/")
        state.setdefault(int(index), {})[name] = value
    return state
