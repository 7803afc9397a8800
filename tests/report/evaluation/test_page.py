"""The page of an evaluation: self-contained, escaped, complete, and drawn right."""

from __future__ import annotations

import base64
import csv
import html
import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.core.gates import Figure, Gate
from sensverify.core.record import RunRecord
from sensverify.evaluation.results import Evaluation, Example
from sensverify.report.chart import spread, svg
from sensverify.report.document import Cell, Number, plain
from sensverify.report.evaluation.accuracy import WIDE, accuracy_chart
from sensverify.report.evaluation.document import evaluation_document
from sensverify.report.evaluation.images import pictures, thumbnail
from sensverify.report.formatting import percent, radius_text, without_settings
from sensverify.report.pixels import png
from sensverify.report.theme import STEPS, heat_style, signed_step, step
from tests.report.shown import evaluation_page, evaluation_tables, split_page

Make = Callable[..., Evaluation]
EVIL = "<script>alert(1)</script>\"'&$model</style></title>"
VOID = {"meta", "br", "img", "wbr"}

# What a page must be able to leave out, or to have much of.
VARIANTS: dict[str, dict[str, Any]] = {
    "usual": {},
    "one sample": {"network": {"samples": 1}},
    "one class": {"network": {"classes": 1, "accuracy": 1.0}, "classes": ("only",)},
    "nothing right": {"network": {"accuracy": 0.0}},
    "everything right": {"network": {"accuracy": 1.0, "attacks": {}}},
    "no attacks": {"network": {"attacks": {}}},
    "one attack": {"network": {"attacks": {"fgsm": 1.0}}},
    "no certificates": {"network": {"methods": {}}},
    "no radii": {"network": {"radii": (), "attacks": {}, "methods": {}}},
    "no corruptions": {"network": {"corruptions": {}}, "examples": {}},
    "no sequences": {"network": {"sequences": ()}},
    "no measures": {"network": {"measures": (), "missing": ()}},
    "no pictures": {"examples": {}},
    "one radius": {"network": {"radii": (0.1,)}},
    "30 radii": {"network": {"radii": tuple(k / 100 for k in range(1, 31))}},
    "radii of all sizes": {"network": {"radii": (1e-6, 1e-3, 1.0, 1e4)}},
    "classes without names": {"classes": ()},
    "100 classes": {"network": {"classes": 100}},
    "three networks": {"names": ("a", "b", "c")},
    "everything missing": {
        "network": {
            "attacks": {},
            "methods": {},
            "corruptions": {},
            "measures": (),
            "sequences": (),
        },
        "examples": {},
        "interrupted": True,
    },
}


class Page(HTMLParser):
    """Every element that opens closes; collects names, attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.links: list[dict[str, str | None]] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag in ("a", "img"):
            self.links.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_evaluation_has_a_sound_page(make_evaluation: Make, variant: str) -> None:
    html = evaluation_page(make_evaluation(**VARIANTS[variant]))
    page = Page(html)
    assert not re.search(r"(?<![a-z])(nan|inf|none)(?![a-z])", page.text, re.IGNORECASE)
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        assert not re.search(r'="[^"]*\b(nan|inf)\b', drawing.replace("aria-label", ""))
    # No heading without anything below it.
    empty = r"<h2[^>]*>(?:(?!</h2>).)*</h2>\s*<div class=\"body\">\s*</div>"
    assert not re.search(empty, html, re.DOTALL)
    assert not re.search(r"<h3[^>]*>[^<]*</h3>\s*(</div>)?\s*<h[23]", html)
    assert "<tbody></tbody>" not in html
    assert len(html) < 2_000_000 * (3 if variant == "three networks" else 1)


def test_the_page_needs_nothing_else(make_evaluation: Make) -> None:
    html, _ = split_page(evaluation_page(make_evaluation(("a", "b"))))
    page = Page(html)
    assert not page.names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert not any(name.startswith("on") for name in page.attributes)
    for link in page.links:
        target = link.get("href") or link.get("src") or ""
        assert target.startswith(("#", "data:text/csv;base64,", "data:image/png;base64,"))
    anchors = {link["href"] for link in page.links if (link.get("href") or "").startswith("#")}
    assert {f"#{found}" for found in re.findall(r'<h2 id="(\w+)"', html)} >= anchors
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "")


def hostile(evaluation: Evaluation) -> Evaluation:
    """The same with every text replaced."""

    def evil(row: Any) -> Any:
        kept = {"part", "against"}
        texts = {k: EVIL for k, v in vars(row).items() if isinstance(v, str) and k not in kept}
        return replace(row, **texts)

    (model,) = evaluation.models
    rows = ("attacks", "certified", "corruptions", "sequences", "measures", "missing")
    changed: dict[str, Any] = {name: (evil(getattr(model, name)[0]),) for name in rows}
    model = replace(model, model=evil(model.model), **changed)
    classes = (EVIL,) * len(evaluation.classes)
    picture = evil(evaluation.examples["clean"][0])
    return replace(
        evil(evaluation),
        models=(model, replace(model)),
        classes=classes,
        examples={"clean": (picture,), EVIL: (picture,)},
        settings={EVIL: EVIL},
        record=RunRecord(EVIL, EVIL, {EVIL: EVIL}),
        reference=EVIL,
    )


def test_every_text_is_escaped(make_evaluation: Make) -> None:
    evaluation = hostile(make_evaluation())
    for some in (evaluation, replace(evaluation, models=evaluation.models[:1])):
        html, _ = split_page(evaluation_page(some))
        page = Page(html)
        assert "script" not in page.names
        assert html.count("</style>") == 1
        # What looks like a place of the template stays text.
        assert "$model" in page.text
        assert EVIL in page.text
        assert not any(name.startswith("on") for name in page.attributes)


def test_every_table_can_be_downloaded(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    tables = evaluation_tables(evaluation)
    found = {
        link["download"]: base64.b64decode((link["href"] or "").partition(",")[2]).decode()
        for link in Page(evaluation_page(evaluation)).links
        if "download" in link
    }
    assert found == {f"{name}.csv": text for name, text in tables.items()}


def test_tables_that_are_too_large_are_named(make_evaluation: Make) -> None:
    evaluation = make_evaluation(network={"samples": 20_000, "corruptions": {}, "measures": ()})
    assert len(evaluation_tables(evaluation)["samples"]) > 1_000_000
    html = evaluation_page(evaluation)
    assert "is too large for this page" in html
    assert 'download="accuracy.csv"' in html
    assert 'download="samples.csv"' not in html
    assert len(html) < 2_000_000


def test_nothing_that_is_missing_is_dropped(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b"))
    text = Page(evaluation_page(evaluation)).text
    for model in evaluation.models:
        for missing in model.missing:
            assert missing.reason in text
            assert missing.key in text
    assert "another run may have it" in text
    # In the table of measures too, beside those that are there.
    assert re.search(r"l2-init\s.*?the weights before training are not known", text)


def test_what_is_proven_and_what_is_not(make_evaluation: Make) -> None:
    both = Page(evaluation_page(make_evaluation())).text
    assert "a stronger attack may find more" in both
    assert "proven in real arithmetic" in both
    assert "(SOUND)" in both
    assert "lies in between" in both
    attacked = Page(evaluation_page(make_evaluation(network={"methods": {}}))).text
    assert "a stronger attack may find more" in attacked
    assert "proven in" not in attacked
    assert "lies in between" not in attacked


def numbers(evaluation: Evaluation) -> list[Number]:
    sections = evaluation_document(evaluation).sections
    return [number for section in sections for number in section.numbers]


def test_the_numbers_of_the_summary(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a", "b"))
    text = Page(evaluation_page(evaluation)).text
    found = numbers(evaluation)
    for number in found:
        if any(value is not None for value in number.values):
            assert number.name in text
            for cell in number.cells:
                assert " ".join(plain(cell.text).split()) in text
    shares = [model.clean[0].classified.accuracy.share for model in evaluation.models]
    assert found[0].values == shares
    assert found[0].best == {int(np.argmax(shares))}


def test_of_equal_numbers_none_is_best(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("a",))
    twice = replace(evaluation, models=evaluation.models * 2)
    assert all(not number.best for number in numbers(twice))


def test_what_reads_the_same_is_equally_good() -> None:
    def best(*values: float | None) -> frozenset[int]:
        texts = ["" if value is None else f"{value:.1f}" for value in values]
        return Number("", [Cell(text) for text in texts], values, -1).best

    assert best(2.21, 2.24) == frozenset()
    assert best(2.21, 2.24, 3.0) == {0, 1}
    assert best(2.2, None, 2.3) == {0}
    assert best(2.2, None) == best(None) == frozenset()


def test_lines_stand_where_their_numbers_are(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    (model,) = evaluation.models
    picture = svg(accuracy_chart(evaluation, model, WIDE))
    wide = WIDE.width - WIDE.left - WIDE.right
    tall = WIDE.height - WIDE.top - WIDE.bottom
    for name, look in (("crown", "certified bold"), ("ibp", "also-certified")):
        found = re.search(rf'<polyline class="line {look}" points="([^"]*)"', picture)
        assert found is not None
        points = [tuple(map(float, pair.split(","))) for pair in found[1].split()]
        total = model.clean[0].classified.samples
        rows = [row for row in model.certified if row.method == name]
        assert len(points) == len(rows) + 1
        for (x, y), row in zip(points[1:], rows, strict=True):
            share = len(row.certified) / total
            radius = row.radius / max(evaluation.radii)
            assert x == pytest.approx(WIDE.left + wide * radius, abs=0.06)
            assert y == pytest.approx(WIDE.top + tall * (1 - share), abs=0.06)
    assert '<polygon class="undecided"' in picture
    assert ">undecided</text>" in picture


def test_every_line_has_its_name(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    picture = svg(accuracy_chart(evaluation, evaluation.models[0], WIDE))
    names = re.findall(r'<text class="name[^>]*>([^<]*)</text>', picture)
    assert sorted(names) == sorted(
        ["fgsm", "pgd", "apgd-ce", "square", "worst of all", "ibp", "crown"]
    )


@given(st.lists(st.floats(0, 300), min_size=1, max_size=40))
def test_labels_keep_apart_and_in_order(wanted: list[float]) -> None:
    places = spread(sorted(wanted), 13.0, 0.0, 300.0)
    gap = min(13.0, 300.0 / max(len(wanted) - 1, 1))
    assert len(places) == len(wanted)
    assert all(-1e-6 <= place <= 300 + 1e-6 for place in places)
    assert all(b - a >= gap - 1e-6 for a, b in pairwise(places))


def test_labels_with_room_stay() -> None:
    assert spread([10.0, 40.0, 90.0], 13.0, 0.0, 300.0) == [10.0, 40.0, 90.0]
    # Two that overlap share the shift.
    assert spread([100.0, 101.0], 13.0, 0.0, 300.0) == [94.0, 107.0]


def luminances(style: str, letter: str) -> list[float]:
    found = re.findall(rf"\.{letter}(\d+) {{ background: rgb\((\d+) (\d+) (\d+)\)", style)
    assert [int(k) for k, *_ in found] == list(range(STEPS + 1))
    rgb = np.array([[int(c) for c in colour] for _, *colour in found]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return list(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("letter", ["h", "b"])
def test_lightness_alone_tells_the_order(letter: str) -> None:
    light, dark = heat_style().split("@media")
    for style, sign in ((light, 1), (dark, -1)):
        assert (sign * np.diff(luminances(style, letter)) > 0).all()
    # Numbers can be read on every colour: the contrast is at least 4.5.
    for style in (light, dark):
        inks = re.findall(rf"\.{letter}\d+ {{[^}}]*; color: #(\w+)", style)
        for ground, ink in zip(luminances(style, letter), inks, strict=True):
            text = {"fff": 1.0, "000": 0.0}[ink]
            assert (max(ground, text) + 0.05) / (min(ground, text) + 0.05) >= 4.5


def test_steps_of_the_scale() -> None:
    assert [step(share) for share in (0.0, 0.5, 1.0)] == ["h0", f"h{STEPS // 2}", f"h{STEPS}"]
    found = [signed_step(strength) for strength in (-2.0, -0.5, 0.0, 1.0)]
    assert found == ["b0", f"b{STEPS // 2}", f"h{STEPS}", "h0"]


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_hold_the_pixels(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    data = png(pixels)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        (check,) = struct.unpack(">I", data[place + 8 + length : place + 12 + length])
        assert check == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + length
    assert struct.unpack(">IIBB", chunks[b"IHDR"][:10]) == (7, 5, 8, 0 if channels == 1 else 2)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(5, -1)
    assert (lines[:, 0] == 0).all()
    assert (lines[:, 1:].reshape(pixels.shape) == pixels).all()


def test_thumbnails_are_means_of_blocks() -> None:
    image = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(1, 8, 4)
    small = thumbnail(Example(title="", shape=(1, 8, 4), pixels=image.tobytes()), 4)
    assert small.shape == (4, 2, 1)
    assert small[0, 0, 0] == np.rint(image[0, :2, :2].mean())
    assert (
        thumbnail(Example(title="", shape=(1, 8, 4), pixels=image.tobytes()), 8)
        == (image.transpose(1, 2, 0))
    ).all()


def test_large_pictures_get_smaller_until_they_fit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 224, 224), dtype=np.uint8)
    each = Example(title="", shape=(3, 224, 224), pixels=noise.tobytes())
    made = pictures({str(k): (each,) * 5 for k in range(15)})
    assert sum(len(uri) for group in made.values() for uri in group) < 700_000


def test_words() -> None:
    assert percent(0.9671) == "96.7\N{NO-BREAK SPACE}%"
    assert percent(-0.00001) == "0.0\N{NO-BREAK SPACE}%"
    assert radius_text(8 / 255) == "8/255"
    assert radius_text(0.2) == "0.2"
    names = ["pgd(steps=(1, 2)) through net", "fgsm", "cw(steps=1)", "cw(steps=2)"]
    assert list(without_settings(names).values()) == ["pgd through net", "fgsm", *names[2:]]


def test_the_numbers_behind_the_curves_are_those_of_the_table(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    text = Page(evaluation_page(evaluation)).text
    for row in csv.DictReader(io.StringIO(evaluation_tables(evaluation)["accuracy"])):
        assert f"{100 * float(row['share']):.1f}" in text


def test_tables_are_sorted_by_their_numbers(make_evaluation: Make) -> None:
    """A cell with a number has it beside its text: 9.5 % before 10 %, and < 0.001 before 0.5."""
    page = evaluation_page(make_evaluation(("a", "b")))
    tables = re.findall(r"<table[^>]*data-sortable[^>]*>(.*?)</table>", page, re.DOTALL)
    assert len(tables) >= 8
    for table in tables:
        for row in re.findall(r"<tr[^>]*><th scope=\"row\">.*?</tr>", table, re.DOTALL):
            for cell in re.findall(r"<td([^>]*)>([^<]*)", row):
                text = html.unescape(cell[1]).strip().lstrip("<+−\N{NO-BREAK SPACE}")
                assert not text[:1].isdigit() or "data-value=" in cell[0], cell


def test_the_banner_of_gates_stands_first(make_evaluation: Make) -> None:
    gate = Gate("min_accuracy", Figure(0.9, 0.9, 10, share=True), 0.95)
    page = evaluation_page(make_evaluation(gates=(gate,)))
    assert page.index('class="banner') < page.index('class="guarantee')


def test_the_reference_of_flip_rates_is_named(make_evaluation: Make) -> None:
    page = evaluation_page(make_evaluation(("a", "b")))
    part = page.partition('<h2 id="sequences">')[2].partition("<h2")[0]
    assert "FR is that in percent of the flip rate of a." in part
    assert part.count("FR 100.0") == 4
    alone = evaluation_page(make_evaluation(("a", "b"), reference=None))
    assert "FR 100.0" not in alone
    assert "mFR" in page.partition('<h2 id="accuracy">')[0]
    assert "mFR" not in alone


def test_a_note_stands_at_the_top(make_evaluation: Make) -> None:
    evaluation = replace(make_evaluation(), settings={"note": "all samples have the label <3>"})
    page = evaluation_page(evaluation)
    assert page.index("Note: all samples have the label &lt;3&gt;.") < page.index('id="accuracy"')
