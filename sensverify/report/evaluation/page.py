"""An evaluation as one self-contained page: no scripts, nothing loaded, every text escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from sensverify.evaluation.results import Evaluation
from sensverify.report.evaluation.accuracy import accuracy_section
from sensverify.report.evaluation.calibration import calibration_section
from sensverify.report.evaluation.confusion import confusion_section
from sensverify.report.evaluation.corruptions import corruption_section
from sensverify.report.evaluation.figures import Figure, figures
from sensverify.report.evaluation.heat import heat_style
from sensverify.report.evaluation.measures import measure_section, missing_section
from sensverify.report.evaluation.missing import reasons
from sensverify.report.evaluation.parts import (
    DOWNLOADS,
    Downloads,
    downloads,
    heading,
    row,
    table,
    td,
    th,
)
from sensverify.report.evaluation.tables import csv_tables
from sensverify.report.evaluation.words import (
    blind_words,
    count_of,
    guarantee_words,
    radius_text,
    radius_words,
    samples_words,
)
from sensverify.report.frame import framed_page, terms
from sensverify.report.words import duration


def evaluation_to_html(evaluation: Evaluation) -> str:
    """An evaluation as one page.

    Parameters
    ----------
    evaluation : Evaluation

    Returns
    -------
    str
        HTML that needs no script and no other file. Every text from outside (names, paths,
        reasons, settings) is escaped, and the page's own policy forbids scripts. The tables of
        `csv_tables` can be downloaded from it, but for those that would make it too large.
    """
    budget = DOWNLOADS * len(evaluation.models)
    offered = downloads(csv_tables(evaluation), budget=budget)
    names = [model.model.name for model in evaluation.models]
    sections = {
        "summary": _summary(evaluation),
        "accuracy": accuracy_section(evaluation, offered),
        "corruptions": corruption_section(evaluation, offered),
        "calibration": calibration_section(evaluation, offered),
        "confusions": confusion_section(evaluation, offered),
        "measures": measure_section(evaluation, offered),
        "missing": missing_section(evaluation, offered),
        "record": _record(evaluation, offered),
    }
    alone = len(names) == 1
    return framed_page(
        "evaluation/page",
        title=f"{', '.join(names)}: evaluation",
        styles=("evaluation/page",),
        style=heat_style(),
        eyebrow="A network evaluated" if alone else f"{len(names)} networks compared",
        heading=" <i>and</i> ".join(map(escape, names))
        if len(names) < 3
        else ", ".join(map(escape, names)),
        lead=escape(f"{samples_words(evaluation)}. {radius_words(evaluation)}".strip()),
        contents=_contents(sections),
        guarantee=_guarantee(evaluation),
        verdict=_verdict(evaluation),
        **sections,
    )


_TITLES = {
    "accuracy": "Accuracy against radius",
    "corruptions": "Corruptions",
    "calibration": "Calibration",
    "confusions": "Confusions",
    "measures": "Measures",
    "missing": "What could not be had",
    "record": "Record",
}


def _contents(sections: Mapping[str, str]) -> str:
    links = [f'<a href="#{name}">{title}</a>' for name, title in _TITLES.items() if sections[name]]
    return f'<nav aria-label="Contents">{"".join(links)}</nav>'


def _guarantee(evaluation: Evaluation) -> str:
    sentences = guarantee_words(evaluation)
    if not sentences:
        return ""
    return f'<div class="guarantee"><p>{" ".join(map(escape, sentences))}</p></div>'


def _verdict(evaluation: Evaluation) -> str:
    lines = []
    if "note" in evaluation.settings:
        lines.append(f"Note: {escape(str(evaluation.settings['note']))}.")
    if evaluation.interrupted:
        lines.append(
            "<strong>Not finished:</strong> what is here holds, and what is missing can still be "
            "had."
        )
    lines += [f"<strong>Warning:</strong> {escape(text)}." for text in blind_words(evaluation)]
    missing = sum(len(reason.cells) for reason in reasons(evaluation))
    if missing:
        lines.append(
            f"{count_of(missing, 'part')} of this evaluation could not be had; "
            '<a href="#missing">the reasons are below</a>.'
        )
    return f'<div class="verdict open"><p>{"<br>".join(lines)}</p></div>' if lines else ""


def _summary(evaluation: Evaluation) -> str:
    found = figures(evaluation)
    if len(evaluation.models) == 1:
        return f'<dl class="figures">{"".join(map(_figure, found))}</dl>'
    heads = [th(""), *(th(model.model.name) for model in evaluation.models)]
    rows = []
    for figure in found:
        cells = [
            td(cell.text, "best" if place in figure.best else "", cell.detail)
            for place, cell in enumerate(figure.cells)
        ]
        rows.append(row(figure.name, cells, note=figure.note))
    note = "<p class='note'>The best of every line is bold. Below a rate is its 95 % interval.</p>"
    return f"{table(heads, rows, 'plain summary')}{note}"


def _figure(figure: Figure) -> str:
    (cell,) = figure.cells
    small = ", ".join(filter(None, (figure.note, cell.detail)))
    return (
        f"<div><dt>{escape(figure.name)}</dt><dd>{escape(cell.text)}"
        f'<span class="small">{escape(small)}</span></dd></div>'
    )


def _record(evaluation: Evaluation, offered: Downloads) -> str:
    values: dict[str, str] = {}
    for model in evaluation.models:
        facts = model.model
        values[f"Network {facts.name}"] = (
            f"{facts.path}\nSHA-256 {facts.sha256}\n{_shape(facts.inputs)} to "
            f"{_shape(facts.outputs)}, {facts.parameters:,} parameters"
        )
    values["Data"] = samples_words(evaluation)
    if evaluation.train_samples:
        values["Training samples"] = f"{evaluation.train_samples:,}, for measures and the gap"
    if len(evaluation.classes) <= 40:
        values["Classes"] = ", ".join(evaluation.classes)
    if evaluation.radii:
        radii = ", ".join(map(radius_text, evaluation.radii))
        values["Radii"] = f"{radii}\n{evaluation.radius_unit}"
    if evaluation.clip is not None:
        values["Inputs stay in"] = f"[{evaluation.clip[0]:g}, {evaluation.clip[1]:g}]"
    if evaluation.reference is not None:
        values["Reference of CE"] = evaluation.reference
    values |= {name[:1].upper() + name[1:]: text for name, text in evaluation.settings.items()}
    values["Device"] = ", ".join(filter(None, (evaluation.device, evaluation.machine)))
    values["Time"] = duration(evaluation.seconds)
    values["Versions"] = ", ".join(f"{name} {v}" for name, v in evaluation.versions.items())
    return (
        f"{heading('Record', 'record', offered)}"
        '<p class="note">What is needed to repeat this evaluation.</p>'
        f'<dl class="record">{terms({k: v for k, v in values.items() if v})}</dl>'
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(str(n) for n in shape) or "1"
