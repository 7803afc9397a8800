"""The answer to a property: VNN-COMP's witness, one line in words, and JSON."""

from __future__ import annotations

from typing import Any

from sensverify.core.queries import Verdict
from sensverify.report.document import Document, Text
from sensverify.report.record import header, result_text
from sensverify.report.verification.json import certificate_dict, method_dict, model_dict
from sensverify.report.verification.witness import witness_text
from sensverify.verification.property import PropertyReport
from sensverify.verification.runtime import RuntimeFacts
from sensverify.verification.witness import Witness

SCHEMA = "sensverify.property/2"


def answer_document(report: PropertyReport) -> Document:
    """The answer in VNN-COMP's form."""
    lines = [report.verdict.value]
    if report.witness is not None:
        lines.append(witness_text(report.witness).rstrip())
    return Document.of(*(Text(line, "whole") for line in lines))


def property_document(report: PropertyReport, *, rigorous: bool) -> Document:
    """Meaning of the answer, warnings, and caveats; with ``rigorous``, why there is no proof."""
    lines = [summary_line(report), *(f"warning: {line}" for line in report.warnings)]
    note = runtime_note(report)
    if note is not None:
        lines.append(f"note: {note}")
    if rigorous and report.certification is None:
        lines.append(f"note: {_nothing_to_certify(report)}; no certificate is made")
    return Document.of(*(Text(line, "whole") for line in lines))


def _nothing_to_certify(report: PropertyReport) -> str:
    if report.witness is not None:
        return "the property is met by an input, and that needs no proof"
    if not report.cases:
        return "the property contradicts itself, whatever the model"
    if report.runtime is not None and report.runtime.violation is not None:
        return "the file, as it is run, violates the property"
    return "nothing is proven"


def summary_line(report: PropertyReport) -> str:
    """Meaning of the verdict, its time and its guarantee, in one line."""
    text = _verdict_text(report)
    head = report.model.head
    return text if head is None else f"{text}; compared by the order of what enters {head}"


def _verdict_text(report: PropertyReport) -> str:
    boxes = "input box" if report.cases == 1 else f"{report.cases} input boxes"
    explored = f"{report.explored:,} sub-box{'' if report.explored == 1 else 'es'}"
    seconds = f"{report.method}, {report.seconds:.2f} s, {explored}"
    if report.verdict is Verdict.SAT:
        return f"violated: an input meets the property, replayed through onnxruntime ({seconds})"
    if report.verdict is Verdict.UNSAT:
        trust = "" if report.guarantee is None else f"; guarantee {report.guarantee.name}"
        if report.certification is not None:
            trust += f", checked again in {report.certification.seconds:.2f} s"
        if not report.cases:
            return "holds: the property contradicts itself, whatever the model"
        return f"holds: no input in the {boxes} meets the property ({seconds}{trust})"
    if report.runtime is not None and report.runtime.violation is not None:
        return (
            "undecided: holds in real arithmetic, and onnxruntime's rounding violates it "
            f"({seconds})"
        )
    proven = f"; {report.unsat_cases} of {boxes} proven" if report.cases > 1 else ""
    reason = "stopped" if report.stopped else "undecided"
    short = report.shortfall
    left = "" if short is None else f"; bounds are {short:.3g} short of their limits"
    return f"{reason}: neither yes nor no is proven ({seconds}{proven}{left})"


def runtime_note(report: PropertyReport) -> str | None:
    """Caveat of an unsat about the file as it is run in float32, where there is one."""
    facts = report.runtime
    if report.verdict is not Verdict.UNSAT or facts is None or not facts.near:
        return None
    by = "by an unknown amount" if facts.margin is None else f"by up to {facts.margin:.2g}"
    return (
        f"the guarantee is about real arithmetic; float32 may move what is compared {by}, more "
        f"than some inputs are from the limits (none of {facts.replayed} that were replayed "
        "meets the property)"
    )


def property_to_json(report: PropertyReport) -> str:
    """The report as one JSON object and a newline; all numbers are finite.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return result_text(property_to_dict(report))


def property_to_dict(report: PropertyReport) -> dict[str, Any]:
    """The report as the values of the schema ``sensverify.property/2``.

    ``certificate`` is null where none was asked for or made, ``float32`` where the property is not
    unsat in real arithmetic.
    """
    witness, certification = report.witness, report.certification
    return {
        **header(SCHEMA, report.record),
        "model": model_dict(report.model),
        "property": {
            "path": report.property,
            "sha256": report.property_sha256,
            "cases": report.cases,
        },
        "method": method_dict(report.method, report.settings),
        "device": report.device,
        "timeout": report.timeout,
        "verdict": report.verdict.value,
        "guarantee": None if report.guarantee is None else report.guarantee.name,
        "certificate": None if certification is None else certificate_dict(certification),
        "witness": None if witness is None else _point(witness),
        "float32": None if report.runtime is None else _runtime(report.runtime),
        "unsat_cases": report.unsat_cases,
        "explored": report.explored,
        "seconds": report.seconds,
        "phases": dict(report.phases),
        "shortfall": report.shortfall,
        "stopped": report.stopped,
        "warnings": list(report.warnings),
    }


def _point(witness: Witness) -> dict[str, Any]:
    return {
        "inputs": witness.inputs.tolist(),
        "outputs": witness.outputs.tolist(),
        "case": witness.case,
        "outside": witness.outside,
    }


def _runtime(facts: RuntimeFacts) -> dict[str, Any]:
    """``margin`` is null where it is not known, ``violation`` where there is none."""
    return {
        "margin": facts.margin,
        "near": facts.near,
        "replayed": facts.replayed,
        "violation": None if facts.violation is None else _point(facts.violation),
    }
