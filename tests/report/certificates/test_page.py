"""The page of a certificate's check: every claim, bounded in number, and nothing unescaped."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from html import unescape
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensverify.certificates import Claims
from sensverify.report.certificates import claims as listed
from sensverify.report.certificates.claims import boxes_table, claim_count, claims_table, outward
from sensverify.report.certificates.document import check_document
from sensverify.report.document import Table, plain
from sensverify.report.html import document_to_html
from tests.report.certificates.test_certified import checked_report, with_claims

EVIL = "<script>alert(1)</script>\"'&"


def cells(table: Table) -> list[list[str]]:
    return [[plain(row.name), *(plain(cell.text) for cell in row.cells)] for row in table.rows]


def claims(rows: Any, limits: Any, groups: Any = None) -> Claims:
    count = len(limits)
    boxes = np.zeros((count, 3)), np.ones((count, 3))
    return Claims(*boxes, np.array(rows, float), np.array(limits, float), groups)


def test_opposite_rows_are_intervals() -> None:
    table = claims_table(claims([[[1, 0], [-1, 0]]], [[0.25, -0.5], [1, -3]]))
    assert cells(table) == [["0", "y0", "0.25", "0.5", "0.25"], ["1", "y0", "1", "3", "2"]]
    assert [cell.value for cell in table.rows[1].cells[1:]] == [1.0, 3.0, 2.0]


def test_other_rows_are_lower_bounds() -> None:
    found = claims([[[1, -1]]], [[0.25]])
    assert cells(claims_table(found)) == [["0", "y0 - y1", "0.25", "–", "–"]]
    assert claim_count(found) == 1


@example(1.797693e308)
@example(5e-324)
@example(-5e-324)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_shown_is_never_tighter_than_what_is_claimed(value: float) -> None:
    low, high = (Fraction(Decimal(outward(value, up=up))) for up in (False, True))
    assert low <= Fraction(value) <= high
    assert high - low <= abs(Fraction(value)) / 10**5 + Fraction(1, 10**300)


def test_a_limit_that_claims_nothing_is_shown_as_such() -> None:
    assert cells(claims_table(claims([[[1, 0]]], [[-np.inf]]))) == [["0", "y0", "-inf", "–", "–"]]


def test_sets_that_no_input_meets() -> None:
    found = claims([[[1, 0], [0, 1], [1, 1]]], [[1, 2, 3]], np.array([[0, 0, 1]]))
    assert cells(claims_table(found)) == [["0", "y0 <= 1.0 and y1 <= 2.0"], ["0", "y0 + y1 <= 3.0"]]
    assert claim_count(found) == 2


def test_what_is_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "CLAIMS", 3)
    monkeypatch.setattr(listed, "BOXES", 2)
    report = checked_report()
    assert report.certificate is not None
    every = report.certificate.claims
    assert (len(claims_table(every).rows), claim_count(every)) == (3, 10)
    assert len(boxes_table(every).rows) == 2
    page = document_to_html(check_document(report))
    assert "The first 3; 7 rows more" in page
    assert "The first 2; 3 boxes more" in page


def test_boxes_of_many_inputs_are_counted() -> None:
    many = Claims(np.zeros((1, 9)), np.ones((1, 9)), np.ones((1, 1, 2)), np.zeros((1, 1)))
    assert cells(boxes_table(many)) == [["0", "9", "1", "–"]]
    few = cells(boxes_table(claims([[[1, 0]]], [[0]])))
    assert few[0][3].startswith("0.0 <= x0 <= 1.0; ")


def test_what_a_file_tells_is_escaped_cut_and_called_unchecked() -> None:
    nested: Any = "deep"
    for _ in range(5000):
        nested = [nested]
    told = {EVIL: EVIL, "nested": nested, "long": 5000 * "x", **{f"k{k}": k for k in range(100)}}
    certificate = with_claims(checked_report().certificate.claims, provenance=told)
    report = checked_report(path=f"a/{EVIL}", model=EVIL, certificate=certificate, property=EVIL)
    page = document_to_html(check_document(report))
    assert "<script>alert" not in page
    assert EVIL in unescape(page)
    assert "nobody has checked" not in page
    assert "own account of how it was found, not checked" in page
    assert "and 63 more entries" in page
    assert 1001 * "x" not in page


def test_a_rejection_names_no_claim() -> None:
    report = checked_report(checked=None, reason=f"no {EVIL}")
    page = document_to_html(check_document(report))
    assert "Rejected" in page
    assert f"no {EVIL}" in unescape(page)
    assert "All of them" not in page
    assert "own account" in page
