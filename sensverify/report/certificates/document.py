"""Report of a certificate's check, as text and as JSON. Importing this brings in no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

from sensverify.certificates import Certificate, Checked, Claims
from sensverify.certificates.check.sets import InputSets
from sensverify.report import document as doc
from sensverify.report.certificates.claims import (
    box_text,
    boxes_table,
    claim_count,
    claims_table,
    input_text,
)
from sensverify.report.certificates.json import plain_value
from sensverify.report.certificates.results import CheckReport
from sensverify.report.formatting import clipped, count_of, pretty_number, shape_text
from sensverify.report.record import record_facts
from sensverify.runs.progress import duration

BOXES = 3
"""Boxes whose claims a terminal lists; the others are counted."""

_ENTRIES, _TOLD = 40, 1000
"""Entries of that account that a page has, and characters of each."""

_LONGEST = 121
"""Characters of a text from the certificate's own account of where it comes from."""


def check_document(report: CheckReport) -> doc.Document:
    """The proven claims and what may be relied on, or why the certificate is rejected."""
    name = Path(report.path).name
    sections = [doc.Section("summary", "", tuple(_summary(report)))]
    if report.checked is not None and report.certificate is not None:
        claims = report.certificate.claims
        sections += [
            doc.Section("claims", "Claims", tuple(_listed(claims, _old(report.certificate)))),
            doc.Section("boxes", "Input boxes", tuple(_boxes(claims))),
        ]
    sections.append(doc.Section("record", "Record", (doc.Facts(_record(report), on=doc.PAGE),)))
    sections += _account(report)
    return doc.Document(
        title=f"{name}: check",
        eyebrow="Check of a certificate",
        heading=name,
        lead=f"Against {_files(report)}, by {report.arithmetic} arithmetic.",
        sections=sections,
        contents=True,
    )


def _files(report: CheckReport) -> str:
    """The names of the files that the certificate was held against."""
    names = [Path(each).name for each in (report.model, report.new_model) if each is not None]
    return " and ".join(names)


def _summary(report: CheckReport) -> Iterator[doc.Block]:
    checked, certificate = report.checked, report.certificate
    if checked is None or certificate is None:
        reason = _one_line(str(report.reason))
        yield doc.Notice([f"{reason}."], "bad", "Rejected", on=doc.PAGE)
        yield doc.Text(
            "Nothing that this file claims may be relied on; what it claims may still be true.",
            on=doc.PAGE,
        )
        yield doc.Text(f"rejected: {reason}", "whole", on=doc.TERMINAL)
        return
    word, _, rest = verdict_text(report).partition(": ")
    yield doc.Notice([f"{rest[0].upper()}{rest[1:]}."], "good", word.capitalize(), on=doc.PAGE)
    yield doc.Numbers(tuple(_numbers(checked, certificate)), on=doc.PAGE)
    yield doc.Text("What may be relied on", "heading", on=doc.PAGE)
    yield doc.Facts(list(_reliable(report)), on=doc.PAGE)
    facts = [(name, _one_line(text)) for name, text in check_lines(report, checked)]
    yield doc.Facts(facts, "whole", on=doc.TERMINAL)
    yield doc.Text(verdict_text(report), "whole", on=doc.TERMINAL)


def _numbers(checked: Checked, certificate: Certificate) -> Iterator[doc.Number]:
    def one(name: str, text: str, note: str) -> doc.Number:
        return doc.Number(name, [doc.Cell(text, note=note)])

    inputs = shape_text(certificate.inputs, "x")
    yield one("Claims", f"{checked.claims:,}", "each derived again")
    yield one("Boxes", f"{checked.problems:,}", f"of {inputs} inputs")
    yield one("Leaves", f"{checked.cells:,}", "of the proof")
    if checked.slack is not None:
        yield one("Slack", pretty_number(checked.slack), "by which the closest claim holds")


def _reliable(report: CheckReport) -> Iterator[tuple[str, doc.Line]]:
    if report.property is not None:
        yield "The property", (doc.Span(report.property, "code"), ": every case of it is refuted")
    found = report.certificate
    if found is not None and found.new is not None:
        yield "The numbers", _named(prod(found.outputs))
    if found is not None:
        names = {"": "The outputs", "old": "The old one's outputs", "new": "The new one's outputs"}
        for which, logits in _endings(found):
            yield names[which], logits
    if report.signature is not None:
        yield "The numbers", report.signature.numbered
    yield (
        "The function",
        "that the weights define which this very file stores, in real arithmetic; evaluated in "
        "float32 it may differ in the last digits",
    )
    if found is not None and found.new is not None:
        yield "The new one", (doc.Span(str(report.new_model), "code"), ": likewise")
    words = {
        "rigorous": "floating-point numbers with a bound on every rounding",
        "exact": "rational numbers, which round nothing",
    }
    yield "The arithmetic", words.get(report.arithmetic, report.arithmetic)
    yield (
        "The file's meaning",
        "every node was compared with onnxruntime when the file was read"
        if report.runtime_check
        else "as it is read here: it was not compared with onnxruntime",
    )


def _old(certificate: Certificate) -> int | None:
    """The number of outputs of each of two models; None of one."""
    return None if certificate.new is None else prod(certificate.outputs)


def _named(old: int) -> str:
    """The names of the numbers that claims about two models are about."""
    return (
        f"y0 to y{old - 1} are the old model's outputs; d0 to d{old - 1} are by how much those of "
        "the new one differ"
    )


def _listed(claims: Claims, old: int | None) -> Iterator[doc.Block]:
    table, count = claims_table(claims, old), claim_count(claims)
    text = _how_many(len(table.rows), count, "row")
    if claims.groups is None and any(column.title == "at most" for column in table.columns):
        text += " Two opposite claims are one interval; numbers are rounded outward."
    yield doc.Text(text, "note", on=doc.PAGE)
    yield replace(table, on=doc.PAGE)


def _boxes(claims: Claims) -> Iterator[doc.Block]:
    table = boxes_table(claims)
    text = _how_many(len(table.rows), claims.problems, "box", "boxes")
    yield doc.Text(text, "note", on=doc.PAGE)
    yield replace(table, on=doc.PAGE)


def _how_many(shown: int, count: int, one: str, many: str = "") -> str:
    if shown == count:
        return f"All of them: {count_of(count, one, many)}."
    left = count_of(count - shown, one, many)
    return f"The first {shown:,}; {left} more are in the certificate and in the JSON output."


def _record(report: CheckReport) -> list[tuple[str, doc.Line]]:
    facts: list[tuple[str, doc.Line]] = [
        ("Certificate", (doc.Span(report.path, "code"), f" ({report.size:,} bytes)")),
        ("Its SHA-256", doc.Span(report.certificate_sha256, "code")),
        ("Model", doc.Span(report.model, "code")),
        ("Its SHA-256", doc.Span(report.model_sha256, "code")),
    ]
    if report.certificate is not None and report.certificate.new is not None:
        facts.append(("New model", doc.Span(str(report.new_model), "code")))
        facts.append(("Its SHA-256", doc.Span(report.certificate.new.sha256, "code")))
    if report.property is not None:
        facts.append(("Property", doc.Span(report.property, "code")))
    if report.checked is not None:
        facts.append(("Time", duration(report.checked.seconds)))
    return [*facts, *record_facts(report.record)]


def _account(report: CheckReport) -> Iterator[doc.Section]:
    """The account that a certificate gives of itself, and nobody has checked."""
    told = {} if report.certificate is None else report.certificate.provenance
    if not told:
        return
    facts: list[tuple[doc.Line, doc.Line]] = []
    for key, value in islice(told.items(), _ENTRIES):
        text = value if isinstance(value, str) else json.dumps(plain_value(value), default=str)
        facts.append((clipped(_one_line(str(key)), 40), clipped(_one_line(text), _TOLD)))
    if len(told) > _ENTRIES:
        facts.append(("", f"and {count_of(len(told) - _ENTRIES, 'more entry', 'more entries')}"))
    blocks = (
        doc.Text("The file's own account of how it was found, not checked.", "note", on=doc.PAGE),
        doc.Facts(facts, on=doc.PAGE),
    )
    yield doc.Section("account", "The file's own account", blocks)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def check_lines(report: CheckReport, checked: Checked) -> list[tuple[str, str]]:
    """Proven claims, as names and texts; the texts may hold anything that the file does."""
    certificate = report.certificate
    assert certificate is not None, "what was checked has been read"
    boxes, inputs = count_of(checked.problems, "box", "boxes"), shape_text(certificate.inputs, "x")
    lines = [
        ("certificate", f"{report.path} ({report.size:,} bytes)"),
        ("model", f"{report.model}, SHA-256 {certificate.model_sha256}"),
        *_second(report),
        ("claims", f"{boxes} of {inputs} inputs, {_claimed(checked, certificate)}"),
    ]
    if report.signature is not None:
        lines.append(("numbers", report.signature.numbered))
    if certificate.claims.sets is not None:
        lines.append(("inputs", sets_text(certificate.claims.sets)))
    if certificate.new is None:
        lines += [("outputs", logits) for _, logits in _endings(certificate)]
    for problem in range(min(checked.problems, BOXES)):
        lines.append((f"  box {problem}", input_text(certificate.claims, problem)))
        lines.append(("  claims", box_text(certificate.claims, problem, _old(certificate))))
    if checked.problems > BOXES:
        lines.append(("", f"and {count_of(checked.problems - BOXES, 'more box', 'more boxes')}"))
    found = _origin(certificate.provenance)
    lines.append(("proof", f"{count_of(checked.cells, 'leaf', 'leaves')}{found}"))
    slack = "" if checked.slack is None else f"; the closest claim holds by {checked.slack:.2g}"
    lines.append(("check", f"{checked.arithmetic} arithmetic, {checked.seconds:.2f} s{slack}"))
    if report.property is not None:
        lines.append(("property", f"{report.property}: every case of it is refuted"))
    return lines


def _second(report: CheckReport) -> Iterator[tuple[str, str]]:
    """The second of two models, and what numbers are called."""
    found = report.certificate
    if found is None or found.new is None:
        return
    yield "new model", f"{report.new_model}, SHA-256 {found.new.sha256}"
    yield "outputs", _named(prod(found.outputs))
    for name, logits in _endings(found):
        yield f"{name} end", logits


def _endings(certificate: Certificate) -> Iterator[tuple[str, str]]:
    """The models that are bounded up to their logits: old, new, or the only one."""
    if certificate.new is None:
        found = [("", certificate.ending)]
    else:
        found = [("old", certificate.ending), ("new", certificate.new.ending)]
    for name, ending in found:
        if ending is not None:
            yield name, f"the logits: {ending}"


def sets_text(sets: InputSets) -> str:
    """The input sets of claims: what tells them from the boxes around them."""
    if sets.reach is not None and sets.order is not None:
        sizes = {float(reach) for reach in sets.reach}
        size = f"{sizes.pop():g}" if len(sizes) == 1 else f"up to {max(sizes):g}"
        norms = " and ".join(sorted({str(int(order)) for order in sets.order}))
        return f"those of each box within a distance of {size} of a point, by the norm {norms}"
    if sets.equal is not None:
        same = int(sets.equal.sum())
        return (
            f"those of each box that meet {len(sets.equal)} linear constraints, {same} of them "
            "with ="
        )
    if sets.window is not None and sets.count is not None:
        height, width = (int(side) for side in sets.window[0, :2])
        count = int(sets.count[0])
        what = f"{count} pixels" if count >= 0 else f"one window of {height}x{width} pixels"
        return f"those of each box that differ from a point in {what} at most"
    assert sets.least is not None, "all other kinds have been said"
    images = f"a point plus {sets.least.shape[1]} patterns, each times a number between its ends"
    return images if sets.cut is None else f"{images}, cut to a range"


def verdict_text(report: CheckReport) -> str:
    """The last line: what may be relied on."""
    about = "for the real-valued function of the weights that the model's file stores"
    if report.property is not None:
        return f"CERTIFIED: no input meets the property, {about}"
    return f"CERTIFIED: every claim holds, {about}"


def _claimed(checked: Checked, certificate: Certificate) -> str:
    outputs = shape_text(certificate.outputs, "x")
    if certificate.claims.groups is None:
        what = count_of(checked.claims, "lower bound")
        return f"{what} on linear functions of {outputs} outputs"
    return (
        f"{count_of(checked.claims, 'set')} of constraints on {outputs} outputs that no input meets"
    )


def _origin(provenance: Mapping[str, Any]) -> str:
    """By what a proof was found, as its file tells it; nobody has checked that."""
    method, settings = provenance.get("method"), provenance.get("settings")
    if method is None:
        return ""
    text = str(method)
    if isinstance(settings, dict) and settings:
        text += f" ({', '.join(f'{key}={value}' for key, value in islice(settings.items(), 20))})"
    versions = provenance.get("versions")
    if isinstance(versions, dict) and "sensverify" in versions:
        text += f", sensverify {versions['sensverify']}"
    return f", found by {clipped(text, _LONGEST)}"
