"""The schema ``sensverify.diff/1``."""

from __future__ import annotations

from typing import Any

import numpy as np

from sensverify.core.plain import finite
from sensverify.report.gates import gate_dict
from sensverify.report.record import header, result_text
from sensverify.report.verification.json import certificate_dict, method_dict, model_dict
from sensverify.verification.comparison import DiffReport, DiffSample

SCHEMA = "sensverify.diff/1"


def diff_to_json(report: DiffReport) -> str:
    """The comparison as one JSON object and a newline.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    counts = report.counts
    return result_text(
        {
            **header(SCHEMA, report.record),
            "old": model_dict(report.old),
            "new": model_dict(report.new),
            "method": method_dict(report.method, report.settings),
            "guarantee": report.guarantee.name,
            "input": {
                **report.perturbation.as_dict(),
                "samples_sha256": report.samples_sha256,
                "dtype": "float64",
                "seed": report.seed,
            },
            "paired": report.paired,
            "subtracted": list(report.apart),
            "permuted": list(report.permuted),
            "same": report.same,
            "class_names": list(report.class_names),
            "device": report.device,
            "seconds": report.seconds,
            "interrupted": report.interrupted,
            "certificate": None
            if report.certificate is None
            else certificate_dict(report.certificate),
            "gates": [gate_dict(gate) for gate in report.gates],
            "summary": {
                "samples": len(report.samples),
                "asked": report.asked,
                "agrees": counts["agrees"],
                "differs": counts["differs"],
                "undecided": counts["undecided"],
                "largest_difference": finite(report.largest),
                "mean_width": finite(report.width),
                "narrower": finite(report.narrower),
            },
            "samples": [_sample(sample) for sample in report.samples],
        }
    )


def _sample(sample: DiffSample) -> dict[str, Any]:
    found = sample.disagreement
    return {
        "index": sample.index,
        "label": sample.label,
        "old": sample.old,
        "new": sample.new,
        "agreement": sample.agreement,
        "difference": _ends(sample.lower, sample.upper),
        "attained": _ends(sample.attained_lower, sample.attained_upper),
        "exact": sample.exact,
        "float32_margin": _margins(sample),
        "width_apart": finite(sample.apart),
        "disagreement": None
        if found is None
        else {
            "old": found.old,
            "new": found.new,
            "old_outputs": found.old_outputs.tolist(),
            "new_outputs": found.new_outputs.tolist(),
            "input": found.input.ravel().tolist(),
        },
        "stopped": sample.stopped,
        "seconds": sample.seconds,
    }


def _margins(sample: DiffSample) -> list[float] | None:
    """None where none were taken, or one is not finite."""
    margins = sample.float32_margin
    return None if margins is None or not np.isfinite(margins).all() else margins.tolist()


def _ends(lower: np.ndarray, upper: np.ndarray) -> dict[str, list[float]]:
    return {"lower": lower.tolist(), "upper": upper.tolist()}
