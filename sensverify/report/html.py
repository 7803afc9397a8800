"""One self-contained page: no scripts, nothing loaded, every text escaped."""

from __future__ import annotations

from collections import Counter
from functools import partial
from html import escape
from typing import Any

from sensverify.core.results import Guarantee
from sensverify.report.chart import drawn_outputs, histogram, interval_chart
from sensverify.report.frame import framed_page
from sensverify.report.table import (
    certificate_text,
    exact_text,
    guarantee_text,
    perturbation_text,
    settings_text,
    widening_text,
)
from sensverify.report.words import certified_word, pretty_number, softmax_text
from sensverify.verification.results import SampleResult, VerifyReport

PICTURES = 100
"""Samples that are drawn; the others are counted."""

_MARKS = {"certified": "✓", "changes": "✕", "undecided": "?"}
_MEANINGS = {
    "certified": "the label provably stays the largest output on the whole input box",
    "undecided": "neither proven nor refuted",
    "changes": "an input in the box is known where another output is larger",
}


def report_to_html(report: VerifyReport, *, pictures: int = PICTURES) -> str:
    """The report as one page.

    Parameters
    ----------
    report : VerifyReport
    pictures : int
        How many samples are drawn, from the first; the page says how many are not.

    Returns
    -------
    str
        HTML that needs no script and no other file. Every text from outside (names, paths,
        settings) is escaped, and the page's own policy forbids scripts.
    """
    drawn = report.samples[:pictures]
    names = _output_names(report)
    return framed_page(
        "page",
        title=f"{report.model.name}: output bounds",
        model=escape(report.model.name),
        question=escape(_question(report)),
        guarantee=_guarantee(report),
        verdict=_verdict(report),
        figures=_figures(report),
        shares=_shares(report),
        histogram=_histogram(report),
        reading=escape(_reading(report)),
        drawn=escape(_drawn(report, len(drawn))),
        samples="\n".join(map(partial(_sample, names=names), drawn)),
        record=_record(report),
    )


def _output_names(report: VerifyReport) -> list[str]:
    count = len(report.samples[0].widths)
    given = report.model.output_names
    return list(given) if len(given) == count else [str(k) for k in range(count)]


def _question(report: VerifyReport) -> str:
    data = report.perturbation.data
    source = f" of {data}" if data is not None else ""
    count = len(report.samples)
    return (
        f"{count:,} {'sample' if count == 1 else 'samples'}{source}, every input feature moved by "
        f"up to {_moved(report)}; bounded by {report.method}."
        if report.perturbation.box is None
        else f"{count:,} input {'box' if count == 1 else 'boxes'} from {report.perturbation.box}; "
        f"bounded by {report.method}."
    )


def _moved(report: VerifyReport) -> str:
    question = report.perturbation
    if question.sigma is not None:
        text = f"{question.sigma:g} of its range"
    elif isinstance(question.radius, float):
        text = f"{question.radius:g}"
    else:
        text = f"its own radius from {question.radius}"
    clip = question.clip
    return text if clip is None else f"{text}, kept in [{clip[0]:g}, {clip[1]:g}]"


def _guarantee(report: VerifyReport) -> str:
    words = escape(guarantee_text(report))
    return (
        f'<div class="guarantee"><p><strong>{escape(report.guarantee.name)}.</strong> {words}</p>'
        "</div>"
    )


def _verdict(report: VerifyReport) -> str:
    if report.exceeded:
        lines = "; ".join(report.exceeded)
        text = f"<strong>Threshold exceeded:</strong> {escape(lines)}."
        return f'<div class="verdict bad"><p>{text}</p></div>'
    if report.undecided:
        text = f"<strong>Threshold undecided:</strong> {escape('; '.join(report.undecided))}."
        return f'<div class="verdict bad"><p>{text}</p></div>'
    if report.interrupted:
        text = "<strong>Interrupted:</strong> only the samples finished by then are here."
        return f'<div class="verdict bad"><p>{text}</p></div>'
    asked = [
        f"{name} at most {value:g}"
        for name, value in (("log-volume", report.max_log_volume), ("width", report.max_width))
        if value is not None
    ]
    if not asked:
        return ""
    text = f"<strong>Every threshold holds:</strong> {escape(' and '.join(asked))}."
    return f'<div class="verdict good"><p>{text}</p></div>'


def _figures(report: VerifyReport) -> str:
    summary = report.summary
    figures: list[tuple[str, str, str]] = []
    labelled = [s for s in report.samples if s.label is not None]
    if summary.certified_fraction is not None and summary.accuracy is not None:
        kept = sum(s.certified is True for s in labelled)
        right = sum(s.prediction == s.label for s in labelled)
        of = f"of {len(labelled):,} samples"
        figures.append(("Certified", f"{100 * summary.certified_fraction:.1f} %", f"{kept:,} {of}"))
        figures.append(("Accuracy", f"{100 * summary.accuracy:.1f} %", f"{right:,} {of}"))
    else:
        figures.append(("Samples", f"{summary.samples:,}", ""))
    spread = ""
    if summary.median_log_volume is not None:
        spread = f"median {summary.median_log_volume:.3f}"
    mean = "none" if summary.mean_log_volume is None else f"{summary.mean_log_volume:.3f}"
    if summary.degenerate_samples:
        spread = f"{summary.degenerate_samples:,} with a zero width left out"
    figures.append(("Mean log-volume", mean, spread))
    volume = (
        "beyond a double" if summary.mean_volume is None else pretty_number(summary.mean_volume)
    )
    figures.append(("Mean volume", volume, "the sensitivity"))
    figures.append(("Largest width", pretty_number(summary.max_width), "of any output interval"))
    cells = "".join(
        f'<div><dt>{escape(name)}</dt><dd>{escape(value)}<span class="small">{escape(small)}'
        "</span></dd></div>"
        for name, value, small in figures
    )
    return f'<dl class="figures">{cells}</dl>'


def _shares(report: VerifyReport) -> str:
    labelled = [s for s in report.samples if s.label is not None]
    if not labelled:
        return ""
    counts = Counter(certified_word(s.certified) for s in labelled)
    bars = "".join(
        f'<span class="fill-{word}" style="flex:{counts[word]}"></span>'
        for word in _MEANINGS
        if counts[word]
    )
    key = "".join(
        f'<li><i class="fill-{word}"></i><strong>{counts[word]:,} {word}</strong>: {meaning}</li>'
        for word, meaning in _MEANINGS.items()
    )
    return f'<div class="shares" aria-hidden="true">{bars}</div><ul class="key">{key}</ul>'


def _histogram(report: VerifyReport) -> str:
    logs = [s.log_volume for s in report.samples if s.log_volume is not None]
    if len(logs) < 8:
        return ""
    caption = "Log-volumes of the output boxes, over all samples. Further left is less sensitive."
    return f"<figure>{histogram(logs)}<figcaption>{caption}</figcaption></figure>"


def _reading(report: VerifyReport) -> str:
    middle = "sample itself" if report.perturbation.box is None else "middle of the input box"
    holds = "provably holds" if report.guarantee >= Guarantee.SOLVER else "was found to hold"
    text = (
        f"Each bar is the interval that {holds} one output over the whole input box; the dot "
        f" is the network's output at the {middle}."
    )
    if any(s.label is not None for s in report.samples):
        text += " The label's output is in colour."
    if any(s.inner_lower is not None for s in report.samples):
        text += " The thin bar spans values that are attained."
    return f"{text} Every picture has its own scale."


def _drawn(report: VerifyReport, drawn: int) -> str:
    left = len(report.samples) - drawn
    if left <= 0:
        return f"All {drawn:,} samples are drawn." if drawn > 1 else ""
    return (
        f"The first {drawn:,} samples are drawn. The other {left:,} are not; they are part of "
        "every figure above, and the JSON output lists them."
    )


def _sample(sample: SampleResult, *, names: list[str]) -> str:
    chip = ""
    if sample.label is not None:
        word = certified_word(sample.certified)
        chip = f'<span class="chip {word}" title="{_MEANINGS[word]}">{_MARKS[word]} {word}</span>'
    facts = []
    if sample.label is not None:
        facts.append(f"label {names[sample.label]}")
        if sample.prediction != sample.label:
            facts.append(f"predicted {names[sample.prediction]}")
    elif len(names) > 1:
        facts.append(f"predicted {names[sample.prediction]}")
    if sample.log_volume is None:
        facts.append(f"volume 0: {_count(len(sample.degenerate), 'output')} cannot move")
    else:
        facts.append(f"log\N{NON-BREAKING HYPHEN}volume {sample.log_volume:.3f}")
    hidden = len(names) - len(drawn_outputs(sample))
    if hidden:
        facts.append(f"{_count(hidden, 'output')} not drawn")
    return (
        f'<article class="sample"><header><h3>Sample {sample.index}</h3>{chip}</header>'
        f'<p class="facts">{escape(" · ".join(facts))}</p>{interval_chart(sample, names)}'
        f"{_numbers(sample, names)}</article>"
    )


def _numbers(sample: SampleResult, names: list[str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(names[k])}</td><td>{sample.lower[k]:.6g}</td>"
        f"<td>{sample.output[k]:.6g}</td><td>{sample.upper[k]:.6g}</td>"
        f"<td>{sample.widths[k]:.4g}</td></tr>"
        for k in drawn_outputs(sample)
    )
    return (
        '<details><summary>Numbers</summary><div class="scroll"><table><thead><tr><th>output</th>'
        "<th>lower</th><th>at sample</th><th>upper</th><th>width</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _record(report: VerifyReport) -> str:
    model, asked = report.model, report.perturbation
    rows: list[tuple[str, Any]] = [
        ("Model file", model.path),
        ("SHA-256", model.sha256),
        ("Input and output", f"{_shape(model.inputs)} to {_shape(model.outputs)}"),
        ("Parameters", f"{model.parameters:,}"),
    ]
    if model.unstable is not None:
        rows.append(("Unstable neurons", f"{model.unstable:.4g} on average over the samples"))
    if asked.data is not None:
        first, last = report.samples[0].index, report.samples[-1].index
        rows.append(("Data", f"{asked.data}, samples {first} to {last}"))
    known = (
        ("Softmax", softmax_text(model.softmax)),
        ("Labels", asked.note),
        ("Exact", exact_text(report)),
        ("Rounding", widening_text(report)),
        ("Certificate", certificate_text(report)),
    )
    rows += [
        ("Input box", perturbation_text(asked)),
        ("Method", settings_text(report)),
        *((name, text) for name, text in known if text is not None),
        ("Arithmetic", f"{report.dtype} on {report.device}"),
        ("Seed", report.seed),
        ("Time", f"{report.seconds:.2f} s"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
    ]
    digits = {"SHA-256", "Model file"}
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>"
        + (f"<code>{escape(str(value))}</code>" if name in digits else escape(str(value)))
        + "</dd></div>"
        for name, value in rows
    )


def _shape(shape: tuple[int, ...]) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(str(n) for n in shape) or "1"
