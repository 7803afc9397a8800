"""Facts of several records: the file, the input box, the method with its settings."""

from __future__ import annotations

from dataclasses import replace

from sensverify.models.loading import ModelFacts
from sensverify.report import document as doc
from sensverify.verification.radius_results import CriticalRadiusReport
from sensverify.verification.results import InputFacts, VerifyReport


def file_line(model: ModelFacts) -> doc.Line:
    """The path of a model's file, where it has one."""
    return doc.Span(model.path, "code") if model.path else "none: an object of Python"


def data_text(asked: InputFacts) -> str:
    """The data, and which part of them."""
    parts = {None: "", "all": ", both parts"}
    return f"{asked.data}{parts.get(asked.part, f', {asked.part} part')}"


def perturbation_text(perturbation: InputFacts) -> str:
    """The input box, or the set in it, in words."""
    if perturbation.set is not None:
        words, box = perturbation.set["words"], replace(perturbation, set=None)
        if perturbation.radius is None and perturbation.sigma is None and box.box is None:
            return str(words)
        return f"{words}; in the box: {perturbation_text(box)}"
    if perturbation.box is not None:
        return f"boxes from {perturbation.box}"
    if perturbation.sigma is not None:
        moved = f"sigma {perturbation.sigma:g} of each feature's range"
    elif isinstance(perturbation.radius, str):
        moved = f"radius from {perturbation.radius}"
    else:
        moved = f"radius {perturbation.radius:g}"
    clip = perturbation.clip
    return moved if clip is None else f"{moved}, clipped to [{clip[0]:g}, {clip[1]:g}]"


def whole_inputs(perturbation: InputFacts) -> str:
    """A name for all inputs that a sample is asked about."""
    return "input box" if perturbation.set is None else "input set"


def settings_text(report: VerifyReport | CriticalRadiusReport) -> str:
    """The method with its settings, on one line."""
    pairs = []
    for key, value in report.settings.items():
        if isinstance(value, dict):
            value = value.get("name", value)
        pairs.append(f"{key}={'none' if value is None else value}")
    return f"{report.method} ({', '.join(pairs)})" if pairs else report.method
