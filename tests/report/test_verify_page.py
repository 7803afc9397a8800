"""The page: self-contained, escaped, complete, and drawn right."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from sensverify.core.record import RunRecord
from sensverify.core.results import Guarantee
from sensverify.report.chart import svg, ticks
from sensverify.report.intervals import OUTPUTS, drawn_outputs, interval_chart
from sensverify.verification import InputFacts
from tests.report.shown import split_page, verify_page

Make = Callable[..., Any]
EVIL = "<script>alert(1)</script>\"'&$model</style>"
VOID = {"meta", "br"}


class Balanced(HTMLParser):
    """Every element that opens closes; collects the names and the attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_needs_nothing_else(make_sample: Make, make_report: Make) -> None:
    page, _ = split_page(
        verify_page(make_report([make_sample(k, [0, 1], [1, 2]) for k in range(9)]))
    )
    found = parsed(page)
    assert not found.names & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert not found.attributes & {"src", "href", "action"}
    assert not any(name.startswith("on") for name in found.attributes)
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_every_text_is_escaped(make_sample: Make, make_report: Make) -> None:
    report = make_report(
        [make_sample(0, [0, 1], [1, 2])],
        model={"name": EVIL, "path": EVIL, "sha256": EVIL, "output_names": (EVIL, EVIL)},
        perturbation=InputFacts(EVIL, EVIL, None, None, None),
        method=EVIL,
        settings={EVIL: EVIL},
        device=EVIL,
        dtype=EVIL,
        record=RunRecord(EVIL, EVIL, {EVIL: EVIL}),
    )
    page, _ = split_page(verify_page(report))
    assert "script" not in parsed(page).names
    assert page.count("</style>") == 1
    # What looks like a place of the template stays text.
    assert "$model" in page
    boxed = make_report(
        [make_sample(0, [0], [1])], perturbation=InputFacts(None, None, None, None, EVIL)
    )
    assert "script" not in parsed(split_page(verify_page(boxed))[0]).names


def test_what_the_page_says(make_sample: Make, make_report: Make) -> None:
    samples = [make_sample(0, [2, 0], [3, 1], certified=True), make_sample(1, [0, 0], [3, 1])]
    page = verify_page(make_report(samples, max_width=2.0))
    for text in ("SOUND", "Proven", "50.0 %", "1 of 2 samples", "Threshold exceeded", "crown"):
        assert text in page
    assert "largest 3" in page
    assert "unstable" in page.lower()
    holds = verify_page(make_report(samples, max_width=5.0))
    assert "Every threshold holds" in holds


@pytest.mark.parametrize("guarantee", Guarantee)
def test_every_guarantee_has_its_words(
    make_sample: Make, make_report: Make, guarantee: Guarantee
) -> None:
    page = verify_page(make_report([make_sample(0, [0], [1])], guarantee=guarantee))
    assert f"<strong>{guarantee.name}.</strong>" in page


def test_many_samples_are_counted(make_sample: Make, make_report: Make) -> None:
    page = verify_page(make_report([make_sample(k, [0, 1], [1, 2]) for k in range(130)]))
    assert page.count('<article class="sample"') == 100
    assert "The first 100 samples are drawn. The other 30 are not" in page


def test_a_bar_for_every_output_and_the_label_in_colour(make_sample: Make) -> None:
    picture = svg(interval_chart(make_sample(0, [0, 1, 5], [1, 2, 6], label=1), ["a", "b", "c"]))
    assert picture.count('class="outer"') == 2
    assert picture.count('class="own-bar"') == 1
    assert picture.count("<circle") == 3
    assert "b 1 to 2" in picture


def test_bars_stand_where_their_numbers_are(make_sample: Make) -> None:
    picture = svg(interval_chart(make_sample(0, [0, 10], [10, 30], label=None), ["a", "b"]))
    bars = [
        (float(x), float(width))
        for x, width in re.findall(
            r'class="outer" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', picture
        )
    ]
    (first, narrow), (second, wide) = bars
    assert first + narrow == pytest.approx(second, abs=0.2)
    assert wide == pytest.approx(2 * narrow, abs=0.4)


def test_attained_values_have_a_bar(make_sample: Make) -> None:
    inner = {"inner_lower": np.array([0.2]), "inner_upper": np.array([0.8])}
    assert 'class="inner"' in svg(interval_chart(make_sample(0, [0], [1], **inner), ["a"]))


@pytest.mark.parametrize(
    ("lower", "upper"),
    [([0], [0]), ([5, 5], [5, 5]), ([1e30], [1e30]), ([-1e-30], [1e-30]), ([1e308], [1.1e308])],
)
def test_extreme_intervals_can_be_drawn(
    make_sample: Make, make_report: Make, lower: list[float], upper: list[float]
) -> None:
    page = verify_page(make_report([make_sample(0, lower, upper)]))
    parsed(page)
    assert "nan" not in page.split("<svg")[1]
    assert "inf" not in page.split("<svg")[1].split("</svg>")[0].replace("infinity", "")


def test_of_many_outputs_the_highest_the_label_and_the_prediction_are_drawn(
    make_sample: Make, make_report: Make
) -> None:
    lower = np.arange(100.0)
    sample = make_sample(0, lower, lower + 1, label=3)
    rows = drawn_outputs(sample)
    assert len(rows) == OUTPUTS
    assert {3, 99} <= set(rows)
    assert "60 outputs not drawn" in verify_page(make_report([sample]))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 17.9), (1e-9, 2e-9), (-1e6, 3e6)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 12
    assert all(low - 1e-9 * abs(low) <= mark <= high + 1e-9 * abs(high) for mark in marks)
