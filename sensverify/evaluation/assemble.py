"""From finished tasks to an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from sensverify.core.brief import count_of
from sensverify.core.record import RunRecord
from sensverify.evaluation.examples import make_examples
from sensverify.evaluation.folder import FinishedTask
from sensverify.evaluation.models import EvaluatedModel
from sensverify.evaluation.order import consistent_certified
from sensverify.evaluation.prepared import Prepared
from sensverify.evaluation.results import (
    AttackRow,
    CleanRow,
    CorruptionRow,
    Evaluation,
    MeasureRow,
    Missing,
    ModelEvaluation,
    Row,
    SequenceRow,
    ShiftRow,
)
from sensverify.evaluation.shift import OtherData
from sensverify.evaluation.specification import Specification
from sensverify.runs.machine import machine_facts


def assemble(
    prepared: Prepared,
    found: Sequence[Sequence[FinishedTask]],
    *,
    interrupted: bool,
    others: Mapping[str, str],
) -> Evaluation:
    """The evaluation that the tasks of every network, in the order of the plan, make up.

    Parameters
    ----------
    prepared : Prepared
    found : sequence of sequence of FinishedTask
    interrupted : bool
    others : mapping from str to str
        Versions that differ now from those that the first tasks were found with, as these were.

    Raises
    ------
    UnsoundResult
        A proof was refuted by an attack, or by the sample itself.
    """
    request, samples, radii = prepared.request, prepared.samples, prepared.radii
    seconds = sum(getattr(task.row, "seconds", 0.0) for each in found for task in each)
    return Evaluation(
        models=tuple(
            _model_evaluation(prepared, model, each)
            for model, each in zip(prepared.models, found, strict=True)
        ),
        data=samples.name,
        samples=len(samples),
        available=samples.available,
        chosen=samples.chosen,
        train_samples=0 if samples.train is None else len(samples.train),
        classes=samples.classes,
        radii=radii.values,
        radius_unit=radii.unit,
        clip=radii.perturbation.clip,
        examples=make_examples(prepared.corrupted, found),
        settings=_settings(prepared, others),
        reference=request.reference,
        record=RunRecord.now(),
        machine=_machine(),
        device=_device_name(request.device),
        seconds=seconds,
        interrupted=interrupted,
        samples_sha256=prepared.digest,
        labels=tuple(samples.labels.tolist()),
        seed=request.seed,
        success_of_all=request.success == "all",
    )


def _model_evaluation(
    prepared: Prepared, model: EvaluatedModel, found: Sequence[FinishedTask]
) -> ModelEvaluation:
    rows: list[Row] = [task.row for task in found]

    def of(kind: type[Any]) -> tuple[Any, ...]:
        return tuple(row for row in rows if isinstance(row, kind))

    return ModelEvaluation(
        model=model.facts,
        clean=of(CleanRow),
        attacks=of(AttackRow),
        certified=consistent_certified(model.facts.name, found, prepared.samples.places.tolist()),
        corruptions=of(CorruptionRow),
        shifts=of(ShiftRow),
        sequences=of(SequenceRow),
        measures=of(MeasureRow),
        missing=(*prepared.plan.missing, *of(Missing)),
    )


def _settings(prepared: Prepared, others: Mapping[str, str]) -> dict[str, str]:
    """Everything that was asked for, in words."""
    request, names = prepared.request, prepared.plan.named
    told = {
        "attacks": names("attack"),
        "certify": names("certified"),
        "corruptions": names("corruption"),
        "severities": ", ".join(map(str, sorted(set(request.severities)))),
        "sequences": names("sequence"),
        "measures": names("measure"),
        "seed": str(request.seed),
        "bins": str(request.bins),
    }
    if request.success != "right":
        told["success of attacks"] = f"over {request.success} samples"
    if prepared.surrogate is not None:
        told["surrogate"] = prepared.surrogate.facts.name
    if request.initial is not None:
        told["initial"] = request.initial
    if prepared.radii.usual is not None:
        told["measures taken at radius"] = f"{prepared.radii.usual:g}"
    if request.corrupted is not None:
        told["corrupted"] = str(request.corrupted)
    if request.shifts:
        told["shifts"] = ", ".join(f"{each.name}: {_shift_text(each)}" for each in request.shifts)
    if isinstance(request.specification, Specification):
        asked = request.specification
        told["specification"] = asked.title or count_of(
            len(asked.requirements) + len(asked.properties), "requirement"
        )
    if request.timeout is not None:
        told["timeout"] = f"{request.timeout:g} s"
    if others:
        told["begun with"] = ", ".join(f"{name} {version}" for name, version in others.items())
    if prepared.samples.note is not None:
        told["data"] = prepared.samples.note
    label = prepared.samples.only_class
    if label is not None:
        told["note"] = f"all samples have the label {label}: nothing here says how it is told apart"
    return told


def _shift_text(asked: OtherData) -> str:
    """Another data set, and the file of its classes."""
    data = asked.data if isinstance(asked.data, str | Path) else type(asked.data).__name__
    return f"{data}" if asked.classes is None else f"{data} with the classes of {asked.classes}"


def _machine() -> str:
    """Processor and cores, in words."""
    facts = machine_facts()
    return f"{facts['processor']}, {facts['cores']} core{'s' if facts['cores'] != 1 else ''}"


def _device_name(device: str) -> str:
    return f"cuda ({torch.cuda.get_device_name()})" if device == "cuda" else device
