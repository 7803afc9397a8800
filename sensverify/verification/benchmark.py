"""A folder of instances in the form of VNN-COMP: questions, known answers, and results."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sensverify.errors import BadData, InputError
from sensverify.runs.journal import RowType

COLUMNS = (
    "onnx",
    "vnnlib",
    "verdict",
    "seconds",
    "processor",
    "timeout",
    "explored",
    "shortfall",
    "looking",
    "bounding",
    "splitting",
    "expected",
    "agreement",
    "method",
    "note",
)
"""Of the file of results."""

PHASES = ("looking", "bounding", "splitting")
"""See `Decision`."""

DECIDED = ("sat", "unsat")
VERDICTS = (*DECIDED, "unknown", "timeout", "error")

Key = tuple[str, str]
"""Model and property, as ``instances.csv`` writes them."""


@dataclass(frozen=True)
class Instance:
    """One line of ``instances.csv``.

    Parameters
    ----------
    onnx, vnnlib : str
        Paths below the folder.
    timeout : float
        Seconds.
    expected : str
        What ``verdicts.csv`` says; empty where there is none.
    trusted : bool
        Whether that counts as evidence: ``sat`` or ``unsat``, and not merely by a majority of
        tools that contradict each other.
    """

    onnx: str
    vnnlib: str
    timeout: float
    expected: str = ""
    trusted: bool = False

    @property
    def key(self) -> Key:
        """The pair that names it in files of results."""
        return self.onnx, self.vnnlib

    def agreement(self, verdict: str) -> str:
        """``right``, ``wrong``, ``ignored`` where the evidence is no good, or nothing."""
        if verdict not in DECIDED or self.expected in ("", "unknown"):
            return ""
        if not self.trusted:
            return "ignored"
        return "right" if verdict == self.expected else "wrong"


@dataclass(frozen=True)
class InstanceResult:
    """The result of one instance.

    ``verdict`` is a word of VNN-COMP, or ``error``: the instance cannot be read, or its process
    died; ``note`` says why. ``seconds`` include reading the files; ``processor`` is the processor
    time of all threads, 0 where it is not known. ``timeout`` is the limit that applied.
    ``shortfall`` and ``phases`` are those of a `PropertyReport`.
    """

    instance: Instance
    verdict: str
    seconds: float
    timeout: float
    explored: int
    method: str
    note: str = ""
    processor: float = 0.0
    shortfall: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """True for a yes or no within the time limit."""
        return self.verdict in DECIDED and self.seconds <= self.timeout

    @property
    def agreement(self) -> str:
        """See `Instance.agreement`."""
        return self.instance.agreement(self.verdict)


def result_rows(
    path: Path, instances: Sequence[Instance], method: str | None
) -> RowType[InstanceResult]:
    """The rows of a file of results, a CSV table.

    Reading raises `BadData` where a result is about another instance, and `InputError` where it was
    found by another ``method``.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    instances : sequence of Instance
        All that the folder has.
    method : str or None
        None for any.
    """
    known = {instance.key: instance for instance in instances}

    def result(cells: Mapping[str, str]) -> InstanceResult:
        seconds, timeout = float(cells["seconds"]), float(cells["timeout"])
        processor = float(cells["processor"])
        short = float(cells["shortfall"]) if cells["shortfall"] else None
        phases = {name: float(cells[name]) for name in PHASES if cells[name]}
        explored, vnnlib = int(cells["explored"]), cells["vnnlib"]
        instance = known.get((cells["onnx"], vnnlib))
        if instance is None:
            raise BadData(
                f"'{path}' is about '{vnnlib}', which the folder does not list", _ANOTHER_FILE
            )
        if (used := cells["method"]) != method and method is not None:
            raise InputError(
                f"'{path}' holds results of method '{used}', and not of '{method}'", _ANOTHER_FILE
            )
        verdict, note = cells["verdict"], cells["note"]
        # Written so that NaN is no number of seconds.
        spent = (seconds, processor, *phases.values())
        fine = all(0 <= each < math.inf for each in spent) and 0 < timeout < math.inf
        fine &= short is None or 0 < short < math.inf
        if not (fine and verdict in VERDICTS):
            raise ValueError(f"no result: {verdict} after {seconds} of {timeout} s")
        told = (explored, used, note, processor, short, phases)
        return InstanceResult(instance, verdict, seconds, timeout, *told)

    return RowType("benchmark", _cells, result, COLUMNS)


_ANOTHER_FILE = "give another file to `out`"


def _cells(result: InstanceResult) -> dict[str, str]:
    instance = result.instance
    return {
        "onnx": instance.onnx,
        "vnnlib": instance.vnnlib,
        "verdict": result.verdict,
        "seconds": f"{result.seconds:.3f}",
        "processor": f"{result.processor:.3f}",
        "timeout": f"{result.timeout:g}",
        "explored": str(result.explored),
        "shortfall": "" if result.shortfall is None else f"{result.shortfall:.6g}",
        **{name: _seconds(result.phases.get(name)) for name in PHASES},
        "expected": instance.expected,
        "agreement": result.agreement,
        "method": result.method,
        "note": " ".join(result.note.split()),
    }


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


@dataclass(frozen=True)
class BenchmarkSummary:
    """All results of a benchmark.

    ``total`` counts the instances asked for and ``done`` those with a result; ``decided`` those
    with a yes or no within their time limit, ``known`` those that ``verdicts.csv`` has a trusted
    answer for. ``right``, ``wrong`` and ``ignored`` compare with it (late answers included).
    ``processor_seconds`` is the processor time of all.
    """

    total: int
    done: int
    decided: int
    known: int
    right: int
    wrong: tuple[InstanceResult, ...]
    ignored: int
    verdicts: dict[str, int]
    median_seconds: float | None
    max_seconds: float | None
    processor_seconds: float

    @property
    def late(self) -> int:
        """The number of those with a yes or no after their time limit."""
        return sum(self.verdicts.get(word, 0) for word in DECIDED) - self.decided

    def ended(self, words: Sequence[str]) -> dict[str, int]:
        """Count the instances that ended with each of these words, where some did.

        A late yes or no is a ``timeout``, too.
        """
        counts = Counter(self.verdicts)
        counts["timeout"] += self.late
        return {word: counts[word] for word in words if counts[word]}

    @classmethod
    def of(
        cls, instances: Sequence[Instance], results: Sequence[InstanceResult]
    ) -> BenchmarkSummary:
        """The summary of some results; times are those of the decided instances."""
        agreements = Counter(result.agreement for result in results)
        seconds = [result.seconds for result in results if result.decided]
        return cls(
            total=len(instances),
            done=len(results),
            decided=len(seconds),
            known=sum(instance.trusted for instance in instances),
            right=agreements["right"],
            wrong=tuple(result for result in results if result.agreement == "wrong"),
            ignored=agreements["ignored"],
            verdicts=dict(sorted(Counter(result.verdict for result in results).items())),
            median_seconds=statistics.median(seconds) if seconds else None,
            max_seconds=max(seconds) if seconds else None,
            processor_seconds=sum(result.processor for result in results),
        )
