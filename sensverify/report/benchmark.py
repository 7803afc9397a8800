"""A benchmark's summary as a table for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sensverify.verification.benchmark import DECIDED, BenchmarkSummary, InstanceResult

_SHOWN = 20
"""Contradictions that are listed."""


def print_benchmark(summary: BenchmarkSummary, console: Console) -> None:
    """Print the counts and times, and every verdict that contradicts what is known."""
    lines = Table.grid(padding=(0, 2))
    for name, text in _lines(summary):
        lines.add_row(Text(name, style="bold"), Text(text))
    console.print(lines)
    for result in summary.wrong[:_SHOWN]:
        console.print(Text(f"WRONG: {contradiction(result)}", style="bold red"))
    if len(summary.wrong) > _SHOWN:
        console.print(f"… and {len(summary.wrong) - _SHOWN} more")


def contradiction(result: InstanceResult) -> str:
    """One line about a verdict that contradicts what is known."""
    instance = result.instance
    return f"{instance.onnx} {instance.vnnlib}: {result.verdict}, expected {instance.expected}"


def _lines(summary: BenchmarkSummary) -> list[tuple[str, str]]:
    left = summary.total - summary.done
    verdicts = ", ".join(f"{count} {word}" for word, count in summary.verdicts.items())
    late = sum(summary.verdicts.get(word, 0) for word in DECIDED) - summary.decided
    decided = f"{summary.decided} of {summary.total} within their time limit"
    lines = [
        ("decided", f"{decided}, {late} more after it" if late else decided),
        ("verdicts", (verdicts or "none") + (f", {left} not run" if left else "")),
    ]
    if summary.known:
        ignored = (
            f"; {summary.ignored} not compared (tools contradict each other there)"
            if summary.ignored
            else ""
        )
        counts = f"{summary.right} right, {len(summary.wrong)} wrong"
        lines.append(("compared", f"{counts}, of {summary.known} that are known{ignored}"))
    if summary.median_seconds is not None:
        seconds = f"median {summary.median_seconds:.3g} s, maximum {summary.max_seconds:.3g} s"
        lines.append(("time", f"{seconds}, of those decided"))
    return lines
