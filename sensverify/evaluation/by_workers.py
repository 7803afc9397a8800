"""The tasks of an evaluation, done by workers that load its networks once and keep them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

from sensverify.errors import BackendFailure, BadSetting
from sensverify.evaluation.context import Context
from sensverify.evaluation.doing import Part, all_parts, is_late, one_task
from sensverify.evaluation.folder import ROWS, Entry, FinishedTask, FinishedTasks
from sensverify.evaluation.prepared import Prepared, prepare_evaluation
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.results import Missing
from sensverify.evaluation.shards import key_of
from sensverify.runs.progress import Listener, Pace
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Ended, Report, Task, Workers

_LOADED: dict[bytes, Prepared] = {}
"""What this process has loaded last."""


def portable(request: EvaluateRequest) -> EvaluateRequest:
    """A request as workers get it: without what only the whole of an evaluation is about.

    Raises
    ------
    BadSetting
        It holds objects that another process cannot have.
    """
    remedy = "give names and files, or leave out `workers`"
    if not all(isinstance(each, str) for each in request.models):
        raise BadSetting("workers load networks themselves, and one is an object", remedy)
    asked = replace(request, out=None, resume=False, timeout=None)
    try:
        pickle.dumps(asked)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        problem = f"workers cannot have what the request holds: {' '.join(str(error).split())}"
        raise BadSetting(problem, remedy) from None
    return asked


def do_by_workers(
    workers: Workers,
    prepared: Prepared,
    asked: EvaluateRequest,
    kept: FinishedTasks,
    watch: Watch,
    tell: Listener,
) -> dict[str, FinishedTask]:
    """Let workers do what is not kept yet, and keep it as it comes.

    Parameters
    ----------
    workers : Workers
    prepared : Prepared
    asked : EvaluateRequest
        As `portable` gives it.
    kept : FinishedTasks
    watch : Watch
    tell : callable
        Hears of the progress.

    Returns
    -------
    dict
        By their keys, the tasks that have ended and are not to be kept.

    Raises
    ------
    SensverifyError
        As by `sensverify.evaluation.run.evaluate`.
    """
    parts = all_parts(prepared)
    keys = [key_of(prepared, part) for part in parts]
    # Of networks that are the same file, one.
    left = {key: number for number, key in enumerate(keys) if kept.get(key) is None}
    names = {key: _name(prepared, part) for key, part in zip(keys, parts, strict=True)}
    pace = Pace({key: (part[0].kind,) for key, part in zip(keys, parts, strict=True)})
    for key in set(keys) - set(left):
        pace.end(key, None)
    work = f"{__name__}:do"
    tasks = [
        Task(key, work, {"request": asked, "part": number, "key": key, "name": names[key]})
        for key, number in left.items()
    ]
    found: dict[str, FinishedTask] = {}

    def report(task: Task, share: float) -> None:
        tell(replace(state := pace.go_on(task.key, share), running=_named(state.running, names)))

    with closing(workers.run(tasks, watch, report)) as ends:
        for ended in ends:
            key = ended.task.key
            entry = _entry(parts[left[key]], ended)
            if ended.row is not None and ended.row["keep"]:
                kept.add(key, names[key], entry)
            else:
                found[key] = entry
            if is_late(entry):
                pace.leave(key)
            else:
                state = pace.end(key, getattr(entry.row, "seconds", 0.0))
                tell(replace(state, running=_named(state.running, names)))
    return found


def do(data: Mapping[str, Any], watch: Watch, report: Report) -> dict[str, Any]:
    """One task, in the process of a worker: its entry in the journal, and whether it is kept.

    Parameters
    ----------
    data : mapping
        The ``request``, the number of the ``part`` in it, and the ``key`` and ``name`` of that.
    watch : Watch
    report : callable

    Raises
    ------
    BackendFailure
        The files here are not those of who asks.
    """
    report(0.0)
    asked: EvaluateRequest = data["request"]
    mark = pickle.dumps(asked)
    if mark not in _LOADED:
        _LOADED.clear()
        _LOADED[mark] = prepare_evaluation(asked)
    prepared = _LOADED[mark]
    part = all_parts(prepared)[data["part"]]
    if key_of(prepared, part) != data["key"]:
        problem = f"a worker reads other files than asked about for '{data['name']}'"
        raise BackendFailure(problem, "let all machines see the same models and data")
    task, place = part
    finished, keep = one_task(Context(prepared, replace(prepared.models[place], watch=watch)), task)
    entry = ROWS.to_plain(Entry(data["key"], data["name"], finished))
    return {"keep": keep, "cut": finished.cut, "entry": dict(entry)}


def _entry(part: Part, ended: Ended) -> FinishedTask:
    """The end of a task, or why it found nothing."""
    if ended.row is not None:
        finished = ROWS.from_plain(ended.row["entry"]).finished
        return replace(finished, cut=ended.row["cut"])
    if isinstance(ended.error, BackendFailure) and part[0].kind != "clean":
        reason = " ".join(str(ended.error).split())
        return FinishedTask(row=Missing(key=part[0].key, reason=reason, final=False))
    if ended.error is not None:
        raise ended.error
    raise BackendFailure(f"a worker gave nothing for '{ended.task.data['name']}'")


def _name(prepared: Prepared, part: Part) -> str:
    task, place = part
    return f"{prepared.models[place].facts.name}: {task.key}"


def _named(running: Mapping[Any, float], names: Mapping[str, str]) -> dict[str, float]:
    return {names[key]: share for key, share in running.items()}
