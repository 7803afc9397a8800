"""Every kind of block, on a page and in a terminal, with texts that nobody should trust."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser

import pytest

from sensverify.report import document as doc
from sensverify.report.chart import Drawing, Mark
from sensverify.report.html import blocks_to_html, document_to_html
from sensverify.report.tabular import document_to_csv, table_markdown
from tests.report.shown import printed, split_page

EVIL = "<script>alert(1)</script>\"'&{{ 7 * 7 }}</style>[red]"
PIXEL = "data:image/png;base64,AAAA"


def table(look: str = "", **changes: object) -> doc.Table:
    heads = doc.columns(EVIL, doc.Column(EVIL, note=EVIL, hint=EVIL))
    rows = [
        doc.row(EVIL, doc.Cell(EVIL, "best", EVIL, EVIL), note=EVIL),
        doc.row((EVIL, doc.Span(EVIL, "code")), EVIL, look="published"),
    ]
    return doc.Table(heads, rows, look, **changes)  # type: ignore[arg-type]


NUMBERS = [doc.Number(EVIL, [doc.Cell(EVIL), doc.Cell("b")], [1.0, 2.0], 1, EVIL)]
BOTH: list[doc.Block] = [
    doc.Text(EVIL),
    doc.Text((EVIL, doc.Span(EVIL, "strong"), doc.Span(EVIL, link="here")), "note"),
    doc.Facts([(EVIL, EVIL), (EVIL, [EVIL, EVIL])]),
    table(),
    table(title=EVIL, splits="networks"),
]
PAGE: list[doc.Block] = [
    doc.Text(EVIL, "heading"),
    doc.Notice([EVIL, (doc.Span(EVIL, "strong"), EVIL)], "bad"),
    doc.Numbers([doc.Number(EVIL, [doc.Cell(EVIL, note=EVIL)])]),
    doc.Numbers(NUMBERS, [EVIL, EVIL]),
    doc.Figure([Drawing(9, 9, EVIL, (Mark("text", ((1, 1),), "", EVIL),))], EVIL, [EVIL]),
    doc.Strips([(EVIL, [(PIXEL, EVIL)])]),
    doc.Scale([0.5], EVIL, PIXEL, EVIL),
    doc.Shares([("certified", 3, EVIL), ("changes", 0, EVIL)]),
    doc.Group([doc.Text(EVIL)], "cards"),
    doc.Group([doc.Text(EVIL)], "details", EVIL),
    doc.Group([doc.Text(EVIL)], "sample", EVIL, ("certified", EVIL, EVIL)),
    table("confusion upright"),
    table("measures"),
]


class Reader(HTMLParser):
    """Names of elements, each of which is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)


@pytest.mark.parametrize("block", [*BOTH, *PAGE], ids=lambda block: block.kind)
def test_every_block_on_a_page_is_closed_and_escaped(block: doc.Block) -> None:
    section = doc.Section("here", EVIL, [block])
    page = document_to_html(doc.Document(EVIL, EVIL, EVIL, EVIL, [section], contents=True))
    page, _ = split_page(page)
    found = Reader(page)
    assert "script" not in found.names
    assert page.count("</style>") == 1
    assert EVIL in "".join(found.texts)
    assert "49" not in "".join(found.texts).replace("0.49", "")


@pytest.mark.parametrize("block", BOTH, ids=lambda block: block.kind)
def test_a_terminal_shows_text_as_it_is(block: doc.Block) -> None:
    section = doc.Section("here", EVIL, [block])
    text = "".join(printed(doc.Document(sections=[section]), width=400).split())
    assert "".join(EVIL.split()) in text


def test_nothing_steers_a_terminal() -> None:
    evil = "a\x1b[2Jb\x07c\x9bd\u202ee\n::error::f"
    facts = doc.Facts([(evil, evil)])
    blocks = [doc.Text(evil), facts, doc.Table(doc.columns(evil), [doc.row(evil)], title=evil)]
    text = printed(doc.Document(sections=[doc.Section("", "", blocks)]))
    assert "\x1b" not in text
    assert not {"\x07", "\x9b", "\u202e"} & set(text)
    assert "a\\x1b[2Jb" in text
    # Which a build server would take for a command.
    assert not any(line.startswith("::") for line in text.splitlines())


@pytest.mark.parametrize("sign", ["\u202e", "\u2067", "\u200f", "\x1b", "\x00", "\x85"])
def test_nothing_turns_the_direction_of_a_page(sign: str) -> None:
    name = f"a{sign}b"
    cell = doc.Cell(name, note=name, title=name)
    table = doc.Table(doc.columns(name, name), [doc.row(name, cell)])
    document = doc.Document(title=name, heading=name, sections=[doc.Section("s", name, [table])])
    for page in (document_to_html(document), blocks_to_html(name, [table])):
        assert sign not in page
        spelled = sign.encode("unicode_escape").decode()
        assert page.count(f"a{spelled}b") >= 6
    kept = doc.Document.of(doc.Text("\u05e9\u05dc\u05d5\u05dd \N{ZERO WIDTH JOINER}\tend\nof it"))
    assert "\u05e9\u05dc\u05d5\u05dd \N{ZERO WIDTH JOINER}\tend\nof it" in document_to_html(kept)


def test_a_block_is_shown_where_it_belongs() -> None:
    blocks = [doc.Text("one", on=doc.PAGE), doc.Text("two", on=doc.TERMINAL), doc.Text("three")]
    document = doc.Document(sections=[doc.Section("", "", blocks)])
    page, _ = split_page(document_to_html(document))
    page, text = "".join(Reader(page).texts), printed(document)
    assert [word in page for word in ("one", "two", "three")] == [True, False, True]
    assert [word in text for word in ("one", "two", "three")] == [False, True, True]


def test_a_terminal_refuses_what_it_has_no_way_to_show() -> None:
    document = doc.Document(sections=[doc.Section("", "", [doc.Group([], "cards")])])
    with pytest.raises(TypeError, match="Group"):
        printed(document)


def test_sections_without_blocks_are_left_out() -> None:
    sections = [doc.Section("a", "Empty"), doc.Section("b", "Full", [doc.Text("x")])]
    document = doc.Document(sections=sections, contents=True)
    assert "Empty" not in document_to_html(document)
    assert printed(document) == "x\n"


def test_wide_tables_are_split_and_lose_nothing() -> None:
    names = [f"network-{k}" for k in range(9)]
    rows = [doc.row("line", *map(str, range(9)))]
    wide = doc.Table(doc.columns("", *names), rows, title="All", splits="networks")
    text = printed(doc.Document(sections=[doc.Section("", "", [wide])]), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert all(name in text for name in names)
    assert text.count("line") == text.count("All, network") == 3


def test_the_first_table_that_fits_is_shown() -> None:
    tables = [doc.Table(doc.columns("x" * width), [doc.row("y")]) for width in (90, 60, 30)]
    document = doc.Document(sections=[doc.Section("", "", [doc.Fitting(tables)])])
    assert "x" * 60 in printed(document, width=80)
    assert "x" * 90 in printed(document, width=100)


def test_data_are_offered_while_there_is_room() -> None:
    small = doc.Data("small", ("a", "b"), lambda: [(1, "=x"), (None, True)])
    large = doc.Data("large", ("a",), lambda: [("x" * 5000,)])
    empty = doc.Data("empty", ("a",), lambda: [])
    section = doc.Section("s", "S", [doc.Text("t")], data=[small, large, empty])
    document = doc.Document(sections=[section], offered=1000)
    assert set(document_to_csv(document)) == {"small", "large"}
    rows = list(csv.reader(io.StringIO(document_to_csv(document)["small"])))
    assert rows == [["a", "b"], ["1", "'=x"], ["", "true"]]
    page = document_to_html(document)
    assert 'download="small.csv"' in page
    assert "large.csv (0.0 MB) is too large for this page" in page
    assert "empty.csv" not in page


def test_markdown_keeps_texts_apart_from_marks() -> None:
    text = table_markdown(doc.Table(doc.columns("a", doc.Column("b", note="%")), table().rows))
    lines = text.splitlines()
    assert lines[:2] == ["| a | b (%) |", "| --- | ---: |"]
    assert lines[2].endswith("** |")
    assert "\\<script\\>" in lines[2].split("|")[1]
