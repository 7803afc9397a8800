"""Report of a certificate's check, as text and as JSON. Importing this brings in no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from sensverify.certificates import Certificate, Checked, Claims
from sensverify.report.formatting import clipped, count_of, shape_text

SCHEMA = "sensverify.check/1"

BOXES = 3
"""Boxes whose claims are listed; the others are counted."""

INPUTS = 6
"""Inputs up to which a box is spelled out."""

ROWS = 6
"""Claims about one box that are listed."""

_LINE = 401
"""Characters of a line about the claims."""

_DEEPEST = 8
"""Levels of the account that JSON repeats: nobody has checked what a file holds there."""

_LONGEST = 121
"""Characters of a text from the certificate's own account of where it comes from."""


@dataclass(frozen=True, eq=False)
class CheckReport:
    """A certificate and what became of it.

    Parameters
    ----------
    path, model : str
        Of the certificate and of the ONNX file.
    size : int
        Bytes of the certificate's file.
    certificate : Certificate or None
        None: it is about another model, and was not read any further.
    arithmetic : str
    property : str or None
        The property file that it had to cover.
    checked : Checked or None
        None: it was rejected.
    reason : str or None
        Why it was.
    """

    path: str
    size: int
    model: str
    certificate: Certificate | None
    arithmetic: str
    property: str | None
    checked: Checked | None
    reason: str | None = None


def check_to_json(report: CheckReport) -> str:
    """The report as one JSON object of the schema ``sensverify.check/1``, and a newline."""
    checked = report.checked
    values = {
        "schema": SCHEMA,
        "holds": checked is not None,
        "reason": report.reason,
        "guarantee": None if checked is None else "CERTIFIED",
        "certificate": {"path": report.path, "bytes": report.size},
        "model": {"path": report.model},
        "property": report.property,
        **_contents(report.certificate),
        "claims": None if checked is None else checked.claims,
        "leaves": None if checked is None else checked.cells,
        "slack": None if checked is None else _plain(checked.slack),
        "arithmetic": report.arithmetic,
        "seconds": None if checked is None else checked.seconds,
    }
    return json.dumps(values, allow_nan=False, indent=2) + "\n"


def _contents(certificate: Certificate | None) -> dict[str, Any]:
    """Contents of a certificate; empty where it is about another model."""
    if certificate is None:
        return {"about": None, "claim": None, "boxes": [], "provenance": {}}
    claims = certificate.claims
    return {
        # Where it holds, the model is just that.
        "about": {
            "sha256": certificate.model_sha256,
            "inputs": list(certificate.inputs),
            "outputs": list(certificate.outputs),
        },
        "claim": "bounds" if claims.groups is None else "refutation",
        "boxes": [_box(claims, i) for i in range(claims.problems)],
        "provenance": _plain(certificate.provenance),
    }


def check_lines(report: CheckReport, checked: Checked) -> list[tuple[str, str]]:
    """Proven claims, as names and texts; the texts may hold anything that the file does."""
    certificate = report.certificate
    assert certificate is not None, "what was checked has been read"
    boxes, inputs = count_of(checked.problems, "box", "boxes"), shape_text(certificate.inputs, "x")
    lines = [
        ("certificate", f"{report.path} ({report.size:,} bytes)"),
        ("model", f"{report.model}, SHA-256 {certificate.model_sha256}"),
        ("claims", f"{boxes} of {inputs} inputs, {_claimed(checked, certificate)}"),
    ]
    for problem in range(min(checked.problems, BOXES)):
        lines.append((f"  box {problem}", _input_text(certificate.claims, problem)))
        lines.append(("  claims", _box_text(certificate.claims, problem)))
    if checked.problems > BOXES:
        lines.append(("", f"and {count_of(checked.problems - BOXES, 'more box', 'more boxes')}"))
    found = _origin(certificate.provenance)
    lines.append(("proof", f"{count_of(checked.cells, 'leaf', 'leaves')}{found}"))
    slack = "" if checked.slack is None else f"; the closest claim holds by {checked.slack:.2g}"
    lines.append(("check", f"{checked.arithmetic} arithmetic, {checked.seconds:.2f} s{slack}"))
    if report.property is not None:
        lines.append(("property", f"{report.property}: every case of it is refuted"))
    return lines


def verdict_text(report: CheckReport) -> str:
    """The last line: what may be relied on."""
    about = "for the real-valued function of the weights that the model's file stores"
    if report.property is not None:
        return f"CERTIFIED: no input meets the property, {about}"
    return f"CERTIFIED: every claim holds, {about}"


def row_text(row: np.ndarray) -> str:
    """A linear function of the outputs: ``y0 - 2.5 y3``."""
    text = ""
    for place in np.flatnonzero(row).tolist():
        value = float(row[place])
        size = "" if abs(value) == 1 else f"{abs(value)!r} "
        sign = (" - " if value < 0 else " + ") if text else ("-" if value < 0 else "")
        text += f"{sign}{size}y{place}"
    return text or "0"


def _box(claims: Claims, problem: int) -> dict[str, Any]:
    """One box, the rows of linear functions on it, and their limits, as they are certified."""
    rows = claims.rows[problem if len(claims.rows) > 1 else 0]
    values: dict[str, Any] = {
        "lower": claims.lower[problem].tolist(),
        "upper": claims.upper[problem].tolist(),
        "rows": rows.tolist(),
        "limits": _plain(claims.limits[problem].tolist()),
    }
    if claims.groups is not None:
        values["groups"] = claims.groups[problem].tolist()
    return values


def _input_text(claims: Claims, problem: int) -> str:
    lower, upper = claims.lower[problem].tolist(), claims.upper[problem].tolist()
    moving = sum(low < high for low, high in zip(lower, upper, strict=True))
    if len(lower) > INPUTS:
        return f"{moving:,} of {len(lower):,} inputs move"
    return "; ".join(
        f"{low!r} <= x{i} <= {high!r}"
        for i, (low, high) in enumerate(zip(lower, upper, strict=True))
    )


def _claimed(checked: Checked, certificate: Certificate) -> str:
    outputs = shape_text(certificate.outputs, "x")
    if certificate.claims.groups is None:
        what = count_of(checked.claims, "lower bound", "lower bounds")
        return f"{what} on linear functions of {outputs} outputs"
    what = count_of(checked.claims, "set", "sets")
    return f"{what} of constraints on {outputs} outputs that no input meets"


def _box_text(claims: Claims, problem: int) -> str:
    rows = claims.rows[problem if len(claims.rows) > 1 else 0]
    if claims.groups is None:
        texts = _ranges(claims, rows, problem)
        count = len(texts)
    else:
        groups = claims.groups[problem]
        known = np.unique(groups[groups >= 0])
        texts, count = _refuted(claims, rows, problem, known[:ROWS]), len(known)
    more = count - ROWS
    shown = clipped("; ".join(texts[:ROWS]), _LINE)
    return shown if more <= 0 else f"{shown}; and {more} more"


def _ranges(claims: Claims, rows: np.ndarray, problem: int) -> list[str]:
    """Rows C and -C as intervals, others as they are."""
    limits, half = claims.limits[problem].tolist(), len(rows) // 2
    if len(rows) == 2 * half and bool((rows[half:] == -rows[:half]).all()):
        return [
            f"{low!r} <= {row_text(row)} <= {0.0 - high!r}"
            for row, low, high in zip(rows[:half], limits[:half], limits[half:], strict=True)
        ]
    return [f"{row_text(row)} >= {limit!r}" for row, limit in zip(rows, limits, strict=True)]


def _refuted(claims: Claims, rows: np.ndarray, problem: int, numbers: np.ndarray) -> list[str]:
    assert claims.groups is not None
    limits, groups = claims.limits[problem].tolist(), claims.groups[problem]
    return [
        "never "
        + " and ".join(f"{row_text(rows[i])} <= {limits[i]!r}" for i in np.flatnonzero(groups == g))
        for g in numbers
    ]


def _origin(provenance: Mapping[str, Any]) -> str:
    """By what a proof was found, as its file tells it; nobody has checked that."""
    method, settings = provenance.get("method"), provenance.get("settings")
    if method is None:
        return ""
    text = str(method)
    if isinstance(settings, dict) and settings:
        text += f" ({', '.join(f'{key}={value}' for key, value in islice(settings.items(), 20))})"
    versions = provenance.get("versions")
    if isinstance(versions, dict) and "sensverify" in versions:
        text += f", sensverify {versions['sensverify']}"
    return f", found by {clipped(text, _LONGEST)}"


def _plain(value: Any, depth: int = _DEEPEST) -> Any:
    """Values as JSON has them: infinity, NaN and what is nested too deeply become text."""
    if isinstance(value, Mapping | list):
        if not depth:
            return "…"
        if isinstance(value, list):
            return [_plain(item, depth - 1) for item in value]
        return {key: _plain(item, depth - 1) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
