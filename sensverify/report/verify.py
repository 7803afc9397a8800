"""Output bounds as a document: the intervals of every sample, and the record of the run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

from sensverify.core.gates import Gate, GateVerdict
from sensverify.core.results import Guarantee, Status
from sensverify.models.loading import ModelFacts
from sensverify.report import document as doc
from sensverify.report.asked import class_table, meanings, notes
from sensverify.report.chart import histogram
from sensverify.report.formatting import (
    GUARANTEE_WORDS,
    at_most,
    count_of,
    file_text,
    head_text,
    number,
    pretty_number,
    shape_text,
    share,
)
from sensverify.report.gates import gate_lines, gate_notice, gate_table
from sensverify.report.intervals import drawn_outputs, interval_chart
from sensverify.report.record import record_facts
from sensverify.verification.radius_results import CriticalRadiusReport
from sensverify.verification.results import THRESHOLDS, InputFacts, SampleResult, VerifyReport

PICTURES = 100
"""Samples that a page draws; the others are counted."""

ROWS = 20
"""Samples that a terminal lists; the others are counted."""

ALL_WIDTHS = 4
"""Up to this many outputs, every width has a column in a terminal."""

_MARKS = {"certified": "✓", "changes": "✕", "undecided": "?"}


def verify_document(report: VerifyReport, *, pictures: int = PICTURES) -> doc.Document:
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
            doc.Section("record", "Record", tuple(_record(report))),
        ),
    )


def _by_class(report: VerifyReport) -> Iterator[doc.Section]:
    if report.per_class:
        yield doc.Section("classes", "By class", (class_table(report),))


def _word(sample: SampleResult) -> str:
    """``certified``, ``changes`` or ``undecided``; a dash where no class is asked to stay."""
    if sample.judged_class is None:
        return "-"
    return {True: "certified", False: "changes", None: "undecided"}[sample.kept]


def _judged(report: VerifyReport) -> str:
    """Kind of class that is asked to keep its place: ``label``, ``prediction``, or empty."""
    found = (sample.judged for sample in report.samples if sample.judged_class is not None)
    return next(found, "")


def _question(report: VerifyReport) -> str:
    asked, count = report.perturbation, len(report.samples)
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
    source = f" of {_data(asked)}" if asked.data is not None else ""
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
    judged = _judged(report)
    if judged:
        counts = Counter(map(_word, report.samples))
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
    verdicts = {gate.verdict for gate in _beside_thresholds(report)}
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
    counts = Counter(_word(sample) for sample in report.samples if sample.judged_class is not None)
    parts = [f"{counts[word]:,} {word}" for word in _MARKS if counts[word]]
    line = f"{count_of(sum(counts.values()), 'sample')}: {', '.join(parts)}."
    for word, level in (("changes", "bad"), ("undecided", "open"), ("certified", "good")):
        if counts[word]:
            title = f"{counts[word]:,} of {sum(counts.values()):,} {word}"
            return doc.Notice([line], level, title, on=doc.PAGE)
    return None


def _beside_thresholds(report: VerifyReport) -> list[Gate]:
    """The gates that `VerifyReport.exceeded` does not speak of."""
    return [gate for gate in report.gates if gate.group is not None or gate.name not in THRESHOLDS]


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
    text = "beyond a double" if volume is None else pretty_number(volume)
    yield one("Mean volume", text, "the sensitivity")
    yield one("Largest width", pretty_number(summary.max_width), "of any output interval")


def _intervals(report: VerifyReport, pictures: int) -> Iterator[doc.Block]:
    drawn, left = report.samples[:pictures], len(report.samples) - pictures
    yield doc.Text(_reading(report), on=doc.PAGE)
    told = f"All {len(drawn):,} samples are drawn." if len(drawn) > 1 else ""
    if left > 0:
        told = (
            f"The first {len(drawn):,} samples are drawn. The other {left:,} are not; they are "
            "part of every figure above, and the JSON output lists them."
        )
    yield doc.Text(told, "note", on=doc.PAGE)
    names, words = output_names(report), meanings(report)
    yield doc.Group([_card(sample, names, words) for sample in drawn], "samples", on=doc.PAGE)
    yield _table(report)
    hidden = len(report.samples) - ROWS
    if hidden > 0:
        text = f"… and {hidden:,} more samples; --json and --report hold them all"
        yield doc.Text(text, on=doc.TERMINAL)


def file_line(model: ModelFacts) -> doc.Line:
    """The path of a model's file, where it has one."""
    return doc.Span(model.path, "code") if model.path else "none: an object of Python"


def output_names(report: VerifyReport) -> tuple[str, ...]:
    """Names of the outputs: their classes, else their numbers."""
    names = report.class_names or report.model.output_names
    outputs = len(report.samples[0].widths)
    return names if len(names) == outputs else tuple(str(k) for k in range(outputs))


def _reading(report: VerifyReport) -> str:
    middle = "sample itself" if report.perturbation.box is None else "middle of the input box"
    holds = "provably holds" if report.guarantee >= Guarantee.SOLVER else "was found to hold"
    text = (
        f"Each bar is the interval that {holds} one output over the whole input box; the dot "
        f"is the network's output at the {middle}."
    )
    if any(s.label is not None for s in report.samples):
        text += " The label's output is in colour."
    if any(s.inner_lower is not None for s in report.samples):
        text += " The thin bar spans values that are attained."
    return f"{text} Every picture has its own scale."


def _card(sample: SampleResult, names: Sequence[str], words: Mapping[str, str]) -> doc.Group:
    mark, facts, drawn = None, [], drawn_outputs(sample)
    if sample.judged_class is not None:
        word = _word(sample)
        mark = word, f"{_MARKS[word]} {word}", words[word].format(judged=sample.judged)
    if sample.label is not None:
        facts.append(f"label {names[sample.label]}")
    if sample.prediction != sample.label and (sample.label is not None or len(names) > 1):
        facts.append(f"predicted {names[sample.prediction]}")
    if sample.log_volume is None:
        facts.append(f"volume 0: {count_of(len(sample.degenerate), 'output')} cannot move")
    else:
        facts.append(f"log\N{NON-BREAKING HYPHEN}volume {sample.log_volume:.3f}")
    if len(names) > len(drawn):
        facts.append(f"{count_of(len(names) - len(drawn), 'output')} not drawn")
    ends = sample.lower, sample.output, sample.upper
    rows, heads = [], ["output", "lower", "at sample", "upper", "width"]
    probable = sample.probability_lower, sample.probability_upper
    for k in drawn:
        cells = [*(f"{each[k]:.6g}" for each in ends), f"{sample.widths[k]:.4g}"]
        cells += [f"{end[k]:.4f}" for end in probable if end is not None]
        rows.append(doc.row(names[k], *cells))
    if sample.probability_lower is not None:
        heads += ["least probability", "largest"]
    numbers = doc.Group([doc.Table(doc.columns(*heads), rows)], "details", "Numbers")
    chart = doc.Figure([interval_chart(sample, names)])
    text = doc.Text(" · ".join(facts), "facts")
    return doc.Group([text, chart, numbers], "sample", f"Sample {sample.index}", mark)


def _table(report: VerifyReport) -> doc.Table:
    outputs = len(report.samples[0].widths)
    labelled = any(sample.label is not None for sample in report.samples)
    probable = report.samples[0].probability_lower is not None
    few = outputs <= ALL_WIDTHS and not probable
    heads = ["sample", *(["label"] if labelled else []), *(["prediction"] if outputs > 1 else [])]
    summed = ["width max"] if probable else ["width min", "median", "max"]
    heads += [f"width {k}" for k in range(outputs)] if few else summed
    judged = _judged(report)
    kept = [doc.Column(f"{judged} kept?", align="left")] if judged else []
    columns = doc.columns(*heads, "log-volume", *(["probability"] if probable else []), *kept)
    rows = []
    for sample in report.samples[:ROWS]:
        cells: list[str | doc.Cell] = []
        if labelled:
            cells.append("-" if sample.label is None else str(sample.label))
        if outputs > 1:
            wrong = sample.label not in (None, sample.prediction)
            cells.append(doc.Cell(str(sample.prediction), "bad" if wrong else ""))
        widths = sample.widths.tolist()
        if not few:
            widths = [max(widths)] if probable else [min(widths), median(widths), max(widths)]
        volume = "zero width" if sample.log_volume is None else f"{sample.log_volume:.3f}"
        cells += [*map(number, widths), volume]
        if probable:
            cells.append(_probability(sample))
        if judged:
            cells.append(doc.Cell(_word(sample), _word(sample)))
        rows.append(doc.row(str(sample.index), *cells))
    return doc.Table(columns, rows, on=doc.TERMINAL)


def _probability(sample: SampleResult) -> str:
    """The range of the probability of the label, or of the prediction where there is none."""
    if sample.probability_lower is None or sample.probability_upper is None:
        return "-"
    place = sample.prediction if sample.label is None else sample.label
    # Rounded outward, as the interval is one that holds.
    low = math.floor(1000 * sample.probability_lower[place]) / 1000
    high = math.ceil(1000 * sample.probability_upper[place]) / 1000
    return f"{low:.3f} – {high:.3f}"


def _record(report: VerifyReport) -> Iterator[doc.Block]:
    yield doc.Text("What is needed to repeat this run.", "note", on=doc.PAGE)
    yield doc.Facts(list(_repeat(report)), on=doc.PAGE)
    yield doc.Facts(list(_found(report)), on=doc.TERMINAL)
    if report.shown_gates:
        yield replace(gate_table(report.gates), on=doc.TERMINAL)
    yield from gate_lines(_beside_thresholds(report))
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


def _labels_text(report: VerifyReport) -> str | None:
    """A note on labels that are none, and on what is judged instead."""
    note = report.perturbation.note
    if _judged(report) != "prediction":
        return note
    return f"{note or 'none'}: the network's own prediction at each sample is judged"


def _repeat(report: VerifyReport) -> Iterator[tuple[str, doc.Line]]:
    model, asked = report.model, report.perturbation
    yield "Model file", file_line(model)
    yield "SHA-256", doc.Span(model.sha256, "code")
    yield "Input and output", f"{shape_text(model.inputs)} to {shape_text(model.outputs)}"
    yield "Parameters", f"{model.parameters:,}"
    if model.unstable is not None:
        yield "Unstable neurons", f"{model.unstable:.4g} on average over the samples"
    if asked.data is not None:
        first, last = report.samples[0].index, report.samples[-1].index
        yield "Data", f"{_data(asked)}, samples {first} to {last}"
    yield "Input box", perturbation_text(asked)
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
    unstable = "" if model.unstable is None else f", {model.unstable:.4g} unstable neurons a sample"
    yield "model", f"{model.name}, {model.parameters:,} parameters{unstable}"
    asked, box = report.perturbation, perturbation_text(report.perturbation)
    yield "input", box if asked.data is None else f"{_data(asked)}; {box}"
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
            whole = f"keep their {_judged(report)} on the whole input box, proven"
            yield "certified", f"{share(kept, judged)} {whole}"
    for name, text in told.items():
        if text is not None:
            yield name, text
    yield "guarantee", f"{report.guarantee.name}. {guarantee_text(report)}"


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


def _data(asked: InputFacts) -> str:
    """The data, and which part of them."""
    parts = {None: "", "all": ", both parts"}
    return f"{asked.data}{parts.get(asked.part, f', {asked.part} part')}"


def perturbation_text(perturbation: InputFacts) -> str:
    """The input box in words."""
    if perturbation.box is not None:
        return f"boxes from {perturbation.box}"
    if perturbation.sigma is not None:
        moved = f"sigma {perturbation.sigma:g} of each feature's range"
    elif isinstance(perturbation.radius, str):
        moved = f"radius from {perturbation.radius}"
    else:
        moved = f"radius {perturbation.radius:g}"
    clip = perturbation.clip
    return moved if clip is None else f"{moved}, clipped to [{clip[0]:g}, {clip[1]:g}]"


def settings_text(report: VerifyReport | CriticalRadiusReport) -> str:
    """The method with its settings, on one line."""
    pairs = []
    for key, value in report.settings.items():
        if isinstance(value, dict):
            value = value.get("name", value)
        pairs.append(f"{key}={'none' if value is None else value}")
    return f"{report.method} ({', '.join(pairs)})" if pairs else report.method


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
    found = report.certification
    if found is None:
        return None
    place = "not kept" if found.path is None else found.path
    checked = f"checked in {found.seconds:.2f} s with {found.checked.arithmetic} arithmetic"
    return f"{place} ({len(found.data):,} bytes), {checked}"
