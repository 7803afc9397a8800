"""`sensverify index`: one page that leads to all reports below a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def reports(run: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    folder.mkdir()
    question = ("verify", "iris", "--samples", "20:22")
    files = ("--json", folder / "a.json", "--report", folder / "a.html")
    assert run(*question, *files).exit_code == 0
    return folder


def test_a_folder(run: Run, reports: Path, tmp_path: Path) -> None:
    done = run("index", reports)
    assert done.exit_code == 0, done.output
    assert "iris" in done.stdout
    assert "index.html" in done.stderr
    page = (reports / "index.html").read_text(encoding="utf-8")
    assert 'href="./a.html"' in page
    assert 'href="./a.json"' in page
    again = run("index", reports)
    assert again.exit_code == 2
    assert "not overwritten" in again.stderr
    done = run("index", reports, "--force", "-q")
    assert (done.exit_code, done.stderr) == (0, "")
    # It does not list itself, and from elsewhere links lead back.
    assert 'href="./index.html"' not in (reports / "index.html").read_text(encoding="utf-8")
    assert run("index", reports, "--out", tmp_path / "other.html").exit_code == 0
    assert 'href="./reports/a.html"' in (tmp_path / "other.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("a.html", "is what this run reads"),
        ("no/x.html", "no folder"),
        ("-", "--out"),
        (".", "folder"),
    ],
)
def test_pages_that_cannot_be_written(run: Run, reports: Path, out: str, words: str) -> None:
    before = {path: path.read_bytes() for path in reports.iterdir()}
    done = run("index", reports, "--out", out if out == "-" else reports / out, "--force")
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert before == {path: path.read_bytes() for path in reports.iterdir()}


@pytest.mark.parametrize("folder", ["empty", "nowhere", "file"])
def test_folders_without_a_report(run: Run, tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    done = run("index", tmp_path / folder)
    assert (done.exit_code, done.stdout) == (2, "")
    assert folder in done.stderr
    assert not (tmp_path / folder / "index.html").exists()
