"""The summary of a benchmark as a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensverify.report import document as doc
from sensverify.verification.benchmark import BenchmarkSummary, InstanceResult

_SHOWN = 20
"""Contradictions that are listed."""


def benchmark_document(summary: BenchmarkSummary, fail_on: Sequence[str] = ()) -> doc.Document:
    """The counts and times, every verdict that contradicts what is known, and what fails.

    Parameters
    ----------
    summary : BenchmarkSummary
    fail_on : sequence of str
        Verdicts that no instance should end with.
    """
    blocks: list[doc.Block] = [doc.Facts(list(_facts(summary)))]
    for result in summary.wrong[:_SHOWN]:
        blocks.append(doc.Text(f"WRONG: {contradiction(result)}", "alarm"))
    if len(summary.wrong) > _SHOWN:
        blocks.append(doc.Text(f"… and {len(summary.wrong) - _SHOWN} more"))
    for word, count in summary.ended(fail_on).items():
        blocks.append(doc.Text(f"failed: {count} of {summary.total} ended with {word}", "alarm"))
    return doc.Document.of(*blocks)


def contradiction(result: InstanceResult) -> str:
    """One line about a verdict that contradicts what is known."""
    instance = result.instance
    return f"{instance.onnx} {instance.vnnlib}: {result.verdict}, expected {instance.expected}"


def _facts(summary: BenchmarkSummary) -> Iterator[tuple[str, str]]:
    left = summary.total - summary.done
    verdicts = ", ".join(f"{count} {word}" for word, count in summary.verdicts.items())
    decided = f"{summary.decided} of {summary.total} within their time limit"
    yield "decided", f"{decided}, {summary.late} more after it" if summary.late else decided
    yield "verdicts", (verdicts or "none") + (f", {left} not run" if left else "")
    if summary.known:
        text = (
            f"{summary.right} right, {len(summary.wrong)} wrong, of {summary.known} that are known"
        )
        if summary.ignored:
            text += f"; {summary.ignored} not compared (tools contradict each other there)"
        yield "compared", text
    if summary.median_seconds is not None:
        seconds = f"median {summary.median_seconds:.3g} s, maximum {summary.max_seconds:.3g} s"
        yield "time", f"{seconds}, of those decided"
