"""A table for the terminal, and the run in plain words below it."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensverify.core.results import Status
from sensverify.report.words import (
    GUARANTEE_WORDS,
    at_most,
    certified_word,
    number,
    share,
    softmax_text,
)
from sensverify.verification.results import Perturbation, SampleResult, VerifyReport

ROWS = 20
"""Samples that are listed; the rest is only counted."""

ALL_WIDTHS = 4
"""Up to this many outputs, every width has a column."""

_STYLES = {"certified": "green", "changes": "red", "undecided": "yellow"}


def print_report(report: VerifyReport, console: Console) -> None:
    """Print the samples' widths and log-volumes, then the summary and the guarantee."""
    console.print(_table(report))
    hidden = len(report.samples) - ROWS
    if hidden > 0:
        console.print(f"… and {hidden:,} more samples; --json and --report hold them all")
    console.print()
    lines = Table.grid(padding=(0, 2))
    for name, text in _lines(report):
        lines.add_row(Text(name, style="bold"), Text(text))
    console.print(lines)
    for line in report.exceeded:
        console.print(Text(f"threshold exceeded: {line}", style="bold red"))
    for line in report.undecided:
        console.print(Text(f"threshold undecided: {line}", style="bold yellow"))
    stopped = sum(sample.stopped for sample in report.samples)
    if stopped:
        text = (
            f"cut short for {stopped} of {len(report.samples)} samples: their bounds hold, and "
            "more time would make them tighter"
        )
        console.print(Text(text, style="bold yellow"))
    if report.interrupted:
        text = "interrupted: these are the samples finished by then; what is said of them holds"
        console.print(Text(text, style="bold yellow"))


def perturbation_text(perturbation: Perturbation) -> str:
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


def settings_text(report: VerifyReport) -> str:
    """The method with its settings, on one line."""
    pairs = []
    for key, value in report.settings.items():
        if isinstance(value, dict):
            value = value.get("name", value)
        pairs.append(f"{key}={'none' if value is None else value}")
    return f"{report.method} ({', '.join(pairs)})" if pairs else report.method


def exact_text(report: VerifyReport) -> str | None:
    """How many boxes are exact, and how far the others may be; None for methods that never are."""
    samples = report.samples
    exact = sum(sample.status is Status.OPTIMAL for sample in samples)
    open_ones = [sample for sample in samples if sample.status is not Status.OPTIMAL]
    if all(sample.attained_widths is None for sample in samples):
        return None
    text = f"{share(exact / len(samples), len(samples))}: both ends of every output are attained"
    spare = [
        float((sample.widths - sample.attained_widths).max())
        for sample in open_ones
        if sample.attained_widths is not None
    ]
    return f"{text}; the others are at most {number(max(spare))} too wide" if spare else text


def guarantee_text(report: VerifyReport) -> str:
    """What the guarantee means, and what it is not about."""
    words = GUARANTEE_WORDS[report.guarantee]
    if report.certification is None:
        return words
    margin = report.float32_margin
    if margin is None:
        return f"{words} How far evaluating it in float32 can be off is not known."
    return f"{words} Evaluating it in float32 can add up to {at_most(margin)}."


def widening_text(report: VerifyReport) -> str | None:
    """How much rigorous arithmetic cost; None where nothing was re-derived."""
    found = [sample.widening for sample in report.samples if sample.widening is not None]
    if not found:
        return None
    shares = [float(share) for widening in found for share in widening]
    kept = sum(share == 0 for share in shares)
    if kept == len(shares):
        return "no proposed bound had to be widened"
    finite = [share for share in shares if math.isfinite(share)]
    text = "proposed bounds were widened"
    if any(finite):
        text += f" by at most {at_most(max(finite))} of their width"
    points = len(shares) - len(finite)
    if points:
        text += f"; {points} of one point became intervals"
    return f"{text}; {kept} of {len(shares)} were not" if kept else text


def certificate_text(report: VerifyReport) -> str | None:
    """Where the certificate is and what its check took; None without one."""
    found = report.certification
    if found is None:
        return None
    place = "not kept" if found.path is None else found.path
    checked = f"checked in {found.seconds:.2f} s with {found.checked.arithmetic} arithmetic"
    return f"{place} ({len(found.data):,} bytes), {checked}"


def _table(report: VerifyReport) -> Table:
    outputs = len(report.samples[0].widths)
    labelled = any(sample.label is not None for sample in report.samples)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("sample", justify="right")
    if labelled:
        table.add_column("label", justify="right")
    if outputs > 1:
        table.add_column("prediction", justify="right")
    few = outputs <= ALL_WIDTHS
    for name in [f"width {k}" for k in range(outputs)] if few else _SPREAD:
        table.add_column(name, justify="right")
    table.add_column("log-volume", justify="right")
    if labelled:
        table.add_column("label kept?")
    for sample in report.samples[:ROWS]:
        table.add_row(*_row(sample, labelled, outputs, few))
    return table


_SPREAD = ["width min", "median", "max"]


def _row(sample: SampleResult, labelled: bool, outputs: int, few: bool) -> list[Text | str]:
    cells: list[Text | str] = [str(sample.index)]
    if labelled:
        cells.append("-" if sample.label is None else str(sample.label))
    if outputs > 1:
        wrong = sample.label not in (None, sample.prediction)
        cells.append(Text(str(sample.prediction), style="red" if wrong else ""))
    widths = sorted(sample.widths.tolist())
    shown = sample.widths.tolist() if few else [widths[0], _median(widths), widths[-1]]
    cells += [number(width) for width in shown]
    cells.append("zero width" if sample.log_volume is None else f"{sample.log_volume:.3f}")
    if labelled:
        word = certified_word(sample.certified, labelled=sample.label is not None)
        cells.append(Text(word, style=_STYLES.get(word, "")))
    return cells


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _lines(report: VerifyReport) -> list[tuple[str, str]]:
    model, summary = report.model, report.summary
    unstable = "" if model.unstable is None else f", {model.unstable:.4g} unstable neurons a sample"
    lines = [
        ("model", f"{model.name}, {model.parameters:,} parameters{unstable}"),
        ("input", _input_text(report)),
        ("method", f"{settings_text(report)}, {report.dtype} on {report.device}"),
        ("time", f"{report.seconds:.2f} s for {summary.samples:,} samples"),
        ("sensitivity", _sensitivity(report)),
    ]
    exactness = exact_text(report)
    if exactness is not None:
        lines.append(("exact", exactness))
    if summary.accuracy is not None:
        labelled = sum(sample.label is not None for sample in report.samples)
        lines.append(("accuracy", share(summary.accuracy, labelled)))
        kept = share(summary.certified_fraction, labelled)
        lines.append(("certified", f"{kept} keep their label on the whole input box, proven"))
    for name, text in (
        ("softmax", softmax_text(model.softmax)),
        ("labels", report.perturbation.note),
        ("rounding", widening_text(report)),
        ("certificate", certificate_text(report)),
    ):
        if text is not None:
            lines.append((name, text))
    return [*lines, ("guarantee", f"{report.guarantee.name}. {guarantee_text(report)}")]


def _input_text(report: VerifyReport) -> str:
    text = perturbation_text(report.perturbation)
    data = report.perturbation.data
    return text if data is None else f"{data}; {text}"


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
