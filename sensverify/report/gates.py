"""Verdicts of gates for machines: JUnit XML for build servers, annotations for GitHub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from sensverify.core.gates import Figure, Gate, GateVerdict

_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that no XML file may hold."""


def gate_dict(gate: Gate) -> dict[str, Any]:
    """A gate as JSON: what was asked, what was found, and the verdict."""
    figure = gate.figure
    return {
        "name": gate.name,
        "class": gate.group,
        "limit": gate.limit,
        "baseline": gate.baseline,
        "least": figure.least,
        "most": figure.most,
        "samples": figure.count,
        "verdict": str(gate.verdict),
    }


def gate_text(gate: Gate) -> str:
    """The limit that was asked for and the figure that was found, in one line."""
    side = "at least" if gate.name.startswith("min") else "at most"
    share, name = gate.figure.share, _figure_name(gate)
    asked = f"{name} {side} {_number(gate.limit, share)}"
    if gate.baseline is not None:
        asked += f" (before: {_number(gate.baseline, share)})"
    return f"{asked}; found {_found(gate.figure)}"


def _figure_name(gate: Gate) -> str:
    name = gate.name.split("_", 1)[-1].replace("_", "-")
    return name if gate.group is None else f"{name} of class {gate.group}"


def _found(figure: Figure) -> str:
    if not figure.known or figure.least is None or figure.most is None:
        return "nothing that was measured"
    least, most = (_number(end, figure.share) for end in (figure.least, figure.most))
    samples = f"{figure.count} sample{'' if figure.count == 1 else 's'}"
    return f"{least if least == most else f'{least} to {most}'}, of {samples}"


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
    name = gate.name.replace("_", "-")
    return name if gate.group is None else f"{name} [{gate.group}]"


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
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
