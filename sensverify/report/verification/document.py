"""Output bounds as a document: what was decided, the samples, and the record of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from sensverify.core.gates import GateVerdict
from sensverify.core.results import Guarantee
from sensverify.report import document as doc
from sensverify.report.chart import histogram
from sensverify.report.formatting import count_of, pretty_number
from sensverify.report.gates import gate_notice, gate_table
from sensverify.report.verification.asked import class_table, meanings
from sensverify.report.verification.cards import sample_cards
from sensverify.report.verification.facts import data_text, perturbation_text, whole_inputs
from sensverify.report.verification.record import (
    beside_thresholds,
    guarantee_text,
    judged_kind,
    record,
)
from sensverify.report.verification.tables import (
    ROWS,
    kept_word,
    page_tables,
    sample_data,
    terminal_table,
)
from sensverify.verification.results import NOTABLE, VerifyReport, notable

OFFERED = 4_000_000
"""Bytes of data that a page may carry."""


def verify_document(report: VerifyReport, *, pictures: int = NOTABLE) -> doc.Document:
    """The document of a report; a page draws at most so many ``pictures``."""
    return doc.Document(
        title=f"{report.model.name}: output bounds",
        eyebrow="Output bounds under input perturbation",
        heading=report.model.name,
        lead=_question(report),
        sections=(
            doc.Section("summary", "", tuple(_summary(report))),
            *_by_class(report),
            doc.Section("intervals", "Output intervals", tuple(_intervals(report, pictures))),
            *_every_sample(report),
            doc.Section("record", "Record", tuple(record(report))),
        ),
        offered=OFFERED,
    )


def _by_class(report: VerifyReport) -> Iterator[doc.Section]:
    if report.per_class:
        yield doc.Section("classes", "By class", (class_table(report),))


def _every_sample(report: VerifyReport) -> Iterator[doc.Section]:
    if len(report.samples) > 1:
        yield doc.Section("samples", "All samples", page_tables(report), [sample_data(report)])


def _question(report: VerifyReport) -> str:
    asked, count = report.perturbation, len(report.samples)
    if asked.set is not None:
        source = f" of {data_text(asked)}" if asked.data is not None else ""
        sets = f"{count_of(count, 'input set')}{source}"
        return f"{sets}: {perturbation_text(asked)}; bounded by {report.method}."
    if asked.box is not None:
        boxes = count_of(count, "input box", "input boxes")
        return f"{boxes} from {asked.box}; bounded by {report.method}."
    if asked.sigma is not None:
        moved = f"{asked.sigma:g} of its range"
    elif isinstance(asked.radius, float):
        moved = f"{asked.radius:g}"
    else:
        moved = f"its own radius from {asked.radius}"
    if asked.clip is not None:
        moved += f", kept in [{asked.clip[0]:g}, {asked.clip[1]:g}]"
    source = f" of {data_text(asked)}" if asked.data is not None else ""
    return (
        f"{count_of(count, 'sample')}{source}, every input feature moved by up to {moved}; "
        f"bounded by {report.method}."
    )


def _summary(report: VerifyReport) -> Iterator[doc.Block]:
    verdict = _verdict(report)
    if verdict is not None:
        yield verdict
    guarantee = doc.Span(f"{report.guarantee.name}.", "strong"), f" {guarantee_text(report)}"
    yield doc.Notice([guarantee], "guarantee", on=doc.PAGE)
    if report.shown_gates:
        yield replace(gate_table(report.gates), on=doc.PAGE)
    yield doc.Numbers(tuple(_numbers(report)), on=doc.PAGE)
    judged = judged_kind(report)
    if judged:
        counts = Counter(map(kept_word, report.samples))
        parts = [
            (word, counts[word], text.format(judged=judged))
            for word, text in meanings(report).items()
        ]
        yield doc.Shares(parts, on=doc.PAGE)
    logs = [s.log_volume for s in report.samples if s.log_volume is not None]
    if len(logs) >= 8:
        caption = (
            "Log-volumes of the output boxes, over all samples. Further left is less sensitive."
        )
        yield doc.Figure([histogram(logs, "log-volumes")], notes=[caption], on=doc.PAGE)


def _verdict(report: VerifyReport) -> doc.Notice | None:
    verdicts = {gate.verdict for gate in beside_thresholds(report)}
    if verdicts - {GateVerdict.PASSED} or (verdicts and not report.interrupted):
        return gate_notice(report.gates)
    asked = [threshold.asked for threshold in report.thresholds]
    stopped = "only the samples finished by then are here" if report.interrupted else ""
    for title, words, text, level in (
        ("Failed", "Threshold exceeded:", "; ".join(report.exceeded), "bad"),
        ("Undecided", "Threshold undecided:", "; ".join(report.undecided), "open"),
        ("Interrupted", "Interrupted:", stopped, "open"),
        ("Passed", "Every threshold holds:", " and ".join(asked), "good"),
    ):
        if text:
            line = doc.Span(words, "strong"), f" {text}."
            return doc.Notice([line], level, title, on=doc.PAGE)
    return _outcome(report)


def _outcome(report: VerifyReport) -> doc.Notice | None:
    """The answers where nothing was asked of them; None where no class is asked to stay."""
    counts = Counter(s.kept_word for s in report.samples if s.judged_class is not None)
    levels = {"changes": "bad", "undecided": "open", "certified": "good"}
    parts = [f"{counts[word]:,} {word}" for word in reversed(levels) if counts[word]]
    asked, every = sum(counts.values()), len(report.samples)
    of = "" if asked == every else f", of {every:,}, that were asked about"
    line = f"{count_of(asked, 'sample')}{of}: {', '.join(parts)}."
    for word, level in levels.items():
        if counts[word]:
            verb = "change" if word == "changes" and counts[word] > 1 else word
            title = f"{counts[word]:,} of {asked:,} {verb}"
            return doc.Notice([line], level, title, on=doc.PAGE)
    return None


def _numbers(report: VerifyReport) -> Iterator[doc.Number]:
    summary = report.summary

    def one(name: str, text: str, note: str = "") -> doc.Number:
        return doc.Number(name, [doc.Cell(text, note=note)])

    labelled = [s for s in report.samples if s.label is not None]
    judged = [s.kept is True for s in report.samples if s.judged_class is not None]
    proven = f"{sum(judged):,} of {len(judged):,} samples"
    if summary.certified_fraction is not None and summary.accuracy is not None:
        right = sum(s.prediction == s.label for s in labelled)
        yield one("Certified", f"{100 * summary.certified_fraction:.1f} %", proven)
        of = f"of {len(labelled):,} samples"
        yield one("Accuracy", f"{100 * summary.accuracy:.1f} %", f"{right:,} {of}")
    elif summary.prediction_kept_fraction is not None:
        text = f"{100 * summary.prediction_kept_fraction:.1f} %"
        yield one("Prediction kept", text, proven)
    else:
        yield one("Samples", f"{summary.samples:,}")
    spread = ""
    if summary.median_log_volume is not None:
        spread = f"median {summary.median_log_volume:.3f}"
    if summary.degenerate_samples:
        spread = f"{summary.degenerate_samples:,} with a zero width left out"
    mean, volume = summary.mean_log_volume, summary.mean_volume
    yield one("Mean log-volume", "none" if mean is None else f"{mean:.3f}", spread)
    beyond = "too small for a double" if mean is not None and mean < 0 else "beyond a double"
    text = beyond if volume is None else pretty_number(volume)
    yield one("Mean volume", text, "the sensitivity")
    yield one("Largest width", pretty_number(summary.max_width), "of any output interval")


def _intervals(report: VerifyReport, pictures: int) -> Iterator[doc.Block]:
    drawn = notable(report.samples, pictures)
    left = len(report.samples) - len(drawn)
    yield doc.Text(_reading(report), on=doc.PAGE)
    told = f"All {len(drawn):,} samples are drawn." if len(drawn) > 1 else ""
    if left > 0:
        told = (
            f"{len(drawn):,} samples are drawn, those that change or are undecided before others. "
            f"The other {left:,} are part of every figure above, and in the table below."
        )
    yield doc.Text(told, "note", on=doc.PAGE)
    yield sample_cards(report, drawn)
    yield terminal_table(report)
    hidden = len(report.samples) - ROWS
    if hidden > 0:
        text = f"… and {hidden:,} more samples; --json and --report hold them all"
        yield doc.Text(text, on=doc.TERMINAL)


def _reading(report: VerifyReport) -> str:
    middle = "sample itself" if report.perturbation.box is None else "middle of the input box"
    whole = whole_inputs(report.perturbation)
    holds = "provably holds" if report.guarantee >= Guarantee.SOLVER else "was found to hold"
    text = (
        f"Each bar is the interval that {holds} one output over the whole {whole}; the dot "
        f"is the network's output at the {middle}."
    )
    if any(s.label is not None for s in report.samples):
        text += " The label's output is in colour."
    if any(s.inner_lower is not None for s in report.samples):
        text += " The thin bar spans values that are attained."
    if any(s.margins is not None for s in report.samples):
        places = max(s.places for s in report.samples)
        proof = "all of them" if places == 1 else f"all but {places - 1} of them"
        text += (
            " Below are the proven least margins of its class over its rivals: with "
            f"{proof} right of zero, the class provably keeps its place."
        )
    return f"{text} Every picture has its own scale."
