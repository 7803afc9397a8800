"""One training of a study, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from sensverify.errors import InputError, TrainingFailed, Unbounded
from sensverify.runs.watch import Watch
from sensverify.studies.journal import DONE, FAILED, Entry, plain_number
from sensverify.studies.study import Study, Training

if TYPE_CHECKING:
    from torch import nn

    from sensverify.data.split import Split
    from sensverify.measures.metrics import Metrics
    from sensverify.training.progress import Progress
    from sensverify.training.request import TrainRequest

Report = Callable[[float], None]
"""Called with the share of a training that is done."""


@dataclass(frozen=True)
class Job:
    """A training with everything that a process needs to do it.

    Parameters
    ----------
    training : Training
    study : Study
        For its data and model.
    folder : Path
        Its run directory.
    data_dir : Path or None
    """

    training: Training
    study: Study
    folder: Path
    data_dir: Path | None = None

    def prepare(self) -> tuple[Split, nn.Module]:
        """The data and the freshly initialised model.

        Raises
        ------
        SensverifyError
            There are no such data or model, or they do not fit together.
        """
        return _request(self.study, self.training).prepare(data_dir=self.data_dir)


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

    split = None
    # Seeds change nothing about it.
    for training in {each.name: each for each in trainings}.values():
        split = load_split(study.data, data_dir=data_dir) if split is None else split
        try:
            module = _request(study, training).build(split)
            make_plan(module, split, training.loss, training.settings)
        except InputError as error:
            raise error.about(f"run '{training.name}'") from None


def _request(study: Study, training: Training) -> TrainRequest:
    from sensverify.training.request import TrainRequest

    return TrainRequest(
        data=study.data,
        model=study.model,
        loss=training.loss,
        standardise=study.standardise,
        settings=training.settings,
    )


def train(job: Job, *, watch: Watch, report: Report | None = None) -> Entry | None:
    """Train, or go on where the run directory says.

    Parameters
    ----------
    job : Job
    watch : Watch
    report : callable, optional

    Returns
    -------
    Entry or None
        None where the watch stopped it before its end.

    Raises
    ------
    InputError
        Nothing can be trained as asked; a training that goes wrong is an entry instead.
    UnsoundResult
        A metric was refuted: a defect of the program, and no result of the training.
    """
    from sensverify.training.fit import fit

    def listen(state: Progress) -> None:
        if report is not None:
            report(state.step / state.steps)

    training = job.training
    split, module = job.prepare()
    begun = perf_counter()
    try:
        result = fit(
            module,
            split,
            training.loss,
            training.settings,
            out=job.folder,
            resume=_is_begun(job.folder),
            watch=watch,
            progress=listen,
            description=job.study.model,
        )
    except (TrainingFailed, Unbounded) as error:
        return Entry(
            run=training.name,
            seed=training.seed,
            status=FAILED,
            seconds=perf_counter() - begun,
            epochs=0,
            reason=str(error),
        )
    if result.interrupted:
        return None
    found = {"test": result.metrics_test, "train": result.metrics_train}
    measured = {part: each for part, each in found.items() if each is not None}
    return Entry(
        run=training.name,
        seed=training.seed,
        status=DONE,
        seconds=result.seconds,
        epochs=result.epochs,
        metrics={part: metric_numbers(each) for part, each in measured.items()},
        samples={part: each.samples for part, each in measured.items()},
    )


def _is_begun(folder: Path) -> bool:
    """Whether a run directory holds anything; what is no directory is left to `fit` to refuse."""
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
