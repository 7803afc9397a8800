"""Critical radii as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sensverify.core.plain import finite
from sensverify.report.record import header, result_text
from sensverify.report.verification.json import method_dict, model_dict
from sensverify.verification.radius_results import CriticalRadiusReport, SampleRadius

SCHEMA = "sensverify.critical-radius/2"

_ASKED = ("threshold", "top_k", "targets", "costs")


def critical_radius_to_json(report: CriticalRadiusReport) -> str:
    """The report as one JSON object and a newline.

    Radii are in ``search.unit``; an ``attacked`` end or a median that is infinite is null: no
    counterexample is known up to ``search.max_radius``.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return result_text(critical_radius_to_dict(report))


def critical_radius_to_dict(report: CriticalRadiusReport) -> dict[str, Any]:
    """The report as the values of the schema."""
    limits, summary = report.limits, asdict(report.summary)
    summary["median_attacked"] = finite(report.summary.median_attacked)
    return {
        **header(SCHEMA, report.record),
        "model": model_dict(report.model),
        "method": method_dict(report.method, report.settings),
        "guarantee": report.guarantee.name,
        "input": {
            **report.perturbation.as_dict(),
            "samples_sha256": report.samples_sha256,
            "dtype": report.dtype,
            "seed": report.seed,
        },
        "class_names": list(report.model.output_names),
        "search": {
            "unit": report.unit,
            "first_radius": limits.first,
            "max_radius": limits.largest,
            "accuracy": limits.accuracy,
            "steps": limits.steps,
            **{name: report.asked.get(name) for name in _ASKED},
        },
        "device": report.device,
        "seconds": report.seconds,
        "interrupted": report.interrupted,
        "samples": [_sample(sample) for sample in report.samples],
        "summary": {**summary, "asked": report.total},
    }


def _sample(sample: SampleRadius) -> dict[str, Any]:
    return {
        "index": sample.index,
        "label": sample.label,
        "prediction": sample.prediction,
        "proven": sample.proven,
        "attacked": finite(sample.attacked),
        "becomes": sample.becomes,
        "steps": sample.steps,
        "seconds": sample.seconds,
        "stopped": sample.stopped,
    }
