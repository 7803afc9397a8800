"""`sensverify study nas`: lists, trains, searches, correlates, ranks, and refuses."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from sensverify.models.nas201 import COUNT, UNIQUE, cell_at, unique_cells
from tests.report.schemas import check_result
from tests.test_layers import ROOT

Run = Callable[..., Result]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Twelve cells with accuracies that fall with their place."""
    path = tmp_path / "table.csv"
    lines = ["network,shift,severity,right,total,kind"]
    for place, cell in enumerate(unique_cells()[:12]):
        lines.append(f"{cell.name},clean,,{95 - place},100,clean")
        lines.append(f"{cell.name},fgsm,1,{20 + 3 * place},100,attack")
        lines.append(f"{cell.name},fgsm,2,{10 + place},100,attack")
    path.write_text("\n".join(lines))
    return path


def test_enumerate_prints_all_cells_as_csv(run: Run) -> None:
    lines = run("study", "nas", "enumerate").stdout.splitlines()
    assert lines[0] == "index,representative,cell"
    assert len(lines) == COUNT + 1
    assert lines[1] == f"0,0,{cell_at(0)}"
    unique = run("study", "nas", "enumerate", "--unique").stdout.splitlines()
    assert len(unique) == UNIQUE + 1
    assert all(row["index"] == row["representative"] for row in csv.DictReader(unique))


def test_enumerate_turns_indices_and_strings_into_each_other(run: Run) -> None:
    text = str(cell_at(6111))
    for asked in ("6111", text, f"nas201:{text}"):
        found = run("study", "nas", "enumerate", asked).stdout.splitlines()
        assert found[1:] == [f"6111,{cell_at(6111).representative},{text}"]


def test_search_prints_and_writes(run: Run, file: Path, tmp_path: Path) -> None:
    page, folder = tmp_path / "page.html", tmp_path / "tables"
    result = run(
        *("study", "nas", "search", str(file), "--partial", "--objective", "clean"),
        *("--strategy", "local", "--strategy", "bananas(predictor=ridge)"),
        *("--runs", "3", "--queries", "30"),
        *("--json", "-", "--report", str(page), "--csv", str(folder)),
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    check_result(found)
    assert found["kind"] == "nas-search"
    assert found["settings"]["strategies"] == ["local", "bananas(predictor=ridge)"]
    assert found["settings"]["partial"] is True
    means = next(each for each in found["tables"] if each["name"] == "nas-means")
    rows = [dict(zip(means["columns"], row, strict=True)) for row in means["rows"]]
    assert {round(row["mean"], 12) for row in rows if row["column"] == "clean"} == {0.95}
    assert "Architecture search" in page.read_text()
    assert {each.name for each in folder.iterdir()} == {
        *("nas-means.csv", "nas-optimum.csv", "nas-found.csv", "nas-courses.csv", "scores.csv"),
    }
    # What is written is read again, and gives the same.
    again = run("study", "nas", "search", str(folder / "scores.csv"), "--partial", "--runs", "2")
    assert again.exit_code == 0
    assert "95.00" in again.stdout


def test_search_of_a_made_up_table(run: Run) -> None:
    asked = ("study", "nas", "search", "--synthetic", "3", "--runs", "2", "--queries", "40")
    first, again = run(*asked), run(*asked)
    assert first.exit_code == 0
    assert first.stdout == again.stdout
    assert "evolution" in first.stdout
    assert run(*asked, "--seed", "1").stdout != first.stdout


def test_correlate_is_that_of_scores(run: Run, file: Path) -> None:
    result = run("study", "nas", "correlate", str(file), "--severities", "--json", "-")
    found = json.loads(result.stdout)
    check_result(found)
    assert found["kind"] == "correlate"
    (table,) = found["tables"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert {row["first"] for row in rows} == {"clean", "fgsm/1", "fgsm/2"}
    taus = {(row["first"], row["second"]): row["tau"] for row in rows}
    assert taus["clean", "fgsm/1"] == pytest.approx(-1)
    assert taus["fgsm/1", "fgsm/2"] == pytest.approx(1)
    means = json.loads(
        run("study", "nas", "correlate", str(file), "--no-intervals", "--json", "-").stdout
    )
    (table,) = means["tables"]
    assert {(row[0], row[4]) for row in table["rows"]} == {("clean", None), ("fgsm", None)}
    chosen = run(
        *("study", "nas", "correlate", str(file)),
        *("--column", "clean", "--against", "attack"),
    )
    assert "−1.000" in chosen.stdout


def test_top_ranks_cells(run: Run, file: Path) -> None:
    result = run("study", "nas", "top", str(file), "--count", "3", "--by", "clean")
    assert result.exit_code == 0
    names = [cell.name for cell in unique_cells()[:4]]
    assert all(name in result.stdout for name in names[:3])
    assert names[3] not in result.stdout
    found = json.loads(run("study", "nas", "top", str(file), "--json", "-").stdout)
    top = next(each for each in found["tables"] if each["name"] == "nas-top")
    last = unique_cells()[11]
    assert top["rows"][0] == [1, last.index, str(last), "attack", pytest.approx(0.37)]
    few = run("study", "nas", "top", str(file), "--edges", "none=3", "--by", "clean")
    chosen = {cell.name for cell in unique_cells()[:12] if cell.count("none") == 3}
    assert chosen
    assert all(name in few.stdout for name in chosen)


BAD = {
    "study nas enumerate 15625": "0 to 15624",
    "study nas enumerate resnet": "no cell of NAS-Bench-201",
    "study nas search": "give FILES, or --synthetic SEED",
    "study nas search FILE --synthetic 0": "not both",
    "study nas search FILE": "say --partial",
    "study nas search FILE --partial --queries 0": "--queries",
    "study nas search FILE --partial --runs 0": "--runs",
    "study nas search FILE --partial --strategy banana": "did you mean 'bananas'",
    "study nas search FILE --partial --strategy evolution(population=x)": "population takes",
    "study nas search FILE --partial --objective claen": "no shift 'claen'",
    "study nas search FILE --partial --strategy local --strategy local": "given twice",
    "study nas search --synthetic -1": "--synthetic",
    "study nas search nothing.csv": "no file",
    "study nas search FILE --partial --json FILE --force": "is what this run reads",
    "study nas correlate FILE --column nothing": "no shift 'nothing'",
    "study nas top FILE --by nothing": "no shift 'nothing'",
    "study nas top FILE --edges conv=2": "OPERATION=N",
    "study nas top FILE --edges none=7": "OPERATION=N",
    "study nas top FILE --edges none=6 --edges skip_connect=6": "no cell with",
    "study nas top FILE --count 0": "--count",
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input(run: Run, file: Path, command: str) -> None:
    before = file.read_text()
    result = run(*(str(file) if part == "FILE" else part for part in command.split()))
    assert result.exit_code == 2, result.output
    assert BAD[command] in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("resnet,clean,,9,10", "no network is a cell"),
        ("nas201:7,clean,,9,10\nnas201:99999,clean,,9,10", "no cell 99999"),
        ("nas201-7_a,clean,,9,10\nnas201-7_b,clean,,8,10", "differ in more than the seed"),
        ("nas201:7,clean,,nan,10", "nan"),
        ("nas201:7,clean,,11,10", "11 of 10"),
    ],
)
@pytest.mark.parametrize("command", ["search", "correlate", "top"])
def test_bad_tables(run: Run, tmp_path: Path, command: str, rows: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(f"network,shift,severity,right,total\n{rows}\n")
    result = run("study", "nas", command, str(path), *(["--partial"] * (command == "search")))
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_measured_table_is_read(run: Run) -> None:
    """As `docs/measured/architectures.md` prints it."""
    files = [str(path) for path in sorted((ROOT / "examples" / "studies").glob("nas-digits-*.csv"))]
    found = json.loads(run("study", "nas", "top", *files, "--json", "-").stdout)
    top = next(each for each in found["tables"] if each["name"] == "nas-top")
    assert top["rows"][0] == [1, 118, str(cell_at(118)), "attack", pytest.approx(0.708, abs=5e-4)]
    assert len({row[1] for row in top["rows"]}) == 16
    result = run(
        *("study", "nas", "correlate", *files, "--column", "clean", "--against", "fgsm"),
        *("--json", "-"),
    )
    (table,) = json.loads(result.stdout)["tables"]
    assert table["rows"][0][2:4] == [16, pytest.approx(0.521, abs=5e-4)]


STUDY = """
[study]
title = "Cells"
data = "digits"
loss = "base"
seeds = [0]
[settings]
epochs = 1
metrics = []
metric_samples = 0
threads = 1
[cells]
which = [9, 10, 24]
channels = 2
repeats = 1
stages = 2
[evaluate]
attacks = ["fgsm"]
radii = [0.1]
count = 20
"""


def test_evaluate_makes_a_table_that_is_searched(run: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "cells.toml", tmp_path / "cells"
    path.write_text(STUDY)
    result = run("study", "nas", "evaluate", str(path), "--out", str(out), "--cells", "9,10")
    assert result.exit_code == 0, result.output
    assert "nas201:9" in result.stdout
    assert {each.name for each in (out / "runs").iterdir()} == {"nas201-9-seed0", "nas201-10-seed0"}
    # It is an ordinary study, which goes on, and of which nothing is done twice.
    times = {each: each.stat().st_mtime_ns for each in out.glob("runs/*/model.onnx")}
    again = run(
        *("study", "nas", "evaluate", str(path), "--out", str(out), "--cells", "9,10"), "--resume"
    )
    assert again.exit_code == 0, again.output
    assert times == {each: each.stat().st_mtime_ns for each in out.glob("runs/*/model.onnx")}
    found = run("study", "nas", "search", str(out), "--partial", "--runs", "2", "--queries", "3")
    assert found.exit_code == 0, found.output
    assert "fgsm" in found.stdout


@pytest.mark.parametrize(
    ("options", "text", "message"),
    [
        (("--cells", "9,10", "--draw", "3"), STUDY, "both say which cells"),
        (("--cells", "9"), STUDY, "two or more"),
        (("--cells", "9,x"), STUDY, "'x' is no cell"),
        (("--draw-seed", "1"), STUDY, "does not say how many"),
        ((), STUDY.split("[evaluate]")[0], "nothing says how"),
        ((), STUDY.replace("which = [9, 10, 24]", ""), "either which or draw"),
    ],
)
def test_bad_evaluations(
    run: Run, tmp_path: Path, options: tuple[str, ...], text: str, message: str
) -> None:
    path, out = tmp_path / "cells.toml", tmp_path / "cells"
    path.write_text(text)
    result = run("study", "nas", "evaluate", str(path), "--out", str(out), *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_searches_need_no_torch(file: Path) -> None:
    code = (
        "import sys\nfrom sensverify.cli.main import main\n"
        f"main(['study', 'nas', 'search', {str(file)!r}, '--partial', '--runs', '1'], "
        "standalone_mode=False)\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
