"""The controls of a page: made by its one script, and nothing is lost without it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from pathlib import Path

import pytest

from sensverify.report import document as doc
from sensverify.report.chart import Drawing, Mark, histogram
from sensverify.report.html import document_to_html
from tests.browser import Browser
from tests.report.shown import split_page

EVIL = "<img src=x onerror=alert(1)>\"'&</script>"
NUMBERS = [None, 3.0, float("inf"), -20.0, float("nan"), 100.0]


def table(rows: int = 20) -> doc.Table:
    """Values that their texts would sort differently, of which some are missing."""
    made = [
        doc.row(
            f"row {k}",
            doc.Cell(f"about {NUMBERS[k % 6]}", value=NUMBERS[k % 6]),
            doc.Cell("-" if k == 3 else f"net{(7 * k) % 20}", note="9"),
        )
        for k in range(rows)
    ]
    heads = doc.columns("name", "number", "text")
    return doc.Table(heads, made, "plain", sortable=True, search="rows")


def cards() -> doc.Group:
    """Cards of three marks, with places in an order, of which one is missing."""
    words = ["certified", "undecided", "changes", "undecided"]
    made = [
        doc.Group(
            [doc.Text(f"label {EVIL} {k}", "facts")],
            "sample",
            f"Sample {k}",
            (words[k % 4], words[k % 4], "meaning"),
            {} if k == 5 else {f"worst {EVIL}": float(-k)},
        )
        for k in range(16)
    ]
    return doc.Group(made, "samples", "samples")


def made(*blocks: doc.Block) -> str:
    sections = [
        doc.Section("first", "First", [table()]),
        doc.Section("second", "Second", blocks or [cards()]),
    ]
    return document_to_html(doc.Document("A page", "a", "b", "c", sections, contents=True))


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Browser:
    page = tmp_path / "page.html"
    page.write_text(made(cards(), doc.Figure([histogram([0, 0, 1, 5.5], EVIL)])), encoding="utf-8")
    browser.complaints.clear()
    browser.open(page)
    return browser


def test_the_policy_allows_the_script_of_the_page_alone() -> None:
    page = made()
    _, script = split_page(page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert "</" not in script
    assert "\r" not in script
    assert "innerHTML" not in script


def test_data_for_the_script_are_escaped() -> None:
    page, _ = split_page(made())
    assert "<img src=x" not in page
    assert "</script>" not in page
    (orders,) = re.findall(r'data-orders="([^"]*)"', page)
    assert "&lt;img" in orders
    mark = Mark("dot", ((1, 1),), "", EVIL)
    drawn, _ = split_page(made(doc.Figure([Drawing(9, 9, EVIL, (mark,))])))
    assert "<title>&lt;img src=x" in drawn


def test_infinities_and_missing_values_are_written_for_the_script() -> None:
    page, _ = split_page(made())
    found = re.findall(r'<td data-value="([^"]*)"', page)[:5]
    assert found == ["3.0", "Infinity", "-20.0", "", "100.0"]


def test_without_scripts_nothing_is_hidden_and_no_control_is_dead(
    browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text(made(), encoding="utf-8")
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        body = browser.ask("document.documentElement.outerHTML")
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
    assert body.count('<article class="sample"') == 16
    text, _ = split_page(body)
    assert not re.search(r"<(button|input|select|output)\b", text)
    assert not re.search(r"<[^>]* hidden\b", text[text.index("<main") :])


def column(number: int) -> str:
    return f"[...document.querySelectorAll('tbody tr')].map(r => r.cells[{number}].innerText)"


def click(browser: Browser, selector: str, place: int = 0) -> None:
    browser.ask(f"document.querySelectorAll({json.dumps(selector)})[{place}].click()")


def test_a_header_sorts_up_down_and_back(shown: Browser) -> None:
    as_given = shown.ask(column(0))
    ways = []
    for _ in range(3):
        click(shown, "th .sort", 1)
        ways.append(shown.ask("document.querySelectorAll('thead th')[1].ariaSort"))
        values = [text.removeprefix("about ") for text in shown.ask(column(1))]
        known = [float(text) for text in values if text not in ("None", "nan")]
        if ways[-1] == "ascending":
            # A cell without a value is sorted by its text, after numbers; NaN is missing, so last.
            assert known == sorted(known)
            assert values[-3:] == ["nan"] * 3
        elif ways[-1] == "descending":
            assert known == sorted(known, reverse=True)
            assert values[-3:] == ["nan"] * 3
    assert ways == ["ascending", "descending", "none"]
    assert shown.ask(column(0)) == as_given
    assert shown.complaints == []


def test_texts_sort_by_the_numbers_in_them(shown: Browser) -> None:
    click(shown, "th .sort", 2)
    texts = [text.split()[0] for text in shown.ask(column(2))]
    assert texts[-1] == "-"
    numbers = [int(text.removeprefix("net")) for text in texts[:-1]]
    assert numbers == sorted(numbers)
    assert shown.ask("[...document.querySelectorAll('thead th')].map(h => h.ariaSort)") == [
        *("none", "none", "ascending")
    ]


def test_a_header_is_pressed_with_the_keyboard(shown: Browser) -> None:
    shown.ask("document.querySelector('th .sort').focus()")
    for kind in ("keyDown", "keyUp"):
        shown.send("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                   windowsVirtualKeyCode=13)  # fmt: skip
    assert shown.ask("document.querySelector('th').ariaSort") == "ascending"


def type_into(browser: Browser, selector: str, text: str) -> None:
    browser.ask(
        f"(() => {{ const box = document.querySelector({json.dumps(selector)});"
        f"box.value = {json.dumps(text)}; box.dispatchEvent(new Event('input')); }})()"
    )


def test_a_search_says_how_many_rows_it_finds(shown: Browser) -> None:
    said = "document.querySelector('.tools output').innerText"
    rows = "[...document.querySelectorAll('tbody tr')].filter(r => r.offsetHeight > 0).length"
    assert shown.ask(said) == "20 of 20 rows"
    # Every word of it, anywhere in the row.
    type_into(shown, ".tools input", "NET1  row")
    assert (shown.ask(said), shown.ask(rows)) == ("10 of 20 rows", 10)
    type_into(shown, ".tools input", "nothing of the kind")
    assert (shown.ask(said), shown.ask(rows)) == ("0 of 20 rows", 0)
    type_into(shown, ".tools input", "")
    assert (shown.ask(said), shown.ask(rows)) == ("20 of 20 rows", 20)


TITLES = (
    "[...document.querySelectorAll('.sample')].filter(c => c.offsetHeight > 0)"
    ".map(c => c.querySelector('h3').innerText)"
)


def test_cards_are_filtered_by_their_marks(shown: Browser) -> None:
    chips = shown.ask("[...document.querySelectorAll('.tools .chip')].map(c => c.innerText)")
    assert chips == ["all 16", "certified only 4", "changes only 4", "undecided only 8"]
    click(shown, ".tools .chip", 3)
    assert shown.ask(TITLES) == [f"Sample {k}" for k in range(1, 16, 2)]
    said = "document.querySelectorAll('.tools output')[1].innerText"
    assert shown.ask(said) == "8 of 16 samples"
    pressed = "[...document.querySelectorAll('.tools .chip')].map(c => c.ariaPressed)"
    assert shown.ask(pressed) == ["false", "false", "false", "true"]
    # Both tests at once.
    type_into(shown, ".tools:has(.chip) input", "5")
    assert shown.ask(TITLES) == ["Sample 5", "Sample 15"]
    click(shown, ".tools .chip", 1)
    assert shown.ask(said) == "0 of 16 samples"
    click(shown, ".tools .chip", 0)
    assert shown.ask(said) == "2 of 16 samples"


def test_cards_come_in_other_orders(shown: Browser) -> None:
    choose = (
        "(() => {{ const box = document.querySelector('.tools select'); box.value = '{}';"
        "box.dispatchEvent(new Event('change')); return box.selectedOptions[0].innerText; }})()"
    )
    assert shown.ask(choose.format(0)) == f"worst {EVIL}"
    others = [f"Sample {k}" for k in range(15, -1, -1) if k != 5]
    assert shown.ask(TITLES) == [*others, "Sample 5"]
    shown.ask(choose.format(-1))
    assert shown.ask(TITLES) == [f"Sample {k}" for k in range(16)]
    assert shown.complaints == []


def test_sections_fold_and_links_open_them(shown: Browser) -> None:
    height = "document.querySelector('#second-body').offsetHeight"
    assert shown.ask(height) > 0
    click(shown, "#second .fold")
    assert shown.ask(height) == 0
    assert shown.ask("document.querySelector('#second .fold').ariaExpanded") == "false"
    shown.send("Emulation.setEmulatedMedia", media="print")
    try:
        assert shown.ask(height) > 0
        controls = "[...document.querySelectorAll('.tools, .tip')].filter(c => c.offsetHeight > 0)"
        assert shown.ask(f"{controls}.length") == 0
    finally:
        shown.send("Emulation.setEmulatedMedia", media="")
    click(shown, 'nav a[href="#second"]')
    assert shown.ask(height) > 0


def test_a_print_says_what_is_left_out(shown: Browser) -> None:
    type_into(shown, ".tools input", "net1")
    shown.send("Emulation.setEmulatedMedia", media="print")
    try:
        lines = "[...document.querySelectorAll('output')].filter(c => c.offsetHeight > 0)"
        assert shown.ask(f"{lines}.map(c => c.innerText)") == ["10 of 20 rows"]
    finally:
        shown.send("Emulation.setEmulatedMedia", media="")


def test_values_of_charts_are_told_by_pointer_and_by_keys(shown: Browser) -> None:
    tip = "[!document.querySelector('.tip').hidden, document.querySelector('.tip').textContent]"
    assert shown.ask("document.querySelectorAll('svg title').length") == 0
    shown.ask("document.querySelector('svg').scrollIntoView()")
    x, y = shown.ask(
        "(() => { const box = document.querySelector('[data-tip]').getBoundingClientRect();"
        "return [box.left + box.width / 2, box.top + box.height / 2]; })()"
    )
    # The scrolling, which hides what is told, may not be over yet.
    end = time.monotonic() + 10
    while not shown.ask(tip)[0] and time.monotonic() < end:
        shown.send("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
        shown.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    visible, text = shown.ask(tip)
    assert visible
    assert text.endswith(": 3 of 4")
    shown.send("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert not shown.ask(tip)[0]

    def press(key: str) -> None:
        shown.send("Input.dispatchKeyEvent", type="rawKeyDown", key=key, code=key)
        shown.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    shown.ask("document.querySelector('svg').focus()")
    press("End")
    visible, text = shown.ask(tip)
    assert visible
    assert text.endswith(": 1 of 4")
    press("Escape")
    assert not shown.ask(tip)[0]
    assert shown.complaints == []


def test_a_chart_that_the_keyboard_scrolls_to_keeps_telling(shown: Browser) -> None:
    shown.ask("document.querySelector('.tools:has(.chip) input').focus(); scrollTo(0, 0)")
    shown.send("Input.dispatchKeyEvent", type="rawKeyDown", key="Tab", code="Tab",
               windowsVirtualKeyCode=9)  # fmt: skip
    shown.send("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab")
    focused = "document.activeElement === document.querySelector('svg')"
    inside = "document.querySelector('svg').getBoundingClientRect().bottom <= innerHeight"
    end = time.monotonic() + 10
    while not shown.ask(f"{focused} && {inside}") and time.monotonic() < end:
        time.sleep(0.05)
    # Two frames later, the scrolling has been heard of.
    shown.ask("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    time.sleep(0.2)
    assert shown.ask("scrollY") > 0
    assert not shown.ask("document.querySelector('.tip').hidden")


def test_the_script_leaves_no_global_names(shown: Browser) -> None:
    own = shown.ask(
        "(() => { const frame = document.createElement('iframe'); document.body.append(frame);"
        "const known = new Set(Object.getOwnPropertyNames(frame.contentWindow));"
        "frame.remove();"
        "return Object.getOwnPropertyNames(window).filter(n => !known.has(n) && n != 0); })()"
    )
    assert own == []
