"""Renderers of all results: their documents, their JSON, their tidy tables, their pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from math import isfinite
from typing import Any

from sensverify.classification.rates import Rate
from sensverify.errors import NotMeasured
from sensverify.evaluation.lines import accuracy_lines
from sensverify.evaluation.results import Evaluation
from sensverify.evaluation.scores import CurvePoint, Summary, summarise
from sensverify.measures import METRICS
from sensverify.report.chart import Axis, Drawing, Frame, Point, Stroke, line_chart, panels
from sensverify.report.critical_radius import (
    critical_radius_document,
    critical_radius_to_json,
)
from sensverify.report.document import Data, Value
from sensverify.report.evaluation.accuracy import WIDE, accuracy_chart, overlay_chart
from sensverify.report.evaluation.document import evaluation_document
from sensverify.report.evaluation.json import evaluation_to_json
from sensverify.report.formatting import count_of, percent
from sensverify.report.intervals import interval_chart
from sensverify.report.json import report_to_json
from sensverify.report.radius_chart import distribution_chart
from sensverify.report.shown import DocumentRenderer
from sensverify.report.theme import HUES
from sensverify.report.training import result_document
from sensverify.report.verify import verify_document
from sensverify.report.verify_tables import output_data, output_names, sample_data
from sensverify.training.directory.log import METRICS as COURSE
from sensverify.training.directory.run_directory import RESULT_SCHEMA
from sensverify.training.fit import TrainResult
from sensverify.verification.radius_results import CriticalRadiusReport
from sensverify.verification.results import VerifyReport

_DRAWN, _COLUMNS = 6, 2
"""Samples in the picture of a verification, and how many stand side by side."""


def _verify_tables(report: VerifyReport) -> list[Data]:
    return [sample_data(report), output_data(report)]


def _verify_drawing(report: VerifyReport) -> Drawing:
    drawn, names = report.samples[:_DRAWN], output_names(report)
    left = len(report.samples) - len(drawn)
    heading = f"Output intervals of {report.model.name}"
    if left:
        heading += f", the first {len(drawn)} of {count_of(len(report.samples), 'sample')}"
    charts = [interval_chart(sample, names) for sample in drawn]
    return panels(charts, columns=_COLUMNS, heading=heading)


def _evaluation_tables(evaluation: Evaluation) -> list[Data]:
    names = [each.name for each in fields(Summary)]

    def rows() -> Iterator[Sequence[Value]]:
        for summary in summarise(evaluation):
            yield [_plain(getattr(summary, name)) for name in names]

    return [Data("summary", names, rows), *evaluation_document(evaluation).data.values()]


def _plain(value: Any) -> Value:
    if isinstance(value, CurvePoint):
        value = value.rate
    return value.share if isinstance(value, Rate) else value


def _evaluation_drawing(evaluation: Evaluation) -> Drawing:
    drawn = [model for model in evaluation.models if accuracy_lines(evaluation, model)]
    if not drawn:
        raise NotMeasured(
            "there is nothing to draw: the evaluation has no attack and no proof at a radius",
            "evaluate with `radii` or `sigmas`",
        )
    if len(evaluation.models) == 1:
        return accuracy_chart(evaluation, drawn[0], WIDE)
    return overlay_chart(evaluation, WIDE)


def _radius_drawing(report: CriticalRadiusReport) -> Drawing:
    if not any(sample.attacked > 0 for sample in report.samples):
        raise NotMeasured("there is nothing to draw: every sample is wrong by itself")
    return distribution_chart(report, WIDE)


def _training_json(result: TrainResult) -> str:
    """The progress of a training and its metrics; rates are shares from 0 to 1.

    Infinities are the texts ``inf`` and ``-inf``, NaN is null.
    """
    parts = {"train": result.metrics_train, "test": result.metrics_test}
    metrics = {
        part: {name: _spelt(value) for name, value in asdict(found).items()}
        for part, found in parts.items()
        if found is not None
    }
    values = {
        "schema": RESULT_SCHEMA,
        "interrupted": result.interrupted,
        "epochs": result.epochs,
        "seconds": result.seconds,
        "directory": None if result.directory is None else str(result.directory),
        "metrics": metrics,
    }
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def _spelt(value: Any) -> Any:
    if not isinstance(value, float) or isfinite(value):
        return value
    return None if value != value else str(value)


def _training_tables(result: TrainResult) -> list[Data]:
    parts = (("train", result.metrics_train), ("test", result.metrics_test))
    names = ("part", "samples", *METRICS)
    found = [(p, m.samples, *m.row().values()) for p, m in parts if m is not None]
    return [Data("metrics", names, lambda: found)]


def _training_drawing(result: TrainResult) -> Drawing:
    """The share of wrong samples after every epoch."""
    path = None if result.directory is None else result.directory / COURSE
    if path is None or not path.is_file():
        raise NotMeasured(
            "the course of a training is drawn from its folder, and there is none", "give `out`"
        )
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    lines = {}
    for name in (name for name in rows[0] if name.endswith(" ERR")) if rows else ():
        points = [Point(float(row["epoch"]), float(row[name])) for row in rows if row[name]]
        if points:
            lines[name.removesuffix(" ERR")] = tuple(points)
    if not lines:
        raise NotMeasured(
            "there is nothing to draw: no metrics were taken after epochs",
            "train with `metric_samples` above 0",
        )
    strokes = [
        Stroke(name, f"hue{k % HUES} bold", points)
        for k, (name, points) in enumerate(lines.items())
    ]
    every = [point for points in lines.values() for point in points]
    first, last = (end(point.x for point in every) for end in (min, max))
    x = Axis(first, last if last > first else first + 1, title="epoch")
    ticks = [(value, f"{value:g}") for value in sorted({first, (first + last) // 2, last})]
    top = max(0.05, max(point.y for point in every))
    levels = [(top * k / 4, percent(top * k / 4)) for k in range(5)]
    frame = Frame(560, 260, left=56, right=120, letters=16)
    x, y = Axis(x.low, x.high, ticks=ticks, title=x.title), Axis(0, top, ticks=levels)
    return line_chart(strokes, frame, x, y, words="Share of wrong samples after every epoch")


VERIFICATION = DocumentRenderer(verify_document, report_to_json, _verify_tables, _verify_drawing)
EVALUATION = DocumentRenderer(
    evaluation_document, evaluation_to_json, _evaluation_tables, _evaluation_drawing
)
CRITICAL_RADIUS = DocumentRenderer(
    critical_radius_document,
    critical_radius_to_json,
    lambda report: list(critical_radius_document(report).data.values()),
    _radius_drawing,
)
TRAINING = DocumentRenderer(result_document, _training_json, _training_tables, _training_drawing)
