"""Training a model, from a call to a directory with everything in it."""

from __future__ import annotations

import resource
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from sensverify.bounds.threads import torch_threads
from sensverify.core.record import RunRecord, versions
from sensverify.data.split import Split
from sensverify.errors import BackendFailure, BadCheckpoint, BadSetting
from sensverify.formats.modules.opaque import Imported
from sensverify.measures.metrics import Metrics
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.training import engine
from sensverify.training.directory.checkpoints import (
    checkpoint_files,
    digest,
    newest_checkpoint,
    resumed_after,
)
from sensverify.training.directory.configuration import describe, plain
from sensverify.training.directory.export import INITIAL, export_onnx, write_model
from sensverify.training.directory.log import check_board, read_epochs
from sensverify.training.directory.module_state import load_module_state, module_state
from sensverify.training.directory.run_directory import MADE_AGAIN, RESULT, RunDirectory, open_run
from sensverify.training.loop import epochs
from sensverify.training.loop.measuring import Measuring
from sensverify.training.loop.progress import Listener
from sensverify.training.loop.several import train_in_processes
from sensverify.training.losses.loss import Loss
from sensverify.training.losses.recipes import Recipe
from sensverify.training.plan import Plan, make_plan
from sensverify.training.result import TrainResult as TrainResult
from sensverify.training.settings import TrainSettings


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
        the parameters it has. Where it has operators without a counterpart in a network (see
        ``sensverify.from_module``), losses that only run it train it, and nothing can be verified
        of it afterwards. What is frozen stays so: a part in evaluation mode keeps its
        running statistics (and drops nothing out), and a parameter that requires no gradient its
        value, bit for bit; but a module that is in evaluation mode as a whole, as trained ones
        are, is put in training mode as a whole. The gradients of the other parameters are None
        afterwards; hooks run as always. On another device than the module's, its buffers are new
        tensors afterwards.
    split : Split
        Samples in the shape that the module takes.
    loss : str, Loss or Recipe
        A recipe's name, a sum of terms such as ``cross-entropy + 0.02*sensitivity(form=log)``, or
        an object.
    settings : TrainSettings
    out : str or Path, optional
        A run directory: ``config.json``, ``metrics.csv`` (a row an epoch), ``steps.csv``,
        ``step-metrics.csv`` where ``metric_every_steps`` asks for it, ``tensorboard/``,
        ``checkpoints/``, ``initial.onnx`` (the model before its first step), and at the end
        ``model.onnx`` with its card ``model.json`` and ``sample.npz``, and ``result.json``.
        Default: nothing is written.
    resume : bool
        Go on with the training that is in the directory, whose process may have been stopped or
        killed at any moment. On a CPU, with the same versions and threads, the end has the same
        bits as that of an unbroken training, as have the CSV files but for times; other versions
        than it was begun with are warned of. A finished training is not repeated: its result is
        returned. An empty directory is begun.
    watch : Watch, optional
        When it is over, the step is finished, a checkpoint written, and the result says
        ``interrupted``.
    progress : callable, optional
        Called with a `Progress` after every step and when metrics were taken; what it raises
        ends the training.
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
    UnsoundResult
        An attack refutes what was proven for the metrics: no fault of the training's.
    BackendMissing
        lightning-fabric, or for a directory tensorboardX, is not installed.

    Examples
    --------
    >>> import torch
    >>> import sensverify as sv
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> settings = sv.TrainSettings(epochs=2, sigma=0.05, metric_samples=0)
    >>> loss = "cross-entropy + 0.1*sensitivity(form=softplus)"
    >>> result = sv.train(module, sv.load_split("iris"), loss, settings)
    >>> result.epochs, 0 <= result.metrics_test.err <= 1
    (2, True)
    """
    watch = watch or Watch()
    _check_kinds(module, split, settings)
    notes = {"model": description} if isinstance(description, str) else dict(description or {})
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    metrics: dict[str, Metrics] | None
    trained: Imported | None = None
    with _training_modes(module):
        plan = make_plan(module, split, loss, settings)
        if out is not None:
            check_board()
        config = describe(module, plan, notes)
        with nullcontext() if out is None else open_run(out, config, resume=resume) as run:
            try:
                finished = None if run is None else run.result
                if run is not None and finished is not None:
                    outcome, metrics = _finished(module, run, finished)
                else:
                    if run is not None:
                        _write_initial(module, plan, run)
                    outcome = _train(module, plan, run, watch, progress)
                    metrics = None
                    if not outcome.interrupted:
                        trained = Imported.of(module.to(plan.settings.device), plan.input_shape)
                        metrics = _measured(trained.network, plan, watch)
            finally:
                module.to(device)
                _drop_gradients(module)
            if run is not None and finished is None and metrics is not None:
                _write(module, plan, run, outcome, metrics, str(notes.get("recipe", plan.recipe)))
    make = Imported.of if trained is None else trained.again
    return TrainResult(
        module=module,
        network=make(module, plan.input_shape).network,
        metrics_train=None if metrics is None else metrics["train"],
        metrics_test=None if metrics is None else metrics["test"],
        epochs=outcome.epochs,
        seconds=outcome.seconds,
        interrupted=metrics is None,
        directory=None if run is None else run.path,
        steps=outcome.steps,
        resumed=outcome.resumed,
        course=outcome.course if run is None else read_epochs(run.path),
        config=plain(config),
        parts=f"{len(split.train):,} training and {len(split.test):,} test samples; {split.rule}",
        record=RunRecord.now(),
    )


@contextmanager
def _training_modes(module: nn.Module) -> Iterator[None]:
    """Every part in the mode that it is trained in; the module in evaluation mode after success."""
    modes = [(part, part.training) for part in module.modules()]
    if not any(training for _, training in modes):
        if any(isinstance(part, _NormBase | _DropoutNd) for part, _ in modes):
            warnings.warn(
                f"the module {type(module).__name__} is in evaluation mode as a whole, and is put "
                "in training mode as a whole; to keep some layers in evaluation mode, call "
                "module.train(), and then eval() of these layers, before fit",
                stacklevel=4,
            )
        for part, _ in modes:
            part.training = True
    try:
        yield
    except BaseException:
        for part, training in modes:
            part.training = training
        raise
    module.eval()


def _drop_gradients(module: nn.Module) -> None:
    """Without those of the last step; frozen parameters were given none."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.grad = None


def _check_kinds(module: Any, split: Any, settings: Any) -> None:
    """Refuse names and dictionaries where objects belong, and say what makes the objects."""
    for value, kind, made in (
        (module, nn.Module, "sensverify.models.architectures.build_for(name, shape, classes)"),
        (split, Split, "sensverify.data.load_split(name)"),
        (settings, TrainSettings, "TrainSettings(epochs=10, ...)"),
    ):
        if not isinstance(value, kind):
            raise BadSetting(
                f"fit takes a {kind.__name__}, such as {made}; got {type(value).__name__} "
                f"{str(value)[:60]!r}"
            )


def _train(
    module: nn.Module, plan: Plan, run: RunDirectory | None, watch: Watch, listener: Listener | None
) -> epochs.Outcome:
    if plan.settings.devices == 1:
        return engine.run(plan.settings, epochs.train, module, plan, run, watch, listener)
    return train_in_processes(module, plan, run, watch, listener)


def _write_initial(module: nn.Module, plan: Plan, run: RunDirectory) -> None:
    """The model before its first step: some measures compare a trained one with it."""
    if not checkpoint_files(run.checkpoints):
        # What ONNX cannot express is trained all the same.
        with suppress(BackendFailure):
            export_onnx(module, plan.input_shape, run.path / INITIAL)


def _measured(network: Network, plan: Plan, watch: Watch) -> dict[str, Metrics] | None:
    """The final metrics; None where the watch was over before they were there."""
    measuring = Measuring(network, plan, torch.device(plan.settings.device))
    with torch_threads(plan.settings.threads):
        metrics = {
            "train": measuring.take(plan.final_train, watch, final=True),
            "test": measuring.take(plan.final_test, watch, final=True),
        }
    # Those of a part of the samples are no result.
    return None if watch.over else metrics


def _write(
    module: nn.Module,
    plan: Plan,
    run: RunDirectory,
    outcome: epochs.Outcome,
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
            **({} if plan.unverifiable is None else {"unverifiable": plan.unverifiable}),
        }
    )


def _finished(
    module: nn.Module, run: RunDirectory, result: dict[str, Any]
) -> tuple[epochs.Outcome, dict[str, Metrics]]:
    """The result of a finished training; the module gets its parameters.

    Raises
    ------
    BadCheckpoint
        Its result or its last checkpoint is damaged or lost; the message says what to do.
    """
    path = run.path / RESULT
    try:
        done = int(result["steps"]), int(result["epochs"]), float(result["seconds"])
        metrics = {part: _kept_metrics(result["metrics"][part]) for part in ("train", "test")}
        expected = str(result["weights_sha256"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadCheckpoint(
            f"'{path}' is damaged ({type(error).__name__}: {error})", MADE_AGAIN
        ) from None
    checkpoint = newest_checkpoint(run.checkpoints)
    state = {} if checkpoint is None else checkpoint.tensors
    weights = {k.removeprefix("model/"): v for k, v in state.items() if k.startswith("model/")}
    if digest(weights) != expected:
        lost = checkpoint is None
        raise BadCheckpoint(
            f"the training in '{run.path}' is finished, and "
            f"{'its checkpoints are gone' if lost else 'its last checkpoint has other weights'}; "
            f"its model.onnx may still be good. To train again from "
            f"{'the start' if lost else 'that checkpoint'}, delete '{path.name}' and resume"
        )
    load_module_state(module, weights)
    resumed = () if checkpoint is None else resumed_after(checkpoint)
    return epochs.Outcome(*done, interrupted=False, resumed=resumed), metrics


def _kept_metrics(values: Mapping[str, Any]) -> Metrics:
    """Metrics as `RunDirectory.write_result` keeps them."""
    numbers: dict[str, Any] = {k: float(v) if isinstance(v, str) else v for k, v in values.items()}
    return Metrics(**numbers)


def _peak_memory(settings: TrainSettings) -> int:
    """Most memory that this process, or its CUDA device, has held, in bytes."""
    if settings.device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
