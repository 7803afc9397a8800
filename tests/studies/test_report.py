"""The report of a study: its files, and a page that needs nothing else."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sensverify.errors import BackendMissing, InputError
from sensverify.report.html import document_to_html
from sensverify.report.study.contents import Row, StudyReport
from sensverify.report.study.document import study_document
from sensverify.studies.collect import collect, write_report
from tests.report.shown import printed, split_page


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy with its report."""
    copy = tmp_path_factory.mktemp("report") / "tiny"
    shutil.copytree(tiny_folder, copy)
    write_report(copy)
    return copy


def test_files(folder: Path) -> None:
    names = {path.name for path in (folder / "report").iterdir()}
    figures = ("course_test", "course_train", "sensitivity_seeds", "sensitivity_energy")
    assert names == {
        *(f"{name}.{kind}" for name in figures for kind in ("svg", "png")),
        *(f"table_{part}.{kind}" for part in ("test", "train") for kind in ("csv", "md")),
        "report.html",
    }
    for name in figures:
        picture = (folder / "report" / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert b"<svg" in (folder / "report" / f"{name}.svg").read_bytes()


class Reader(HTMLParser):
    """Collects tags with their attributes, and checks that they are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else(folder: Path) -> None:
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    page, _ = split_page(page)
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert not {"script", "link", "iframe"} & {tag for tag, _ in reader.found}
    drawings = [attrs for tag, attrs in reader.found if tag == "svg"]
    # Two panels of the sensitivity's course and energy each, and every metric on both parts.
    assert len(drawings) == 2 * 2 + 2 * 10
    assert all(attrs.get("aria-label") for attrs in drawings)
    assert not [attrs for _, attrs in reader.found if "src" in attrs]
    assert "Tiny &lt;study&gt;" in page
    assert "Tiny <study>" not in page
    assert "Somebody &amp; Co." in page
    for words in ("torch", "2 seeds", "an epoch", "geometric mean"):
        assert words in page


def test_a_report_is_made_again_the_same(folder: Path) -> None:
    names = sorted((folder / "report").iterdir())
    before = [path.read_bytes() for path in names]
    write_report(folder)
    assert [path.read_bytes() for path in names] == before


def test_a_study_that_has_not_ended(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / "study.json", tmp_path)
    (tmp_path / "journal.jsonl").write_bytes(b"")
    report, paths = write_report(tmp_path)
    assert report.warnings[0].startswith("4 of 4 trainings are not done")
    assert not report.courses
    assert all(path.exists() for path in paths)


def test_no_study(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        collect(tmp_path)


def test_without_matplotlib(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendMissing, match=r"matplotlib.*pip install 'sensverify\[train\]'"):
        write_report(folder)


def test_every_warning_has_a_line(tiny_folder: Path) -> None:
    report = replace(collect(tiny_folder), warnings=("one went wrong", "another did"))
    assert "<p>one went wrong<br>another did</p>" in document_to_html(study_document(report))


def test_many_runs_stand_below_each_other_in_a_terminal(tiny_folder: Path) -> None:
    report = collect(tiny_folder)
    table = report.tables[0]
    row = table.rows[0]
    values = {name: row.values[name] for name in ("CE", "ERR")}
    names = [f"a-run-of-a-long-name-{number}" for number in range(12)]
    many = replace(table, rows=tuple(Row(name, values, 1) for name in names))
    lines = text(replace(report, tables=(many,))).splitlines()
    assert [line.split()[0] for line in lines if line.strip().startswith("a-run-of")] == names
    # A few stand beside each other, above their metrics.
    few = text(replace(report, tables=(replace(many, rows=many.rows[:3]),)))
    assert [line.split()[0] for line in few.splitlines() if line.startswith(("CE", "ERR"))] == [
        "CE", "ERR"
    ]  # fmt: skip


def text(report: StudyReport) -> str:
    return printed(study_document(report, figures=False))
