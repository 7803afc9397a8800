"""Slopes of a network as a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sensverify.bounds.jacobian import Verdict
from sensverify.report import document as doc
from sensverify.report.formatting import (
    aligned_number,
    class_name,
    count_of,
    pretty_number,
    rounded_up,
)
from sensverify.report.record import record_facts
from sensverify.report.verification.facts import data_text, file_line, perturbation_text
from sensverify.verification.slope_bounds import NORMS, SlopeReport, SlopeSample

_CONSTANTS = "Lipschitz constants: attained to proven"

LISTED, ROWS = 1000, 20
"""Samples that a page and a terminal list."""

_WORDS = dict(zip(NORMS, ("norm 1", "norm 2", "norm inf"), strict=True))
_LOOKS: dict[Verdict, str] = {"proven": "certified", "refuted": "changes", "undecided": "undecided"}
_MEANING = (
    "Constants and monotony are proven for the real-valued function, with room for rounding; what "
    "is refuted was run in the model itself."
)


def slopes_document(report: SlopeReport) -> doc.Document:
    """The document of slopes: constants, monotony, every sample, and the record."""
    data = doc.Data(
        "jacobian", ("sample", "output", "input", "lower", "upper"), lambda: _entries(report)
    )
    source = "" if report.perturbation.data is None else f" of {report.perturbation.data}"
    return doc.Document(
        title=f"{report.model.name}: slopes",
        eyebrow="Slopes of a network",
        heading=report.model.name,
        lead=(
            f"How fast outputs change on boxes around {count_of(len(report.samples), 'sample')}"
            f"{source}."
        ),
        sections=(
            doc.Section("summary", "", tuple(_summary(report))),
            doc.Section("samples", "Samples", tuple(_listed(report)), data=(data,)),
            doc.Section("record", "Record", tuple(_record(report))),
        ),
        offered=16_000_000,
    )


def _entries(report: SlopeReport) -> Iterator[Sequence[doc.Value]]:
    for sample in report.samples:
        for place in np.ndindex(sample.lower.shape):
            ends = float(sample.lower[place]), float(sample.upper[place])
            yield sample.index, *place, *ends


def _summary(report: SlopeReport) -> Iterator[doc.Block]:
    yield _banner(report)
    yield doc.Notice([(doc.Span("SOUND.", "strong"), f" {_MEANING}")], "guarantee", on=doc.PAGE)
    numbers = [
        doc.Number(
            f"Lipschitz, {_WORDS[norm]}",
            [doc.Cell(pretty_number(rounded_up(report.largest(norm))), note="largest, proven")],
        )
        for norm in NORMS
    ]
    yield doc.Numbers(tuple(numbers), on=doc.PAGE)


def _banner(report: SlopeReport) -> doc.Notice:
    if report.interrupted:
        left = f"{len(report.samples):,} of {count_of(report.total, 'sample')} are done"
        return doc.Notice([f"Stopped: {left}."], "open", "Unfinished", on=doc.PAGE)
    counts = {word: report.verdicts.count(word) for word in _LOOKS}
    if not report.asked:
        line = "Constants that hold on every box."
        return doc.Notice([line], "good", "Bounded", on=doc.PAGE)
    level = "bad" if counts["refuted"] else "open" if counts["undecided"] else "good"
    title = {"bad": "Not monotone", "open": "Undecided", "good": "Monotone"}[level]
    line = ", ".join(f"{count:,} {word}" for word, count in counts.items())
    return doc.Notice([f"Of outputs and boxes {line}."], level, title, on=doc.PAGE)


def _listed(report: SlopeReport) -> Iterator[doc.Block]:
    for most, on in ((LISTED, doc.PAGE), (ROWS, doc.TERMINAL)):
        # The titles of tables are for terminals.
        if on is doc.PAGE:
            yield doc.Text(_CONSTANTS, "heading", on=on)
        yield _table(report.samples[:most], on)
        if report.asked:
            if on is doc.PAGE:
                yield doc.Text("Monotony", "heading", on=on)
            yield _monotony(report, report.samples[:most], on)
        if len(report.samples) > most:
            more = f"… and {len(report.samples) - most:,} more samples; the JSON lists them all"
            yield doc.Text(more, on=on)


def _table(samples: Sequence[SlopeSample], on: doc.Medium) -> doc.Table:
    rows = []
    for each in samples:
        pairs = ((each.attained[norm], each.lipschitz[norm]) for norm in NORMS)
        cells = [
            doc.Cell(f"{aligned_number(low)} to {aligned_number(rounded_up(high))}", value=high)
            for low, high in pairs
        ]
        rows.append(doc.row(str(each.index), *cells))
    columns = doc.columns("sample", *(_WORDS[norm] for norm in NORMS))
    return doc.Table(columns, rows, "plain numbers", title=_CONSTANTS, on=on, sortable=True)


def _monotony(report: SlopeReport, samples: Sequence[SlopeSample], on: doc.Medium) -> doc.Table:
    names, rows = report.model.output_names, []
    for sample in samples:
        for each in sample.monotony:
            values = (
                ""
                if each.values is None
                else " then ".join(map(aligned_number, each.values.tolist()))
            )
            rows.append(
                doc.row(
                    str(sample.index),
                    f"feature {each.asked.feature} {each.asked.direction}",
                    class_name(names, each.output),
                    doc.Cell(each.verdict, _LOOKS[each.verdict]),
                    values,
                )
            )
    columns = doc.columns("sample", "asked", "output", "verdict", "refuted by")
    return doc.Table(columns, rows, "plain numbers", title="Monotony", on=on, sortable=True)


def _record(report: SlopeReport) -> Iterator[doc.Block]:
    source = report.perturbation
    data = "" if source.data is None else f"{data_text(source)}, "
    asked = f"{data}{perturbation_text(source)}"
    facts: list[tuple[doc.Line, doc.Line]] = [
        ("model", f"{report.model.name}, {count_of(report.model.parameters, 'parameter')}"),
        ("input", asked),
        ("method", f"slopes on {report.method}, up to {count_of(report.parts, 'part')} of a box"),
        ("time", f"{report.seconds:.2f} s for {count_of(len(report.samples), 'sample')}"),
    ]
    if report.asked:
        words = (f"{report.verdicts.count(word):,} {word}" for word in _LOOKS)
        facts.append(("monotony", ", ".join(words)))
    facts.append(("guarantee", f"SOUND. {_MEANING}"))
    yield doc.Facts(facts, on=doc.TERMINAL)
    if report.interrupted:
        left = f"{len(report.samples):,} of {count_of(report.total, 'sample')} are done"
        yield doc.Text(f"unfinished: {left}", "open", on=doc.TERMINAL)
    page: list[tuple[doc.Line, doc.Line]] = [
        ("Model file", file_line(report.model)),
        ("SHA-256 of the model", doc.Span(report.model.sha256, "code")),
        ("Input", asked),
        ("SHA-256 of the samples", doc.Span(report.samples_sha256, "code")),
        ("Method", f"{report.method}, up to {report.parts} parts of a box"),
        ("Time", f"{report.seconds:.2f} s"),
        *record_facts(report.record),
    ]
    yield doc.Facts(page, on=doc.PAGE)
