"""An evaluation in a terminal: short, aligned, and clear about what is proven."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.scores import corruption_scores, reference_of
from sensverify.report.evaluation.figures import CLEAN, figures
from sensverify.report.evaluation.lines import Line, accuracy_lines, all_radii
from sensverify.report.evaluation.missing import reasons
from sensverify.report.evaluation.words import (
    DASH,
    count_of,
    guarantee_words,
    percent,
    points,
    radius_text,
    radius_words,
    samples_words,
    signed,
    spoken,
    without_settings,
)
from sensverify.report.words import duration

RADII = 7
"""Radii that a table has columns for; of more, the ends and some evenly between them."""

_STYLES = {"attack": "", "worst": "bold", "certified": "green"}


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print a summary, accuracy against radius, corruptions, and what is missing."""
    console.print(Text(f"{samples_words(evaluation)}. {radius_words(evaluation)}".strip()))
    _print(console, "Summary", _summary(evaluation))
    for model in evaluation.models:
        if accuracy_lines(evaluation, model):
            name = f"{model.model.name}: a" if len(evaluation.models) > 1 else "A"
            _print(console, f"{name}ccuracy (%) against radius", _accuracy(evaluation, model))
    if any(model.corruptions for model in evaluation.models):
        title = "Accuracy (%) under corruption, mean over severities"
        _print(console, title, _corruptions(evaluation))
    _print(console, "Calibration error on clean samples", _calibration(evaluation))
    console.print()
    for sentence in guarantee_words(evaluation):
        console.print(Text(sentence))
    for text in _counts(evaluation):
        console.print(text)


def _print(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", max_width=30, overflow="ellipsis", no_wrap=True)
    for name in columns:
        table.add_column(
            Text(name), justify="right", max_width=18, overflow="ellipsis", no_wrap=True
        )
    return table


def _names(evaluation: Evaluation) -> list[str]:
    return [model.model.name for model in evaluation.models]


def _summary(evaluation: Evaluation) -> Table:
    """Figures down, networks across; of one network also what stands behind each figure."""
    table = _table(_names(evaluation))
    alone = len(evaluation.models) == 1
    if alone:
        table.add_column("", style="dim", overflow="ellipsis", no_wrap=True)
    for figure in figures(evaluation):
        cells = [
            Text(cell.text, style="bold" if place in figure.best else "")
            for place, cell in enumerate(figure.cells)
        ]
        if alone:
            details = filter(None, (figure.note, *(cell.detail for cell in figure.cells)))
            cells.append(Text(", ".join(details)))
        unit = ", points" if figure.note.startswith("points") and not alone else ""
        table.add_row(Text(figure.name + unit), *cells)
        if figure.name == CLEAN and not alone:
            intervals = (Text(cell.detail, style="dim") for cell in figure.cells)
            table.add_row(Text("  95 % interval", style="dim"), *intervals)
    return table


def _shown(radii: Sequence[float]) -> list[float]:
    if len(radii) <= RADII:
        return list(radii)
    last = len(radii) - 1
    return [radii[round(k * last / (RADII - 1))] for k in range(RADII)]


def _accuracy(evaluation: Evaluation, model: ModelEvaluation) -> Table:
    radii = [0.0, *_shown(all_radii(evaluation))]
    heads = ["clean", *(radius_text(radius) for radius in radii[1:])]
    table = _table(heads)
    lines = accuracy_lines(evaluation, model)
    short = without_settings([line.name for line in lines])
    for line in lines:
        word = "certified, " if line.kind == "certified" else ""
        table.add_row(
            Text(f"{word}{short[line.name]}", style=_STYLES[line.kind]),
            *(Text(_share(line, radius), style=_STYLES[line.kind]) for radius in radii),
        )
    return table


def _share(line: Line, radius: float) -> str:
    point = line.at(radius)
    return DASH if point is None else signed(100 * point.rate.share, 1)


def _corruptions(evaluation: Evaluation) -> Table:
    reference = reference_of(evaluation)
    scores = [
        {score.corruption: score for score in corruption_scores(model, reference)}
        for model in evaluation.models
    ]
    one = len(scores) == 1
    table = _table(["accuracy", "residual", "APP"] if one else _names(evaluation))
    for name in dict.fromkeys(name for each in scores for name in each):
        found = [each.get(name) for each in scores]
        cells = [DASH if s is None else signed(100 * s.accuracy, 1) for s in found]
        if one and found[0] is not None:
            app = found[0].app
            cells += [points(found[0].residual), DASH if app is None else f"{app:.3f}"]
        table.add_row(Text(spoken(name)), *map(Text, cells))
    return table


def _calibration(evaluation: Evaluation) -> Table:
    table = _table(["RMS", "expected", "maximum"])
    for model in evaluation.models:
        found = model.clean[0].classified
        errors = (
            found.rms_calibration_error,
            found.expected_calibration_error,
            found.maximum_calibration_error,
        )
        table.add_row(Text(model.model.name), *(Text(percent(error)) for error in errors))
    return table


def _counts(evaluation: Evaluation) -> list[Text]:
    taken = sum(len(model.measures) for model in evaluation.models)
    lines = [Text(f"{count_of(taken, 'measure')} taken in {duration(evaluation.seconds)} in all")]
    for reason in reasons(evaluation):
        lines.append(Text(f"missing: {reason.listed(3)}: {reason.text}", style="yellow"))
    if evaluation.interrupted:
        text = "interrupted: what is here holds, and the same command goes on where it stopped"
        lines.append(Text(text, style="bold yellow"))
    return lines
