"""The evaluation itself: every task of every network, kept when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from sensverify.core.record import versions
from sensverify.data.memory import data_beside
from sensverify.errors import BadSetting
from sensverify.evaluation.assemble import assemble
from sensverify.evaluation.by_workers import do_by_workers, portable
from sensverify.evaluation.doing import all_parts, do_parts, is_late
from sensverify.evaluation.folder import (
    FinishedTask,
    FinishedTasks,
    open_evaluation,
    read_finished,
)
from sensverify.evaluation.gates import AskedGates
from sensverify.evaluation.prepared import Prepared, prepare_evaluation
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.requirements import Answer, AskedRequirements, with_specification
from sensverify.evaluation.results import Evaluation, Missing
from sensverify.evaluation.shards import missing_reasons
from sensverify.network import Network
from sensverify.runs.progress import Listener
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Workers

Model = str | Path | nn.Module | Network
"""A model by its name or the path of its file, or as an object."""


def evaluate(
    request: EvaluateRequest | Model | Sequence[Model],
    x: Any = None,
    y: Any = None,
    *,
    progress: Listener | None = None,
    watch: Watch | None = None,
    answer: Answer | None = None,
    workers: Workers | None = None,
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
    workers : Workers, optional
        Who does the tasks, with networks by name or file that they load themselves; default: this
        process.
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
    asked = with_specification(request)
    sent = None if workers is None else portable(asked)
    prepared = prepare_evaluation(asked)
    gates = AskedGates.of(prepared)
    requirements = AskedRequirements.of(prepared, request.severities, answer)
    watch = Watch() if watch is None else watch
    watch = watch.within(request.timeout)
    tell = progress if progress is not None else lambda state: None
    with open_evaluation(request.out, prepared.deciding, resume=request.resume) as kept:
        given = {}
        if workers is not None and sent is not None:
            given = do_by_workers(workers, prepared, sent, kept, watch, tell)
        found = do_parts(prepared, all_parts(prepared), kept, watch, tell, given)
    evaluation = _assembled(prepared, found, kept)
    return requirements.judged(gates.judged(evaluation))


def read_evaluation(request: EvaluateRequest, *, answer: Answer | None = None) -> Evaluation:
    """The evaluation that the folder of a request holds by now, its shards put together.

    Nothing is done but predictions on samples as they are, where nobody has made them, and nothing
    is written; others may be at work there. What is not done yet is a `Missing` that says whose it
    is, keeps gates about it undecided, and the result interrupted.

    Parameters
    ----------
    request : EvaluateRequest
        With the folder in ``out``.
    answer : callable, optional
        As for `evaluate`.

    Raises
    ------
    SensverifyError
        The request cannot be met; or the folder holds something else, or shards of different plans.
    """
    if request.out is None:
        raise BadSetting("what is done by now is in a folder", "give it with `out`")
    prepared = prepare_evaluation(with_specification(request))
    gates = AskedGates.of(prepared)
    requirements = AskedRequirements.of(prepared, request.severities, answer)
    kept, begun = read_finished(request.out, prepared.deciding)
    stopped = Watch()
    stopped.stop()
    found = do_parts(prepared, all_parts(prepared), kept, stopped, lambda state: None)
    reasons = missing_reasons(prepared, begun)
    found = [
        [
            replace(finished, row=replace(finished.row, reason=reasons[task, place]))
            if isinstance(finished.row, Missing) and not finished.row.final
            else finished
            for task, finished in zip(prepared.plan.tasks, each, strict=True)
        ]
        for place, each in enumerate(found)
    ]
    return requirements.judged(gates.judged(_assembled(prepared, found, kept)))


def _assembled(
    prepared: Prepared, found: Sequence[Sequence[FinishedTask]], kept: FinishedTasks
) -> Evaluation:
    others = {k: v for k, v in kept.begun_with.items() if versions().get(k) != v}
    late = any(is_late(task) for each in found for task in each)
    return assemble(prepared, found, interrupted=late, others=others)


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
