"""Verdicts of gates as build servers read them."""

from xml.etree import ElementTree

from sensverify.core.gates import Figure, Limit, judge
from sensverify.report.gates import gate_dict, gate_text, github_annotations, junit

FIGURES = {
    "min_certified": Figure(0.8, 0.95, 20, True),
    "min_accuracy": Figure(0.9, 0.9, 20, True),
    "max_width": Figure(2.0, 2.0, 20),
}
LIMITS = {
    "min_certified": Limit(0.9),
    "min_accuracy": Limit(0.05, "-"),
    "max_width": Limit(1.5),
    "max_changed": Limit(0.5),
}
GATES = judge(FIGURES, LIMITS, {"min_accuracy": Figure(0.92, 0.92, 20, True)}, group="a<b")


def test_every_gate_is_a_case_and_only_passed_ones_are_green():
    root = ElementTree.fromstring(junit(GATES, suite='my "net"', seconds=1.5))
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "2", "1")
    found = {case.get("name"): [child.tag for child in case] for case in root}
    assert found == {
        "min-certified [a<b]": ["error"],
        "min-accuracy [a<b]": [],
        "max-width [a<b]": ["failure"],
        "max-changed [a<b]": ["failure"],
    }


def test_names_that_no_xml_file_may_hold():
    gates = judge(FIGURES, {"max_width": Limit(1.0)}, group="bell\a")
    (case,) = ElementTree.fromstring(junit(gates, suite="net", seconds=0.0))
    assert case.get("name") == "max-width [bell\N{REPLACEMENT CHARACTER}]"


def test_annotations_are_one_line_each():
    lines = github_annotations(GATES, suite="net,x").splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::error", "::error"]
    assert "title=sensverify net%2Cx%3A undecided::" in lines[0]
    assert "90 %25" in lines[0]
    assert github_annotations(GATES[1:2], suite="net") == ""


def test_a_gate_says_what_was_asked_and_found():
    assert gate_text(GATES[0]) == (
        "certified of class a<b at least 90 %; found 80 % to 95 %, of 20 samples"
    )
    assert "(before: 92 %)" in gate_text(GATES[1])
    assert "nothing that was measured" in gate_text(GATES[3])
    assert gate_dict(GATES[2]) == {
        "name": "max_width",
        "class": "a<b",
        "limit": 1.5,
        "baseline": None,
        "least": 2.0,
        "most": 2.0,
        "samples": 20,
        "verdict": "failed",
    }
