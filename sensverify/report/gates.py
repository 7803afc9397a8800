"""Verdicts of gates: a block of a report, JUnit XML for build servers, annotations for GitHub."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from sensverify.core.gates import SHARES, Gate, GateVerdict
from sensverify.core.plain import finite
from sensverify.report import document as doc

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that no XML file may hold."""


def gate_dict(gate: Gate) -> dict[str, Any]:
    """A gate as JSON: what was asked, what was found, and the verdict."""
    figure = gate.figure
    return {
        "name": gate.name,
        **{
            name: value
            for name, value in (
                ("requirement", gate.requirement),
                ("by", gate.by),
                ("model", gate.model),
                ("radius", gate.radius),
                ("estimate", figure.estimate),
            )
            if value is not None
        },
        "class": gate.group,
        "limit": finite(gate.limit),
        "baseline": finite(gate.baseline),
        "least": finite(figure.least),
        "most": finite(figure.most),
        "samples": figure.count,
        "verdict": str(gate.verdict),
    }


_LOOKS = {
    GateVerdict.PASSED: "certified",
    GateVerdict.FAILED: "changes",
    GateVerdict.UNDECIDED: "undecided",
}


def gate_table(gates: Sequence[Gate]) -> doc.Table:
    """Every gate with what was asked, what was found, and the verdict."""
    rows = []
    for each in gates:
        cells = _asked(each), _found(each).rsplit(", of ", 1)[0], f"{each.figure.count:,}"
        rows.append(
            doc.row(_case_name(each), *cells, doc.Cell(str(each.verdict), _LOOKS[each.verdict]))
        )
    gate, asked, found, verdict = (
        doc.Column(title, align="left") for title in ("gate", "asked", "found", "verdict")
    )
    columns = doc.columns(gate, asked, found, "samples", verdict)
    return doc.Table(columns, rows, title="Gates")


def gate_notice(gates: Sequence[Gate]) -> doc.Notice:
    """The banner of a page: what did not pass, or that everything did."""
    for verdict, level in ((GateVerdict.FAILED, "bad"), (GateVerdict.UNDECIDED, "open")):
        texts = "; ".join(gate_text(gate) for gate in gates if gate.verdict is verdict)
        if texts:
            line = doc.Span(f"Gate {verdict}:", "strong"), f" {texts}."
            return doc.Notice([line], level, str(verdict).capitalize(), on=doc.PAGE)
    texts = "; ".join(map(gate_text, gates))
    line = doc.Span("Every gate passed:", "strong"), f" {texts}."
    return doc.Notice([line], "good", "Passed", on=doc.PAGE)


def gate_lines(gates: Sequence[Gate]) -> list[doc.Text]:
    """A line of a terminal for every gate that did not pass."""
    looks = {GateVerdict.FAILED: "alarm", GateVerdict.UNDECIDED: "open"}
    return [
        doc.Text(f"gate {gate.verdict}: {gate_text(gate)}", looks[gate.verdict], on=doc.TERMINAL)
        for gate in gates
        if gate.verdict in looks
    ]


def gate_text(gate: Gate) -> str:
    """The limit that was asked for and the figure that was found, in one line."""
    return f"{_figure_name(gate)} {_asked(gate)}; found {_found(gate)}"


def _asked(gate: Gate) -> str:
    side = "at least" if gate.name.startswith("min") else "at most"
    share = gate.name in SHARES or gate.figure.share
    if gate.name == "min_holds":
        return "for every input"
    if math.isnan(gate.limit):
        return f"{side} what a reference has that was not measured"
    asked = f"{side} {_number(gate.limit, share)}"
    asked = asked if gate.by is None else f"{asked} by {gate.by}"
    if gate.baseline is None:
        return asked
    than = "before" if gate.requirement is None else "reference"
    return f"{asked} ({than}: {_number(gate.baseline, share)})"


def _figure_name(gate: Gate) -> str:
    name = gate.name.split("_", 1)[-1].replace("_", "-")
    name = name if gate.requirement is None else f"{gate.requirement}: {name}"
    name = name if gate.radius is None else f"{name} at radius {gate.radius:g}"
    name = name if gate.group is None else f"{name} of class {gate.group}"
    return name if gate.model is None else f"{name} of {gate.model}"


_HOLDS = {
    GateVerdict.PASSED: "a proof",
    GateVerdict.FAILED: "an input that violates it",
    GateVerdict.UNDECIDED: "neither a proof nor an input that violates it",
}


def _found(gate: Gate) -> str:
    figure = gate.figure
    if gate.name == "min_holds":
        return _HOLDS[gate.verdict]
    if not figure.known or figure.least is None or figure.most is None:
        return "nothing that was measured"
    least, most = (_number(end, figure.share) for end in (figure.least, figure.most))
    samples = f"{figure.count} sample{'' if figure.count == 1 else 's'}"
    found = least if least == most else f"{least} to {most}"
    if figure.estimate is not None:
        found = f"{_number(figure.estimate, figure.share)} ({found})"
    return f"{found}, of {samples}"


def _number(value: float, share: bool) -> str:
    return f"{100 * value:.4g} %" if share else f"{value:.6g}"


def junit(gates: Sequence[Gate], *, suite: str, seconds: float) -> str:
    """The gates as test cases of one suite, in JUnit's XML.

    An undecided gate is an error, a failed one a failure: neither is green.

    Parameters
    ----------
    gates : sequence of Gate
    suite : str
        What was judged, e.g. the model's name.
    seconds : float
        Time that the whole took.
    """
    counts = [gate.verdict for gate in gates]
    root = ElementTree.Element(
        "testsuite",
        name=f"sensverify {suite}",
        tests=str(len(gates)),
        failures=str(counts.count(GateVerdict.FAILED)),
        errors=str(counts.count(GateVerdict.UNDECIDED)),
        time=f"{seconds:.3f}",
    )
    for gate in gates:
        case = ElementTree.SubElement(
            root, "testcase", classname=f"sensverify.{suite}", name=_case_name(gate)
        )
        kind = {GateVerdict.FAILED: "failure", GateVerdict.UNDECIDED: "error"}.get(gate.verdict)
        if kind is not None:
            ElementTree.SubElement(case, kind, message=gate_text(gate), type=str(gate.verdict))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text) + "\n"


def _case_name(gate: Gate) -> str:
    name = gate.name.replace("_", "-") if gate.requirement is None else gate.requirement
    name = name if gate.radius is None else f"{name} at {gate.radius:g}"
    name = name if gate.group is None else f"{name} [{gate.group}]"
    return name if gate.model is None else f"{gate.model}: {name}"


def github_annotations(gates: Sequence[Gate], *, suite: str) -> str:
    """GitHub's workflow commands for gates that did not pass, a line each; else empty."""
    kinds = {GateVerdict.FAILED: "error", GateVerdict.UNDECIDED: "warning"}
    return "".join(
        f"::{kinds[gate.verdict]} title={_property(f'sensverify {suite}: {gate.verdict}')}"
        f"::{_escaped(gate_text(gate))}\n"
        for gate in gates
        if gate.verdict in kinds
    )


def _escaped(text: str) -> str:
    # Names of classes come from files: in a log nothing of them steers the terminal.
    shown = "".join(
        sign
        if sign.isprintable() or sign in "\r\n\N{NO-BREAK SPACE}"
        else sign.encode("unicode_escape").decode()
        for sign in text
    )
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
