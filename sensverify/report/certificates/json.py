"""The check of a certificate as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sensverify.certificates import Certificate, Claims, Ending
from sensverify.report.certificates.claims import rows_of
from sensverify.report.certificates.results import CheckReport
from sensverify.report.ends import ends_dict
from sensverify.report.record import header, result_text

SCHEMA = "sensverify.check/2"

_DEEPEST = 8
"""Levels of the account that JSON repeats: nobody has checked what a file holds there."""


def check_to_json(report: CheckReport) -> str:
    """The report as one JSON object of the schema ``sensverify.check/2``, and a newline."""
    checked, certificate = report.checked, report.certificate
    values = {
        **header(SCHEMA, report.record),
        "holds": checked is not None,
        "reason": report.reason,
        "guarantee": None if checked is None else "CERTIFIED",
        "certificate": {
            "path": report.path,
            "sha256": report.certificate_sha256,
            "bytes": report.size,
        },
        "model": {
            "path": report.model,
            "sha256": report.model_sha256,
            **ends_dict(report.signature),
        },
        "new_model": report.new_model,
        "runtime_check": report.runtime_check,
        "property": report.property,
        "about": None if certificate is None else _about(certificate),
        "claim": None if certificate is None else _kind(certificate),
        "boxes": [] if certificate is None else _boxes_of(certificate.claims),
        "provenance": {} if certificate is None else plain_value(certificate.provenance),
        "claims": None if checked is None else checked.claims,
        "leaves": None if checked is None else checked.cells,
        "slack": None if checked is None else plain_value(checked.slack),
        "arithmetic": report.arithmetic,
        "seconds": None if checked is None else checked.seconds,
    }
    return result_text(values)


def _about(certificate: Certificate) -> dict[str, Any]:
    # Where it holds, the model is just that.
    own = {
        "sha256": certificate.model_sha256,
        "inputs": list(certificate.inputs),
        "outputs": list(certificate.outputs),
        "ending": _ending(certificate.ending),
    }
    new = certificate.new
    if new is None:
        return {**own, "new": None}
    return {
        **own,
        "new": {"sha256": new.sha256, "paired": new.paired, "ending": _ending(new.ending)},
    }


def _ending(ending: Ending | None) -> dict[str, Any] | None:
    if ending is None:
        return None
    return {**asdict(ending), "operators": list(ending.operators)}


def _kind(certificate: Certificate) -> str:
    return "bounds" if certificate.claims.groups is None else "refutation"


def _boxes_of(claims: Claims) -> list[dict[str, Any]]:
    return [_box(claims, problem) for problem in range(claims.problems)]


def _box(claims: Claims, problem: int) -> dict[str, Any]:
    """One box, the rows of linear functions on it, and their limits, as they are certified."""
    rows = rows_of(claims, problem)
    values: dict[str, Any] = {
        "lower": claims.lower[problem].tolist(),
        "upper": claims.upper[problem].tolist(),
        "rows": rows.tolist(),
        "limits": plain_value(claims.limits[problem].tolist()),
    }
    groups = None if claims.groups is None else claims.groups[problem].tolist()
    return {**values, "groups": groups}


def plain_value(value: Any, depth: int = _DEEPEST) -> Any:
    """Values as JSON has them: infinity, NaN and what is nested too deeply become text."""
    if isinstance(value, Mapping | list):
        if not depth:
            return "…"
        if isinstance(value, list):
            return [plain_value(item, depth - 1) for item in value]
        return {key: plain_value(item, depth - 1) for key, item in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
