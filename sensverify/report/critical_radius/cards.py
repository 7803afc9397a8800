"""Samples with their critical radii as cards: between which ends it lies, and what changes them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sensverify.report import document as doc
from sensverify.report.chart import Axis, Drawing, Frame, Mark, Plot, tick_text, ticks
from sensverify.report.formatting import class_name, pretty_number, rounded_down, rounded_up
from sensverify.report.verification.sample_pictures import Pictured, sample_pictures
from sensverify.verification.radius_results import CriticalRadiusReport, SampleRadius, weakest

_FRAME = Frame(360, 44, 14, 14, 4, 20)


def radius_cards(report: CriticalRadiusReport) -> doc.Group:
    """A card for each of the samples that change within the least radii."""
    drawn = weakest(report.samples)
    ends = [end for each in drawn for end in (each.proven, each.attacked) if math.isfinite(end)]
    high = max(ends) or report.limits.first
    pictures = _pictures(report)
    cards = []
    for each in drawn:
        blocks: list[doc.Block] = [doc.Text(_facts(report, each), "facts")]
        blocks += [pictures[each.index]] if each.index in pictures else []
        blocks.append(doc.Figure([_bar(each, high)]))
        title = f"Sample {each.index}"
        cards.append(doc.Group(blocks, "sample", title, _mark(report, each), _keys(each)))
    return doc.Group(cards, "samples", "samples", on=doc.PAGE)


def _facts(report: CriticalRadiusReport, each: SampleRadius) -> str:
    names = report.model.output_names
    kind = "prediction" if each.label is None else "label"
    text = f"{kind} {class_name(names, each.kept)}"
    if each.prediction != each.kept:
        text += f", predicted {class_name(names, each.prediction)}"
    elif each.becomes is not None:
        text += f" \N{RIGHTWARDS ARROW} {class_name(names, each.becomes)}"
    return f"{text} · {_between(each)}"


def _between(each: SampleRadius) -> str:
    proven = f"proven {pretty_number(rounded_down(each.proven))}"
    if math.isinf(each.attacked):
        return f"{proven}, not broken"
    return f"{proven}, attacked {pretty_number(rounded_up(each.attacked))}"


def _mark(report: CriticalRadiusReport, each: SampleRadius) -> tuple[str, str, str]:
    """Whether the label is kept within the first radius."""
    first = report.limits.first
    within = f"within {pretty_number(first)}"
    if each.proven > 0 and each.proven >= first:
        return "certified", "✓ certified", f"the label is proven {within}"
    if each.attacked <= first:
        return "changes", "✕ changes", f"an input {within} is known that has another label"
    return "undecided", "? undecided", f"neither is known {within}"


def _keys(each: SampleRadius) -> Mapping[str, float]:
    return {
        "least attacked radius first": each.attacked,
        "least proven radius first": each.proven,
        "widest gap first": each.proven - each.attacked,
    }


def _pictures(report: CriticalRadiusReport) -> Mapping[int, doc.Pictures]:
    if report.pixels is None:
        return {}
    names, seen = report.model.output_names, []
    for each in report.samples:
        if each.index in report.inputs:
            becomes = "" if each.becomes is None else class_name(names, each.becomes)
            kept = class_name(names, each.kept)
            image = report.inputs[each.index]
            seen.append(Pictured(each.index, image, each.counterexample, kept, becomes))
    return sample_pictures(seen, report.pixels)


def _bar(each: SampleRadius, high: float) -> Drawing:
    """Radii from 0 on: proven, open, and those within which the label is lost."""
    marks = [(mark, tick_text(mark)) for mark in ticks(0, high)]
    plot = Plot(_FRAME, Axis(0, high, ticks=marks), Axis(0, 1))
    proven, attacked = each.proven, min(each.attacked, high)
    for start, end, look, words in (
        (0.0, proven, "kept", f"proven up to {pretty_number(rounded_down(proven))}"),
        (proven, attacked, "unsure", "neither is known"),
        (attacked, high, "lost", f"lost from {pretty_number(attacked)} on"),
    ):
        if end > start:
            corners = plot.at(start, 0.9), plot.at(end, 0.1)
            plot.marks.append(Mark("box", corners, look, words))
    for value, text in marks:
        x, y = plot.at(value, 0)
        plot.text(x, y + 15, text)
    return plot.drawing(f"Radii of sample {each.index}: {_between(each)}")
