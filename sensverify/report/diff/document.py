"""Comparisons of two networks as a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isinf

import numpy as np

from sensverify.core.plain import finite
from sensverify.core.results import Guarantee
from sensverify.report import document as doc
from sensverify.report.formatting import (
    class_name,
    count_of,
    number,
    percent,
    pretty_number,
    rounded_up,
)
from sensverify.report.gates import gate_lines, gate_notice, gate_table
from sensverify.report.record import record_facts
from sensverify.report.verification.facts import data_text, file_line, perturbation_text
from sensverify.report.verification.record import certification_text
from sensverify.verification.comparison import DiffReport, DiffSample

LISTED, ROWS = 1000, 20
"""Samples that a page and a terminal list."""

_LOOKS = {"agrees": "certified", "differs": "changes", "undecided": "undecided", "unasked": ""}

_COLUMNS = (
    *("sample", "label", "old", "new", "agreement", "largest", "attained", "width"),
    *("width_apart", "exact", "stopped"),
)

_OUTPUT_COLUMNS = ("sample", "output", "lower", "upper", "attained_lower", "attained_upper")


def diff_document(report: DiffReport) -> doc.Document:
    """The document of a comparison: agreement, differences, every sample, and the record."""
    data = (
        doc.Data("samples", _COLUMNS, lambda: map(_row_of_data, report.samples)),
        doc.Data("outputs", _OUTPUT_COLUMNS, lambda: _outputs(report)),
    )
    pair = f"{report.old.name} and {report.new.name}"
    return doc.Document(
        title=f"{pair}: differences",
        eyebrow="Two networks compared",
        heading=pair,
        lead=_question(report),
        sections=(
            doc.Section("summary", "", tuple(_summary(report))),
            doc.Section("samples", "Samples", tuple(_listed(report)), data=data),
            doc.Section("record", "Record", tuple(_record(report))),
        ),
        offered=16_000_000,
    )


def _row_of_data(each: DiffSample) -> Sequence[doc.Value]:
    return (
        *(each.index, each.label, each.old, each.new, each.agreement, each.largest, each.attained),
        *(each.width, each.apart, each.exact, each.stopped),
    )


def _outputs(report: DiffReport) -> Iterator[Sequence[doc.Value]]:
    for each in report.samples:
        ends = (each.lower, each.upper, each.attained_lower, each.attained_upper)
        for place, values in enumerate(np.stack(ends).T.tolist()):
            yield each.index, place, *values


def _question(report: DiffReport) -> str:
    source = "" if report.perturbation.data is None else f" of {report.perturbation.data}"
    return (
        f"How far each output of {report.new.name} may be from that of {report.old.name} on boxes "
        f"around {count_of(len(report.samples), 'sample')}{source}, and whether both have the same "
        "largest output there."
    )


def _summary(report: DiffReport) -> Iterator[doc.Block]:
    yield gate_notice(report.gates) if report.gates else _banner(report)
    meaning = doc.Span(f"{report.guarantee.name}.", "strong"), f" {_meaning(report)}"
    yield doc.Notice([meaning], "guarantee", on=doc.PAGE)
    counts, asked = report.counts, report.asked
    cells = {}
    if not counts["unasked"]:
        cells = {
            "Provably agree": (percent(counts["agrees"] / asked), "on all of their box"),
            "Provably differ": (percent(counts["differs"] / asked), "with an input each"),
            "Undecided": (f"{counts['undecided']:,}", f"of {count_of(asked, 'sample')}"),
        }
    cells["Largest difference"] = (_figure(report.largest), "of any output, proven at most")
    if report.narrower is not None:
        cells["Narrower"] = (_times(report.narrower), "than both bounded apart, median")
    numbers = [
        doc.Number(name, [doc.Cell(text, note=note)]) for name, (text, note) in cells.items()
    ]
    yield doc.Numbers(tuple(numbers), on=doc.PAGE)
    yield doc.Text(_pairing(report), "note", on=doc.PAGE)
    if report.gates:
        yield gate_table(report.gates)


def _figure(value: float) -> str:
    return "0" if value == 0 else pretty_number(rounded_up(value))


def _times(value: float) -> str:
    return "without width" if isinf(value) else f"{value:,.3g} times"


def _pairing(report: DiffReport) -> str:
    """The way in which the two were bounded, in words."""
    if not report.paired:
        return (
            "The two have no structure in common, or were not to be paired: they are bounded "
            "beside each other, and their outputs subtracted."
        )
    texts = ["Neurons of one are paired with those of the other, and their differences bounded."]
    if report.permuted:
        texts.append(f"Neurons stand in another order in {', '.join(report.permuted)}.")
    if report.same:
        texts.append("All weights are the same: no input tells the two apart.")
    if report.apart:
        texts.append(f"Both sides are subtracted at {', '.join(report.apart)}.")
    return " ".join(texts)


def _banner(report: DiffReport) -> doc.Notice:
    counts = report.counts
    if report.interrupted:
        left = f"{len(report.samples):,} of {count_of(report.asked, 'sample')} are done"
        return doc.Notice([f"Stopped: {left}."], "open", "Unfinished", on=doc.PAGE)
    if counts["unasked"]:
        line = f"No output differs by more than {_figure(report.largest)}."
        return doc.Notice([line], "good", "Compared", on=doc.PAGE)
    level = "bad" if counts["differs"] else "open" if counts["undecided"] else "good"
    line = f"{counts['differs']:,} provably differ, {counts['undecided']:,} are undecided."
    title = f"{percent(counts['agrees'] / report.asked)} agree"
    return doc.Notice([line], level, title, on=doc.PAGE)


def _meaning(report: DiffReport) -> str:
    words = {
        Guarantee.SOLVER: "Intervals and agreements hold within a solver's tolerances",
        Guarantee.SOUND: "Intervals and agreements are proven for the real-valued functions, with "
        "room for rounding",
        Guarantee.CERTIFIED: "Intervals and agreements are proven for the real-valued functions "
        "that both files define, by a certificate that was checked",
    }
    text = words.get(report.guarantee, "Intervals and agreements hold as the method says")
    return f"{text}; every disagreement was run in both models."


def _listed(report: DiffReport) -> Iterator[doc.Block]:
    for most, on in ((LISTED, doc.PAGE), (ROWS, doc.TERMINAL)):
        yield _table(report, report.samples[:most], on)
        if len(report.samples) > most:
            more = f"… and {len(report.samples) - most:,} more samples; the JSON lists them all"
            yield doc.Text(more, on=on)


def _table(report: DiffReport, samples: Sequence[DiffSample], on: doc.Medium) -> doc.Table:
    decides = not report.counts["unasked"]
    beside = any(each.apart is not None for each in report.samples)
    rows = []
    for each in samples:
        cells: list[doc.Line | doc.Cell] = []
        if decides:
            names = report.class_names
            cells = [
                class_name(names, each.old),
                doc.Cell(class_name(names, each.new), "bad" if each.old != each.new else ""),
                doc.Cell(_decision(each, names), _LOOKS[each.agreement]),
            ]
        cells.append(doc.Cell(_figure(each.largest), value=each.largest))
        cells.append(doc.Cell(number(each.attained), value=each.attained))
        cells.append(doc.Cell(number(each.width), value=each.width))
        if beside:
            cells.append(doc.Cell(number(finite(each.apart)), value=each.apart))
        rows.append(doc.row(str(each.index), *cells, look="dim" if each.stopped else ""))
    heads = ["sample", *(["old", "new", "decision"] if decides else [])]
    heads += ["at most", "attained", "width", *(["width apart"] if beside else [])]
    return doc.Table(
        doc.columns(*heads), rows, "plain numbers", on=on, sortable=True, search="samples"
    )


def _decision(sample: DiffSample, names: Sequence[str]) -> str:
    found = sample.disagreement
    if found is None:
        return sample.agreement
    pair = f"{class_name(names, found.old)} / {class_name(names, found.new)}"
    return f"differs: {pair}"


def _record(report: DiffReport) -> Iterator[doc.Block]:
    counts = report.counts
    facts: list[tuple[doc.Line, doc.Line | Sequence[doc.Line]]] = [
        ("old", f"{report.old.name}, {count_of(report.old.parameters, 'parameter')}"),
        ("new", f"{report.new.name}, {count_of(report.new.parameters, 'parameter')}"),
        ("input", _input(report)),
        ("method", f"{report.method}, float64 on {report.device}"),
        ("pairing", _pairing(report)),
        ("time", f"{report.seconds:.2f} s for {count_of(len(report.samples), 'sample')}"),
    ]
    if not counts["unasked"]:
        text = ", ".join(f"{counts[word]:,} {word}" for word in ("agrees", "differs", "undecided"))
        facts.append(("decision", text))
    facts.append(("largest difference", f"at most {_figure(report.largest)}"))
    if report.narrower is not None:
        facts.append(("narrower than apart", f"{_times(report.narrower)}, median"))
    facts.append(("guarantee", f"{report.guarantee.name}. {_meaning(report)}"))
    if report.certificate is not None:
        facts.append(("certificate", certification_text(report.certificate)))
    yield doc.Facts(facts, on=doc.TERMINAL)
    yield from gate_lines(report.gates)
    if report.interrupted:
        left = f"{len(report.samples):,} of {count_of(report.asked, 'sample')} are done"
        yield doc.Text(f"unfinished: {left}", "open", on=doc.TERMINAL)
    yield doc.Facts(list(_page_facts(report)), on=doc.PAGE)


def _input(report: DiffReport) -> str:
    source = report.perturbation
    data = "" if source.data is None else f"{data_text(source)}, "
    return f"{data}{perturbation_text(source)}"


def _page_facts(report: DiffReport) -> Iterator[tuple[doc.Line, doc.Line]]:
    for name, model in (("Old", report.old), ("New", report.new)):
        yield f"{name} model file", file_line(model)
        yield f"SHA-256 of the {name.lower()} model", doc.Span(model.sha256, "code")
    yield "Input", _input(report)
    yield "SHA-256 of the samples", doc.Span(report.samples_sha256, "code")
    yield "Method", report.method
    if report.certificate is not None:
        yield "Certificate", certification_text(report.certificate)
    yield "Time", f"{report.seconds:.2f} s"
    yield from record_facts(report.record)
