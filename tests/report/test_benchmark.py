"""A benchmark's summary in words."""

from __future__ import annotations

from sensverify.report.benchmark import benchmark_document
from sensverify.verification.benchmark import BenchmarkSummary, Instance, InstanceResult
from tests.report.shown import printed


def shown(results: list[InstanceResult], total: int) -> str:
    instances = [result.instance for result in results]
    instances += [Instance("m", "left", 9.0)] * (total - len(results))
    return printed(benchmark_document(BenchmarkSummary.of(instances, results)), width=200)


def test_everything() -> None:
    def result(name: str, verdict: str, seconds: float, trusted: bool = True) -> InstanceResult:
        instance = Instance("m", name, 9.0, "sat", trusted)
        return InstanceResult(instance, verdict, seconds, 9.0, 1, "method")

    results = [
        result("a", "sat", 1.0),
        result("b", "sat", 10.0),
        result("[red]c", "unsat", 3.0),
        result("d", "unsat", 2.0, trusted=False),
        result("e", "timeout", 9.1),
    ]
    text = shown(results, 7)
    assert "3 of 7 within their time limit, 1 more after it" in text
    assert "2 sat, 1 timeout, 2 unsat, 2 not run" in text
    assert "2 right, 1 wrong, of 4 that are known; 1 not compared" in text
    assert "median 2 s, maximum 3 s" in text
    # Names of files are no mark-up.
    assert "WRONG: m [red]c: unsat, expected sat" in text


def test_nothing_done_and_nothing_known() -> None:
    text = shown([], 2)
    assert "0 of 2" in text
    assert "compared" not in text
    assert "median" not in text


def test_many_contradictions_are_cut() -> None:
    instance = Instance("m", "p", 9.0, "sat", True)
    results = [InstanceResult(instance, "unsat", 1.0, 9.0, 1, "method")] * 30
    text = shown(results, 30)
    assert text.count("WRONG") == 20
    assert "… and 10 more" in text
