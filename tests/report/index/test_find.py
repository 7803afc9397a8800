"""Reports below a folder, in which anything may lie."""

from __future__ import annotations

import json
import os
from html import unescape
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from sensverify.errors import BadData, InputError
from sensverify.report.html import document_to_html
from sensverify.report.index import entries, find
from sensverify.report.index.document import index_document
from sensverify.report.index.entries import Entry
from sensverify.report.index.find import ReportIndex, find_reports
from tests.report.index.results import result, write, write_page
from tests.report.shown import printed

EVIL = "<script>alert(1)<%2fscript>\"'&#?.json"


def by_json(index: ReportIndex) -> dict[str, Entry]:
    return {entry.json.name: entry for entry in index.entries if entry.json is not None}


def test_results_and_pages_are_found_and_paired(tmp_path: Path) -> None:
    write(tmp_path / "a.json", result("verify"))
    page = write_page(tmp_path / "a.html", "whatever")
    write(tmp_path / "b" / "c" / "other.json", result("check"))
    titled = write_page(tmp_path / "b" / "c" / "page.html", "net.cert: check")
    run = write_page(tmp_path / "run" / "report.html", "Sequential: training")
    write(tmp_path / "run" / "result.json", {**result("train-result"), "config": None})
    write(tmp_path / "run" / "config.json", {"model": {"name": "mlp"}, "data": {"name": "iris"}})
    alone = write_page(tmp_path / "study.html", "A study")
    found = find_reports(tmp_path)
    names = by_json(found)
    assert names["a.json"].page == page
    assert names["other.json"].page == titled
    assert names["result.json"].page == run
    assert (names["result.json"].name, names["result.json"].data) == ("mlp", "iris")
    assert [entry.page for entry in found.entries if entry.json is None] == [alone]
    assert not found.broken


def test_of_two_pages_with_one_title_none_is_chosen(tmp_path: Path) -> None:
    write(tmp_path / "a.json", result("check"))
    for name in ("one.html", "two.html"):
        write_page(tmp_path / name, "net.cert: check")
    found = find_reports(tmp_path)
    assert by_json(found)["a.json"].page is None
    assert len(found.entries) == 3


def test_the_newest_come_first_and_those_without_a_date_last(tmp_path: Path) -> None:
    for name, date in (("a", "2026-01-01T00:00:00Z"), ("b", None), ("c", "2026-02-01T00:00:00Z")):
        write(tmp_path / f"{name}.json", {**result("verify"), "date": date})
    assert [entry.json.stem for entry in find_reports(tmp_path).entries if entry.json] == [
        *("c", "a", "b")
    ]


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "good.json", result("verify"))
    write(tmp_path / "package.json", {"name": "x", "schema": "sensverify.verify/2"})
    write(tmp_path / "config.json", {"schema": "sensverify.train/1"})
    write(tmp_path / ".hidden" / "h.json", result("verify"))
    (tmp_path / "other.html").write_text("<title>Mine</title>")
    (tmp_path / "empty.json").write_text("")
    os.mkfifo(tmp_path / "pipe.json")
    outside = write(tmp_path.parent / f"{tmp_path.name}-outside" / "o.json", result("verify"))
    (tmp_path / "link.json").symlink_to(outside)
    (tmp_path / "linked").symlink_to(outside.parent)
    assert list(by_json(find_reports(tmp_path))) == ["good.json"]
    assert len(find_reports(tmp_path).entries) == 1


def test_broken_results_are_listed_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = '{"schema": "sensverify.verify/2", '
    nested = 5000 * "[" + 5000 * "]"
    for name, text, words in (
        ("cut", head + '"model": {', "no JSON"),
        ("nan", head + '"seconds": NaN}', "NaN"),
        ("deep", f'{head}"x": {nested}}}', "inside of each other"),
        ("future", head.replace("/2", "/3") + '"x": 1}', "version"),
        ("wrong", head + '"summary": {"samples": "many"}}', "summary.samples"),
        ("large", json.dumps(result("verify")), "was not read"),
    ):
        monkeypatch.undo()
        if name == "large":
            monkeypatch.setattr(entries, "LARGEST", 1000)
        path = tmp_path / name / "r.json"
        path.parent.mkdir()
        path.write_text(text)
        found = find_reports(path.parent)
        assert [entry.verdict for entry in found.broken] == ["broken"]
        assert words in found.broken[0].problem
        text = printed(index_document(found, path.parent / "index.html"))
        assert "broken" in text
    (tmp_path / "bytes.json").write_bytes(head.encode() + b'"x": "\xff"}')
    assert "UTF-8" in by_json(find_reports(tmp_path))["bytes.json"].problem


def test_too_many_files_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        write(tmp_path / f"{name}.json", result("property"))
    monkeypatch.setattr(find, "FILES", 3)
    found = find_reports(tmp_path)
    assert (len(found.entries), found.left_out) == (3, 1)
    page = document_to_html(index_document(found, tmp_path / "index.html"))
    assert "1 more file was not looked at" in page


def test_files_that_cannot_be_read_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.json", result("property"))
    start = find._start

    def refusing(path: Path) -> bytes:
        if path.name == "a.json":
            raise PermissionError(13, "Permission denied", str(path))
        return start(path)

    monkeypatch.setattr(find, "_start", refusing)
    found = find_reports(tmp_path)
    assert (len(found.entries), found.unread) == (1, 1)
    text = printed(index_document(found, tmp_path / "index.html"))
    assert "1 file or folder could not be read" in text


def test_folders_without_a_report(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no report"):
        find_reports(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        find_reports(tmp_path / "nowhere")
    write_page(tmp_path / "index.html", "x: index of reports")
    with pytest.raises(BadData):
        find_reports(tmp_path, leave_out=tmp_path / "index.html")
    write_page(tmp_path / "index.html", "x: output bounds")
    assert len(find_reports(tmp_path, leave_out=tmp_path / "index.html").entries) == 1


def test_hostile_names_are_escaped_and_their_links_lead_to_them(tmp_path: Path) -> None:
    evil = EVIL.replace("/", "")
    for name in (evil, "javascript:alert(1).json", "a b%20c.json", "\udcff.json", "x;.json"):
        values = result("check")
        values["certificate"]["path"] = values["model"]["path"] = evil
        write(tmp_path / "sub folder" / name, values)
    found = find_reports(tmp_path)
    for place in (tmp_path / "index.html", tmp_path / "elsewhere" / "index.html"):
        page = document_to_html(index_document(found, place))
        assert "<script>alert" not in page
        hrefs = [unescape(part.split('"')[0]) for part in page.split('<a href="')[1:]]
        files = {href for href in hrefs if not href.startswith("#")}
        assert len(files) == 5
        for href in files:
            assert href.startswith("./")
            assert not {*href} & set("<>\"' #?:\\")
            leads = os.fsencode(place.parent) + b"/" + unquote_to_bytes(href)
            assert os.path.isfile(os.path.normpath(leads)), href


def test_failures_make_a_banner(tmp_path: Path) -> None:
    write(tmp_path / "a.json", result("verify"))
    write(tmp_path / "b.json", {**result("verify"), "gates": []})
    found = find_reports(tmp_path)
    page = document_to_html(index_document(found, tmp_path / "index.html"))
    assert "1 report has failed" in page
    assert "verify of iris: failed" in page
    text = printed(index_document(found, tmp_path / "index.html"))
    assert "certified 100.0 % of 2 samples" in text
