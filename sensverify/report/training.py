"""The result of a training as a document and as JSON."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sensverify.data import Split
from sensverify.measures import METRICS, SHARES
from sensverify.report import document as doc
from sensverify.report.formatting import number
from sensverify.training.directory.export import MODEL
from sensverify.training.directory.run_directory import RESULT, RESULT_SCHEMA, RunDirectory
from sensverify.training.fit import TrainResult
from sensverify.training.request import TrainRequest


def metric_text(name: str, value: float | None) -> str:
    """A metric for people: shares in %, SENSE as ``5.53e3``; a dash for None."""
    if value is None:
        return "-"
    if name in SHARES:
        return f"{100 * value:.2f} %"
    if name == "SENSE" and math.isfinite(value):
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits}e{int(power)}"
    return number(value)


def training_document(request: TrainRequest, split: Split, result: Any) -> doc.Document:
    """The final metrics of both parts, what was trained, and how to verify it."""
    facts = doc.Facts(list(_facts(request, split, result)))
    return doc.Document.of(_metrics(result), facts)


def result_document(result: TrainResult) -> doc.Document:
    """The final metrics of both parts, and what is known of a training besides."""
    name = type(result.module).__name__
    facts = [("training", f"{result.epochs:,} epochs in {result.seconds:.1f} s")]
    if result.directory is not None:
        facts.append(("verify it with", _verify_command(result.directory)))
    if result.interrupted:
        late = doc.Notice(["Interrupted: there are no final metrics."], "bad", on=doc.PAGE)
        blocks: list[doc.Block] = [late, doc.Facts(facts)]
    else:
        blocks = [_metrics(result), doc.Facts(facts)]
    section = doc.Section("", "", tuple(blocks))
    return doc.Document(f"{name}: training", "A network trained", name, sections=(section,))


def _metrics(result: Any) -> doc.Table:
    """The final metrics of both parts."""
    train, test = result.metrics_train, result.metrics_test
    columns = [
        doc.Column("metric", align="left", wrap="whole"),
        *(doc.Column(part, wrap="whole") for part in ("train", "test")),
        doc.Column("what it is", align="left"),
    ]
    rows = [doc.row("samples", f"{train.samples:,}", f"{test.samples:,}", "")]
    values = train.row(), test.row()
    for name, description in METRICS.items():
        found = [each[name] for each in values]
        if found != [None, None]:
            texts = (metric_text(name, value) for value in found)
            rows.append(doc.row(name, *texts, doc.Cell(description, "dim")))
    return doc.Table(columns, rows)


def training_to_json(request: TrainRequest, directory: Path, result: TrainResult) -> str:
    """Request of a training, its progress, and its result where it is finished.

    Rates are shares from 0 to 1; infinities are the texts ``inf`` and ``-inf``, NaN is null.
    """
    found = RunDirectory(directory).result or {}
    values = {
        "schema": RESULT_SCHEMA,
        "request": request.as_dict(),
        "interrupted": result.interrupted,
        "epochs": result.epochs,
        **found,
    }
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _facts(request: TrainRequest, split: Split, result: Any) -> Iterator[tuple[str, str]]:
    settings = request.settings
    parts = f"{len(split.train):,} training and {len(split.test):,} test samples"
    moved = "none, so metrics of a perturbation are left out"
    if settings.sigma is not None:
        moved = f"sigma {settings.sigma:g} of each feature's range"
    elif settings.radius is not None:
        moved = f"radius {settings.radius:g}"
    if settings.clip is not None:
        moved += f", clipped to [{settings.clip[0]:g}, {settings.clip[1]:g}]"
    model = f"{request.model}{', standardised inputs' if request.standardise else ''}"
    yield "data", f"{request.data}: {parts}; {split.rule}"
    yield "model", f"{model}, {sum(p.numel() for p in result.module.parameters()):,} weights"
    yield "loss", request.loss
    yield "perturbation", moved
    seconds = f"{result.epochs:,} epochs in {result.seconds:.1f} s"
    yield "training", f"{seconds}, seed {settings.seed}"
    if result.directory is not None:
        yield "verify it with", _verify_command(result.directory)


def _verify_command(directory: Path) -> str:
    if not (directory / MODEL).is_file():
        return f"nothing: the model could not be written as ONNX; {RESULT} says why"
    # A name alone might be that of a model that ships.
    named = str(directory) if len(directory.parts) > 1 else f"./{directory}"
    return shlex.join(["sensverify", "verify", named])
