"""Reports on bounds that were re-derived, and on checks of certificates."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sensverify.certificates import Certificate, Checked, Claims
from sensverify.core.digests import sha256
from sensverify.core.proof import Cells, Proof
from sensverify.core.results import Guarantee
from sensverify.report.certificates.claims import row_text
from sensverify.report.certificates.document import BOXES, check_lines, verdict_text
from sensverify.report.certificates.json import check_to_json
from sensverify.report.certificates.results import CheckReport
from sensverify.report.formatting import at_most
from sensverify.report.verification.json import report_to_dict
from sensverify.report.verification.record import widening_text
from sensverify.verification import Certification
from tests.report.shown import verify_page, verify_text

Make = Callable[..., Any]
CHECKED = Checked(arithmetic="rigorous", problems=2, claims=8, cells=2, slack=1e-9, seconds=0.5)


def proposed(lower: Any, upper: Any, margin: Any = (1e-5, 2e-5)) -> dict[str, Any]:
    return {
        "proposed_lower": np.array(lower, float),
        "proposed_upper": np.array(upper, float),
        "float32_margin": np.array(margin, float),
    }


@pytest.fixture
def certified(make_sample: Make, make_report: Make) -> Make:
    """A report of two samples: one end widened by a thousandth, another tightened."""

    def make(path: str | None = "net.cert", **changes: Any) -> Any:
        first = make_sample(0, [0, 0], [1, 2.002], **proposed([0, 0], [1, 2]))
        changes = proposed([-1, 0], [1, 2]) | changes
        second = make_sample(1, [0, 0], [1, 2], **changes)
        certification = Certification(b"x" * 1234, CHECKED, 0.25, path)
        return make_report(
            [first, second], guarantee=Guarantee.CERTIFIED, certification=certification
        )

    return make


def shown(report: Any) -> str:
    return verify_text(report, width=200)


def test_widening(certified: Make) -> None:
    first, second = certified().samples
    assert first.widening == pytest.approx([0, 1e-3])
    assert second.widening.tolist() == [0, 0]
    text = "proposed bounds were widened by at most 0.001 of their width; 3 of 4 were not"
    assert widening_text(certified()) == text
    assert text in shown(certified())
    assert text in verify_page(certified())


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        ([-1, 0], [1, 2], "no proposed bound had to be widened"),
        ([0, 2], [1, 2], "proposed bounds were widened; 1 of one point became intervals; 1 of 2"),
        ([0.5, 0], [1, 2], "proposed bounds were widened by at most 1 of their width; 1 of 2"),
        ([0.5, 0.5], [1, 2], "proposed bounds were widened by at most 1 of their width"),
    ],
)
def test_widening_in_words(
    make_sample: Make, make_report: Make, lower: Any, upper: Any, words: str
) -> None:
    report = make_report([make_sample(0, [0, 0], [1, 2], **proposed(lower, upper))])
    text = widening_text(report)
    assert text is not None
    assert text.startswith(words)
    assert ("were not" in text) == ("1 of 2" in words)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (1.01, "1.1"), (9.94e-8, "1e-07"), (3.72e-4, "0.00039"), (0.5, "0.5")],
)
def test_upper_bounds_are_rounded_up(value: float, text: str) -> None:
    assert at_most(value) == text
    assert float(text) >= value


def test_nothing_is_said_where_nothing_was_re_derived(make_sample: Make, make_report: Make) -> None:
    report = make_report([make_sample(0, [0], [1])])
    assert widening_text(report) is None
    for text in (shown(report), verify_page(report)):
        assert "certificate" not in text.lower()
        assert "float32 can add" not in text
    assert report_to_dict(report)["certificate"] is None


@pytest.mark.parametrize(("path", "words"), [("net.cert", "net.cert"), (None, "not kept")])
def test_the_certificate(certified: Make, path: str | None, words: str) -> None:
    line = f"{words} (1,234 bytes), checked in 0.25 s with rigorous arithmetic"
    assert line in shown(certified(path))
    assert line in verify_page(certified(path))
    assert report_to_dict(certified(path))["certificate"] == {
        "path": path,
        "sha256": sha256(b"x" * 1234),
        "bytes": 1234,
        "arithmetic": "rigorous",
        "check_seconds": 0.25,
    }


def test_float32(certified: Make) -> None:
    assert "Evaluating it in float32 can add up to 2e-05." in shown(certified())
    unknown = certified(float32_margin=np.array([1e-5, np.inf]))
    assert "How far evaluating it in float32 can be off is not known." in shown(unknown)
    first, second = report_to_dict(unknown)["samples"]
    assert first["float32_margin"] == [1e-5, 2e-5]
    assert second["float32_margin"] is None
    assert second["proposed"] == {"lower": [-1, 0], "upper": [1, 2]}


def checked_report(**changes: Any) -> CheckReport:
    rows = np.array([[[1.0, 0], [1, -2.5], [-1, 0], [-1, 2.5]]])
    claims = Claims(
        np.zeros((5, 3)), np.ones((5, 3)), rows, np.tile([0.25, -1.0, -0.5, -2.0], (5, 1))
    )
    values: dict[str, Any] = {
        "path": "net.cert",
        "size": 1234,
        "certificate_sha256": 64 * "c",
        "model": "net.onnx",
        "model_sha256": 64 * "0",
        "certificate": Certificate(
            "0" * 64,
            (1, 3),
            (2,),
            claims,
            Proof.of(Cells.roots(np.arange(5)), entries=4),
            provenance={"method": "crown"},
        ),
        "arithmetic": "rigorous",
        "property": None,
        "checked": Checked("rigorous", 5, 20, 5, 1e-9, 0.5),
    }
    return CheckReport(**{**values, **changes})


def with_claims(claims: Claims, **changes: Any) -> Certificate:
    proof = Proof.of(Cells.roots(np.arange(claims.problems)), entries=4)
    return Certificate("0" * 64, (1, 3), (2,), claims, proof, **changes)


def lines_of(report: CheckReport) -> dict[str, str]:
    assert report.checked is not None
    return dict(check_lines(report, report.checked))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ([1, 0, 0], "y0"),
        ([-1, 0, 1], "-y0 + y2"),
        ([0, 2.5, -0.1], "2.5 y1 - 0.1 y2"),
        ([0, 0, 0], "0"),
    ],
)
def test_rows_in_words(row: list[float], text: str) -> None:
    assert row_text(np.array(row)) == text


def test_lines_about_bounds() -> None:
    report = checked_report()
    lines = lines_of(report)
    assert (
        lines["claims"] == "5 boxes of 1 x 3 inputs, 20 lower bounds on linear functions of 2 "
        "outputs"
    )
    assert lines["  box 0"] == "0.0 <= x0 <= 1.0; 0.0 <= x1 <= 1.0; 0.0 <= x2 <= 1.0"
    assert lines["  claims"] == "0.25 <= y0 <= 0.5; -1.0 <= y0 - 2.5 y1 <= 2.0"
    assert f"  box {BOXES}" not in lines
    assert lines[""] == "and 2 more boxes"
    assert lines["proof"] == "5 leaves, found by crown"
    assert "closest claim holds by 1e-09" in lines["check"]
    assert verdict_text(report).startswith("CERTIFIED: every claim holds")


def test_lines_about_rows_that_are_no_ranges() -> None:
    claims = Claims(np.zeros((1, 3)), np.ones((1, 3)), np.array([[[1.0, 0]]]), np.array([[0.25]]))
    checked = Checked("rigorous", 1, 1, 1, 0.0, 0.5)
    lines = lines_of(checked_report(certificate=with_claims(claims), checked=checked))
    assert lines["  claims"] == "y0 >= 0.25"
    assert lines["claims"].startswith("1 box of 1 x 3 inputs, 1 lower bound on")


def test_lines_about_a_refutation() -> None:
    rows, limits = np.array([[[1.0, 0], [0, 1], [1, 1]]]), np.array([[1.0, 2, 3]])
    groups = np.array([[0, 0, 1]])
    claims = Claims(np.zeros((1, 3)), np.ones((1, 3)), rows, limits, groups)
    checked = Checked("exact", 1, 2, 1, None, 0.5)
    report = checked_report(
        certificate=with_claims(claims), checked=checked, property="p.vnnlib", arithmetic="exact"
    )
    lines = lines_of(report)
    assert lines["  claims"] == "never y0 <= 1.0 and y1 <= 2.0; never y0 + y1 <= 3.0"
    assert lines["claims"].endswith("2 sets of constraints on 2 outputs that no input meets")
    assert lines["proof"] == "1 leaf"
    assert "p.vnnlib" in lines["property"]
    assert verdict_text(report).startswith("CERTIFIED: no input meets the property")
    assert json.loads(check_to_json(report))["claim"] == "refutation"


def test_json_of_a_rejection() -> None:
    found = json.loads(check_to_json(checked_report(checked=None, reason="it does not follow")))
    assert (found["holds"], found["guarantee"]) == (False, None)
    assert found["reason"] == "it does not follow"
    assert (found["claims"], found["leaves"], found["seconds"]) == (None, None, None)


def test_json_of_what_a_hostile_file_tells() -> None:
    nested: Any = "deep"
    for _ in range(5000):
        nested = [nested]
    provenance = {"number": float("nan"), "nested": nested, "text": "\udcff"}
    certificate = with_claims(checked_report().certificate.claims, provenance=provenance)
    checked = Checked("rigorous", 5, 20, 5, float("inf"), 0.5)
    text = check_to_json(checked_report(certificate=certificate, checked=checked))
    found = json.loads(text)
    assert found["provenance"]["number"] == "nan"
    assert found["provenance"]["nested"] == [[[[[[["…"]]]]]]]
    assert found["slack"] == "inf"
