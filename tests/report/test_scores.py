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
from sensverify.report.scores.explain import beeswarm
from sensverify.report.scores.scatter import scatter
from sensverify.scores.effective import effective_robustness
from sensverify.scores.explain import Addition, Explanation
from sensverify.scores.scatter import scatter as scatter_columns
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
    drawing = scatter(groups, ("x", "y"), lines=lines, shares=True)
    dots = [mark.text for mark in drawing.marks if mark.shape == "dot"]
    assert dots == ["first", "second", "third", "one", "two"]
    for mark in drawing.marks:
        for across, down in mark.places:
            assert 0 <= across <= drawing.width
            assert 0 <= down <= drawing.height
    assert "outside" not in svg(drawing)
    many = {f"g{k}": [(float(k), float(k), f"dot{k}")] for k in range(20)}
    assert "7 more" in svg(scatter(many, ("x", "y")))


def test_one_place_has_a_picture() -> None:
    drawing = scatter({"one": [(0.5, 0.5, "here")]}, ("x", "y"), shares=True)
    assert "here" in svg(drawing)


def test_cells_are_coloured_by_their_distance_from_zero_and_its_sign() -> None:
    cells = [doc.Cell("-1", value=-1.0), doc.Cell("0", value=0.0), doc.Cell("-")]
    blocks = list(matrix(("a", "b", "c"), [doc.row("r", *cells)], "what", strength=float))
    (page,) = (block for block in blocks if isinstance(block, doc.Table))
    assert [cell.look for cell in page.rows[0].cells] == ["cell b0", "cell h20", "cell"]
    (terminal,) = (block for block in blocks if isinstance(block, doc.Fitting))
    assert all(not cell.look for cell in terminal.tables[0].rows[0].cells)


def test_of_very_many_rows_the_first_are_shown() -> None:
    rows = [doc.row(f"r{k}", doc.Cell("1", value=1.0)) for k in range(1234)]
    blocks = list(matrix(("a",), rows, "what", strength=abs))
    (page,) = (block for block in blocks if isinstance(block, doc.Table))
    assert [row.name for row in page.rows] == [f"r{k}" for k in range(200)]
    (terminal,) = (block for block in blocks if isinstance(block, doc.Fitting))
    assert len(terminal.tables[0].rows) == 200
    assert any("1,034 more rows are in the data." in str(block) for block in blocks)
    assert not any("more rows" in str(block) for block in matrix(("a",), rows[:200], "what"))


def test_results_of_other_packages_are_sections() -> None:
    scores = table(ROWS)
    section = doc.Section("own", "Own", (doc.Text("something else"),))
    found = Analysed(scores=scores, call=Call("own", {}), result=section)
    assert re.search("something else", document_to_html(analysis_document(found)))
    with pytest.raises(BadSetting, match="'own' gives a int"):
        analysis_document(Analysed(scores=scores, call=Call("own", {}), result=3))


def test_what_measures_add_is_a_row_of_dots_for_each() -> None:
    additions = tuple(
        Addition(f"n{k}", name, float(k), float(k % 3)) for k in range(40) for name in ("<m>", "b")
    )
    found = Explanation("t", 40, importance=(("<m>", 2.0), ("b", 3.0)), additions=additions)
    drawing = beeswarm(found)
    dots = [mark for mark in drawing.marks if mark.shape == "dot" and mark.text]
    assert len(dots) == 80
    for mark in dots:
        assert 0 <= mark.places[0][0] <= drawing.width
        assert 26 <= mark.places[0][1] <= drawing.height - 40
    above = [mark for mark in dots if "hue3" in mark.look]
    assert len(above) == 40
    assert "<m>" not in svg(drawing)
    names = [mark.text for mark in drawing.marks if mark.text in ("<m>", "b")]
    assert names == ["b", "<m>"]


def test_columns_that_no_network_has_both_of_are_not_drawn() -> None:
    scores = table({"a": {"clean": 0.5, "fog": 0.2}, "b": {"clean": 0.6, "blur": 0.3}})
    result = scatter_columns(scores, columns=("fog",), against=("blur", "clean"))
    found = Analysed(scores=scores, call=Call("scatter", {}), result=result)
    page = document_to_html(analysis_document(found))
    assert page.count("<svg") == 1
    assert "Not drawn, as no network has both: fog with blur." in page


def test_of_very_many_networks_some_are_drawn() -> None:
    dots = [(float(k), float(k), f"dot{k}") for k in range(2500)]
    drawing = scatter({"many": dots}, ("x", "y"))
    assert sum(mark.text.startswith("dot") for mark in drawing.marks) == 834
    assert "834 of 2,500 dots" in svg(drawing)
    assert drawing.words == "2,500 dots: x and y"
