"""An evaluation in a terminal: short, aligned, and clear about what is proven."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    blind_words,
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

_FIRST, _WIDEST = 28, 15
"""Widest columns: the first one, and those of networks or radii, which hold an interval."""

_STYLES = {"attack": "", "worst": "bold", "certified": "green"}


def print_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print a summary, accuracy against radius, corruptions, and what is missing."""
    console.print(Text(f"{samples_words(evaluation)}. {radius_words(evaluation)}".strip()))
    if "note" in evaluation.settings:
        console.print(Text(f"Note: {evaluation.settings['note']}"))
    alone = len(evaluation.models) == 1
    summary = f"Summary of {evaluation.models[0].model.name}" if alone else "Summary"
    for title, places in _blocks(evaluation, summary, console.width):
        _print(console, title, _summary(evaluation, places))
    for model in evaluation.models:
        if accuracy_lines(evaluation, model):
            name = f"{model.model.name}: a" if len(evaluation.models) > 1 else "A"
            _print(console, f"{name}ccuracy (%) against radius", _accuracy(evaluation, model))
    if any(model.corruptions for model in evaluation.models):
        title = "Accuracy (%) under corruption, mean over severities"
        for part, places in _blocks(evaluation, title, console.width):
            _print(console, part, _corruptions(evaluation, places))
    _print(console, "Calibration error, outputs taken as logits", _calibration(evaluation))
    console.print()
    for sentence in guarantee_words(evaluation):
        console.print(Text(sentence))
    for text in _counts(evaluation):
        console.print(text)


def _print(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)


def _blocks(evaluation: Evaluation, title: str, width: int) -> Iterator[tuple[str, range]]:
    """Places of the networks that fit beside each other, under a title for each such part."""
    count = len(evaluation.models)
    most = max(1, (width - _FIRST) // (_WIDEST + 2))
    for first in range(0, count, most):
        last = min(first + most, count)
        part = f", networks {first + 1} to {last} of {count}" if count > most else ""
        yield title + part.replace(f"networks {last} to", "network"), range(first, last)


def _table(columns: Sequence[str]) -> Table:
    headed = any(columns)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=headed)
    table.add_column("", max_width=_FIRST, overflow="fold")
    for name in columns:
        # Names that are long are often alike at their beginning, so nothing is cut off.
        table.add_column(Text(name), justify="right", max_width=_WIDEST, overflow="fold")
    return table


def _names(evaluation: Evaluation, places: Sequence[int]) -> list[str]:
    return [evaluation.models[place].model.name for place in places]


def _summary(evaluation: Evaluation, places: Sequence[int]) -> Table:
    """Figures down, networks across; of one network also what stands behind each figure."""
    alone = len(evaluation.models) == 1
    table = _table([""] if alone else _names(evaluation, places))
    if alone:
        table.add_column("", style="dim", overflow="ellipsis", no_wrap=True)
    for figure in figures(evaluation):
        cells = [
            Text(figure.cells[place].text, style="bold" if place in figure.best else "")
            for place in places
        ]
        if alone:
            details = filter(None, (figure.note, *(cell.detail for cell in figure.cells)))
            cells.append(Text(", ".join(details)))
        unit = ", points" if figure.note.startswith("points") and not alone else ""
        table.add_row(Text(figure.name + unit), *cells)
        if figure.name == CLEAN and not alone:
            intervals = (Text(figure.cells[place].detail, style="dim") for place in places)
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


def _corruptions(evaluation: Evaluation, places: Sequence[int]) -> Table:
    reference = reference_of(evaluation)
    scores = [
        {score.corruption: score for score in corruption_scores(model, reference)}
        for model in evaluation.models
    ]
    one = len(scores) == 1
    table = _table(["accuracy", "residual", "APP"] if one else _names(evaluation, places))
    for name in dict.fromkeys(name for each in scores for name in each):
        found = [scores[place].get(name) for place in places]
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
    times = [row.seconds for model in evaluation.models for row in model.measures]
    taken = f"{count_of(len(times), 'measure')} taken in {duration(sum(times))}; " if times else ""
    lines = [Text(f"{taken}everything took {duration(evaluation.seconds)}")]
    lines += [Text(f"warning: {text}", style="yellow") for text in blind_words(evaluation)]
    for reason in reasons(evaluation):
        lines.append(Text(f"missing: {reason.listed(3)}: {reason.text}", style="yellow"))
    if evaluation.interrupted:
        text = "interrupted: what is here holds, and what is missing can still be had"
        lines.append(Text(text, style="bold yellow"))
    return lines
