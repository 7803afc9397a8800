"""The schema ``sensverify.landscape-report/1``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sensverify.landscape.findings import Findings
from sensverify.report.landscape.sentences import claim_sentence
from sensverify.report.landscape.values import tables
from sensverify.report.record import header, result_text

SCHEMA = "sensverify.landscape-report/1"


def landscape_to_json(found: Findings) -> str:
    """A landscape with its measurements and its answers as one JSON object and a newline.

    * ``title``, ``landscape`` (what was asked), ``complete``, ``settings`` of the measurements.
    * ``claim``: ``verdict``, ``sentence``, ``column`` and its correlations.
    * ``counts`` of minima, saddles, ...
    * ``tables``: each its ``name``, its ``columns``, and ``rows`` of values, null where there is
      none. They are those of the CSV files.
    """
    claim = found.answers.claim
    answer = claim.answer
    estimates: dict[str, Any] = dict.fromkeys(("spearman", "kendall", "partial"))
    if answer is not None:
        estimates = {name: _estimate(getattr(answer, name)) for name in estimates}
    values = {
        **header(SCHEMA, found.record),
        "title": found.title,
        "landscape": found.request.as_dict()["landscape"],
        "complete": found.complete,
        "settings": found.settings.plain(),
        "claim": {
            "verdict": claim.verdict,
            "sentence": claim_sentence(found),
            "column": None if claim.column is None else claim.column.name,
            "minima": None if answer is None else answer.networks,
            **estimates,
        },
        "counts": {
            "minima": len(found.keys),
            "measured": len(found.minima),
            "repeated": len(found.repeats),
            "stationary": len(found.stationary),
            "saddles": len(found.saddles),
            "parts": len(found.tree.parts),
            "funnels": len(found.funnels),
        },
        "tables": [
            {
                "name": data.name,
                "columns": list(data.columns),
                "rows": [list(row) for row in data.rows],
            }
            for data in tables(found)
        ],
    }
    return result_text(values)


def _estimate(estimate: Any) -> dict[str, Any]:
    values = asdict(estimate)
    return {**values, "reason": values["reason"] or None}
