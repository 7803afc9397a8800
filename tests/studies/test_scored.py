"""Analyses of a study's own scores: sections of its report, also where there is no answer."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sensverify.cli.main import main
from sensverify.errors import BadSetting, InputError
from sensverify.report.document import TERMINAL, Table, Text, plain
from sensverify.studies.collect import collect, write_report
from sensverify.studies.files import parse_study
from sensverify.studies.folder import load_study, open_study
from sensverify.studies.scored import scored_sections
from tests.scores.conftest import counted, model, result
from tests.studies.conftest import TINY


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A study whose networks are evaluated under two shifts, of which they are taken to be."""
    copy = tmp_path / "study"
    shutil.copytree(tiny_folder, copy)
    for place, name in enumerate(("base-seed0", "base-seed1", "sm-seed0", "sm-seed1")):
        rows = [
            counted("corruption", "sm", [0, 1, place % 4], severity=1.0),
            counted("corruption", "<fog>", [place % 4], severity=1.0),
        ]
        for row in rows:
            row["wrong"] = sorted({*row["wrong"]})
            row["classified"]["accuracy"]["count"] = 4 - len(row["wrong"])
        (copy / "runs" / name / "model.onnx").unlink(missing_ok=True)
        made = result(model(name, None, corruptions=rows))
        (copy / "runs" / name / "evaluation.json").write_text(json.dumps(made))
    return copy


def test_a_section_for_each_and_a_reason_where_there_is_none(folder: Path) -> None:
    asked = ("transfer(standard=base)", "overlap(standard=base)", "transfer", "correlate")
    found = scored_sections(folder, asked)
    assert [each.anchor for each in found] == [
        "analysis-transfer",
        "analysis-overlap",
        "analysis-transfer-2",
        "analysis-correlate",
    ]
    transfers, overlaps, without, correlations = found
    assert any(isinstance(block, Table) or block.kind == "group" for block in transfers.blocks)
    assert len(correlations.data[0].rows) > 0
    for each, words in ((overlaps, "there is sm"), (without, "there is no network 'standard'")):
        (line,) = (b for b in each.blocks if isinstance(b, Text) and b.on is TERMINAL)
        assert words in plain(line.line)
        assert "The study has no answer" in plain(line.line)


def test_reports_have_the_sections_and_their_tables(folder: Path) -> None:
    report, paths = write_report(
        folder, analyses=("correlate", "correlate(resamples=9)", "overlap")
    )
    assert [each.title for each in report.sections] == [
        "Rank correlations",
        "Rank correlations",
        "Overlap",
    ]
    names = {path.name for path in paths}
    assert {"correlations.csv", "correlations-2.csv"} <= names
    page = (folder / "report" / "report.html").read_text()
    assert "The study has no answer" in page
    assert "&lt;fog&gt;" in page
    assert "<fog>" not in page


def test_a_study_without_scores_says_so(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / "study.json", tmp_path)
    (tmp_path / "journal.jsonl").write_bytes(b"")
    (found,) = collect(tmp_path, analyses=("transfer",)).sections
    assert "has finished no training" in str(found.blocks)


def test_files_name_analyses_and_the_folder_keeps_them(tmp_path: Path) -> None:
    asked, printed = ["transfer(standard=base)", "balance"], ["laugros-table3.2"]
    document: dict[str, Any] = {**TINY, "report": {"analyses": asked, "papers": printed}}
    document["variants"] = {"less": {"report": {"analyses": ["balance"], "papers": []}}}
    study = parse_study(document)
    assert study.analyses == tuple(asked)
    assert parse_study(document, variant="less").analyses == ("balance",)
    with open_study(tmp_path / "with", study, resume=False, threads=1):
        pass
    kept = load_study(tmp_path / "with")[0]
    assert (kept.analyses, kept.papers) == (tuple(asked), tuple(printed))
    # Another choice is no other study.
    without = replace(study, analyses=(), papers=())
    with open_study(tmp_path / "with", without, resume=True, threads=1):
        pass
    assert "analyses" not in json.loads((tmp_path / "with" / "study.json").read_text())
    assert load_study(tmp_path / "with")[0].analyses == ()


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ({"analysis": ["transfer"]}, "did you mean 'analyses'"),
        ({"analyses": "transfer"}, "needs a list of analyses"),
        ({"analyses": [3]}, "needs a list of analyses"),
        ({"analyses": ["transfers"]}, "did you mean 'transfer'"),
        ({"analyses": ["transfer(standart=base)"]}, "standart"),
        ({"analyses": ["overlap(metric=ce)"]}, "metric"),
        ({"analyses": ["transfer", "transfer"]}, "has 'transfer' twice"),
        (["transfer"], "needs a table [report]"),
        ({"analyses": ["transfer"], "papers": "laugros-table3.1"}, "needs a list of printed"),
        ({"analyses": ["transfer"], "papers": ["laugros-table3"]}, "did you mean 'laugros-table"),
        ({"analyses": ["transfer"], "papers": ["measuring-table1"]}, "has numbers of correlate"),
        ({"papers": ["laugros-table3.1"]}, "of none there is none"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(report: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_study({**TINY, "report": report})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_analysis_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'transfer'"):
        collect(folder, analyses=("transfers",))
    with pytest.raises(BadSetting, match="metric"):
        collect(folder, analyses=("overlap(metric=ce)",))


def test_the_command_line_adds_a_section(folder: Path) -> None:
    def run(*args: object) -> Result:
        return CliRunner().invoke(main, [str(each) for each in args], prog_name="sensverify")

    done = run("study", "report", folder, "--kind", "transfer(standard=base)", "--kind", "balance")
    assert done.exit_code == 0, done.output
    assert "gain in accuracy" in done.stdout
    assert "The study has no answer" in done.stdout
    printed = ("--paper", "laugros-table3.2")
    done = run("study", "report", folder, "--kind", "transfer(standard=base)", *printed)
    assert "none has a number of ours" in " ".join(done.stdout.split())
    assert run("study", "report", folder, *printed).exit_code == 2
    bad = run("study", "report", folder, "--kind", "transfers")
    assert (bad.exit_code, len(bad.stderr.splitlines())) == (2, 1)
