"""The report of a landscape: it says the verdict, draws every figure, fits screens and paper."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensverify.landscape.disconnectivity import disconnectivity
from sensverify.report.chart import Drawing, svg
from sensverify.report.html import document_to_html
from sensverify.report.landscape.document import landscape_document
from sensverify.report.landscape.figures import (
    course_figure,
    energy_figure,
    over_figure,
    tree_figures,
)
from sensverify.report.landscape.json import landscape_to_json
from sensverify.report.landscape.sentences import claim_sentence
from sensverify.report.landscape.tree import WIDE, tree_drawing
from sensverify.report.landscape.values import tables
from sensverify.report.landscape.write import FOLDER, write_report
from sensverify.report.tabular import data_csv
from sensverify.report.theme import PALETTE, chart_style, properties
from tests.browser import Browser
from tests.report.landscape.made import exact_name, made
from tests.report.schemas import check_result
from tests.report.shown import printed

HOSTILE = "<b>&\"'</script><script>alert(1)</script>"


@pytest.mark.parametrize(
    ("slope", "verdict", "words"),
    [
        (40.0, "holds", "less sensitive holds: over 57 minima"),
        (-40.0, "the opposite holds", "does not hold: the opposite does: over 57 minima"),
        (0.0, "is open", "less sensitive is open: over 57 minima"),
    ],
)
def test_the_sentence_says_the_verdict_with_number_and_interval(
    slope: float, verdict: str, words: str
) -> None:
    found = made(slope=slope)
    assert found.answers.claim.verdict == verdict
    sentence = claim_sentence(found)
    assert words in sentence
    assert "exact sensitivity at sigma 0.1 over all 150 samples" in sentence
    rho = found.answers.of(exact_name()).spearman  # type: ignore[union-attr]
    for value in (rho.value, rho.lower, rho.upper):
        assert f"{value:.2f}".replace("-", "\N{MINUS SIGN}") in sentence
    # As Jinja escapes.
    escaped = sentence.replace("'", "&#39;")
    assert escaped in document_to_html(landscape_document(found))


def test_all_that_an_answer_depends_on_is_said() -> None:
    reasons = {"crown: no rule <b>": 2, "l2-init: no start": 3, "jacobian-init: no start": 3}
    found = made(complete=False, reasons=reasons)
    measured = found.minima[:-2]
    wide = replace(measured[0], values={**measured[0].values, "undecided(sigma=0.1)": 0.5})
    found = replace(found, minima=(wide, *measured[1:]), over=())
    page = document_to_html(landscape_document(found))
    for words in (
        "3 minima are not stationary",
        "2 minima of 60 not measured",
        "The search has not ended",
        "1 minimum has exact ranges that ended before",
        "in 2 parts that no saddle",
        "Not measured of 2 minima: crown: no rule &lt;b&gt;",
        "Not measured of 3 minima: jacobian-init, l2-init: no start.",
    ):
        assert words in page


def test_a_terminal_says_the_same_in_tables() -> None:
    text = printed(landscape_document(made(), figures=False))
    assert "less sensitive holds" in " ".join(text.split())
    assert "stationary minima" in text
    assert "m1 *" in text
    assert "* is not stationary." in text
    assert "* is not stationary." not in printed(landscape_document(made(marked=0), figures=False))


def test_texts_of_files_are_escaped() -> None:
    page = document_to_html(landscape_document(made(title=HOSTILE)))
    assert "<script>alert" not in page
    assert "&lt;b&gt;" in page


def test_the_json_keeps_its_schema() -> None:
    found = made()
    values = json.loads(landscape_to_json(found))
    check_result(values)
    assert values["claim"]["spearman"]["value"] == pytest.approx(
        found.answers.claim.answer.spearman.value  # type: ignore[union-attr]
    )
    assert values["counts"]["stationary"] == 57
    assert {each["name"] for each in values["tables"]} == {each.name for each in tables(found)}


def test_tables_have_a_row_for_each_thing() -> None:
    found = made()
    rows = {
        each.name: list(csv.DictReader(data_csv(each, end="\n").splitlines()))
        for each in tables(found)
    }
    assert [len(rows[name]) for name in ("minima", "saddles", "course")] == [60, 58, 30]
    first = rows["minima"][0]
    assert (first["minimum"], first["stationary"], first["joins"]) == ("m1", "false", "")
    assert float(first[exact_name()]) == found.minima[0].values[exact_name()]
    last = rows["minima"][-1]
    assert (last["joins at"], last["joins"]) == ("", "")
    assert {each["in tree"] for each in rows["saddles"]} == {"true"}


def test_every_figure_is_drawn_and_dots_say_what_they_are() -> None:
    found = made()
    drawn = [figure(found, 0.1) for figure in (energy_figure, over_figure, course_figure)]
    for drawing in (*drawn, *tree_figures(found)):
        assert drawing is not None
        assert "nan" not in svg(drawing)
    told = [mark.text for mark in drawn[0].marks if mark.shape == "dot"]  # type: ignore[union-attr]
    # Two parts of the data for each stationary minimum, one for others, and three names.
    assert len(told) == 2 * 57 + 3 + 3
    assert energy_figure(made(marked=0), 0.7) is None
    assert over_figure(replace(found, over=()), 0.1) is None
    assert course_figure(replace(found, course=()), 0.1) is None


def test_several_trainings_are_lines_of_one_method() -> None:
    found = made()
    one = course_figure(found, 0.1)
    assert "Along one training" in document_to_html(landscape_document(found))
    again = tuple((replace(shot, seed=1), row) for shot, row in found.course)
    several = replace(found, course=(*found.course, *again))
    two = course_figure(several, 0.1)
    assert [names_of_lines(each) for each in (one, two)] == [
        {"exact", "attained", "alpha-crown", "crown", "lp-dual"},
        {"seed 0", "seed 1"},
    ]
    assert "Adam from 2 random starts" in document_to_html(landscape_document(several))
    (course,) = (each for each in tables(several) if each.name == "course")
    assert [row[0] for row in course.rows] == [0] * 30 + [1] * 30


def names_of_lines(drawing: Drawing | None) -> set[str]:
    assert drawing is not None
    return {mark.text.split(",")[0] for mark in drawing.marks if ", step" in mark.text}


def test_the_tree_has_a_branch_for_each_minimum_down_to_its_energy() -> None:
    tree = disconnectivity([0.0, 1.0, 0.5, 3.0], [2.0, 1.0], [(0, 1), (0, 2)])
    drawing = tree_drawing(tree, ["a", "b", "c", "d"], [1.0, 2.0, None, 4.0], WIDE, what="volume")
    branches = {m.text.split(":")[0]: m for m in drawing.marks if m.shape == "line" and m.text}
    # What is not measured lies behind the others, and is grey on pages as on pictures.
    assert list(branches) == ["c", "d", "b", "a"]
    assert properties(branches["c"].look)["stroke"] == PALETTE["zero"][0]
    assert "svg .unknown { --own: var(--zero); }" in chart_style()
    floors = {name: max(y for _, y in mark.places) for name, mark in branches.items()}
    assert floors["a"] > floors["c"] > floors["b"] > floors["d"]
    # Who joins nothing goes up to the top, others to the branch that they join.
    tops = {name: min(mark.places, key=lambda place: place[1]) for name, mark in branches.items()}
    assert tops["a"][1] == tops["d"][1] == min(y for _, y in tops.values())
    assert tops["b"][0] == tops["c"][0] == tops["a"][0]
    assert tops["b"][1] < tops["c"][1]
    assert "tint" not in branches["c"].look
    assert "tint0" in branches["a"].look
    assert "tint4" in branches["d"].look


def test_a_minimum_that_repeats_a_network_has_the_colour_of_that() -> None:
    found = made()
    last = found.minima[-1]
    without = replace(found, minima=found.minima[:-1])
    again = replace(without, repeats={last.key: found.minima[0].key})
    for drawn, looks in ((without, {"unknown"}), (again, None)):
        branches = {m.text.split(":")[0]: m.look for m in tree_figures(drawn)[0].marks if m.text}
        wanted = looks or {branches[found.minima[0].key].split()[-1]}
        assert {branches[last.key].split()[-1]} == wanted


def test_answers_by_funnel_and_with_marked_minima_are_named_by_what_they_are() -> None:
    groups = {each.group for each in made().answers.ranks}
    assert len(groups) > 2
    assert "By funnel: " in document_to_html(landscape_document(made()))
    few = made(20)
    assert {each.group for each in few.answers.ranks} == {"all", "all, with those not stationary"}
    page = document_to_html(landscape_document(few))
    assert "With minima not stationary: " in page
    assert "By funnel: " not in page


def test_of_very_many_minima_the_deepest_are_drawn_and_the_picture_says_so() -> None:
    count = 1600
    energies = np.linspace(0, 1, count)
    links = [(0, at) for at in range(1, count)]
    tree = disconnectivity(energies, [2.0] * (count - 1), links)
    names = [str(at) for at in range(count)]
    drawing = tree_drawing(tree, names, [None] * count, WIDE, what="volume")
    branches = [mark for mark in drawing.marks if mark.shape == "line" and mark.text]
    assert len(branches) == 1500
    assert "1,500 of 1,600 minima" in drawing.words


def test_a_flat_landscape_is_drawn() -> None:
    tree = disconnectivity([0.5, 0.5], [0.5], [(0, 1)])
    drawing: Drawing = tree_drawing(tree, ["a", "b"], [1.0, 1.0], WIDE, what="volume")
    assert "nan" not in svg(drawing)


def test_the_report_is_written_whole(tmp_path: Path) -> None:
    paths = write_report(made(), tmp_path)
    assert {each.parent for each in paths} == {tmp_path / FOLDER}
    names = {each.name for each in paths}
    assert {"report.html", "report.json", "minima.csv", "ranks.csv"} <= names
    for stem in ("disconnectivity", "sensitivity_energy", "over_estimates", "training"):
        assert {f"{stem}.svg", f"{stem}.png"} <= names
    # Another one takes its place.
    assert write_report(made(slope=0.0), tmp_path) == paths
    assert "is open" in (tmp_path / FOLDER / "report.html").read_text()


def test_the_page_fits_every_screen_and_prints(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    name = "a-rather-long-name_of_a_landscape-without-a-space-in-it-" * 3
    page.write_text(document_to_html(landscape_document(made(200, title=name))))
    browser.fits(page)
    browser.open(page)
    assert len(browser.pdf()) > 10_000
    assert not browser.complaints
