"""An evaluation as a document: what sums it up, a section for every kind of finding, the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sensverify.core.results import Guarantee
from sensverify.evaluation.pairs import Comparison, compare_pairs
from sensverify.evaluation.results import Evaluation
from sensverify.evaluation.scores import Summary, summarise
from sensverify.report import document as doc
from sensverify.report.evaluation.accuracy import accuracy_section
from sensverify.report.evaluation.calibration import calibration_section
from sensverify.report.evaluation.common import network_columns
from sensverify.report.evaluation.confusion import confusion_section
from sensverify.report.evaluation.corruptions import corruption_section
from sensverify.report.evaluation.measures import measure_section
from sensverify.report.evaluation.missing import missing_section, reasons
from sensverify.report.evaluation.pairs import pair_section
from sensverify.report.evaluation.sequences import sequence_section
from sensverify.report.evaluation.shifts import shift_section
from sensverify.report.formatting import count_of, radius_text, shape_text
from sensverify.report.gates import gate_lines, gate_notice, gate_table
from sensverify.report.record import record_facts
from sensverify.runs.progress import duration

OFFERED = 1_000_000
"""Bytes that all data on a page for one network may take together."""

FINDINGS: tuple[Callable[[Evaluation, Sequence[Summary]], doc.Section], ...] = (
    corruption_section,
    shift_section,
    sequence_section,
    calibration_section,
    confusion_section,
    measure_section,
    missing_section,
)
"""A section for every kind of finding, in their order, behind accuracies and pairs."""

_PROVEN = {
    Guarantee.ESTIMATE: "not proven",
    Guarantee.PROBABILISTIC: "not proven: estimated by random numbers",
    Guarantee.SOLVER: "proven up to a solver's own tolerances",
    Guarantee.SOUND: "proven in real arithmetic, computed in floating-point numbers",
    Guarantee.CERTIFIED: "proven, and checked independently in rigorous arithmetic",
}


def evaluation_document(
    evaluation: Evaluation, comparisons: Sequence[Comparison] | None = None
) -> doc.Document:
    """The document of an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
    comparisons : sequence of Comparison, optional
        Those of `compare_pairs`, where they are known already.

    Notes
    -----
    Its data are tidy tables; shares are from 0 to 1, ``lower`` and ``upper`` are Wilson's 95 %
    interval (of a difference Newcombe's), ``at`` is a radius or a severity, ``corruption-means``
    are over severities, and ``blind`` counts samples without a gradient that could be followed.
    """
    summaries = summarise(evaluation)
    names = [model.model.name for model in evaluation.models]
    pairs = compare_pairs(evaluation) if comparisons is None else comparisons
    found = [
        accuracy_section(evaluation, summaries),
        pair_section(evaluation, summaries, pairs),
        *(section(evaluation, summaries) for section in FINDINGS),
    ]
    numbers = [
        number
        for section in found
        for number in section.numbers
        if any(value is not None for value in number.values)
    ]
    heading: doc.Line = ", ".join(names)
    if len(names) == 2:
        heading = (names[0], " ", doc.Span("and", "i"), " ", names[1])
    return doc.Document(
        title=f"{', '.join(names)}: evaluation",
        eyebrow="A network evaluated" if len(names) == 1 else f"{len(names)} networks compared",
        heading=heading,
        lead=_lead(evaluation),
        sections=(
            doc.Section("summary", "", tuple(_summary(evaluation, numbers))),
            *found,
            doc.Section("record", "Record", tuple(_record(evaluation))),
        ),
        contents=True,
        offered=OFFERED * len(names),
    )


def _lead(evaluation: Evaluation) -> str:
    text = f"{_samples(evaluation)}."
    if evaluation.radii:
        text += f" Radii are {evaluation.radius_unit}"
        if evaluation.clip is not None:
            low, high = evaluation.clip
            text += f", and inputs stay in [{low:g},\N{NO-BREAK SPACE}{high:g}]"
        text += "."
    return text


def _samples(evaluation: Evaluation) -> str:
    """The samples: ``500 of 10,000 test samples of mnist, evenly spread over the test part``."""
    if evaluation.samples == evaluation.available:
        text = f"All {count_of(evaluation.samples, 'test sample')} of {evaluation.data}"
        return text.replace("All 1 test", "The only test")
    return (
        f"{evaluation.samples:,} of {count_of(evaluation.available, 'test sample')} of "
        f"{evaluation.data}, {evaluation.chosen}"
    )


def _summary(evaluation: Evaluation, numbers: Sequence[doc.Number]) -> Iterator[doc.Block]:
    names = [model.model.name for model in evaluation.models]
    yield doc.Text(_lead(evaluation), on=doc.TERMINAL)
    if "note" in evaluation.settings:
        yield doc.Text(f"Note: {evaluation.settings['note']}", on=doc.TERMINAL)
    if evaluation.gates:
        yield gate_notice(evaluation.gates)
        yield replace(gate_table(evaluation.gates), on=doc.PAGE)
    sentences = guarantee_words(evaluation)
    if sentences:
        yield doc.Notice([" ".join(sentences)], "guarantee", on=doc.PAGE)
    lines = list(_cautions(evaluation))
    if lines:
        yield doc.Notice(lines, "open", on=doc.PAGE)
    yield doc.Numbers(numbers, names, on=doc.PAGE)
    if len(names) > 1:
        text = (
            "The best of every line is bold, which may be by chance: see ",
            doc.Span("the networks in pairs", link="pairs"),
            ". Below a rate is its 95 % interval.",
        )
        yield doc.Text(text, "note", on=doc.PAGE)
    yield _terminal_summary(names, numbers)


def _terminal_summary(names: Sequence[str], numbers: Sequence[doc.Number]) -> doc.Table:
    """Numbers down, networks across; of one network also what stands behind each number."""
    rows: list[doc.Row] = []
    if len(names) == 1:
        for number in numbers:
            (cell,) = number.cells
            details = ", ".join(filter(None, (number.note, cell.note)))
            rows.append(doc.row(number.name, cell, doc.Cell(details, "dim")))
        columns = [*network_columns([""]), doc.Column("", align="left", wrap="cut")]
        return doc.Table(columns, rows, title=f"Summary of {names[0]}", on=doc.TERMINAL)
    for number, row in zip(numbers, doc.Numbers(numbers, names).table.rows, strict=True):
        unit = ", points" if number.note.startswith("points") else ""
        rows.append(doc.Row(number.name + unit, row.cells))
    intervals = doc.row("  95 % interval", *(cell.note for cell in numbers[0].cells), look="dim")
    rows.insert(1, intervals)
    columns = network_columns(names)
    return doc.Table(columns, rows, title="Summary", splits="networks", on=doc.TERMINAL)


def _cautions(evaluation: Evaluation) -> Iterator[doc.Line]:
    if "note" in evaluation.settings:
        yield f"Note: {evaluation.settings['note']}."
    if evaluation.interrupted:
        text = " what is here holds, and what is missing can still be had."
        yield doc.Span("Not finished:", "strong"), text
    for text in blind_words(evaluation):
        yield doc.Span("Warning:", "strong"), f" {text}."
    missing = sum(len(model.missing) for model in evaluation.models)
    if missing:
        text = f"{count_of(missing, 'part')} of this evaluation could not be had; "
        yield text, doc.Span("the reasons are below", link="missing"), "."


def guarantee_words(evaluation: Evaluation) -> list[str]:
    """Sentences on what this evaluation proves and what it estimates."""
    sentences = []
    if any(model.attacks for model in evaluation.models):
        sentences.append(
            "Accuracy under attack is an estimate from one side: every input that an attack has "
            "found counts, and a stronger attack may find more."
        )
    names = sorted({row.guarantee for model in evaluation.models for row in model.certified})
    if names:
        known = [Guarantee[name] for name in names if name in Guarantee.__members__]
        words = _PROVEN[min(known)] if len(known) == len(names) else "as sure as its guarantee"
        sentences.append(
            f"Certified accuracy is {words} ({', '.join(names)}): no input within the radius, "
            "found or not, changes the label of these samples."
        )
    if len(sentences) == 2:
        sentences.append("The accuracy in the worst case lies in between.")
    return sentences


def blind_words(evaluation: Evaluation) -> list[str]:
    """Of which attacks the gradients vanished, a sentence for each network and attack."""
    sentences = []
    for model in evaluation.models:
        most: dict[str, int] = {}
        for row in model.attacks:
            most[row.attack] = max(most.get(row.attack, 0), len(row.blind))
        sentences += [
            f"{name} finds no gradient at {count_of(count, 'sample')} of {model.model.name} that "
            "kept the label, though the outputs change there: it says nothing of them; add an "
            "attack that needs none, such as square"
            for name, count in most.items()
            if count
        ]
    return sentences


def _record(evaluation: Evaluation) -> Iterator[doc.Block]:
    yield doc.Text("What is needed to repeat this evaluation.", "note", on=doc.PAGE)
    yield doc.Facts([(name, value) for name, value in _facts(evaluation) if value], on=doc.PAGE)
    for sentence in guarantee_words(evaluation):
        yield doc.Text(sentence, on=doc.TERMINAL)
    times = [row.seconds for model in evaluation.models for row in model.measures]
    taken = f"{count_of(len(times), 'measure')} taken in {duration(sum(times))}; " if times else ""
    yield doc.Text(f"{taken}everything took {duration(evaluation.seconds)}", on=doc.TERMINAL)
    for model in evaluation.models:
        if model.model.opaque is not None:
            text = f"{model.model.name}: nothing is proven of it: {model.model.opaque}"
            yield doc.Text(text, "warning", on=doc.TERMINAL)
    for text in blind_words(evaluation):
        yield doc.Text(f"warning: {text}", "warning", on=doc.TERMINAL)
    for reason in reasons(evaluation):
        yield doc.Text(f"missing: {reason.listed(3)}: {reason.text}", "warning", on=doc.TERMINAL)
    if evaluation.gates:
        yield replace(gate_table(evaluation.gates), on=doc.TERMINAL)
        yield from gate_lines(evaluation.gates)
    if evaluation.interrupted:
        text = "interrupted: what is here holds, and what is missing can still be had"
        yield doc.Text(text, "open", on=doc.TERMINAL)


def _facts(evaluation: Evaluation) -> Iterator[tuple[str, doc.Line | list[doc.Line]]]:
    """Names and lines; what is empty is not known."""
    for model in evaluation.models:
        facts = model.model
        shapes = f"{shape_text(facts.inputs)} to {shape_text(facts.outputs)}"
        digest, size = f"SHA-256 {facts.sha256}", f"{shapes}, {facts.parameters:,} parameters"
        lines: list[doc.Line] = [facts.path or "an object without a file", digest, size]
        if facts.opaque is not None:
            lines.append(f"nothing is proven of it: {facts.opaque}")
        yield f"Network {facts.name}", lines
    yield "Data", [_samples(evaluation), f"SHA-256 {evaluation.samples_sha256}"]
    if evaluation.train_samples:
        yield "Training samples", f"{evaluation.train_samples:,}, for measures and the gap"
    if len(evaluation.classes) <= 40:
        yield "Classes", ", ".join(evaluation.classes)
    if evaluation.radii:
        yield "Radii", [", ".join(map(radius_text, evaluation.radii)), evaluation.radius_unit]
    if evaluation.clip is not None:
        yield "Inputs stay in", f"[{evaluation.clip[0]:g}, {evaluation.clip[1]:g}]"
    yield "Reference of CE", evaluation.reference or ""
    yield "Baseline of gates", evaluation.baseline or ""
    for name, text in evaluation.settings.items():
        yield name[:1].upper() + name[1:], [*text.split("\n")] if text else ""
    yield "Device", ", ".join(filter(None, (evaluation.device, evaluation.machine)))
    yield "Time", duration(evaluation.seconds)
    yield from record_facts(evaluation.record)
