"""Temperature scaling as JSON."""

from __future__ import annotations

from typing import Any

from sensverify.classification.predictions import Classified
from sensverify.evaluation.temperature import Calibration
from sensverify.report.evaluation.json import classified_dict
from sensverify.report.record import header, result_text
from sensverify.report.verification.json import model_dict

SCHEMA = "sensverify.calibrate/2"


def calibration_to_json(found: Calibration) -> str:
    """Temperature scaling as one JSON object and a newline.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return result_text(
        {
            **header(SCHEMA, found.record),
            "model": model_dict(found.model),
            "data": {
                "name": found.data,
                "samples": found.fitted + found.before.samples,
                "samples_sha256": found.samples_sha256,
            },
            "fit_share": found.fit_share,
            "fitted": found.fitted,
            "judged": found.before.samples,
            "temperature": found.temperature,
            "before": _part(found.before, found.loss_before),
            "after": _part(found.after, found.loss_after),
        }
    )


def _part(found: Classified, loss: float) -> dict[str, Any]:
    return {"cross_entropy": loss, "classified": classified_dict(found)}
