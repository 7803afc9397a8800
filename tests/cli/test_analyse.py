"""`sensverify study analyse`: prints, writes, refuses, and needs no torch."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.report.schemas import check_result

Run = Callable[..., Result]
ROWS = """network,shift,severity,right,total
standard,clean,,90,100
standard,fog,,50,100
standard,rain,,40,100
fog,clean,,90,100
fog,fog,,90,100
fog,rain,,60,100
rain,clean,,90,100
rain,fog,,70,100
rain,rain,,80,100
standard,tilt,,40,100
fog,tilt,,40,100
rain,tilt,,45,100
tilt,clean,,88,100
tilt,fog,,55,100
tilt,rain,,45,100
tilt,tilt,,85,100
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(ROWS)
    return path


KINDS = {
    "correlate": "tau-b",
    "transfer": "+40.0",
    "overlap": "0.50",
    "balance": "mean overlap",
    "coverage(benchmark=(fog))": "covered",
    "categories(count=2)": "categories",
    "categories(method=hdbscan)": "isolated",
    "agreement(categories=((fog, rain), (tilt)))": "within categories",
    "benchmarks(categories=((fog, rain), (tilt)), targets=(clean), metric=accuracy)": "(all)",
    "selection(categories=((fog, rain)))": "members",
    "scatter(columns=(clean), against=(fog, tilt))": "tau-b",
    "explain(measures=(fog), targets=(tilt), folds=4)": "importance",
    "prediction(targets=(tilt))": "correlation with clean accuracy held fixed",
    "effective-robustness(baselines=(standard, fog, tilt))": "lines of the baselines",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_prints_and_writes(run: Run, file: Path, tmp_path: Path, kind: str) -> None:
    out, page, target = tmp_path / "csv", tmp_path / "page.html", tmp_path / "found.json"
    done = run(
        *("study", "analyse", file, "--kind", kind, "--csv", out, "--report", page),
        *("--json", target),
    )
    assert done.exit_code == 0, done.output
    assert KINDS[kind].lstrip("+") in done.stdout
    found = json.loads(target.read_text())
    check_result(found)
    assert found["kind"] == kind.partition("(")[0]
    assert found["networks"][0] == {"name": "standard", "sha256": None}
    for table in found["tables"]:
        with (out / f"{table['name']}.csv").open() as stream:
            head, *rows = csv.reader(stream)
        assert head == table["columns"]
        assert len(rows) == len(table["rows"]) > 0
    assert "<h1" in page.read_text()
    again = run("study", "analyse", out / "scores.csv", "--kind", kind)
    assert again.stdout == done.stdout


def test_json_on_standard_output_stands_alone(run: Run, file: Path) -> None:
    done = run("study", "analyse", file, "--kind", "overlap", "--json", "-")
    assert done.exit_code == 0
    (table,) = json.loads(done.stdout)["tables"]
    found = {(row[0], row[1]): row[2] for row in table["rows"]}
    assert found["fog", "rain"] == pytest.approx(0.5)
    assert found["fog", "fog"] == pytest.approx(1)


def test_settings_are_those_of_the_function(run: Run, file: Path) -> None:
    done = run("study", "analyse", file, "--kind", "overlap", "--setting", "metric=app")
    assert done.exit_code == 0
    assert "by app" in done.stdout


def test_printed_numbers_stand_below(run: Run, file: Path, tmp_path: Path) -> None:
    file.write_text(ROWS.replace("fog", "rotation").replace("rain", "flip"))
    base = ("study", "analyse", file, "--kind", "transfer", "--paper", "laugros-table3.2")
    target, page = tmp_path / "found.json", tmp_path / "page.html"
    done = run(*base, "--json", target, "--csv", tmp_path / "csv", "--report", page)
    assert done.exit_code == 0, done.output
    assert "[paper]" in done.stdout
    found = json.loads(target.read_text())
    check_result(found)
    rows = {(row[2], row[3]): row[4:] for row in found["tables"][-1]["rows"]}
    assert rows["standard", "rotation"] == [0.94, pytest.approx(50 / 90)]
    assert (tmp_path / "csv" / "published.csv").exists()
    assert "[paper]" in page.read_text()
    for name, words in (("laugros", "did you mean"), ("measuring-table1", "has numbers of")):
        bad = run(*base[:5], "--paper", name)
        assert (bad.exit_code, len(bad.stderr.splitlines())) == (2, 1)
        assert words in bad.stderr


def test_names_are_shown_as_they_are(run: Run, file: Path, tmp_path: Path) -> None:
    file.write_text(ROWS.replace("rain", "<b>rain</b>"))
    page = tmp_path / "page.html"
    done = run("study", "analyse", file, "--kind", "overlap", "--report", page)
    assert "<b>rain</b>" in done.stdout
    assert "<b>rain" not in page.read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--kind", "overlaps"), "there is no analysis of scores 'overlaps'"),
        (("--kind", "overlap(metric=ce)"), "metric"),
        (("--kind", "overlap", "--setting", "metrics=app"), "metrics"),
        (("--kind", "transfer(standard=base)"), "there is no network 'base'"),
        (("--kind", "coverage"), "coverage needs a benchmark"),
        (("--kind", "prediction"), "needs shifts that are predicted"),
        (("--kind", "prediction(targets=(snow))"), "there is no shift 'snow'"),
        (("--kind", "effective-robustness"), "a line needs two baselines"),
        (("--kind", "effective-robustness(baselines=(fog, snow))"), "there is no network 'snow'"),
        (("--kind", "benchmarks(targets=(tilt))"), "drawn from categories of shifts"),
        (("--kind", "benchmarks(categories=((fog), (snow)), targets=(tilt))"), "no shift 'snow'"),
        (("--kind", "selection(members=1)"), "members"),
        (("--kind", "categories(method=hdbscan, count=2)"), "HDBSCAN finds the number"),
        (("--kind", "categories(method=dbscan)"), "method"),
        (("--kind", "categories(networks=(snow))"), "there is no network 'snow'"),
        (("--kind", "agreement"), "fewer than two shifts"),
        (("--kind", "agreement(categories=((fog, snow)))"), "there is no shift 'snow'"),
        (("--kind", "scatter(columns=(fog), against=(fog))"), "there are no two columns"),
        (("--kind", "scatter(by=(rain, tilt))"), "the network 'standard' is of no group"),
        (("--kind", "explain(measures=(fog))"), "needs targets"),
        (("--kind", "explain(measures=(fog), targets=(tilt), folds=1)"), "folds"),
        (("--kind", "correlate(columns=(fog, snow))"), "there is no shift 'snow'"),
        (("--kind", "correlate(resamples=-1)"), "resamples"),
        ((), "--kind"),
    ],
)
def test_what_is_refused(run: Run, file: Path, args: tuple[str, ...], words: str) -> None:
    done = run("study", "analyse", file, *args)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_files_are_never_lost(run: Run, file: Path, tmp_path: Path) -> None:
    base = ("study", "analyse", file, "--kind", "overlap")
    for target in ("--json", "--report"):
        done = run(*base, target, file, "--force")
        assert (done.exit_code, file.read_text()) == (2, ROWS)
    kept = tmp_path / "there" / "mine.csv"
    kept.parent.mkdir()
    kept.write_text("mine")
    assert run(*base, "--csv", kept.parent).exit_code == 0
    assert run(*base, "--csv", kept.parent).exit_code == 2
    assert run(*base, "--csv", kept.parent, "--force").exit_code == 0
    assert kept.read_text() == "mine"
    # The table that it reads, and a file of that name that was not written here.
    table = kept.parent / "scores.csv"
    args = ("study", "analyse", table, "--kind", "overlap", "--csv", kept.parent, "--force")
    before = table.read_text()
    assert (run(*args).exit_code, table.read_text()) == (2, before)
    table.write_text("mine")
    assert run(*base, "--csv", kept.parent, "--force").exit_code == 2
    assert table.read_text() == "mine"


def test_contradicting_files_end_with_one_line(run: Run, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(ROWS)
    done = run("study", "analyse", file, other, "--kind", "overlap")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert "nothing says that" in done.stderr


def test_torch_is_not_loaded(file: Path) -> None:
    code = (
        "import sys\nfrom sensverify.cli.main import main\n"
        f"main(['study', 'analyse', {str(file)!r}, '--kind', 'transfer'], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rain" in done.stdout
