"""Pairs of networks in reports: the tests that were made, in words that do not say more."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sensverify.evaluation.pairs import Comparison, compare_pairs
from sensverify.evaluation.results import Evaluation, Missing
from sensverify.evaluation.scores import summarise
from sensverify.report.evaluation.pairs import pair_section, plane_chart
from tests.report.shown import evaluation_page, evaluation_tables, evaluation_text

Make = Callable[..., Evaluation]
SMALL: dict[str, Any] = {"samples": 60, "corruptions": {"fog": 0.1}, "severities": 2}


def section(page: str) -> str:
    """The part of a page that is about pairs, as text."""
    part = page.partition('<h2 id="pairs">')[2].partition("<h2")[0]
    return html.unescape(re.sub(r"<[^>]*>", " ", part))


def kept_earlier(evaluation: Evaluation) -> Evaluation:
    """The evaluation with rows of corruptions that do not say which samples are wrong."""
    models = (
        replace(model, corruptions=tuple(replace(row, wrong=None) for row in model.corruptions))
        for model in evaluation.models
    )
    return replace(evaluation, models=tuple(models))


def test_one_network_has_no_such_section(make_evaluation: Make) -> None:
    evaluation = make_evaluation(network=SMALL)
    assert 'id="pairs"' not in evaluation_page(evaluation)
    assert 'href="#pairs"' not in evaluation_page(evaluation)
    assert "only 1st" not in evaluation_text(evaluation)
    assert "pairs" not in evaluation_tables(evaluation)


def test_the_page_says_who_is_better_only_where_the_test_does(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b", "c"), network=SMALL)
    *others, last = evaluation.models
    last = replace(last, certified=tuple(replace(r, certified=()) for r in last.certified))
    evaluation = replace(evaluation, models=(*others, last))
    page = section(evaluation_page(evaluation))
    found = compare_pairs(evaluation)
    # Clean and the middle radius stand above, and the latter once more with all radii.
    twice = [e for e in found if e.kind in ("worst", "certified") and e.at == 0.15]
    better = [e.better for e in (*found, *twice) if e.better is not None]
    assert better
    assert page.count("is better") == len(better)
    assert page.count("no difference shown") == len(found) + len(twice) - len(better)
    assert "not tested" not in page
    for word in ("McNemar", "Newcombe", "Holm", "0.05"):
        assert word in page


def test_what_is_not_tested_says_why(make_evaluation: Make) -> None:
    evaluation = kept_earlier(make_evaluation(("a", "b"), network=SMALL))
    page, text = (section(evaluation_page(evaluation)), evaluation_text(evaluation))
    assert page.count("not tested: a: which of its samples were wrong was not kept") == 2
    # What the terminal sums up is known.
    assert "not tested" not in text
    blind = replace(
        evaluation.models[1],
        attacks=tuple(replace(r, blind=tuple(range(60))) for r in evaluation.models[1].attacks),
    )
    text = evaluation_text(replace(evaluation, models=(evaluation.models[0], blind)))
    assert "not tested: a, b: worst of attacks at 0.15: b: no gradient" in " ".join(text.split())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_has_a_short_table(make_evaluation: Make, width: int) -> None:
    evaluation = make_evaluation(("a", "b", "c"), network=SMALL)
    text = evaluation_text(evaluation, width=width)
    for pair in ("a, then b", "a, then c", "b, then c"):
        assert f"{pair}: right in one alone" in text
    assert max(map(len, text.splitlines())) <= width
    (clean,) = (
        each for each in compare_pairs(evaluation) if each.kind == "clean" and each.second == "b"
    )
    assert clean.paired is not None
    line = next(line for line in text.splitlines() if line.startswith("clean  "))
    assert line.split()[1:3] == [str(clean.paired.only_first), str(clean.paired.only_second)]


def test_of_many_pairs_a_terminal_shows_the_first(make_evaluation: Make) -> None:
    evaluation = make_evaluation(tuple("abcde"), network=SMALL)
    text = evaluation_text(evaluation)
    assert text.count("right in one alone") == 6
    assert "4 more pairs" in " ".join(text.split())
    assert "Each attack: 200 comparisons" in section(evaluation_page(evaluation))


def test_the_table_holds_every_comparison(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b", "c"), network=SMALL)
    first, *others = evaluation.models
    evaluation = replace(
        evaluation, models=(*kept_earlier(replace(evaluation, models=(first,))).models, *others)
    )
    text = evaluation_tables(evaluation)["pairs"]
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    for row, each in zip(rows, compare_pairs(evaluation), strict=True):
        assert (row["first"], row["second"]) == (each.first, each.second)
        assert (row["kind"], row["name"]) == (each.kind, each.name)
        assert row["untested"] == each.untested
        if each.paired is None:
            assert row["p_value"] == row["samples"] == row["adjusted"] == ""
        else:
            assert float(row["p_value"]) == each.paired.p_value
            assert float(row["adjusted"]) == each.adjusted
            assert (float(row["lower"]), float(row["upper"])) == each.paired.interval
            counts = (int(row[n]) for n in ("both", "only_first", "only_second", "neither"))
            assert sum(counts) == int(row["samples"]) == 60


def test_networks_stand_at_their_two_accuracies(make_evaluation: Make) -> None:
    """Dots lie where their shares are, inside of the whiskers, and the ideal above all right."""
    summaries = summarise(make_evaluation(("a", "b", "c")))
    drawing = plane_chart(summaries, lambda summary: summary.certified, "certified")
    dots = {
        m.text.partition(":")[0]: m.places[0] for m in drawing.marks if m.text and m.shape == "dot"
    }
    assert set(dots) == {"a", "b", "c", "ideal"}
    ideal = dots.pop("ideal")
    for summary in summaries:
        x, y = dots[summary.model]
        assert x <= ideal[0]
        assert y >= ideal[1]
        assert summary.certified is not None
    by_clean = sorted(summaries, key=lambda s: s.clean.share)
    assert [dots[s.model][0] for s in by_clean] == sorted(x for x, _ in dots.values())
    whiskers = [m for m in drawing.marks if m.shape == "line" and m.look.startswith("line hue")]
    assert len([m for m in whiskers if len(m.places) == 2]) == 6
    for name in "abc":
        assert f"{name}: clean" in drawing.words


def test_a_plane_needs_two_networks(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b"), network={**SMALL, "methods": {}, "attacks": {}})
    names = [
        type(block).__name__
        for block in pair_section(
            evaluation, summarise(evaluation), compare_pairs(evaluation)
        ).blocks
    ]
    assert "Group" in names
    assert (
        "<svg"
        not in evaluation_page(evaluation).partition('<h2 id="pairs">')[2].partition("<h2")[0]
    )


def test_names_are_escaped(make_evaluation: Make) -> None:
    hostile = "<script>alert(1)</script>"
    evaluation = make_evaluation((hostile, "b"), network=SMALL)
    page = evaluation_page(evaluation)
    assert hostile not in page
    assert f"only {hostile}" in section(page)


def test_a_share_that_is_everything_is_drawn(make_evaluation: Make) -> None:
    """All right, or none: the axes have a length all the same."""
    for accuracy in (1.0, 0.0):
        evaluation = make_evaluation(("a", "b"), network={**SMALL, "accuracy": accuracy})
        assert "ideal" in evaluation_page(evaluation)


def test_a_missing_attack_is_not_compared(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b"), network=SMALL)
    first, second = evaluation.models
    rows = tuple(r for r in second.attacks if r.attack != "square")
    missing = (Missing(key="attack/square/0.15", reason="no"),)
    evaluation = replace(evaluation, models=(first, replace(second, attacks=rows, missing=missing)))
    found: list[Comparison] = [e for e in compare_pairs(evaluation) if e.kind == "attack"]
    assert "square" not in {e.name for e in found}
    assert "have not met the same attacks" in section(evaluation_page(evaluation))
