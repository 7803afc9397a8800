"""The schema ``sensverify.slopes/1``."""

from __future__ import annotations

from typing import Any

from sensverify.core.plain import finite
from sensverify.report.record import header, result_text
from sensverify.report.verification.json import method_dict, model_dict
from sensverify.verification.slope_bounds import (
    NORMS,
    MonotonySample,
    SlopeReport,
    SlopeSample,
)

SCHEMA = "sensverify.slopes/1"

_NAMES = dict(zip(NORMS, ("l1", "l2", "linf"), strict=True))


def slopes_to_json(report: SlopeReport) -> str:
    """The slopes as one JSON object and a newline.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return result_text(
        {
            **header(SCHEMA, report.record),
            "model": model_dict(report.model),
            "method": method_dict(report.method, report.settings),
            "parts": report.parts,
            "input": {
                **report.perturbation.as_dict(),
                "samples_sha256": report.samples_sha256,
                "dtype": "float64",
                "seed": report.seed,
            },
            "asked": [str(each) for each in report.asked],
            "seconds": report.seconds,
            "interrupted": report.interrupted,
            "summary": {
                "samples": len(report.samples),
                "asked": report.total,
                "lipschitz": {_NAMES[norm]: finite(report.largest(norm)) for norm in NORMS},
                **{w: report.verdicts.count(w) for w in ("proven", "refuted", "undecided")},
            },
            "samples": [_sample(sample) for sample in report.samples],
        }
    )


def _sample(sample: SlopeSample) -> dict[str, Any]:
    return {
        "index": sample.index,
        "lipschitz": {
            _NAMES[norm]: {
                "attained": finite(sample.attained[norm]),
                "proven": finite(sample.lipschitz[norm]),
            }
            for norm in NORMS
        },
        "monotony": [_monotony(each) for each in sample.monotony],
        "jacobian": {"lower": sample.lower.tolist(), "upper": sample.upper.tolist()},
        "seconds": sample.seconds,
    }


def _monotony(each: MonotonySample) -> dict[str, Any]:
    return {
        "asked": str(each.asked),
        "output": each.output,
        "verdict": each.verdict,
        "inputs": [x.ravel().tolist() for x in each.inputs] if each.inputs is not None else None,
        "values": None if each.values is None else each.values.tolist(),
    }
