"""The page: self-contained, escaped, complete, and drawn right."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.core.record import RunRecord
from sensverify.core.results import Guarantee
from sensverify.report.chart import svg, ticks
from sensverify.report.verification.intervals import (
    OUTPUTS,
    RIVALS,
    drawn_outputs,
    interval_chart,
    margin_chart,
)
from sensverify.verification import Counterexample, InputFacts
from sensverify.verification.results import NOTABLE, notable
from tests.browser import Browser
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
    assert not found.attributes & {"src", "action"}
    # What is linked to is in the page itself.
    assert set(re.findall(r'href="([^,"]*)', page)) == {"data:text/csv;base64"}
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
    assert (
        "100 samples are drawn, those that change or are undecided before others. The other 30"
        in page
    )


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


NAN, INF = float("nan"), float("inf")


def test_a_banner_says_what_was_found(make_sample: Make, make_report: Make) -> None:
    kept, open_, lost = (
        make_sample(k, [0, 1], [1, 2], certified=word) for k, word in enumerate((True, None, False))
    )
    for samples, level, words in (
        ([kept], "good", "1 of 1 certified"),
        ([kept, open_], "open", "1 of 2 undecided"),
        ([kept, open_, lost], "bad", "1 of 3 changes"),
        ([lost, kept, lost], "bad", "2 of 3 change"),
    ):
        page = verify_page(make_report(samples))
        assert re.findall(r'<div class="banner (\w+)" role="status">', page) == [level]
        assert f'<strong class="word">{words}</strong>' in page
    unasked = make_sample(0, [0, 1], [1, 2], label=None, judged="nothing")
    assert 'class="banner' not in verify_page(make_report([unasked]))


def test_a_broken_threshold_is_the_banner(make_sample: Make, make_report: Make) -> None:
    sample = make_sample(0, [0, 1], [1, 2], certified=True)
    page = verify_page(make_report([sample], max_width=0.5))
    assert re.findall(r'class="banner (\w+)"', page) == ["bad"]
    assert '<strong class="word">Failed</strong>' in page


def test_samples_that_are_not_drawn_are_in_the_table(make_sample: Make, make_report: Make) -> None:
    words = [True] * 120 + [None, False]
    samples = [make_sample(k, [0, 1], [1, 2], certified=word) for k, word in enumerate(words)]
    page = verify_page(make_report(samples))
    cards = [int(k) for k in re.findall(r"<h3>Sample (\d+)</h3>", page)]
    assert cards == [*range(98), 120, 121]
    table = page[page.index('<h2 id="samples">') :]
    assert [int(k) for k in re.findall(r'<th scope="row">(\d+)</th>', table)] == [*range(122)]
    assert 'data-sortable data-search="samples"' in table


def test_notable_samples_are_those_that_change_then_undecided_ones(make_sample: Make) -> None:
    words = [True, None, False, True, None, False]
    samples = [make_sample(k, [0, 1], [1, 2], certified=word) for k, word in enumerate(words)]
    found = [[sample.index for sample in notable(samples, most)] for most in range(7)]
    assert found == [[], [2], [2, 5], [1, 2, 5], [1, 2, 4, 5], [0, 1, 2, 4, 5], [*range(6)]]
    assert len(notable([samples[0]] * (NOTABLE + 1))) == NOTABLE


def test_margins_stand_on_their_side_of_zero(make_sample: Make) -> None:
    margins = np.array([NAN, 2.0, -1.0, 0.0, -INF])
    sample = make_sample(0, [0] * 5, [1] * 5, margins=margins, certified=None)
    drawing = margin_chart(sample, list("abcde"))
    assert drawing is not None
    bars = [mark for mark in drawing.marks if mark.shape == "box"]
    (zero,) = {mark.places[0][0] for mark in bars}
    assert [mark.look for mark in bars] == ["unsure"] * 3 + ["kept"]
    assert [mark.text.split(":")[0] for mark in bars] == ["over e", "over c", "over d", "over b"]
    ends = [mark.places[1][0] - zero for mark in bars]
    assert ends[0] < ends[1] < ends[2] < 0 < ends[3]
    lost = make_sample(0, [0] * 5, [1] * 5, margins=margins, certified=False)
    assert "lost" in {mark.look for mark in margin_chart(lost, list("abcde")).marks}


def test_no_margins_are_not_drawn(make_sample: Make) -> None:
    for margins in (None, np.full(2, NAN)):
        assert margin_chart(make_sample(0, [0, 0], [1, 1], margins=margins), ["a", "b"]) is None


@pytest.mark.parametrize("value", [0.0, 1e-320, -1e-30, 1e308, -1e308, INF, -INF])
def test_extreme_margins_can_be_drawn(make_sample: Make, value: float) -> None:
    margins = np.array([NAN, value, value])
    drawing = margin_chart(make_sample(0, [0] * 3, [1] * 3, margins=margins), ["a", "b", "c"])
    assert drawing is not None
    assert all(np.isfinite(place).all() for mark in drawing.marks for place in mark.places)
    bars = [mark.places for mark in drawing.marks if mark.shape == "box"]
    assert all((end[0] > start[0]) == (value > 0) for start, end in bars)
    assert all(0 <= x <= drawing.width for places in bars for x, _ in places)


def test_of_many_margins_the_least_are_drawn(make_sample: Make) -> None:
    margins = np.concatenate([[NAN], np.arange(99.0, 0, -1)])
    sample = make_sample(0, [0] * 100, [1] * 100, margins=margins)
    drawing = margin_chart(sample, [str(k) for k in range(100)])
    assert drawing is not None
    texts = [mark.text for mark in drawing.marks if mark.shape == "box"]
    assert len(texts) == RIVALS
    assert texts[0] == "over 99: 1"


def pictured(make_sample: Make, make_report: Make, **changes: Any) -> str:
    """A page of an image that changes, one that is undecided, and one that is wrong by itself."""
    image = np.linspace(0, 1, 48).reshape(3, 4, 4).astype(np.float32)
    moved = Counterexample(image[:, ::-1].copy(), np.array([0.0, 3.0]), 1, sample=image)
    itself = Counterexample(image, np.array([0.0, 3.0]), 1, sample=image)
    margins = np.array([NAN, -2.0])
    samples = [
        make_sample(0, [2, 0], [3, 4], certified=False, counterexample=moved, margins=margins),
        make_sample(1, [2, 0], [3, 2.5], margins=margins),
        make_sample(2, [0, 3], [1, 4], certified=False, counterexample=itself),
    ]
    values: dict[str, Any] = {"inputs": {1: image}, "pixels": (0.0, 1.0)}
    names = {"class_names": (EVIL, "other")}
    return verify_page(make_report(samples, **{**names, **values, **changes}))


def test_a_counterexample_stands_beside_the_sample(make_sample: Make, make_report: Make) -> None:
    page = pictured(make_sample, make_report)
    cards = page.split('<article class="sample"')[1:]
    assert [card.count("<img ") for card in cards] == [3, 1, 1]
    assert [len(set(re.findall(r'src="(data:image/png[^"]*)"', card))) for card in cards] == [
        *(3, 1, 1)
    ]
    first = Balanced()
    assert "counter\N{SOFT HYPHEN}example: <strong>other</strong>" in cards[0]
    assert "\N{RIGHTWARDS ARROW} other" in cards[0]
    assert 'alt="Counterexample of sample 0"' in cards[0]
    assert "script" not in parsed_with_images(page, first).names
    table = page[page.index('<h2 id="samples">') :]
    assert table.count("<td>other</td>") >= 2


def parsed_with_images(page: str, parser: Balanced) -> Balanced:
    page, _ = split_page(page)
    parser.feed(page.replace("<img ", "<meta "))
    parser.close()
    assert parser.open == []
    return parser


def test_features_of_a_counterexample_that_is_no_image_are_listed(
    make_sample: Make, make_report: Make
) -> None:
    page = pictured(make_sample, make_report, pixels=None, inputs={})
    assert "<img" not in page
    first = page.split('<article class="sample"')[1]
    assert "<summary>Counterexample</summary>" in first
    assert first.count('data-value="') == 3 * 8
    assert "40 features that move no further" in first


def test_cards_can_be_put_in_order(make_sample: Make, make_report: Make) -> None:
    page = pictured(make_sample, make_report)
    assert 'data-cards="samples"' in page
    assert "least margin first" in page
    # By margin, by width, by volume; what has no margin is last.
    assert re.findall(r'data-keys="([^"]*)"', page) == [
        "[-2, -4, -1.38629]",
        "[-2, -2.5, -0.916291]",
        "[null, -1, -0]",
    ]


def test_deviations_of_samples_are_in_the_table(make_sample: Make, make_report: Make) -> None:
    samples = [make_sample(k, [0, 1], [1, 2 + k], label=None, judged="nothing") for k in range(2)]
    page = verify_page(make_report(samples, max_deviation=(5.0, 5.0)))
    assert "largest deviation" in page
    assert "predicted" not in page


PAGES = {
    "one": {"count": 1, "outputs": 3},
    "many outputs": {"count": 3, "outputs": 60},
    "many samples": {"count": 150, "outputs": 2},
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_fits_and_prints(
    make_sample: Make, make_report: Make, browser: Browser, tmp_path: Path, name: str
) -> None:
    count, outputs = PAGES[name]["count"], PAGES[name]["outputs"]
    rng, samples = np.random.default_rng(0), []
    image = rng.random((1, 28, 28)).astype(np.float32)
    for k in range(count):
        lower = rng.normal(size=outputs)
        word = (True, None, False)[k % 3]
        example = Counterexample(1 - image, lower, 1, sample=image) if word is False else None
        margins = np.concatenate([[NAN], rng.normal(size=outputs - 1)])
        more = {"certified": word, "counterexample": example, "margins": margins}
        samples.append(make_sample(k, lower, lower + rng.random(outputs), **more))
    names = tuple(f"a class with a rather long name, number {k}" for k in range(outputs))
    inputs = {sample.index: image for sample in samples}
    report = make_report(samples, class_names=names, inputs=inputs, pixels=(0.0, 1.0))
    page = tmp_path / "page.html"
    page.write_text(verify_page(report), encoding="utf-8")
    browser.fits(page)
    assert browser.sheets() >= 1
    assert browser.ask("document.querySelectorAll('.sample').length") == min(count, NOTABLE)


def test_the_worst_come_first(
    make_sample: Make, make_report: Make, browser: Browser, tmp_path: Path
) -> None:
    margins = [3.0, -INF, 0.5, -2.0]
    samples = [
        make_sample(k, [0, 0], [1, 1], margins=np.array([NAN, margin]))
        for k, margin in enumerate(margins)
    ]
    page = tmp_path / "page.html"
    page.write_text(verify_page(make_report(samples)), encoding="utf-8")
    browser.open(page)
    browser.ask(
        "(() => { const order = document.querySelector('.tools select'); order.value = 0;"
        "order.dispatchEvent(new Event('change')); })()"
    )
    titles = "[...document.querySelectorAll('.sample h3')].map(h => h.innerText)"
    assert browser.ask(titles) == [f"Sample {k}" for k in (1, 3, 2, 0)]
    assert browser.complaints == []


def test_a_page_of_many_samples_stays_small(make_sample: Make, make_report: Make) -> None:
    rng = np.random.default_rng(0)
    ends = [np.sort(rng.normal(size=(2, 10)), axis=0) for _ in range(1000)]
    margins = np.concatenate([[NAN], rng.normal(size=9)])
    samples = [make_sample(k, *pair, margins=margins) for k, pair in enumerate(ends)]
    image = rng.random((3, 64, 64))
    inputs = {sample.index: image for sample in notable(samples)}
    page = verify_page(make_report(samples, inputs=inputs, pixels=(0.0, 1.0)))
    assert len(page) < 4_000_000
    assert page.count("<img ") == NOTABLE
