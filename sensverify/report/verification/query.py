"""The answer to a query in VNN-LIB 2: the standard's lines and files, words, and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import numpy_helper

from sensverify.core.queries import Verdict
from sensverify.report.document import Document, Text
from sensverify.report.record import header, result_text
from sensverify.report.verification.json import certificate_dict, method_dict, model_dict
from sensverify.verification.query import Assignment, QueryReport

SCHEMA = "sensverify.query/1"

_WORDS = {Verdict.TIMEOUT: "timed-out"}


def answer_lines(report: QueryReport, *, assignment: bool = True) -> Iterator[str]:
    """The answer and, of a sat, the values of all variables, as the standard has it.

    Numbers are decimal, and give back the same number of the declared type when they are read.
    """
    yield _WORDS.get(report.verdict, report.verdict.value)
    if not assignment:
        return
    for each in report.witness:
        yield f"{each.name} {each.dtype} [{','.join(map(str, each.values.shape))}]"
        for value in each.values.reshape(-1).tolist():
            yield str(int(value)) if "int" in each.dtype else repr(_short(value, each.dtype))


def tensor_files(report: QueryReport) -> dict[str, bytes]:
    """Every variable as a file ``NAME.pb``: an ONNX TensorProto of the declared type and shape.

    Real numbers are float64.
    """
    return {f"{each.name}.pb": _tensor(each) for each in report.witness}


def explanation(report: QueryReport) -> Document:
    """Meaning of the answer and its reasons, in words."""
    return Document.of(*(Text(line, "whole") for line in _explained(report)))


def _explained(report: QueryReport) -> Iterator[str]:
    how = f"{report.method}, {report.seconds:.2f} s"
    boxes = "the input box" if report.cases == 1 else f"{report.cases} input boxes"
    where = "in real arithmetic" if "real" in report.types else "as float32 computes the files"
    if report.verdict is Verdict.SAT:
        yield f"an assignment meets the query, replayed through onnxruntime ({how})"
    elif report.verdict is Verdict.UNSAT and not report.cases:
        yield "the query contradicts itself, whatever the networks"
    elif report.verdict is Verdict.UNSAT:
        yield f"no assignment in {boxes} meets the query, {where} ({how})"
    else:
        reason = "stopped" if report.stopped else "undecided"
        yield f"{reason}: neither yes nor no is proven ({how})"
    if report.certification is not None:
        yield "the proof was derived with rigorous arithmetic and checked, about real numbers"
    for line in report.reasons:
        yield f"note: {line}"


def query_to_json(report: QueryReport) -> str:
    """The report as one JSON object and a newline; all numbers are finite.

    Raises
    ------
    ValueError
        A number is not finite; this is a defect, and nothing is written.
    """
    return result_text(query_to_dict(report))


def query_to_dict(report: QueryReport) -> dict[str, Any]:
    """The report as the values of the schema ``sensverify.query/1``."""
    certification = report.certification
    return {
        **header(SCHEMA, report.record),
        "query": {
            "path": report.query,
            "sha256": report.query_sha256,
            "types": list(report.types),
            "cases": report.cases,
        },
        "networks": {name: model_dict(facts) for name, facts in report.networks.items()},
        "method": method_dict(report.method, report.settings),
        "device": report.device,
        "timeout": report.timeout,
        "verdict": report.verdict.value,
        "certificate": None if certification is None else certificate_dict(certification),
        "witness": [_variable(each) for each in report.witness] or None,
        "reasons": list(report.reasons),
        "unsat_cases": report.unsat_cases,
        "explored": report.explored,
        "seconds": report.seconds,
        "stopped": report.stopped,
    }


def _variable(each: Assignment) -> dict[str, Any]:
    return {
        "name": each.name,
        "type": each.dtype,
        "shape": list(each.values.shape),
        "values": each.values.reshape(-1).tolist(),
    }


def _short(value: float, dtype: str) -> float:
    """The decimal number of fewest digits that is this one in its type."""
    return float(str(np.float32(value))) if dtype == "float32" else value


def _tensor(each: Assignment) -> bytes:
    kind = "float64" if each.dtype == "real" else each.dtype
    data: bytes = numpy_helper.from_array(each.values.astype(kind), each.name).SerializeToString()
    return data
