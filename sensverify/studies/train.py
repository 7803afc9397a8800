"""One training of a study, as a task for a worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sensverify.errors import InputError, TrainingFailed, Unbounded
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Report, Task
from sensverify.studies.entries import DONE, FAILED, Entry, plain_number
from sensverify.studies.evaluate import evaluate_training
from sensverify.studies.study import Study, Training

if TYPE_CHECKING:
    from sensverify.measures.metrics import Metrics
    from sensverify.training.loop.progress import Progress
    from sensverify.training.request import TrainRequest


def training_task(
    study: Study, training: Training, folder: Path, *, data_dir: Path | None = None
) -> Task:
    """A training as plain values.

    Parameters
    ----------
    study : Study
        For its data and model.
    training : Training
    folder : Path
        Its run directory.
    data_dir : Path, optional
        Where data sets are.
    """
    data = {
        **_request(study, training).as_dict(),
        "run": training.name,
        "evaluate": dict(study.evaluate),
        "folder": str(folder),
        "data_dir": None if data_dir is None else str(data_dir),
    }
    return Task(training.key, "sensverify.studies.train:train", data)


def check(study: Study, trainings: Iterable[Training], *, data_dir: Path | None = None) -> None:
    """Raise what would keep one of the trainings from its first step; nothing is written.

    Raises
    ------
    InputError
        There are no such data, or a loss, its settings and the model do not fit them; the message
        names the run.
    BackendMissing
        Something that training needs is not installed.
    """
    from sensverify.data import load_split
    from sensverify.training.plan import make_plan

    split, loaded = None, ""
    # Seeds change nothing about it.
    once = {each.name: each for each in trainings}.values()
    for training in sorted(once, key=lambda each: each.data or study.data):
        data = training.data or study.data
        if split is None or data != loaded:
            split, loaded = load_split(data, data_dir=data_dir), data
        try:
            module = _request(study, training).build(split)
            make_plan(module, split, training.loss, training.settings)
        except InputError as error:
            raise error.about(f"run '{training.name}'") from None


def _request(study: Study, training: Training) -> TrainRequest:
    from sensverify.training.request import TrainRequest

    return TrainRequest(
        data=training.data or study.data,
        model=training.model or study.model,
        loss=training.loss,
        standardise=study.standardise,
        settings=training.settings,
    )


def train(data: Mapping[str, Any], watch: Watch, report: Report) -> dict[str, Any] | None:
    """Train, or go on where the run directory says, and evaluate where that is asked for.

    Parameters
    ----------
    data : mapping
        Of a `training_task`.
    watch : Watch
    report : callable

    Returns
    -------
    dict or None
        An `Entry`; None where the watch stopped it before its end.

    Raises
    ------
    InputError
        Nothing can be trained as asked; a training that goes wrong is an entry instead.
    UnsoundResult
        A metric was refuted: a defect of the program, and no result of the training.
    """
    from sensverify.training.fit import fit
    from sensverify.training.request import TrainRequest
    from sensverify.training.settings import TrainSettings

    def listen(state: Progress) -> None:
        report(state.step / state.steps)

    settings = TrainSettings.of(data["settings"])
    asked = {name: data[name] for name in ("data", "model", "loss", "standardise")}
    request, folder = TrainRequest(**asked, settings=settings), Path(data["folder"])
    split, module = request.prepare(data_dir=data["data_dir"])
    began = perf_counter()
    ended: dict[str, Any] = {"run": data["run"], "seed": settings.seed}
    try:
        result = fit(
            module,
            split,
            request.loss,
            settings,
            out=folder,
            resume=_is_begun(folder),
            watch=watch,
            progress=listen,
            description=request.model,
        )
    except (TrainingFailed, Unbounded) as error:
        seconds, reason = perf_counter() - began, str(error)
        failed = Entry(**ended, status=FAILED, seconds=seconds, epochs=0, reason=reason)
        return asdict(failed)
    if result.interrupted:
        return None
    trained = perf_counter()
    if data["evaluate"] and not evaluate_training(
        folder,
        folder.name,
        data["evaluate"],
        data=request.data,
        device=settings.device,
        threads=settings.threads,
        data_dir=data["data_dir"],
        watch=watch,
    ):
        return None
    found = {"test": result.metrics_test, "train": result.metrics_train}
    measured = {part: each for part, each in found.items() if each is not None}
    return asdict(
        Entry(
            **ended,
            status=DONE,
            seconds=result.seconds,
            epochs=result.epochs,
            missed=result.missed or "",
            metrics={part: metric_numbers(each) for part, each in measured.items()},
            samples={part: each.samples for part, each in measured.items()},
            evaluation_seconds=perf_counter() - trained if data["evaluate"] else 0.0,
        )
    )


def _is_begun(folder: Path) -> bool:
    """True for a directory that holds anything; what is no directory is refused by `fit`."""
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def metric_numbers(metrics: Metrics) -> dict[str, float | None]:
    """Metrics by their column names, None for what is not known or not finite."""
    return {name: plain_number(value) for name, value in metrics.row().items()}


def peak_memory(folder: Path) -> int | None:
    """Bytes that the training in a run directory held at most, if it was alone in its process."""
    try:
        found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return int(found["peak_memory_bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
