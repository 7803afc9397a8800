"""Reliability diagrams: accuracy against confidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensverify.classification.predictions import Bin, Classified
from sensverify.evaluation.lines import hardest_attack, hardest_corruption
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.scores import Summary
from sensverify.report import document as doc
from sensverify.report.chart import Axis, Drawing, Frame, Mark, Plot
from sensverify.report.evaluation.common import (
    CASE,
    cases,
    model_data,
    network_columns,
    number,
    written,
)
from sensverify.report.formatting import clipped, percent, points, radius_text, spoken

READING = (
    "Confidence is the largest probability that a softmax makes of the outputs. Of samples in one "
    "bin of it, the bar is the share that is right and the tick their mean confidence; the orange "
    "part between them is what the network is too sure of, the pale part what it is not sure "
    "enough of. Below, the share of samples in each bin. RMS, expected (ECE) and maximum (MCE) "
    "calibration error are in points."
)
_DATA = (
    *(*CASE, "from", "to", "samples", "correct", "mean_confidence"),
    *("accuracy", "rms_error", "expected_error", "maximum_error"),
)
# Sides of the diagram, and the height of the sizes of the bins beneath it.
_SIDE, _TALL = 220.0, 44.0


def calibration_section(evaluation: Evaluation, summaries: Sequence[Summary]) -> doc.Section:
    """Diagrams of clean, attacked and corrupted samples."""
    rms = [summary.rms_calibration for summary in summaries]
    return doc.Section(
        "calibration",
        "Calibration",
        tuple(_blocks(evaluation)),
        data=(model_data("calibration", _DATA, evaluation, _rows),),
        numbers=(number("RMS calibration error", rms, written(percent), -1, "clean samples"),),
    )


def _blocks(evaluation: Evaluation) -> Iterator[doc.Block]:
    yield doc.Text(READING, "note", on=doc.PAGE)
    for model in evaluation.models:
        if len(evaluation.models) > 1:
            yield doc.Text(model.model.name, "heading", on=doc.PAGE)
        cards = [
            doc.Figure(
                [reliability_chart(found, title)],
                title,
                (
                    _errors_text(found),
                    f"accuracy {percent(found.accuracy.share)}, confidence "
                    f"{percent(found.confidence)}",
                ),
                look="card",
            )
            for title, found in _shown(model, evaluation)
        ]
        yield doc.Group(cards, "cards", on=doc.PAGE)
    rows = [
        doc.row(model.model.name, *map(percent, _errors(model.clean[0].classified)))
        for model in evaluation.models
    ]
    title = "Calibration error, outputs taken as logits"
    columns = network_columns(["RMS", "expected", "maximum"])
    yield doc.Table(columns, rows, title=title, on=doc.TERMINAL)


def _shown(model: ModelEvaluation, evaluation: Evaluation) -> Iterator[tuple[str, Classified]]:
    yield "Clean", model.clean[0].classified
    attack = hardest_attack(evaluation, model)
    if attack is not None and attack.radius is not None:
        name = clipped(attack.attack.partition("(")[0], 24)
        yield f"{name} at radius {radius_text(attack.radius)}", attack.classified
    corruption = hardest_corruption(model)
    if corruption is not None:
        name = clipped(spoken(corruption.corruption), 24)
        yield f"{name}, severity {corruption.severity}", corruption.classified


def _errors(found: Classified) -> tuple[float, float, float]:
    return (
        found.rms_calibration_error,
        found.expected_calibration_error,
        found.maximum_calibration_error,
    )


def _errors_text(found: Classified) -> str:
    rms, expected, maximum = map(points, _errors(found))
    return f"RMS {rms} · ECE {expected} · MCE {maximum}"


def _rows(model: ModelEvaluation) -> Iterator[Sequence[doc.Value]]:
    """Bins by case, without those that hold no sample."""
    for kind, name, at, found in cases(model):
        for place, each in enumerate(found.bins):
            if each.samples:
                ends = place / len(found.bins), (place + 1) / len(found.bins)
                means = each.confidence / each.samples, each.correct / each.samples
                errors = _errors(found)
                yield (kind, name, at, *ends, each.samples, each.correct, *means, *errors)


def reliability_chart(found: Classified, title: str) -> Drawing:
    """Accuracy by confidence over the diagonal, and the sizes of the bins beneath."""
    width, height = 34 + _SIDE + 10, 22 + _SIDE + 8 + _TALL + 34
    shares = [(k / 2, f"{50 * k}") for k in range(3)]
    x, y = Axis(0, 1), Axis(0, 1, ticks=shares)
    plot = Plot(Frame(width, height, 34, 10, 22, height - 22 - _SIDE), x, y)
    most = max(each.samples for each in found.bins)
    sizes = Plot(Frame(width, height, 34, 10, height - 34 - _TALL, 34), x, Axis(0, most))
    for share, text in shares:
        plot.add("line", [(0, share), (1, share)], "grid")
        plot.text(plot.left - 6, plot.at(0, share)[1] + 4, text, anchor="end")
        plot.text(plot.at(share, 0)[0], sizes.floor + 15, text)
    sizes.add("line", [(0, 0), (1, 0)], "zero")
    plot.add("line", [(0, 0), (1, 1)], "diagonal")
    plot.text((plot.left + plot.right) / 2, sizes.floor + 30, "confidence (%)", "axis")
    plot.text(plot.left, plot.top - 10, "accuracy (%)", "axis", "start")
    for place, each in enumerate(found.bins):
        if each.samples:
            _draw_bin(plot, sizes, each, (place, len(found.bins)), found.samples)
    plot.marks += sizes.marks
    return plot.drawing(f"Reliability, {title}: {_errors_text(found)}", "reliability")


def _draw_bin(plot: Plot, sizes: Plot, each: Bin, place: tuple[int, int], total: int) -> None:
    right, sure = each.correct / each.samples, min(each.confidence / each.samples, 1.0)
    low, high = sorted((right, sure))
    words = (
        f"{each.samples:,} samples ({percent(each.samples / total)}), right {percent(right)}, "
        f"sure {percent(each.confidence / each.samples)}"
    )

    def draw(where: Plot, look: str, bottom: float, top: float) -> None:
        (left, floor), (end, roof) = (
            where.at((place[0] + k) / place[1], value) for k, value in ((0, bottom), (1, top))
        )
        where.marks.append(Mark("box", ((left + 0.8, floor), (end - 0.8, roof)), look, words))

    draw(plot, "right", 0, low)
    draw(plot, "over" if sure > right else "under", low, high)
    (left, line), (end, _) = (plot.at((place[0] + k) / place[1], sure) for k in (0, 1))
    plot.marks.append(Mark("line", ((left + 0.8, line), (end - 0.8, line)), "sure"))
    draw(sizes, "size", 0, each.samples)
