"""Accuracy against radius on the page: curves, and the numbers that they are drawn from."""

from __future__ import annotations

from html import escape

from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.scores import success_rate
from sensverify.report.evaluation.curves import NARROW, WIDE, accuracy_chart, overlay_chart
from sensverify.report.evaluation.lines import Line, accuracy_lines, all_radii
from sensverify.report.evaluation.parts import Downloads, card, heading, row, table, td, th
from sensverify.report.evaluation.tables import distances
from sensverify.report.evaluation.words import (
    DASH,
    clipped,
    interval,
    number,
    percent,
    radius_text,
    signed,
)
from sensverify.report.words import duration


def accuracy_section(evaluation: Evaluation, offered: Downloads) -> str:
    """Heading, curves and numbers; empty where nothing was attacked or certified."""
    drawn = [model for model in evaluation.models if accuracy_lines(evaluation, model)]
    if not drawn:
        return ""
    head = heading("Accuracy against radius", "accuracy", offered, "accuracy", "attacks", "samples")
    if len(evaluation.models) == 1:
        charts = _both(
            accuracy_chart(evaluation, drawn[0], WIDE), accuracy_chart(evaluation, drawn[0], NARROW)
        )
    else:
        overlay = _both(overlay_chart(evaluation, WIDE), overlay_chart(evaluation, NARROW))
        cards = "".join(
            card(model.model.name, accuracy_chart(evaluation, model, NARROW)) for model in drawn
        )
        charts = f'{overlay}<div class="cards">{cards}</div>'
    numbers = "".join(_numbers(evaluation, model) for model in drawn)
    return f'{head}<p class="note">{_reading(evaluation)}</p>{charts}{numbers}'


def _both(wide: str, narrow: str) -> str:
    """One picture for wide screens and paper, and one that can be read on a phone."""
    return f'<figure class="chart wide">{wide}</figure><figure class="chart slim">{narrow}</figure>'


def _reading(evaluation: Evaluation) -> str:
    attacked = any(model.attacks for model in evaluation.models)
    certified = any(model.certified for model in evaluation.models)
    text = []
    if len(evaluation.models) > 1:
        lines = ["solid under the worst of all attacks"] if attacked else []
        lines += ["dashed certified"] if certified else []
        text.append(f"First all networks on one scale: {', '.join(lines)}. Then each on its own.")
    if attacked:
        text.append(
            "The bold orange line counts, sample by sample, the worst of all attacks up to each "
            "radius."
        )
    if certified:
        text.append("The blue line is what is proven; thin dashes are further methods.")
    if attacked and certified:
        text.append("Between them, shaded, are samples that no attack breaks and no method proves.")
    text.append("Bands are 95 % intervals for all samples that could have been drawn.")
    return " ".join(text)


def _numbers(evaluation: Evaluation, model: ModelEvaluation) -> str:
    lines = accuracy_lines(evaluation, model)
    heads = [th("radius"), *(th(clipped(_line_name(line), 36)) for line in lines)]
    rows = []
    for radius in (0.0, *all_radii(evaluation)):
        cells = []
        for line in lines:
            point = line.at(radius)
            if point is None:
                cells.append(td(DASH))
            else:
                cells.append(td(signed(100 * point.rate.share, 1), "", interval(point.rate)))
        rows.append(row("0, clean" if radius == 0 else radius_text(radius), cells))
    whose = f" of {escape(model.model.name)}" if len(evaluation.models) > 1 else ""
    parts = [
        f"<details><summary>Numbers{whose}: accuracy (%)</summary>"
        f"{table(heads, rows, 'plain numbers')}</details>"
    ]
    if model.attacks:
        parts.append(
            f"<details><summary>Attacks{whose}: success, distances and time</summary>"
            f"{_attack_table(model)}</details>"
        )
    return "".join(parts)


def _line_name(line: Line) -> str:
    return f"certified, {line.name}" if line.kind == "certified" else line.name


def _attack_table(model: ModelEvaluation) -> str:
    heads = map(th, ("attack", "radius", "success", "median L2", "median L∞", "time"))
    rows = []
    for each in model.attacks:
        success = success_rate(model, each)
        l2, linf = distances(model, each)
        cells = [
            td("nearest" if each.radius is None else radius_text(each.radius)),
            td(DASH) if success is None else td(percent(success.share), "", interval(success)),
            td(number(l2)),
            td(number(linf)),
            td(duration(each.seconds)),
        ]
        rows.append(row(each.attack, cells))
    note = (
        '<p class="note">Success is the share of samples that were right and are broken; distances '
        "are medians over them, in the units of the features.</p>"
    )
    return table(list(heads), rows, "plain numbers") + note
