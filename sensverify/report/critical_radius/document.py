"""Critical radii as a document, and the schema ``sensverify.critical-radius/2``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

from sensverify.core.plain import finite
from sensverify.core.results import Guarantee
from sensverify.report import document as doc
from sensverify.report.critical_radius.cards import radius_cards
from sensverify.report.critical_radius.chart import NARROW, WIDE, distribution_chart
from sensverify.report.formatting import (
    class_name,
    count_of,
    head_text,
    number,
    percent,
    pretty_number,
    printed,
    rounded_down,
    rounded_up,
    share,
)
from sensverify.report.record import record_facts
from sensverify.report.verification.facts import file_line, perturbation_text, settings_text
from sensverify.verification.radius_results import CriticalRadiusReport, SampleRadius

ROWS = 20
"""Samples that a terminal lists; the others are counted."""

LISTED = 1000
"""Samples that a page lists."""


def critical_radius_document(report: CriticalRadiusReport) -> doc.Document:
    """The document of a report: the distribution of both ends, every sample, and the record."""
    samples = report.samples
    data = doc.Data("critical-radius", _COLUMNS, partial(_rows_of_data, report))
    return doc.Document(
        title=f"{report.model.name}: critical radii",
        eyebrow="Critical radii of samples",
        heading=report.model.name,
        lead=_question(report),
        sections=(
            doc.Section("summary", "", tuple(_summary(report))),
            doc.Section("samples", "Samples", tuple(_listed(report, samples)), data=(data,)),
            doc.Section("record", "Record", tuple(_record(report))),
        ),
        offered=16_000_000,
    )


_OTHER = "has another label"
_COLUMNS = ("sample", "label", "prediction", "proven", "attacked", "becomes", "steps", "stopped")


def _rows_of_data(report: CriticalRadiusReport) -> Iterator[Sequence[doc.Value]]:
    for each in report.samples:
        ends = each.proven, finite(each.attacked)
        yield (
            each.index,
            each.label,
            each.prediction,
            *ends,
            each.becomes,
            each.steps,
            each.stopped,
        )


def _question(report: CriticalRadiusReport) -> str:
    source = f" of {report.perturbation.data}" if report.perturbation.data is not None else ""
    which = f"each of {count_of(len(report.samples), 'sample')}{source}"
    least = f"The least radius at which {which} gets another label"
    if _lost(report) != _OTHER:
        least = f"The least radius within which some input around {which} {_lost(report)}"
    return (
        f"{least}: at least what {report.method} proves, at most what an attack has found. "
        f"Radii are in {report.unit}."
    )


def _summary(report: CriticalRadiusReport) -> Iterator[doc.Block]:
    yield _banner(report)
    guarantee = doc.Span(f"{report.guarantee.name}.", "strong")
    yield doc.Notice([(guarantee, f" {_meaning(report)}")], "guarantee", on=doc.PAGE)
    summary, count = report.summary, len(report.samples)
    least, most = report.robust(report.limits.first)
    first = f"robust within {pretty_number(report.limits.first)}"
    cells = {
        "Median proven radius": (
            pretty_number(rounded_down(summary.median_proven)),
            "half keep their label here",
        ),
        "Median attacked radius": (
            printed(_attacked(summary.median_attacked)),
            "half lose it by here",
        ),
        "Proven": (percent(least), first),
        "Not broken": (percent(most), first),
        "Misclassified": (f"{summary.misclassified:,}", f"of {count:,} samples, both ends at 0"),
    }
    numbers = [
        doc.Number(name, [doc.Cell(text, note=note)]) for name, (text, note) in cells.items()
    ]
    yield doc.Numbers(tuple(numbers), on=doc.PAGE)
    if any(each.attacked > 0 for each in report.samples):
        caption = (
            "Below the blue line: samples of which provably no input within the radius "
            f"{_lost(report)}. Above the orange line: samples with a known input that does. In "
            "between neither is known."
        )
        charts = [distribution_chart(report, frame) for frame in (WIDE, NARROW)]
        yield doc.Figure(
            charts, "Samples robust up to each radius", [caption], "chart", on=doc.PAGE
        )


def _banner(report: CriticalRadiusReport) -> doc.Notice:
    """The share that is robust within the first radius; or that samples are left."""
    if report.interrupted:
        return doc.Notice([f"{_unfinished(report)}."], "open", "Unfinished", on=doc.PAGE)
    least, most = report.robust(report.limits.first)
    level = "good" if least == 1 else "bad" if most < 1 else "open"
    line = (
        f"within {pretty_number(report.limits.first)}; {percent(most)} are not known to be broken"
    )
    return doc.Notice([line], level, f"{percent(least)} proven", on=doc.PAGE)


def _attacked(value: float) -> float | None:
    """An attacked end as it is shown; None where it is infinite."""
    return None if math.isinf(value) else rounded_up(value)


def _listed(report: CriticalRadiusReport, samples: Sequence[SampleRadius]) -> Iterator[doc.Block]:
    drawn = radius_cards(report)
    first = pretty_number(report.limits.first)
    text = (
        "Each bar begins at radius 0: where the label is proven, where neither is known, and where "
        f"it is lost. Marks are about the first radius, {first}."
    )
    yield doc.Text(text, "note", on=doc.PAGE)
    if len(drawn.blocks) < len(samples):
        text = f"The {len(drawn.blocks):,} samples that change within the least radii are drawn."
        yield doc.Text(text, "note", on=doc.PAGE)
    yield drawn
    yield _table(report, samples[:LISTED], on=doc.PAGE)
    yield _table(report, samples[:ROWS], on=doc.TERMINAL)
    for most, on in ((LISTED, doc.PAGE), (ROWS, doc.TERMINAL)):
        if len(samples) > most:
            text = f"… and {len(samples) - most:,} more samples; the JSON output lists them all"
            yield doc.Text(text, on=on)


def _table(
    report: CriticalRadiusReport, samples: Sequence[SampleRadius], *, on: doc.Medium
) -> doc.Table:
    names = report.model.output_names
    labelled = any(each.label is not None for each in report.samples)
    heads = ["sample", *(["label"] if labelled else []), "prediction", "proven", "attacked"]
    rows = []
    for each in samples:
        cells: list[str | doc.Cell] = [] if not labelled else [class_name(names, each.label)]
        wrong = "bad" if each.prediction != each.kept else ""
        cells.append(doc.Cell(class_name(names, each.prediction), wrong))
        attacked = "none found" if math.isinf(each.attacked) else number(_attacked(each.attacked))
        cells.append(doc.Cell(number(rounded_down(each.proven)), value=each.proven))
        cells += [doc.Cell(attacked, value=each.attacked), class_name(names, each.becomes)]
        rows.append(doc.row(str(each.index), *cells, look="dim" if each.stopped else ""))
    columns = doc.columns(*heads, "becomes")
    return doc.Table(columns, rows, "plain numbers", on=on, sortable=True, search="samples")


def _record(report: CriticalRadiusReport) -> Iterator[doc.Block]:
    limits, model, summary = report.limits, report.model, report.summary
    count = len(report.samples)
    least, most = report.robust(limits.first)
    yield doc.Facts(
        [
            ("model", f"{model.name}, {model.parameters:,} parameters"),
            ("input", _input(report)),
            ("method", f"{settings_text(report)}, {report.dtype} on {report.device}"),
            ("search", _search(report)),
            ("time", f"{report.seconds:.2f} s for {count:,} samples"),
            ("misclassified", share(summary.misclassified / count, count)),
            ("median", f"proven {number(rounded_down(summary.median_proven))}, attacked "
             f"{number(_attacked(summary.median_attacked))}"),
            (f"robust within {limits.first:.4g}", f"{share(least, count)} proven, "
             f"{share(most, count)} not known to be broken"),
            *_notes(report),
            ("guarantee", f"{report.guarantee.name}. {_meaning(report)}"),
        ],
        on=doc.TERMINAL,
    )  # fmt: skip
    if report.interrupted:
        yield doc.Text(f"unfinished: {_unfinished(report)}", "open", on=doc.TERMINAL)
    yield doc.Facts(
        [
            ("Model file", file_line(model)),
            ("SHA-256 of the model", doc.Span(model.sha256, "code")),
            *(
                [("SHA-256 of the samples", doc.Span(report.samples_sha256, "code"))]
                if report.samples_sha256 is not None
                else []
            ),
            ("Input", _input(report)),
            ("Method", settings_text(report)),
            ("Search", _search(report)),
            *((name.capitalize(), text) for name, text in _notes(report)),
            ("Arithmetic", f"{report.dtype} on {report.device}"),
            ("Seed", str(report.seed)),
            ("Time", f"{report.seconds:.2f} s"),
            *record_facts(report.record),
        ],
        on=doc.PAGE,
    )


def _meaning(report: CriticalRadiusReport) -> str:
    attacked = "Inputs of the attacked ends were run by onnxruntime in the original file."
    if report.guarantee is Guarantee.SOLVER:
        proven = "Proven up to a solver's own tolerances: no input within the proven radius"
        return f"{proven} {_lost(report)}. {attacked}"
    return (
        f"Proven: no input within the proven radius {_lost(report)}, in real arithmetic and by "
        f"more than rounding. {attacked}"
    )


def _lost(report: CriticalRadiusReport) -> str:
    """Words for an input that changes the answer."""
    if "top_k" in report.asked:
        return f"has {report.asked['top_k']} or more outputs above that of the label"
    if "targets" in report.asked or "costs" in report.asked:
        return "is taken for a class that it may not be taken for"
    return _OTHER


def _input(report: CriticalRadiusReport) -> str:
    data, box = report.perturbation.data, perturbation_text(report.perturbation)
    return f"{data}; first {box}" if data is not None else f"first {box}"


def _search(report: CriticalRadiusReport) -> str:
    limits = report.limits
    return (
        f"radii from 0 to {limits.largest:.4g}, in {report.unit}, from {limits.first:.4g} on, to "
        f"{100 * limits.accuracy:.3g} % or {limits.steps} steps for each end"
    )


def _notes(report: CriticalRadiusReport) -> Iterator[tuple[str, str]]:
    notes = {"logits": head_text(report.model.head), "labels": report.perturbation.note}
    if all(each.label is None for each in report.samples):
        none = notes["labels"] or "there are none"
        notes["labels"] = f"{none}; the critical radius is that of the prediction"
    asked = report.asked
    if "threshold" in asked:
        notes["threshold"] = f"class 1 is above {asked['threshold']:g}"
    if "top_k" in asked:
        notes["asked"] = f"whether labels stay among the {asked['top_k']} largest outputs"
    for name, words in (("targets", "pairs"), ("costs", "costs in")):
        if name in asked:
            notes[name] = (
                f"which classes are taken for which others: {words} {asked[name]}; samples of "
                "other classes are left out"
            )
    if report.others:
        text = ", ".join(f"{name} {version}" for name, version in report.others.items())
        notes["begun with"] = text
    for name, note in notes.items():
        if note is not None:
            yield name, note


def _unfinished(report: CriticalRadiusReport) -> str:
    left, cut = report.total - len(report.samples), sum(each.stopped for each in report.samples)
    parts = [f"{count_of(left, 'sample')} not looked at"] if left else []
    if cut:
        parts.append(f"{count_of(cut, 'sample')} with ends that more time would bring closer")
    return " and ".join(parts)
