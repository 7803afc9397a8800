"""The schema ``sensverify.analyse/2``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sensverify.registry.calls import Call
from sensverify.report.record import header, result_text
from sensverify.report.scores.document import Analysed

SCHEMA = "sensverify.analyse/2"


def analysis_to_json(found: Analysed) -> str:
    """An analysis as one JSON object and a newline.

    * ``kind`` and ``settings`` of the analysis.
    * ``samples``, ``networks``, ``shifts``, ``measures`` and ``sources`` of the table.
    * ``tables``: each its ``name``, its ``columns``, and ``rows`` of values, null where there is
      none. They are those of ``csv``.
    """
    scores = found.scores
    values = {
        **header(SCHEMA, found.record),
        "kind": found.call.name,
        "settings": {key: _plain(value) for key, value in found.call.settings.items()},
        "samples": scores.samples,
        "networks": [{"name": n.name, "sha256": n.sha256} for n in scores.networks],
        "shifts": [asdict(each) for each in scores.shifts],
        "measures": list(scores.measures),
        "sources": [asdict(each) for each in scores.sources],
        "tables": [
            {
                "name": data.name,
                "columns": list(data.columns),
                "rows": [list(row) for row in data.rows],
            }
            for data in found.section.data
        ],
    }
    return result_text(values)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Call) else value
