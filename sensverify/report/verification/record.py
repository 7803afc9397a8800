"""Record of a verification: everything that is needed to repeat it, and what it found in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from sensverify.core.gates import Gate
from sensverify.core.results import Status
from sensverify.report import document as doc
from sensverify.report.formatting import (
    GUARANTEE_WORDS,
    at_most,
    file_text,
    head_text,
    number,
    shape_text,
    share,
)
from sensverify.report.gates import gate_lines, gate_table
from sensverify.report.record import record_facts
from sensverify.report.verification.asked import notes
from sensverify.report.verification.facts import (
    data_text,
    file_line,
    perturbation_text,
    settings_text,
    whole_inputs,
)
from sensverify.verification.certification import Certification
from sensverify.verification.results import THRESHOLDS, VerifyReport


def record(report: VerifyReport) -> Iterator[doc.Block]:
    yield doc.Text("What is needed to repeat this run.", "note", on=doc.PAGE)
    yield doc.Facts(list(_repeat(report)), on=doc.PAGE)
    yield doc.Facts(list(_found(report)), on=doc.TERMINAL)
    if report.shown_gates:
        yield replace(gate_table(report.gates), on=doc.TERMINAL)
    yield from gate_lines(beside_thresholds(report))
    for line in report.exceeded:
        yield doc.Text(f"threshold exceeded: {line}", "alarm", on=doc.TERMINAL)
    lines = [f"threshold undecided: {line}" for line in report.undecided]
    stopped = sum(sample.stopped for sample in report.samples)
    if stopped:
        lines.append(
            f"cut short for {stopped} of {len(report.samples)} samples: their bounds hold, and "
            "more time would make them tighter"
        )
    if report.interrupted:
        lines.append(
            "interrupted: these are the samples finished by then; what is said of them holds"
        )
    for line in lines:
        yield doc.Text(line, "open", on=doc.TERMINAL)


def _repeat(report: VerifyReport) -> Iterator[tuple[str, doc.Line]]:
    model, asked = report.model, report.perturbation
    yield "Model file", file_line(model)
    yield "SHA-256 of the model", doc.Span(model.sha256, "code")
    yield "Input and output", f"{shape_text(model.inputs)} to {shape_text(model.outputs)}"
    yield "Parameters", f"{model.parameters:,}"
    if model.unstable is not None:
        yield "Unstable neurons", f"{model.unstable:.4g} on average over the samples"
    if asked.data is not None:
        first, last = report.samples[0].index, report.samples[-1].index
        yield "Data", f"{data_text(asked)}, samples {first} to {last}"
    if report.samples_sha256 is not None:
        yield "SHA-256 of the samples", doc.Span(report.samples_sha256, "code")
    yield whole_inputs(asked).capitalize(), perturbation_text(asked)
    yield "Method", settings_text(report)
    for name, text in _notes(report).items():
        if text is not None:
            yield name.capitalize(), text
    yield "Arithmetic", f"{report.dtype} on {report.device}"
    yield "Seed", str(report.seed)
    yield "Time", f"{report.seconds:.2f} s"
    yield from record_facts(report.record)


def _found(report: VerifyReport) -> Iterator[tuple[str, doc.Line]]:
    model, summary, told = report.model, report.summary, _notes(report)
    unstable = ""
    if model.unstable is not None:
        number = f"{model.unstable:.4g}"
        unstable = f", {number} unstable {'neuron' if number == '1' else 'neurons'} a sample"
    yield "model", f"{model.name}, {model.parameters:,} parameters{unstable}"
    asked, box = report.perturbation, perturbation_text(report.perturbation)
    yield "input", box if asked.data is None else f"{data_text(asked)}; {box}"
    yield "method", f"{settings_text(report)}, {report.dtype} on {report.device}"
    yield "time", f"{report.seconds:.2f} s for {summary.samples:,} samples"
    yield "sensitivity", _sensitivity(report)
    exact = told.pop("exact")
    if exact is not None:
        yield "exact", exact
    if summary.accuracy is not None:
        labelled = sum(sample.label is not None for sample in report.samples)
        yield "accuracy", share(summary.accuracy, labelled)
    judged = sum(sample.judged_class is not None for sample in report.samples)
    for kept in (summary.certified_fraction, summary.prediction_kept_fraction):
        if kept is not None:
            whole = f"keep their {judged_kind(report)} on the whole {whole_inputs(asked)}, proven"
            yield "certified", f"{share(kept, judged)} {whole}"
    for name, text in told.items():
        if text is not None:
            yield name, text
    yield "guarantee", f"{report.guarantee.name}. {guarantee_text(report)}"


def _notes(report: VerifyReport) -> dict[str, str | None]:
    """Facts of both media; None is left out."""
    return {
        "logits": head_text(report.model.head),
        "file": file_text(report.model),
        "labels": _labels_text(report),
        "baseline": report.baseline,
        "exact": exact_text(report),
        "rounding": widening_text(report),
        "certificate": certificate_text(report),
        **dict(notes(report)),
    }


def judged_kind(report: VerifyReport) -> str:
    """Kind of class that is asked to keep its place: ``label``, ``prediction``, or empty."""
    found = (sample.judged for sample in report.samples if sample.judged_class is not None)
    return next(found, "")


def beside_thresholds(report: VerifyReport) -> list[Gate]:
    """The gates that `VerifyReport.exceeded` does not speak of."""
    return [gate for gate in report.gates if gate.group is not None or gate.name not in THRESHOLDS]


def _labels_text(report: VerifyReport) -> str | None:
    """A note on labels that are none, and on what is judged instead."""
    note = report.perturbation.note
    if judged_kind(report) != "prediction":
        return note
    return f"{note or 'none'}: the network's own prediction at each sample is judged"


def _sensitivity(report: VerifyReport) -> str:
    summary = report.summary
    parts = [f"largest width {number(summary.max_width)}"]
    if summary.mean_log_volume is not None:
        parts.append(f"mean log-volume {summary.mean_log_volume:.3f}")
        parts.append(f"median {summary.median_log_volume:.3f}")
    if summary.mean_volume is not None:
        parts.append(f"mean volume {number(summary.mean_volume)}")
    if summary.degenerate_samples:
        parts.append(f"{summary.degenerate_samples} samples with an output that cannot move")
    return ", ".join(parts)


def exact_text(report: VerifyReport) -> str | None:
    """The share of exact boxes and the slack of the others; None for methods that never are."""
    samples = report.samples
    if all(sample.attained_widths is None for sample in samples):
        return None
    exact = sum(sample.status is Status.OPTIMAL for sample in samples)
    text = f"{share(exact / len(samples), len(samples))}: both ends of every output are attained"
    spare = [
        float((sample.widths - sample.attained_widths).max())
        for sample in samples
        if sample.status is not Status.OPTIMAL and sample.attained_widths is not None
    ]
    return f"{text}; the others are at most {number(max(spare))} too wide" if spare else text


def guarantee_text(report: VerifyReport) -> str:
    """The meaning of the guarantee, and its limits."""
    words = GUARANTEE_WORDS[report.guarantee]
    if report.perturbation.set is not None:
        words = words.replace("in the box", "in the set")
    if report.certification is None:
        return words
    margin = report.float32_margin
    if margin is None:
        return f"{words} How far evaluating it in float32 can be off is not known."
    return f"{words} Evaluating it in float32 can add up to {at_most(margin)}."


def widening_text(report: VerifyReport) -> str | None:
    """The cost of rigorous arithmetic; None where nothing was re-derived."""
    found = [sample.widening for sample in report.samples if sample.widening is not None]
    if not found:
        return None
    shares = [float(share) for widening in found for share in widening]
    same = sum(share == 0 for share in shares)
    if same == len(shares):
        return "no proposed bound had to be widened"
    finite = [share for share in shares if math.isfinite(share)]
    text = "proposed bounds were widened"
    if any(finite):
        text += f" by at most {at_most(max(finite))} of their width"
    single = len(shares) - len(finite)
    if single:
        text += f"; {single} of one point became intervals"
    return f"{text}; {same} of {len(shares)} were not" if same else text


def certificate_text(report: VerifyReport) -> str | None:
    """The place of the certificate and the cost of its check; None without one."""
    return None if report.certification is None else certification_text(report.certification)


def certification_text(found: Certification) -> str:
    """The place of a certificate and the cost of its check."""
    place = "not kept" if found.path is None else found.path
    checked = f"checked in {found.seconds:.2f} s with {found.checked.arithmetic} arithmetic"
    return f"{place} ({len(found.data):,} bytes), {checked}"
