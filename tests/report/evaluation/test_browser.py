"""The page of an evaluation as a browser shows it: quiet, no wider than its window, printable."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sensverify.evaluation.results import Evaluation
from tests.browser import Browser
from tests.report.shown import evaluation_page, evaluation_tables

Make = Callable[..., Evaluation]

PAGES: dict[str, dict[str, Any]] = {
    "one network": {},
    "three networks": {"names": ("a-rather-long-name-of-a-network", "b", "c")},
    "20 named classes": {
        "network": {"classes": 20, "radii": tuple(k / 255 for k in range(1, 31))},
        "classes": tuple(f"a class called {k}" for k in range(20)),
    },
    "next to nothing": {
        "network": {
            **{"samples": 1, "classes": 1, "radii": (), "attacks": {}, "methods": {}},
            **{"corruptions": {}, "sequences": (), "measures": (), "missing": ()},
        },
        "examples": {},
    },
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_fits_and_prints(
    make_evaluation: Make, browser: Browser, tmp_path: Path, name: str
) -> None:
    page = tmp_path / "page.html"
    page.write_text(evaluation_page(make_evaluation(**PAGES[name])), encoding="utf-8")
    browser.fits(page)
    assert 1 <= browser.sheets() <= 14


def test_one_of_two_curves_is_shown(
    make_evaluation: Make, browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text(evaluation_page(make_evaluation()), encoding="utf-8")
    shown = "[...document.querySelectorAll('figure.chart')].map(f => f.offsetWidth > 0)"
    browser.open(page, width=1280)
    assert browser.ask(shown) == [True, False]
    browser.open(page, width=390)
    assert browser.ask(shown) == [False, True]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_names_of_lines_stay_inside_of_their_picture(
    browser: Browser, make_evaluation: Make, tmp_path: Path, count: int, width: int
) -> None:
    names = tuple(f"mnist-network-{place}.onnx.gz" for place in range(count))
    path = tmp_path / "page.html"
    path.write_text(evaluation_page(make_evaluation(names=names)))
    browser.open(path, width=width)
    over = browser.ask(
        "[...document.querySelectorAll('svg.curves')].filter(s => s.getBoundingClientRect().width)"
        ".flatMap(s => [...s.querySelectorAll('text')].map(t => [t.textContent,"
        "t.getBoundingClientRect().right - s.getBoundingClientRect().right]))"
        ".filter(([, over]) => over > 0)"
    )
    assert over == []


def test_texts_do_not_run_into_each_other_at_the_axis(
    make_evaluation: Make, browser: Browser, tmp_path: Path
) -> None:
    radii = (0.001, 0.002, 0.01, 0.0125, 0.02, 0.03)
    page = tmp_path / "page.html"
    page.write_text(evaluation_page(make_evaluation(network={"radii": radii})), "utf-8")
    for width in (390, 1280):
        browser.open(page, width=width)
        boxes = browser.ask(
            "[...document.querySelectorAll('figure.chart svg text:not([class])')]"
            ".filter(t => t.getAttribute('text-anchor') == 'middle' && t.getClientRects().length)"
            ".map(t => [t.getBoundingClientRect().left, t.getBoundingClientRect().right])"
        )
        assert len(boxes) >= 3
        assert all(a[1] < b[0] for a, b in pairwise(boxes))


def test_a_table_can_be_downloaded_under_the_pages_policy(
    make_evaluation: Make, browser: Browser, tmp_path: Path
) -> None:
    evaluation = make_evaluation()
    page, folder = tmp_path / "page.html", tmp_path / "downloads"
    folder.mkdir()
    page.write_text(evaluation_page(evaluation), encoding="utf-8")
    browser.open(page)
    found = browser.download('a[download="accuracy.csv"]', folder)
    assert found.name == "accuracy.csv"
    assert found.read_bytes().decode() == evaluation_tables(evaluation)["accuracy"]
    assert browser.complaints == []


def test_scripts_do_not_run(browser: Browser, make_evaluation: Make, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    html = evaluation_page(make_evaluation())
    page.write_text(html.replace("</main>", "<script>document.title = 'no'</script></main>"))
    browser.open(page)
    assert browser.ask("document.title") == "net: evaluation"
    assert any("Content Security Policy" in line for line in browser.complaints)
    browser.complaints.clear()
