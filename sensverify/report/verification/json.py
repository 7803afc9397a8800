"""The schema ``sensverify.verify/2``, and what the JSON of several commands says alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from sensverify.core.digests import sha256
from sensverify.core.plain import finite
from sensverify.report.ends import ends_dict
from sensverify.report.gates import gate_dict
from sensverify.report.record import header, result_text
from sensverify.verification import Counterexample, ModelFacts
from sensverify.verification.certification import Certification
from sensverify.verification.classes import ClassResult
from sensverify.verification.results import SampleResult, VerifyReport
from sensverify.verification.thresholds import deviations

SCHEMA = "sensverify.verify/2"

_ASKED = ("threshold", "top_k", "targets", "costs", "max_deviation", "output_range", "decide")


def report_to_json(report: VerifyReport) -> str:
    """The report as one JSON object and a newline.

    Every key is always there, null where there is nothing to say; ``sensverify schema verify``
    prints what each is. Every number is finite: a volume that does not fit a double is null and
    ``log_volume`` carries it; the log-volume of a box with a zero width is null and ``degenerate``
    lists the outputs. The means of log-volumes leave degenerate samples out, and are null when no
    other is there.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return result_text(report_to_dict(report))


def report_to_dict(report: VerifyReport) -> dict[str, Any]:
    """The report as the values of the schema."""
    certified = report.certification
    return {
        **header(SCHEMA, report.record),
        "model": model_dict(report.model),
        "unstable": report.model.unstable,
        "method": method_dict(report.method, report.settings),
        "guarantee": report.guarantee.name,
        "certificate": None if certified is None else certificate_dict(certified),
        "input": {
            **report.perturbation.as_dict(),
            "samples_sha256": report.samples_sha256,
            "dtype": report.dtype,
            "seed": report.seed,
        },
        "asked": _asked(report),
        "class_names": list(report.class_names),
        "device": report.device,
        "seconds": report.seconds,
        "interrupted": report.interrupted,
        "gates": [gate_dict(gate) for gate in report.gates],
        "baseline": report.baseline,
        "summary": asdict(report.summary),
        "classes": [_class(each) for each in report.classes] if report.per_class else None,
        "samples": [_sample(sample, report) for sample in report.samples],
    }


def _asked(report: VerifyReport) -> dict[str, Any]:
    asked = {name: report.asked.get(name) for name in _ASKED}
    if asked["costs"] is not None:
        asked["costs"] = {
            "path": asked["costs"],
            "confusions_sha256": report.confusions_sha256,
        }
    return asked


def _sample(sample: SampleResult, report: VerifyReport) -> dict[str, Any]:
    margins, float32, example = sample.margins, sample.float32_margin, sample.counterexample
    known = float32 is not None and bool(np.isfinite(float32).all())
    asked = report.max_deviation is not None
    return {
        "index": sample.index,
        "label": sample.label,
        "prediction": sample.prediction,
        "label_kept": sample.label_kept,
        "prediction_kept": sample.kept_word if sample.judged == "prediction" else "unasked",
        "margin": None if sample.margin is None else finite(sample.margin),
        "margins": None if margins is None else _numbers(margins),
        "counterexample": None if example is None else _counterexample(example),
        "explored": sample.explored,
        "status": sample.status.value,
        "outputs": sample.output.tolist(),
        "outer": _ends(sample.lower, sample.upper),
        "inner": _ends(sample.inner_lower, sample.inner_upper),
        "proposed": _ends(sample.proposed_lower, sample.proposed_upper),
        "float32_margin": float32.tolist() if float32 is not None and known else None,
        "probabilities": _ends(sample.probability_lower, sample.probability_upper),
        "deviation": _numbers(deviations(sample, report.model.head)) if asked else None,
        "widths": sample.widths.tolist(),
        "log_volume": sample.log_volume,
        "volume": sample.volume,
        "degenerate": list(sample.degenerate),
        "stopped": sample.stopped,
        "seconds": sample.seconds,
    }


def _counterexample(example: Counterexample) -> dict[str, Any]:
    return {
        "prediction": example.prediction,
        "outputs": example.outputs.tolist(),
        "input": example.input.ravel().tolist(),
        "outside": example.outside,
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    return list(map(finite, values.tolist()))


def _class(each: ClassResult) -> dict[str, Any]:
    names = ("certified_fraction", "accuracy")
    return {**asdict(each), **{name: getattr(each, name) for name in names}}


def _ends(lower: np.ndarray | None, upper: np.ndarray | None) -> dict[str, list[float]] | None:
    if lower is None or upper is None:
        return None
    return {"lower": lower.tolist(), "upper": upper.tolist()}


def model_dict(model: ModelFacts) -> dict[str, Any]:
    """The model that was asked about, and what was cut off at its end."""
    head = model.head
    return {
        "name": model.name,
        "path": model.path,
        "sha256": model.sha256,
        "inputs": list(model.inputs),
        "outputs": list(model.outputs),
        "parameters": model.parameters,
        "head": head and {"operators": list(head.operators), "classes": list(head.classes)},
        "unproven_because": model.opaque,
        **ends_dict(model.signature),
    }


def method_dict(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The method that bounded or answered."""
    return {"name": name, "settings": settings}


def certificate_dict(certification: Certification) -> dict[str, Any]:
    """A certificate: its file, if any, and the check that it has passed."""
    return {
        "path": certification.path,
        "sha256": sha256(certification.data),
        "bytes": len(certification.data),
        "arithmetic": certification.checked.arithmetic,
        "check_seconds": certification.seconds,
    }
