"""The answer to a property in words, in VNN-COMP's form and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sensverify.core.queries import Verdict
from sensverify.core.results import Guarantee
from sensverify.report.verification.property import property_to_json, summary_line
from sensverify.report.verification.witness import witness_text
from sensverify.verification import ModelFacts, PropertyReport, Witness
from tests.report.shown import RECORD

FACTS = ModelFacts("net", (), "net.onnx", 64 * "a", (2, 1), (1,), 7, None)
REPORT = PropertyReport(
    model=FACTS,
    property="p.vnnlib",
    property_sha256=64 * "d",
    method="branch-and-bound",
    settings={"gap": 1e-6},
    device="cpu",
    timeout=10.0,
    verdict=Verdict.UNSAT,
    guarantee=Guarantee.SOUND,
    witness=None,
    cases=2,
    unsat_cases=2,
    explored=1234,
    seconds=0.5,
    stopped=False,
    warnings=(),
    record=RECORD,
)
WITNESS = Witness(np.array([0.1, -1e-30]), np.array([1 / 3]), case=1, outside=0)


def test_the_form_of_vnn_comp() -> None:
    assert witness_text(WITNESS) == "((X_0 0.1)\n (X_1 -1e-30)\n (Y_0 0.3333333333333333))\n"


def test_words() -> None:
    line = summary_line(REPORT)
    assert "no input in the 2 input boxes" in line
    assert "guarantee SOUND" in line
    assert "1,234 sub-boxes" in line
    sat = replace(REPORT, verdict=Verdict.SAT, guarantee=None, witness=WITNESS)
    assert "replayed through onnxruntime" in summary_line(sat)
    open_one = replace(REPORT, verdict=Verdict.TIMEOUT, guarantee=None, unsat_cases=1)
    assert summary_line(open_one).startswith("undecided")
    assert "1 of 2 input boxes proven" in summary_line(open_one)
    assert summary_line(replace(open_one, stopped=True)).startswith("stopped")


def test_json() -> None:
    found = json.loads(property_to_json(REPORT))
    assert found["schema"] == "sensverify.property/2"
    assert (found["verdict"], found["guarantee"], found["witness"]) == ("unsat", "SOUND", None)
    assert found["model"]["inputs"] == [2, 1]
    found = json.loads(property_to_json(replace(REPORT, verdict=Verdict.SAT, witness=WITNESS)))
    assert found["witness"] == {
        "inputs": [0.1, -1e-30],
        "outputs": [1 / 3],
        "case": 1,
        "outside": 0,
    }


def test_numbers_that_json_lacks_are_refused() -> None:
    bad = replace(WITNESS, outputs=np.array([np.nan]))
    with pytest.raises(ValueError, match="JSON"):
        property_to_json(replace(REPORT, witness=bad))
