"""A training as a document: its course, its final metrics, its settings, its record."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sensverify.core.digests import sha256_of_file
from sensverify.measures import METRICS, SHARES
from sensverify.report import document as doc
from sensverify.report.formatting import DASH, count_of, number
from sensverify.report.record import record_facts
from sensverify.report.training.charts import course_charts
from sensverify.runs.progress import duration
from sensverify.training.directory.export import MODEL
from sensverify.training.directory.run_directory import RESULT
from sensverify.training.result import TrainResult
from sensverify.training.settings import TrainSettings

EPOCHS = 500
"""Epochs that the table of a page has, the last ones; the others are in the data beside it."""

_OFFERED = 4_000_000
"""Bytes of data that a page carries."""

_FIGURES = ("ERR", "PGD_ERR", "ADV_ERR", "CROWN_ERR", "SENSE")
"""Metrics at the top of a page."""


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


def training_document(result: TrainResult) -> doc.Document:
    """The course of a training, its final metrics, what was trained, and how to verify it."""
    name = _name(result)
    sections = [doc.Section("summary", "", tuple(_summary(result)))]
    if result.course:
        blocks = tuple(_course(result.course))
        sections.append(doc.Section("course", "Course", blocks, data=(_epochs(result.course),)))
    sections += [
        doc.Section("metrics", "Final metrics", tuple(_final(result))),
        doc.Section("asked", "What was trained", tuple(_asked(result))),
        doc.Section("record", "Record", tuple(_record(result))),
    ]
    return doc.Document(
        title=f"{name}: training",
        eyebrow="A network trained",
        heading=name,
        lead=_lead(result),
        sections=sections,
        contents=True,
        offered=_OFFERED,
    )


def _name(result: TrainResult) -> str:
    return str(_part(result, "model").get("name") or type(result.module).__name__)


def _part(result: TrainResult, name: str) -> Mapping[str, Any]:
    """A part of the configuration; empty where there is none."""
    found = result.config.get(name)
    return found if isinstance(found, Mapping) else {}


def _lead(result: TrainResult) -> str:
    data = _part(result, "data").get("name")
    text = f"{count_of(result.epochs, 'epoch')} on {data}" if data else f"{result.epochs:,} epochs"
    loss = result.config.get("loss")
    return f"{text}, loss {loss}." if loss else f"{text}."


def _summary(result: TrainResult) -> Iterator[doc.Block]:
    if result.interrupted:
        yield doc.Notice(_stopped(result), "open", "Interrupted", on=doc.PAGE)
    elif result.resumed:
        words = doc.Span("Resumed:", "strong")
        yield doc.Notice([(words, f" {_resumed(result)}.")], "open", on=doc.PAGE)
    if result.missed is not None:
        yield doc.Notice([(doc.Span("Not reached:", "strong"), f" {result.missed}.")], "open")
    if result.kept is not None:
        of = f"of epoch {result.kept}, with the smallest error on held-out samples"
        yield doc.Notice([(doc.Span("Its weights are those", "strong"), f" {of}.")], "told")
    if result.unverifiable is not None:
        words = doc.Span("Nothing can be verified of it:", "strong")
        yield doc.Notice([(words, f" {result.unverifiable}")], "open", on=doc.PAGE)
    numbers = tuple(_numbers(result))
    if numbers:
        yield doc.Numbers(numbers, on=doc.PAGE)


def _stopped(result: TrainResult) -> list[doc.Line]:
    asked = _part(result, "settings").get("epochs", result.epochs)
    lines: list[doc.Line] = [
        f"{result.epochs:,} of {asked:,} epochs are done, and there are no final metrics."
    ]
    if result.directory is not None:
        lines.append(("Resumed in ", doc.Span(str(result.directory), "code"), ", it goes on."))
    return lines


def _resumed(result: TrainResult) -> str:
    steps = ", ".join(f"{step:,}" for step in result.resumed)
    return f"the training was stopped, and went on after step {steps}"


def _numbers(result: TrainResult) -> Iterator[doc.Number]:
    train, test = result.metrics_train, result.metrics_test
    if train is None or test is None:
        return
    values = train.row(), test.row()
    for name in _FIGURES:
        if values[1][name] is not None:
            note = f"{metric_text(name, values[0][name])} on training samples"
            cell = doc.Cell(metric_text(name, values[1][name]), note=note)
            yield doc.Number(f"{name}, test samples", [cell])


def _course(course: Sequence[Mapping[str, float]]) -> Iterator[doc.Block]:
    yield doc.Text("The loss and the metrics after every epoch.", "note", on=doc.PAGE)
    cards = [
        doc.Figure([drawing], title, (meaning,), look="card")
        for title, meaning, drawing in course_charts(course)
    ]
    yield doc.Group(cards, "cards", on=doc.PAGE)
    yield doc.Group([_epoch_table(course)], "details", "All epochs", on=doc.PAGE)
    if len(course) > EPOCHS:
        text = f"The table has the last {EPOCHS:,} of {len(course):,} epochs."
        yield doc.Text(text, "note", on=doc.PAGE)


def _columns(course: Sequence[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for row in course for name in row))


def _epoch_table(course: Sequence[Mapping[str, float]]) -> doc.Table:
    first, *others = _columns(course)
    rows = [
        doc.row(f"{row[first]:g}", *(_epoch_cell(name, row.get(name)) for name in others))
        for row in course[-EPOCHS:]
    ]
    return doc.Table(doc.columns(first, *others), rows, "numbers", sortable=True)


def _epoch_cell(name: str, value: float | None) -> doc.Cell:
    metric = name.partition(" ")[2]
    if value is None:
        return doc.Cell(DASH)
    text = metric_text(metric, value) if metric in METRICS else f"{value:.5g}"
    return doc.Cell(text, value=value)


def _epochs(course: Sequence[Mapping[str, float]]) -> doc.Data:
    names = _columns(course)
    return doc.Data("epochs", names, lambda: [[row.get(name) for name in names] for row in course])


def _final(result: TrainResult) -> Iterator[doc.Block]:
    train, test = result.metrics_train, result.metrics_test
    if train is None or test is None:
        yield doc.Text("None: the training has not ended.", "note", on=doc.PAGE)
        return
    columns = [
        doc.Column("metric", align="left", wrap="whole"),
        *(doc.Column(part, wrap="whole") for part in ("train", "test")),
        doc.Column("what it is", "text", align="left"),
    ]
    rows = [doc.row("samples", f"{train.samples:,}", f"{test.samples:,}", "")]
    values = train.row(), test.row()
    for name, description in METRICS.items():
        found = [each[name] for each in values]
        if found != [None, None]:
            texts = (metric_text(name, value) for value in found)
            rows.append(doc.row(name, *texts, doc.Cell(description, "dim text long")))
    yield doc.Table(columns, rows, "listing")


def _asked(result: TrainResult) -> Iterator[doc.Block]:
    yield doc.Facts(list(_facts(result)))
    settings = _part(result, "settings")
    if settings:
        yield doc.Text("Settings", "heading", on=doc.PAGE)
        text = "Those that are not the defaults are bold."
        yield doc.Text(text, "note", on=doc.PAGE)
        yield doc.Facts(list(_settings(settings)), on=doc.PAGE)
    layers = _part(result, "model").get("text")
    if layers:
        lines: list[doc.Line] = [doc.Span(line, "code") for line in str(layers).splitlines()]
        facts = doc.Facts([("module", lines)])
        yield doc.Group([facts], "details", "Layers", on=doc.PAGE)


def _facts(result: TrainResult) -> Iterator[tuple[str, str]]:
    data, model = _part(result, "data"), _part(result, "model")
    if data:
        yield "data", f"{data['name']}: {result.parts}"
    standardised = _part(result, "request").get("standardise")
    weights = sum(p.numel() for p in result.module.parameters())
    name = f"{model.get('name', _name(result))}{', standardised inputs' if standardised else ''}"
    yield "model", f"{name}, {weights:,} weights"
    if "loss" in result.config:
        yield "loss", str(_part(result, "request").get("loss", result.config["loss"]))
    settings = _part(result, "settings")
    if settings.get("augment") is not None:
        yield "augmentation", f"{settings['augment']}, mode {settings['augment_mode']}"
    if settings:
        yield "perturbation", _perturbation(settings)
    seed = f", seed {settings['seed']}" if "seed" in settings else ""
    yield "training", f"{result.epochs:,} epochs in {result.seconds:.1f} s{seed}"
    if result.directory is not None:
        yield "verify it with", _verify_command(result)


def _perturbation(settings: Mapping[str, Any]) -> str:
    moved = "none, so metrics of a perturbation are left out"
    if settings.get("sigma") is not None:
        moved = f"sigma {settings['sigma']:g} of each feature's range"
    elif settings.get("radius") is not None:
        moved = f"radius {settings['radius']:g}"
    clip = settings.get("clip")
    return moved if clip is None else f"{moved}, clipped to [{clip[0]:g}, {clip[1]:g}]"


def _settings(settings: Mapping[str, Any]) -> Iterator[tuple[doc.Line, doc.Line]]:
    defaults = {each.name: each.default for each in fields(TrainSettings)}
    for name, value in settings.items():
        listed = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        shown = "none" if value is None else listed
        default = defaults.get(name)
        usual = value == (list(default) if isinstance(default, tuple) else default)
        yield name.replace("_", " "), shown if usual else doc.Span(shown, "strong")


def _verify_command(result: TrainResult) -> str:
    directory = result.directory
    assert directory is not None
    if result.interrupted:
        return "nothing: the training has not ended"
    if not (directory / MODEL).is_file():
        return f"nothing: the model could not be written as ONNX; {RESULT} says why"
    # A name alone might be that of a model that ships.
    named = str(directory) if len(directory.parts) > 1 else f"./{directory}"
    return shlex.join(["sensverify", "verify", named])


def model_sha256(directory: Path | None) -> str | None:
    """SHA-256 of the exported model; None where there is none."""
    if directory is None or not (directory / MODEL).is_file():
        return None
    return sha256_of_file(directory / MODEL)


def _record(result: TrainResult) -> Iterator[doc.Block]:
    yield doc.Text("What is needed to repeat this training.", "note", on=doc.PAGE)
    yield doc.Facts(list(_repeat(result)), on=doc.PAGE)


def _repeat(result: TrainResult) -> Iterator[tuple[str, doc.Line]]:
    recipe = result.config.get("recipe")
    if recipe:
        yield "To train it again", doc.Span(str(recipe), "code")
    if "loss" in result.config:
        yield "Loss in full", str(result.config["loss"])
    data, model = _part(result, "data"), _part(result, "model")
    for part, words in (("train", "trained on"), ("test", "tested on")):
        if f"{part}_sha256" in data:
            digest = doc.Span(str(data[f"{part}_sha256"]), "code")
            yield f"Samples {words}", f"{data[f'{part}_samples']:,}"
            yield "Their SHA-256", digest
    if "initial_weights" in model:
        yield "SHA-256 of the first weights", doc.Span(str(model["initial_weights"]), "code")
    if result.directory is not None:
        yield "Folder", doc.Span(str(result.directory), "code")
    exported = None if result.interrupted else model_sha256(result.directory)
    if exported is not None:
        yield f"SHA-256 of {MODEL}", doc.Span(exported, "code")
    yield "Steps", f"{result.steps:,}"
    if result.resumed:
        yield "Runs", f"{len(result.resumed) + 1}: {_resumed(result)}"
    yield "Time", f"{duration(result.seconds)}, final metrics left out"
    yield from record_facts(result.record)
