"""The evaluation itself: every task of every network, kept when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from sensverify.core.record import versions
from sensverify.data.memory import data_beside
from sensverify.errors import (
    BackendFailure,
    BadSetting,
    NotMeasured,
    SensverifyError,
    UnsoundResult,
)
from sensverify.evaluation import tasks
from sensverify.evaluation.assemble import assemble
from sensverify.evaluation.context import Context
from sensverify.evaluation.corruption_tasks import corruption, sequence
from sensverify.evaluation.folder import FinishedTask, FinishedTasks, open_evaluation
from sensverify.evaluation.gates import AskedGates
from sensverify.evaluation.prepared import Prepared, prepare_evaluation
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.requirements import Answer, AskedRequirements, with_specification
from sensverify.evaluation.results import Evaluation, Missing
from sensverify.evaluation.shift_tasks import shift
from sensverify.evaluation.task import EvaluationTask
from sensverify.network import Network
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.watch import Watch

Model = str | Path | nn.Module | Network
"""A model by its name or the path of its file, or as an object."""

_RUN: dict[str, Callable[[Context, EvaluationTask], FinishedTask]] = {
    "clean": tasks.clean,
    "attack": tasks.attack,
    "certified": tasks.certified,
    "measure": tasks.measure,
    "corruption": corruption,
    "shift": shift,
    "sequence": sequence,
}


def evaluate(
    request: EvaluateRequest | Model | Sequence[Model],
    x: Any = None,
    y: Any = None,
    *,
    progress: Listener | None = None,
    watch: Watch | None = None,
    answer: Answer | None = None,
    **settings: Any,
) -> Evaluation:
    """Evaluate classifiers side by side: predictions, attacks, proofs, corruptions, measures.

    Parameters
    ----------
    request : str, Path, torch.nn.Module, Network, a sequence of these, or EvaluateRequest
        One model or several, by their names, by the paths of their files, or as objects; or a whole
        request.
    x : array, tensor, table, pair, loader, str, Dataset or Split, optional
        The samples, ``[samples, *features]``, with their labels in ``y`` or in themselves. Default:
        those that ship with the models.
    y : array, tensor or column, optional
        Labels, ``[samples]``, counted from 0.
    progress : callable, optional
        Called before every task, which is named as ``network: task``, and at the end.
    watch : Watch, optional
        Ends it early: the task in hand is given up, and what is left is reported as missing.
        Predictions on samples as they are, are always made. Its listener hears how far a task is.
    answer : callable, optional
        Of a network, the file of a property and seconds: whether no input violates it, None where
        that is not known. A specification that holds properties needs it.
    **settings
        Further fields of the request, where only models were given: ``radii`` or ``sigmas``,
        ``clip``, ``attacks``, ``certify``, ``corruptions``, ``measures``, ...

    Returns
    -------
    Evaluation
        In its curves certified <= attacked <= clean, sample by sample: attacks and proofs are about
        the same boxes. Everything that was asked for is there, as a row or as a `Missing` with its
        reason. The same request gives the same rows, seconds aside, on one machine, however the
        work is cut or broken off and resumed.

    Raises
    ------
    SensverifyError
        The request cannot be met, which is said before any work is done; or a network's outputs at
        a sample are not finite; or the folder cannot be written.
    UnsoundResult
        A proof was refuted by an attack, or by the sample itself.

    Examples
    --------
    >>> import sensverify as sv
    >>> evaluation = sv.evaluate(
    ...     "iris", sigmas=(0.05,), attacks=("pgd(steps=5)",), corruptions=(), sequences=(),
    ...     measures=(),
    ... )
    >>> evaluation
    Evaluation(30 samples of iris (sample beside the model): iris 96.7 % right (29 of 30))
    """
    request = _request(request, x, y, settings)
    prepared = prepare_evaluation(with_specification(request))
    gates = AskedGates.of(prepared)
    requirements = AskedRequirements.of(prepared, request.severities, answer)
    watch = Watch() if watch is None else watch
    watch = watch.within(request.timeout)
    tell = progress if progress is not None else lambda state: None
    with open_evaluation(request.out, prepared.deciding, resume=request.resume) as kept:
        found = _all_tasks(prepared, kept, watch, tell)
    others = {k: v for k, v in kept.begun_with.items() if versions().get(k) != v}
    evaluation = assemble(prepared, found, interrupted=_unfinished(found), others=others)
    return requirements.judged(gates.judged(evaluation))


def _request(given: Any, x: Any, y: Any, settings: Mapping[str, Any]) -> EvaluateRequest:
    """The request that `evaluate` was given, whole or in parts."""
    if isinstance(given, EvaluateRequest):
        named = [n for n, value in {"x": x, "y": y, **settings}.items() if value is not None]
        if named:
            raise BadSetting(
                f"a request has its settings, got {', '.join(named)} beside it",
                "give them to EvaluateRequest",
            )
        return given
    models = tuple(given) if isinstance(given, tuple | list) else (given,)
    models = tuple(str(each) if isinstance(each, Path) else each for each in models)
    data = data_beside(settings.get("data"), x, y)
    return EvaluateRequest(models=models, **{**settings, "data": data})


def _all_tasks(
    prepared: Prepared,
    kept: FinishedTasks,
    watch: Watch,
    tell: Listener,
) -> list[list[FinishedTask]]:
    """The rows of every task, network by network, in the order of the plan."""
    plan = prepared.plan
    contexts = [Context(prepared, replace(model, watch=watch)) for model in prepared.models]
    found: list[list[FinishedTask]] = [[] for _ in contexts]
    parts = [(task, place) for task in plan.tasks for place in range(len(contexts))]
    names = {part: f"{contexts[part[1]].model.facts.name}: {part[0].key}" for part in parts}
    pace = Pace({names[part]: ((part[0].kind, part[0].name), (part[0].kind,)) for part in parts})
    for task, place in parts:
        context, name = contexts[place], names[task, place]
        key = prepared.key(context.model, task)
        finished = kept.get(key)
        if finished is not None:
            pace.end(name, None)
        else:
            if not (watch.over and task.kind != "clean"):
                tell(pace.go_on(name))
            finished, keep = _one_task(context, task)
            if keep:
                kept.add(key, name, finished)
            if _is_late(finished):
                pace.leave(name)
            else:
                pace.end(name, getattr(finished.row, "seconds", 0.0))
        found[place].append(finished)
    tell(pace.state())
    return found


def _one_task(context: Context, task: EvaluationTask) -> tuple[FinishedTask, bool]:
    """The finished task, and whether it would give the same again."""
    late = Missing(key=task.key, reason="there was no time left for it", final=False)
    needed = task.kind == "clean"
    if context.watch.over and not needed:
        return FinishedTask(row=late), False
    try:
        finished = _RUN[task.kind](context, task)
        return finished, not finished.cut
    except UnsoundResult:
        raise
    except RuntimeError as error:
        opaque = context.model.network.opaque
        if opaque is None or not opaque.gradients:
            raise
        # What a module does, or what torch cannot derive of it, is its own.
        reason = f"torch: {(str(error).splitlines() or [type(error).__name__])[0]}"
        if needed:
            raise BackendFailure(reason).about(f"network '{context.model.facts.name}'") from None
        return FinishedTask(row=Missing(key=task.key, reason=reason)), False
    except SensverifyError as error:
        if needed:
            raise error.about(f"network '{context.model.facts.name}'") from None
        if context.watch.over:
            return FinishedTask(row=late), False
        row = Missing(key=task.key, reason=" ".join(str(error).split()))
        # What is not installed today may be tomorrow.
        return FinishedTask(row=row), isinstance(error, NotMeasured)


def _unfinished(found: Sequence[Sequence[FinishedTask]]) -> bool:
    return any(_is_late(task) for each in found for task in each)


def _is_late(task: FinishedTask) -> bool:
    return task.cut or (isinstance(task.row, Missing) and not task.row.final)
