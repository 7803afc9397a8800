"""The schema ``sensverify.verify/1``, and what the JSON of several commands says alike."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from sensverify.core.digests import sha256
from sensverify.report.gates import gate_dict
from sensverify.verification import ModelFacts
from sensverify.verification.certifying import Certification
from sensverify.verification.classes import ClassResult
from sensverify.verification.results import SampleResult, VerifyReport
from sensverify.verification.thresholds import deviations

SCHEMA = "sensverify.verify/1"

_SUMMARY = (
    *("samples", "mean_volume", "mean_log_volume", "median_log_volume", "max_width"),
    *("certified_fraction", "accuracy"),
)


def report_to_json(report: VerifyReport) -> str:
    """The report as one JSON object and a newline.

    Every number is finite: a volume that does not fit a double is null and ``log_volume`` carries
    it; the log-volume of a box with a zero width is null and ``degenerate`` lists the outputs.
    ``input`` holds what was asked, to repeat it: data, radius, sigma, clip, box, dtype and seed.
    The means of log-volumes leave degenerate samples out, and are null when no other is there.
    ``interrupted`` is true where somebody stopped the run: samples are missing, or bounded less
    tightly than asked.
    ``asked`` holds what was asked beside the usual, ``classes`` the samples by class, and samples
    their ``deviation`` by output, each only where it was asked for.
    Samples without a label hold ``prediction_kept``, what ``certified`` is of labels, of their own
    prediction.
    Where the bounds were re-derived with rigorous arithmetic, ``certificate`` says what the
    independent check took, and every sample has its box as it was ``proposed``, and as
    ``float32_margin`` how far evaluating each output in float32 can be off (null: not known).

    Where gates were asked for, ``gates`` has every limit, the figure that was found, by what is
    known from ``least`` to ``most`` (null: open, or nothing), and the verdict. ``samples_sha256``
    is the digest of the samples and labels that were asked about, and of how far each of their
    features moves.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return json.dumps(report_to_dict(report), allow_nan=False, indent=2) + "\n"


def report_to_dict(report: VerifyReport) -> dict[str, Any]:
    """The report as the values of the schema."""
    certified, kept = report.certification, report.summary.prediction_kept_fraction
    return {
        "schema": SCHEMA,
        "model": {**model_dict(report.model), "unstable": report.model.unstable},
        "method": method_dict(report.method, report.settings),
        "guarantee": report.guarantee.name,
        **({} if certified is None else {"certificate": certificate_dict(certified)}),
        "input": {**report.perturbation.as_dict(), "dtype": report.dtype, "seed": report.seed},
        **({"asked": dict(report.asked)} if report.asked else {}),
        "device": report.device,
        "seconds": report.seconds,
        "interrupted": report.interrupted,
        "versions": report.record.versions,
        "samples": [_sample(sample, report) for sample in report.samples],
        "summary": {
            **{name: getattr(report.summary, name) for name in _SUMMARY},
            **({} if kept is None else {"prediction_kept_fraction": kept}),
        },
        **({"classes": [_class(each) for each in report.classes]} if report.per_class else {}),
        "samples_sha256": report.samples_sha256,
        **_gates(report),
    }


def _gates(report: VerifyReport) -> dict[str, Any]:
    if not report.shown_gates:
        return {}
    return {"gates": [gate_dict(gate) for gate in report.gates]}


def _sample(sample: SampleResult, report: VerifyReport) -> dict[str, Any]:
    def own(*names: str) -> dict[str, Any]:
        return {name: getattr(sample, name) for name in names}

    values: dict[str, Any] = {
        **own("index", "label", "prediction"),
        "status": sample.status.value,
        "outer": _ends(sample.lower, sample.upper),
        "inner": _ends(sample.inner_lower, sample.inner_upper),
        "widths": sample.widths.tolist(),
        **own("log_volume", "volume", "certified", "seconds"),
    }
    proposed = _ends(sample.proposed_lower, sample.proposed_upper)
    if proposed is not None:
        values["proposed"] = proposed
        margin = sample.float32_margin
        known = margin is not None and np.isfinite(margin).all()
        values["float32_margin"] = margin.tolist() if margin is not None and known else None
    probable = _ends(sample.probability_lower, sample.probability_upper)
    if probable is not None:
        values["probabilities"] = probable
    if sample.judged == "prediction":
        values["prediction_kept"] = sample.prediction_kept
    if report.max_deviation is not None:
        values["deviation"] = deviations(sample, report.model.head).tolist()
    if sample.stopped:
        values["stopped"] = True
    if sample.degenerate:
        values["degenerate"] = list(sample.degenerate)
    return values


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
