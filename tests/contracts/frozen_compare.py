"""How what a command wrote is compared with what it wrote when the reference was recorded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

FLOAT64 = 1e-9
"""Relative difference for what was computed in float64."""
FLOAT32 = 1e-5
"""The same for float32, some hundred roundings: sums run in another order elsewhere."""

# ---- what may change from run to run and from machine to machine: only there, and of its type ----

VOLATILE = frozenset(
    {
        # Time and memory.
        "seconds",
        "check_seconds",
        "processor",
        "processor_seconds",
        "looking",
        "bounding",
        "splitting",
        "peak_memory",
        "peak_memory_bytes",
        # Machine and software.
        "machine",
        "machines",
        "command",
        "date",
        # What follows from the last bits of weights or of multipliers.
        "weights_sha256",
        "initial_weights",
        "bytes",
        "slack",
    }
)
"""Keys, and columns of CSV files."""

VOLATILE_IN_FILE = {
    # A digest of the trained network's file.
    "model.json": frozenset({"sha256"}),
    "trained.json": frozenset({"sha256"}),
    # Digests of a question, in which versions are.
    "journal.jsonl": frozenset({"key"}),
    # A study shares the cores that there are.
    "study.json": frozenset({"threads"}),
}
"""More of them, by the name of the file that they stand in."""

VOLATILE_TEXT = (
    # Where the shipped models lie.
    (re.compile(r"/[^\s'\"]*/(?=(?:iris|digits|mnist-conv[12])\.onnx)"), "MODELS/"),
    # Machine and software.
    (re.compile(r"^(cpu, )?[^,]+, \d+ cores?\b.*"), r"\1MACHINE"),
    (
        re.compile(
            r"\b(sensverify|torch|numpy|python|onnx|onnxruntime|highspy|cvxpy|scipy|python-flint) "
            r"\d[\w.+]*"
        ),
        r"\1 0",
    ),
    # Optional ones, which took part where another test has loaded them.
    (re.compile(r", (?:maraboupy|auto-LiRPA) \d[\w.+]*"), ""),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:Z| UTC)"), "DATE"),
    (re.compile(r"^sensverify 0, torch 0, .*"), "VERSIONS"),
    (re.compile(r"(?<=precision 32, threads )\d+"), "0"),
    # Time.
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "DATE"),
    (re.compile(r"\d[\d.,]*(?= (?:ms|s|min)\b)"), "0"),
    (re.compile(r"(?<=\()[\d,]+(?= bytes\))"), "0"),
    # How the last bits of float32 came out.
    (re.compile(r"^rounding .*"), "rounding"),
    # TensorBoard writes time and machine into the names of its files.
    (re.compile(r"(?<=tfevents).*"), ""),
)
"""What of a string, or of a line of text, is replaced, and by what."""

# --------------------------------------------------------------------------------------------------

AROUND_ZERO = re.compile(r"log|relative|gap|slack|entropy|loss|margin|ce$", re.IGNORECASE)
"""Names of numbers that are sums with terms of both signs: compared as if at least 1 in size."""

_NUMBER = re.compile(r"(?<![\w.])[-−+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")


def steady(value: Any, file: str = "") -> Any:
    """JSON, or lines of text, without what may change; ``file`` is the name of where it stands."""
    volatile = VOLATILE | VOLATILE_IN_FILE.get(file, frozenset())
    if isinstance(value, dict):
        if "check_seconds" in value:
            # The account of a certificate, in which versions are.
            volatile |= {"sha256"}
        if {"prediction", "outside"} <= {*value}:
            # Where the search for a counterexample ends depends on the last bits of gradients.
            volatile |= {"input", "outputs"}
        return {
            key: _blank(entry) if key in volatile else steady(entry, file)
            for key, entry in value.items()
            # Which packages took part depends on what else the process has loaded.
            if key != "versions"
        }
    if isinstance(value, list):
        return [steady(entry, file) for entry in value]
    if isinstance(value, str):
        for pattern, replacement in VOLATILE_TEXT:
            value = pattern.sub(replacement, value)
    return value


def _blank(value: Any) -> Any:
    """Only the keys and types of a value; a list is as long as it is."""
    if isinstance(value, dict):
        return {key: _blank(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_blank(entry) for entry in value]
    return value if value is None else type(value)()


def differences(found: Any, reference: Any, tolerance: float, where: str = "") -> Iterator[str]:
    """Lines that say where ``found`` is not ``reference``; none if they agree.

    Dictionaries have the same keys in the same order, values the same types; a number may differ
    by ``tolerance`` times its size, one of a list by ``tolerance`` times the largest of the list.
    """
    if type(found) is not type(reference):
        yield f"{where}: {_short(found)}, was {_short(reference)}"
    elif isinstance(reference, dict):
        yield from _dictionaries(found, reference, tolerance, where)
    elif isinstance(reference, list):
        yield from _lists(found, reference, tolerance, where)
    elif isinstance(reference, float):
        floor = 1.0 if AROUND_ZERO.search(where.rpartition("/")[2]) else 0.0
        if not _close(found, reference, tolerance, floor):
            yield f"{where}: {found!r}, was {reference!r}"
    elif found != reference:
        yield f"{where}: {_short(found)}, was {_short(reference)}"


def text_differences(
    found: list[str], reference: list[str], tolerance: float, where: str
) -> Iterator[str]:
    """The same for lines of text, whose numbers may also differ by one in the last digit."""
    for i, (line, was) in enumerate(zip(found, reference, strict=False), 1):
        if not _same_line(line, was, tolerance):
            yield f"{where}, line {i}: {line!r}, was {was!r}"
    if len(found) != len(reference):
        yield f"{where}: {len(found)} lines, were {len(reference)}"


def _dictionaries(
    found: dict[str, Any], reference: dict[str, Any], tolerance: float, where: str
) -> Iterator[str]:
    if list(found) != list(reference):
        yield f"{where}: keys {list(found)}, were {list(reference)}"
    for key, was in reference.items():
        if key in found:
            yield from differences(found[key], was, tolerance, f"{where}/{key}")


def _lists(found: list[Any], reference: list[Any], tolerance: float, where: str) -> Iterator[str]:
    if len(found) != len(reference):
        yield f"{where}: {len(found)} entries, were {len(reference)}"
    sizes = [abs(was) for was in reference if isinstance(was, float)]
    floor = max(sizes, default=0.0)
    for i, (one, was) in enumerate(zip(found, reference, strict=False)):
        if isinstance(one, float) and isinstance(was, float):
            if not _close(one, was, tolerance, floor):
                yield f"{where}[{i}]: {one!r}, was {was!r}"
        else:
            yield from differences(one, was, tolerance, f"{where}[{i}]")


def _close(found: float, reference: float, tolerance: float, floor: float) -> bool:
    if math.isnan(reference) or math.isinf(reference):
        return repr(found) == repr(reference)
    return abs(found - reference) <= tolerance * max(abs(reference), floor)


def _same_line(found: str, reference: str, tolerance: float) -> bool:
    if _NUMBER.split(found) != _NUMBER.split(reference):
        return False
    pairs = zip(_NUMBER.findall(found), _NUMBER.findall(reference), strict=True)
    return all(one == was or _same_number(one, was, tolerance) for one, was in pairs)


def _same_number(found: str, reference: str, tolerance: float) -> bool:
    one, was = (float(text.replace(",", "").replace("−", "-")) for text in (found, reference))
    if "." not in found + reference and "e" not in found + reference:
        return one == was
    units = 1.01 * max(_unit(found), _unit(reference))
    return abs(one - was) <= max(units, tolerance * max(abs(was), 1.0))


def _unit(text: str) -> float:
    """One in the last digit of a printed number."""
    mantissa, _, exponent = text.partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def _short(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 200 else text[:200] + '...'}"
