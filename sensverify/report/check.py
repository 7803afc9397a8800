"""Report of a certificate's check, as text and as JSON. Importing this brings in no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from sensverify.certificates import Certificate, Checked, Claims
from sensverify.report.document import Document, Facts, Text
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
    """A certificate, a file of ``size`` bytes, and what became of it.

    Without a ``certificate`` it is about another model, and was not read any further. Where it is
    not ``checked`` it was rejected for a ``reason``. ``property`` is the file it had to cover.
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
            **({} if certificate.ending is None else {"ending": asdict(certificate.ending)}),
        },
        "claim": "bounds" if claims.groups is None else "refutation",
        "boxes": [_box(claims, i) for i in range(claims.problems)],
        "provenance": _plain(certificate.provenance),
    }


def check_document(report: CheckReport) -> Document:
    """The proven claims and what may be relied on, or why the certificate is rejected."""
    if report.checked is None:
        return Document.of(Text(f"rejected: {_one_line(str(report.reason))}", "whole"))
    facts = [(name, _one_line(text)) for name, text in check_lines(report, report.checked)]
    return Document.of(Facts(facts, "whole"), Text(verdict_text(report), "whole"))


def _one_line(text: str) -> str:
    return " ".join(text.split())


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
    if certificate.ending is not None:
        lines.append(("outputs", f"the logits: {certificate.ending}"))
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
    ends = enumerate(zip(lower, upper, strict=True))
    return "; ".join(f"{low!r} <= x{i} <= {high!r}" for i, (low, high) in ends)


def _claimed(checked: Checked, certificate: Certificate) -> str:
    outputs = shape_text(certificate.outputs, "x")
    if certificate.claims.groups is None:
        what = count_of(checked.claims, "lower bound")
        return f"{what} on linear functions of {outputs} outputs"
    return (
        f"{count_of(checked.claims, 'set')} of constraints on {outputs} outputs that no input meets"
    )


def _box_text(claims: Claims, problem: int) -> str:
    """Rows C and -C as intervals, others as they are; the first ones, and how many there are."""
    rows = claims.rows[problem if len(claims.rows) > 1 else 0]
    limits, half = claims.limits[problem].tolist(), len(rows) // 2
    if claims.groups is not None:
        groups = claims.groups[problem]
        known = np.unique(groups[groups >= 0])
        count = len(known)
        texts = []
        for group in known[:ROWS]:
            places = np.flatnonzero(groups == group)
            parts = [f"{row_text(rows[i])} <= {limits[i]!r}" for i in places]
            texts.append(f"never {' and '.join(parts)}")
    elif len(rows) == 2 * half and bool((rows[half:] == -rows[:half]).all()):
        count = half
        texts = [
            f"{low!r} <= {row_text(row)} <= {0.0 - high!r}"
            for row, low, high in zip(rows[: min(ROWS, half)], limits, limits[half:], strict=False)
        ]
    else:
        count = len(rows)
        pairs = zip(rows[:ROWS], limits, strict=False)
        texts = [f"{row_text(row)} >= {limit!r}" for row, limit in pairs]
    shown = clipped("; ".join(texts), _LINE)
    return shown if count <= ROWS else f"{shown}; and {count - ROWS} more"


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
