"""Training a model, from a call to a directory with everything in it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sensverify.data.split import Split
from sensverify.errors import BackendFailure, BadCheckpoint
from sensverify.formats.modules import from_module
from sensverify.measures.metrics import Metrics
from sensverify.network import Network
from sensverify.provenance import versions
from sensverify.training import engine, loop
from sensverify.training.checkpoints import digest, newest_checkpoint
from sensverify.training.export import write_model
from sensverify.training.journal import check_board
from sensverify.training.loss import Loss
from sensverify.training.measuring import Measuring
from sensverify.training.plan import Plan, make_plan
from sensverify.training.progress import Listener
from sensverify.training.recipes import Recipe
from sensverify.training.run_directory import RunDirectory, describe, module_state, open_run
from sensverify.training.settings import TrainSettings
from sensverify.training.several import train_in_processes
from sensverify.watch import Watch


@dataclass(frozen=True, eq=False)
class TrainResult:
    """A trained model.

    Attributes
    ----------
    module : torch.nn.Module
        The one that was given, with its new parameters, in evaluation mode and where it was.
    network : Network
        The same parameters, live.
    metrics_train, metrics_test : Metrics or None
        At the end, on the samples trained on (the first 10,000 at most, unless
        ``final_samples`` says otherwise) and on the test samples, with CROWN_ERR where there is a
        radius; None where the training was interrupted.
    epochs : int
        Done.
    seconds : float
        That the training took, over all runs, metrics after epochs included and final ones not.
    interrupted : bool
        Whether the watch stopped it before its end.
    directory : Path or None
        Where everything was written.
    """

    module: nn.Module
    network: Network
    metrics_train: Metrics | None
    metrics_test: Metrics | None
    epochs: int
    seconds: float
    interrupted: bool
    directory: Path | None


def fit(
    module: nn.Module,
    split: Split,
    loss: str | Loss | Recipe = "base",
    settings: TrainSettings = TrainSettings(),  # noqa: B008
    *,
    out: str | Path | None = None,
    resume: bool = False,
    watch: Watch | None = None,
    progress: Listener | None = None,
    description: str | Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train a classifier.

    Mini-batches follow from the seed and the number of samples alone, and what is drawn at a step
    (dropout, random starts of attacks) from the seed and the step: trainings with different
    losses see the same. Torch's random states and number of threads are left as they were.

    Parameters
    ----------
    module : torch.nn.Module
        Takes ``[batch, *features]`` and returns one output for each class; trained in place, from
        the parameters it has. What it does must have counterparts in a network: see
        ``sensverify.from_module``.
    split : Split
        Samples in the shape that the module takes.
    loss : str, Loss or Recipe
        A recipe's name, a sum of terms such as ``cross-entropy + 0.02*sensitivity(form=log)``, or
        an object.
    settings : TrainSettings
    out : str or Path, optional
        A run directory: ``config.json``, ``metrics.csv`` (a row an epoch), ``steps.csv``,
        ``tensorboard/``, ``checkpoints/``, and at the end ``model.onnx`` with its card
        ``model.json`` and ``sample.npz``, and ``result.json``. Default: nothing is written.
    resume : bool
        Go on with the training that is in the directory, whose process may have been stopped or
        killed at any moment. On a CPU, with the same versions and threads, the end has the same
        bits as that of an unbroken training, as have the CSV files but for times. A finished
        training is not repeated: its result is returned. An empty directory is begun.
    watch : Watch, optional
        When it is over, the step is finished, a checkpoint written, and the result says
        ``interrupted``.
    progress : callable, optional
        Called with a `Progress` after every step and when metrics were taken.
    description : str or mapping, optional
        The model's name; or plain values that ``config.json`` keeps beside its own: ``model``,
        the name, ``recipe``, the command that the card gives (default: the loss), and others.

    Returns
    -------
    TrainResult

    Raises
    ------
    InputError
        Data, model, loss, settings or directory cannot be used as asked (`BadSetting`, `BadData`,
        `UnsupportedOperator`, `BadCheckpoint`, ...), or a file cannot be written.
    TrainingFailed
        The loss or its gradient became infinite or NaN (the parameters are those of the step
        before) or the network has collapsed (see `CollapseAlarm`).
    BackendMissing
        lightning-fabric, or for a directory tensorboardX, is not installed.
    """
    watch = watch or Watch()
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    plan = make_plan(module, split, loss, settings)
    if out is not None:
        check_board()
    notes = {"model": description} if isinstance(description, str) else dict(description or {})
    config = describe(module, plan, notes)
    metrics: dict[str, Metrics] | None
    with nullcontext() if out is None else open_run(out, config, resume=resume) as run:
        try:
            finished = None if run is None else run.result
            if run is not None and finished is not None:
                outcome, metrics = _finished(module, run, finished)
            else:
                outcome = _train(module, plan, run, watch, progress)
                metrics = None if outcome.interrupted else _measured(module, plan, watch)
        finally:
            module.to(device).eval()
        if run is not None and finished is None and metrics is not None:
            _write(module, plan, run, outcome, metrics, str(notes.get("recipe", plan.recipe)))
    return TrainResult(
        module=module,
        network=from_module(module, plan.input_shape),
        metrics_train=None if metrics is None else metrics["train"],
        metrics_test=None if metrics is None else metrics["test"],
        epochs=outcome.epochs,
        seconds=outcome.seconds,
        interrupted=metrics is None,
        directory=None if run is None else run.path,
    )


def _train(
    module: nn.Module, plan: Plan, run: RunDirectory | None, watch: Watch, listener: Listener | None
) -> loop.Outcome:
    if plan.settings.devices == 1:
        return engine.run(plan.settings, loop.train, module, plan, run, watch, listener)
    return train_in_processes(module, plan, run, watch, listener)


def _measured(module: nn.Module, plan: Plan, watch: Watch) -> dict[str, Metrics] | None:
    """The final metrics; None where the watch was over before they were there."""
    device = torch.device(plan.settings.device)
    module.to(device).eval()
    measuring = Measuring(from_module(module, plan.input_shape), plan, device)
    crown = plan.radius is not None
    metrics = {
        "train": measuring.take(plan.final_train, watch, crown=crown),
        "test": measuring.take(plan.final_test, watch, crown=crown),
    }
    # Those of a part of the samples are no result.
    return None if watch.over else metrics


def _write(
    module: nn.Module,
    plan: Plan,
    run: RunDirectory,
    outcome: loop.Outcome,
    metrics: dict[str, Metrics],
    recipe: str,
) -> None:
    """The model with its card and, last, the result."""
    failure = None
    try:
        write_model(module, plan.split, run.path, settings=plan.settings, recipe=recipe)
    except BackendFailure as error:
        # What ONNX cannot express was trained all the same; its weights are in the checkpoint.
        failure = str(error)
    run.write_result(
        {
            "epochs": outcome.epochs,
            "steps": outcome.steps,
            "seconds": outcome.seconds,
            "metrics": {name: asdict(found) for name, found in metrics.items()},
            "weights_sha256": digest(module_state(module)),
            "model": None if failure else "model.onnx",
            "model_failure": failure,
            "peak_memory_bytes": _peak_memory(plan.settings),
            "versions": versions(),
        }
    )


def _finished(
    module: nn.Module, run: RunDirectory, result: dict[str, Any]
) -> tuple[loop.Outcome, dict[str, Metrics]]:
    """What a finished training found; the module gets its parameters."""
    checkpoint = newest_checkpoint(run.checkpoints)
    state = {} if checkpoint is None else checkpoint.tensors
    weights = {k.removeprefix("model/"): v for k, v in state.items() if k.startswith("model/")}
    if digest(weights) != result.get("weights_sha256"):
        raise BadCheckpoint(
            f"the training in '{run.path}' is finished, and its last checkpoint does not hold the "
            "weights that its result is about; its model.onnx may still be good"
        )
    module.load_state_dict(weights)
    metrics = {name: Metrics(**values) for name, values in result["metrics"].items()}
    return loop.Outcome(result["steps"], result["epochs"], result["seconds"], False), metrics


def _peak_memory(settings: TrainSettings) -> int:
    """Most memory that this process, or its CUDA device, has held, in bytes."""
    if settings.device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
