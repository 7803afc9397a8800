"""The tasks of an evaluation, done one after another, each kept when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sensverify.errors import BackendFailure, NotMeasured, SensverifyError, UnsoundResult
from sensverify.evaluation import tasks
from sensverify.evaluation.context import Context
from sensverify.evaluation.corruption_tasks import corruption, sequence
from sensverify.evaluation.folder import FinishedTask, FinishedTasks
from sensverify.evaluation.prepared import Prepared
from sensverify.evaluation.results import Missing
from sensverify.evaluation.shift_tasks import shift
from sensverify.evaluation.task import EvaluationTask
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.watch import Watch

Part = tuple[EvaluationTask, int]
"""A task, and the place of its network."""

NO_TIME = "there was no time left for it"

_RUN: dict[str, Callable[[Context, EvaluationTask], FinishedTask]] = {
    "clean": tasks.clean,
    "attack": tasks.attack,
    "certified": tasks.certified,
    "measure": tasks.measure,
    "corruption": corruption,
    "shift": shift,
    "sequence": sequence,
}


def all_parts(prepared: Prepared) -> list[Part]:
    """The tasks in the order in which they are done: where time is short, the last are missed."""
    return [(task, place) for task in prepared.plan.tasks for place in range(len(prepared.models))]


def do_parts(
    prepared: Prepared,
    parts: Sequence[Part],
    kept: FinishedTasks,
    watch: Watch,
    tell: Listener,
    given: Mapping[str, FinishedTask] | None = None,
) -> list[list[FinishedTask]]:
    """The rows of tasks, network by network, in their order.

    Parameters
    ----------
    prepared : Prepared
    parts : sequence of Part
    kept : FinishedTasks
        What is finished already, and a place for more.
    watch : Watch
    tell : callable
        Hears of the progress.
    given : mapping, optional
        By their keys, what others found that is not kept.
    """
    contexts = [Context(prepared, replace(model, watch=watch)) for model in prepared.models]
    found: list[list[FinishedTask]] = [[] for _ in contexts]
    names = {part: f"{contexts[part[1]].model.facts.name}: {part[0].key}" for part in parts}
    pace = Pace({names[part]: ((part[0].kind, part[0].name), (part[0].kind,)) for part in parts})
    for task, place in parts:
        context, name = contexts[place], names[task, place]
        key = prepared.key(context.model, task)
        finished = kept.get(key) or (given or {}).get(key)
        if finished is not None:
            pace.end(name, None)
        else:
            if not (watch.over and task.kind != "clean"):
                tell(pace.go_on(name))
            finished, keep = one_task(context, task)
            if keep:
                kept.add(key, name, finished)
            if is_late(finished):
                pace.leave(name)
            else:
                pace.end(name, getattr(finished.row, "seconds", 0.0))
        found[place].append(finished)
    tell(pace.state())
    return found


def one_task(context: Context, task: EvaluationTask) -> tuple[FinishedTask, bool]:
    """The finished task, and whether it would give the same again."""
    late = Missing(key=task.key, reason=NO_TIME, final=False)
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


def is_late(task: FinishedTask) -> bool:
    """Whether more time would have given another row."""
    return task.cut or (isinstance(task.row, Missing) and not task.row.final)
