"""The schema ``sensverify.benchmark/2``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sensverify.report.benchmark.charts import run_names
from sensverify.report.record import header, result_text
from sensverify.verification.benchmark import BenchmarkSummary, Instance, InstanceResult
from sensverify.verification.benchmark_report import BenchmarkReport, EarlierResults

SCHEMA = "sensverify.benchmark/2"


def benchmark_to_json(report: BenchmarkReport) -> str:
    """A benchmark as one JSON object of the schema ``sensverify.benchmark/2``, and a newline.

    * ``folder``, ``instances_sha256`` (of ``instances.csv``), ``out``, ``method``, ``timeout``,
      ``only``, ``jobs``: what was asked.
    * ``summary``: counts of instances and verdicts; times are in seconds, of the decided ones.
    * ``fail_on``, and ``failed``: the counts of instances that ended so.
    * ``instances``: every instance with its result; of one that has not been run, ``verdict`` is
      null.
    * ``compared``: the other runs in numbers. ``disagreements``: instances on which a run says
      ``sat`` and another one ``unsat``.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return result_text(benchmark_to_dict(report))


def benchmark_to_dict(report: BenchmarkReport) -> dict[str, Any]:
    """A benchmark as the values of the schema."""
    return {
        **header(SCHEMA, report.record),
        "folder": str(report.folder),
        "instances_sha256": report.instances_sha256,
        "out": str(report.out),
        "method": report.method,
        "timeout": report.timeout,
        "only": report.only,
        "jobs": report.jobs,
        "interrupted": report.interrupted,
        "seconds": report.seconds,
        # Versions are in the header.
        "machine": {name: v for name, v in report.machine.items() if name != "versions"},
        "fail_on": list(report.fail_on),
        "failed": report.failed,
        "summary": _summary(report.summary),
        "instances": [_instance(report, *row) for row in report.rows],
        "compared": list(map(_earlier, run_names(report)[1:], report.compared)),
        "disagreements": [
            {
                "onnx": each.here.instance.onnx,
                "vnnlib": each.here.instance.vnnlib,
                "verdict": each.here.verdict,
                "other": each.there.verdict,
                "path": str(each.path),
            }
            for each in report.disagreements
        ],
    }


def _summary(summary: BenchmarkSummary) -> dict[str, Any]:
    return {
        "total": summary.total,
        "done": summary.done,
        "decided": summary.decided,
        "late": summary.late,
        "known": summary.known,
        "right": summary.right,
        "wrong": len(summary.wrong),
        "ignored": summary.ignored,
        "verdicts": summary.verdicts,
        "median_seconds": summary.median_seconds,
        "max_seconds": summary.max_seconds,
        "processor_seconds": summary.processor_seconds,
    }


def _instance(
    report: BenchmarkReport, instance: Instance, result: InstanceResult | None
) -> dict[str, Any]:
    if result is None:
        limit = report.limit_of(instance)
        found: Sequence[Any] = None, False, "", None, None, limit, None, None, {}, ""
    else:
        found = (
            *(result.verdict, result.decided, result.agreement),
            *(result.seconds, result.processor, result.timeout, result.explored),
            *(result.shortfall, dict(result.phases), result.note),
        )
    times = "seconds", "processor", "timeout"
    names = ("verdict", "decided", "agreement", *times, "explored", "shortfall", "phases", "note")
    return {
        "onnx": instance.onnx,
        "vnnlib": instance.vnnlib,
        "expected": instance.expected or None,
        **dict(zip(names, found, strict=True)),
    }


def _earlier(name: str, other: EarlierResults) -> dict[str, Any]:
    return {
        "name": name,
        "path": str(other.path),
        "method": other.method,
        "results": len(other.results),
        "decided": sum(result.decided for result in other.results),
        "wrong": sum(result.agreement == "wrong" for result in other.results),
    }
