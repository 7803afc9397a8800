"""Analyses of scores on pages: pictures, colours, and results of other packages."""

from __future__ import annotations

import re

import pytest

from sensverify.errors import BadSetting
from sensverify.registry.calls import Call
from sensverify.report import document as doc
from sensverify.report.chart import svg
from sensverify.report.html import document_to_html
from sensverify.report.scores.common import matrix
from sensverify.report.scores.document import Analysed, analysis_document
from sensverify.report.scores.scatter import scatter
from sensverify.scores.effective import effective_robustness
from tests.scores.conftest import table

ROWS = {
    "a": {"clean": 0.6, "<i>": 0.4},
    "b": {"clean": 0.7, "<i>": 0.45},
    "c": {"clean": 0.8, "<i>": 0.6},
    "<b>": {"clean": 0.75, "<i>": 0.7},
}


def test_a_page_has_a_picture_of_every_shift() -> None:
    scores = table(ROWS)
    result = effective_robustness(scores, baselines=("a", "b", "c"))
    found = Analysed(scores=scores, call=Call("effective-robustness", {}), result=result)
    page = document_to_html(analysis_document(found))
    assert page.count("<svg") == 1
    assert "<b>: " not in page
    assert "&lt;b&gt;: clean 75.0" in page
    assert "baselines" in page


def test_a_picture_has_a_dot_for_every_network_and_lines_within_it() -> None:
    groups = {"one": [(0.1, 0.2, "first"), (0.9, 0.4, "second")], "two": [(0.5, 0.3, "third")]}
    lines = {"flat": (0.0, 0.3), "steep": (100.0, -40.0), "outside": (0.0, 0.95)}
    drawing = scatter(groups, ("x", "y"), lines=lines, shares=True, words="all")
    dots = [mark.text for mark in drawing.marks if mark.shape == "dot"]
    assert dots == ["first", "second", "third", "one", "two"]
    for mark in drawing.marks:
        for across, down in mark.places:
            assert 0 <= across <= drawing.width
            assert 0 <= down <= drawing.height
    assert "outside" not in svg(drawing)
    many = {f"g{k}": [(float(k), float(k), f"dot{k}")] for k in range(20)}
    assert "7 more" in svg(scatter(many, ("x", "y"), words="all"))


def test_one_place_has_a_picture() -> None:
    drawing = scatter({"one": [(0.5, 0.5, "here")]}, ("x", "y"), shares=True, words="here")
    assert "here" in svg(drawing)


def test_cells_are_coloured_by_strength_alone() -> None:
    cells = [doc.Cell("-1", value=-1.0), doc.Cell("0", value=0.0), doc.Cell("-")]
    blocks = list(matrix(("a", "b", "c"), [doc.row("r", *cells)], "what", strength=abs))
    (page,) = (block for block in blocks if isinstance(block, doc.Table))
    assert [cell.look for cell in page.rows[0].cells] == ["cell h0", "cell h20", "cell"]
    (terminal,) = (block for block in blocks if isinstance(block, doc.Fitting))
    assert all(not cell.look for cell in terminal.tables[0].rows[0].cells)


def test_results_of_other_packages_are_sections() -> None:
    scores = table(ROWS)
    section = doc.Section("own", "Own", (doc.Text("something else"),))
    found = Analysed(scores=scores, call=Call("own", {}), result=section)
    assert re.search("something else", document_to_html(analysis_document(found)))
    with pytest.raises(BadSetting, match="'own' gives a int"):
        analysis_document(Analysed(scores=scores, call=Call("own", {}), result=3))
