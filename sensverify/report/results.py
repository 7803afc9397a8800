"""Renderers of all results: their documents, their JSON, their tidy tables, their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from sensverify.classification.rates import Rate
from sensverify.errors import NotMeasured
from sensverify.evaluation.curves import CurvePoint
from sensverify.evaluation.lines import accuracy_lines
from sensverify.evaluation.results import Evaluation
from sensverify.evaluation.scores import Summary, summarise
from sensverify.measures import METRICS
from sensverify.report.benchmark.charts import WIDE as SECONDS
from sensverify.report.benchmark.charts import cactus
from sensverify.report.benchmark.document import benchmark_document
from sensverify.report.benchmark.json import benchmark_to_json
from sensverify.report.calibration.document import calibration_document
from sensverify.report.calibration.json import calibration_to_json
from sensverify.report.chart import Drawing, panels
from sensverify.report.critical_radius.chart import distribution_chart
from sensverify.report.critical_radius.document import critical_radius_document
from sensverify.report.critical_radius.json import critical_radius_to_json
from sensverify.report.diff.document import diff_document
from sensverify.report.diff.json import diff_to_json
from sensverify.report.document import Data, Value
from sensverify.report.evaluation.accuracy import WIDE, accuracy_chart, overlay_chart
from sensverify.report.evaluation.calibration import reliability_chart
from sensverify.report.evaluation.document import evaluation_document
from sensverify.report.evaluation.json import evaluation_to_json
from sensverify.report.formatting import count_of
from sensverify.report.shown import DocumentRenderer
from sensverify.report.training.charts import ALONE, chart, course_lines
from sensverify.report.training.document import training_document
from sensverify.report.training.json import training_to_json
from sensverify.report.verification.document import verify_document
from sensverify.report.verification.intervals import interval_chart
from sensverify.report.verification.json import report_to_json
from sensverify.report.verification.tables import output_data, output_names, sample_data
from sensverify.training.fit import TrainResult
from sensverify.verification.benchmark_report import BenchmarkReport
from sensverify.verification.comparison import DiffReport
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


def _differences_drawing(report: DiffReport) -> Drawing:
    raise NotMeasured("a comparison has no picture", "look at its tables: `to_pandas`")


def _training_tables(result: TrainResult) -> list[Data]:
    parts = (("train", result.metrics_train), ("test", result.metrics_test))
    names = ("part", "samples", *METRICS)
    found = [(p, m.samples, *m.row().values()) for p, m in parts if m is not None]
    document = training_document(result)
    return [Data("metrics", names, lambda: found), *document.data.values()]


def _training_drawing(result: TrainResult) -> Drawing:
    """The share of wrong samples after every epoch."""
    lines = course_lines(result.course, "ERR")
    if not lines:
        raise NotMeasured(
            "there is nothing to draw: no metrics were taken after epochs",
            "train with `metric_samples` above 0",
        )
    return chart(lines, ALONE, "Share of wrong samples", share=True)


def _benchmark_drawing(report: BenchmarkReport) -> Drawing:
    drawing = cactus(report, SECONDS)
    if drawing is None:
        raise NotMeasured("there is nothing to draw: no instance was decided in its time")
    return drawing


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
BENCHMARK = DocumentRenderer(
    benchmark_document,
    benchmark_to_json,
    lambda report: list(benchmark_document(report).data.values()),
    _benchmark_drawing,
)
CALIBRATION = DocumentRenderer(
    calibration_document,
    calibration_to_json,
    lambda found: list(calibration_document(found).data.values()),
    lambda found: reliability_chart(found.after, "after"),
)
DIFFERENCES = DocumentRenderer(
    diff_document,
    diff_to_json,
    lambda report: list(diff_document(report).data.values()),
    _differences_drawing,
)
TRAINING = DocumentRenderer(
    training_document, training_to_json, _training_tables, _training_drawing
)
