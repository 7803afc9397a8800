"""Pages of searched and ranked cells."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensverify.models.nas201 import COUNT
from sensverify.registry.calls import parse_call
from sensverify.report.html import document_to_html
from sensverify.report.scores.document import Analysed, analysis_document
from sensverify.report.tabular import data_csv
from sensverify.scores import Network, Scores, Shift
from sensverify.scores.catalog import ANALYSES
from sensverify.scores.nas.planted import planted
from tests.browser import Browser

MADE = planted(0).scores


def found(call: str, scores: Scores = MADE) -> Analysed:
    return Analysed(scores=scores, call=parse_call(call), result=ANALYSES.make(call, scores))


def hostile() -> Scores:
    """Names that would be markup, of a network that is no cell and of a shift."""
    bad = "<script>alert(1)</script>"
    return replace(
        MADE,
        networks=(Network(bad), *MADE.networks[1:]),
        shifts=(MADE.shifts[0], Shift(bad, 1.0, "attack"), MADE.shifts[2]),
    )


@pytest.mark.parametrize(
    "kind", ["nas-search(runs=1, queries=1, partial=true)", "nas-top(count=3)"]
)
def test_names_are_escaped(kind: str) -> None:
    analysed = found(kind, hostile())
    page = document_to_html(analysis_document(analysed))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Left out, as their names tell no cell" in page


def test_a_search_has_a_picture_of_each_objective_and_all_of_its_data() -> None:
    analysed = found("nas-search(runs=2, queries=7)")
    page = document_to_html(analysis_document(analysed))
    assert page.count("<svg") == 2
    texts = {each.name: data_csv(each).splitlines() for each in analysed.section.data}
    assert {name: len(lines) - 1 for name, lines in texts.items()} == {
        "nas-means": 2 * 3 * 4,
        "nas-optimum": 4,
        "nas-found": 2 * 3 * 2,
        "nas-courses": 2 * 3 * 7,
    }


@pytest.mark.parametrize("queries", [1, 2, 3, 11, 101, 1000])
def test_pictures_of_any_number_of_queries(queries: int) -> None:
    call = f"nas-search(runs=1, queries={queries}, objectives=(clean), strategies=random)"
    assert "queries" in document_to_html(analysis_document(found(call)))


def test_what_is_constant_or_a_measure_is_drawn() -> None:
    flat = replace(MADE, right=0 * MADE.right + 5_000)
    page = document_to_html(analysis_document(found("nas-search(runs=1, queries=30)", flat)))
    assert "50.00" in page
    measured = replace(MADE, measures=("size",), values=np.full((COUNT, 1), 1234.5))
    call = "nas-search(runs=2, queries=3, objectives=(size), columns=(size))"
    page = document_to_html(analysis_document(found(call, measured)))
    assert "1234" in page.replace(",", "")
    assert "123450" not in page


def test_holes_are_told() -> None:
    total = MADE.total.copy()
    total[100:, 2] = 0
    holed = replace(MADE, right=np.where(total, MADE.right, 0), total=total)
    call = "nas-search(runs=3, queries=3, objectives=(clean), strategies=random)"
    page = document_to_html(analysis_document(found(call, holed)))
    assert "pgd is known of" in page


@pytest.mark.parametrize("kind", ["nas-search(runs=2, queries=40)", "nas-top"])
def test_pages_fit_and_print(browser: Browser, kind: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(document_to_html(analysis_document(found(kind))))
    browser.fits(page, [(390, "light"), (1280, "dark")])
    assert 1 <= browser.sheets() <= 4
    assert not browser.complaints
