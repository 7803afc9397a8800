"""A benchmark's report: in words, as a page, as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import NotMeasured
from sensverify.report.benchmark import document as shown_benchmark
from sensverify.report.benchmark.charts import SHORTEST, WIDE, cactus, decided_seconds, run_names
from sensverify.report.benchmark.document import benchmark_document
from sensverify.report.benchmark.json import benchmark_to_json
from sensverify.report.chart import svg
from sensverify.report.document import Notice, Table, plain
from sensverify.report.html import document_to_html
from sensverify.report.tabular import document_to_csv
from sensverify.verification.benchmark import Instance, InstanceResult
from sensverify.verification.benchmark_report import BenchmarkReport, EarlierResults
from tests.report.shown import RECORD, printed

EVIL = "<script>alert(1)</script>\"'&.vnnlib"


def made(results: list[InstanceResult], total: int = 0, **changes: Any) -> BenchmarkReport:
    """A report of these results, and of further instances that have none."""
    instances = [result.instance for result in results]
    instances += [Instance("m", f"left {k}", 9.0) for k in range(total - len(results))]
    values: dict[str, Any] = {
        "folder": Path("bench"),
        "out": Path("out.csv"),
        "instances_sha256": 64 * "0",
        "instances": tuple(instances),
        "results": tuple(results),
        "method": "crown",
        "timeout": None,
        "only": "",
        "jobs": 2,
        "machine": {"processor": "x", "cores": 2, "memory": None, "system": "Linux"},
        "record": RECORD,
    }
    return BenchmarkReport(**{**values, **changes})


def found(name: str, verdict: str, seconds: float = 1.0, *, expected: str = "") -> InstanceResult:
    instance = Instance("m", name, 9.0, expected, bool(expected))
    return InstanceResult(instance, verdict, seconds, 9.0, 1, "crown")


def earlier(*results: InstanceResult, method: str = "ibp") -> EarlierResults:
    return EarlierResults(Path(f"{method}.csv"), method, results)


def shown(results: list[InstanceResult], total: int) -> str:
    return printed(benchmark_document(made(results, total)), width=200)


def banners(report: BenchmarkReport) -> dict[str, str]:
    """Levels of the notices at the top, with their words."""
    blocks = benchmark_document(report).sections[0].blocks
    notices = [block for block in blocks if isinstance(block, Notice)]
    return {each.level: " ".join([each.title, *map(plain, each.lines)]) for each in notices}


def test_everything() -> None:
    def result(name: str, verdict: str, seconds: float, trusted: bool = True) -> InstanceResult:
        instance = Instance("m", name, 9.0, "sat", trusted)
        return InstanceResult(instance, verdict, seconds, 9.0, 1, "method")

    results = [
        result("a", "sat", 1.0),
        result("b", "sat", 10.0),
        result("[red]c", "unsat", 3.0),
        result("d", "unsat", 2.0, trusted=False),
        result("e", "timeout", 9.1),
    ]
    text = shown(results, 7)
    assert "3 of 7 within their time limit, 1 more after it" in text
    assert "2 sat, 1 timeout, 2 unsat, 2 not run" in text
    assert "2 right, 1 wrong, of 4 that are known; 1 not compared" in text
    assert "median 2 s, maximum 3 s" in text
    # Names of files are no mark-up.
    assert "WRONG: m [red]c: unsat, expected sat" in text


def test_nothing_done_and_nothing_known() -> None:
    text = shown([], 2)
    assert "0 of 2" in text
    assert "compared" not in text
    assert "median" not in text


def test_many_contradictions_are_cut() -> None:
    instance = Instance("m", "p", 9.0, "sat", True)
    results = [InstanceResult(instance, "unsat", 1.0, 9.0, 1, "method")] * 30
    text = shown(results, 30)
    assert text.count("WRONG") == 20
    assert "… and 10 more" in text


def test_a_banner_says_what_matters_most() -> None:
    right, wrong = found("a", "sat", expected="sat"), found("b", "sat", expected="unsat")
    assert banners(made([right, found("c", "unsat")])) == {
        "good": "Passed 1 verdict agrees with what is known."
    }
    bad = banners(made([right, wrong], 3, fail_on=("sat",), interrupted=True))
    assert bad["bad"] == ("Failed 1 verdict contradicts what is known (b). 2 of 3 ended with sat.")
    assert "1 of 3 instances have no result yet, as the run was stopped" in bad["open"]
    assert list(banners(made([right], 2))) == ["open"]
    assert banners(made([right], fail_on=("error",)))["good"].endswith("ended with error.")


def test_where_nothing_is_known_nothing_has_passed() -> None:
    assert banners(made([found("a", "sat")])) == {}
    assert list(banners(made([], 2))) == ["open"]
    assert benchmark_document(made([], 2)).data["instances"].rows[0][2] is None


def test_another_run_that_contradicts_fails() -> None:
    here = [found("a", "sat"), found("b", "unsat"), found("c", "timeout", 9.5)]
    there = earlier(found("a", "unsat"), found("b", "unsat"), found("c", "sat"))
    report = made(here, compared=(there,))
    assert [each.here.instance.vnnlib for each in report.disagreements] == ["a"]
    assert report.exit_status == 1
    assert "1 verdict contradicts another run (a)" in banners(report)["bad"]
    assert "CONTRADICTS: m a: sat, unsat in ibp.csv" in printed(benchmark_document(report))
    assert "Contradictions" in document_to_html(benchmark_document(report))
    assert made(here, compared=(earlier(found("b", "unsat")),)).exit_status == 0


def test_runs_stand_beside_each_other() -> None:
    here = [found(f"p{k}", "unsat", 0.1 * (k + 1)) for k in range(20)]
    there = [found(f"p{k}", "unsat" if k else "timeout", 9.5 if not k else 1.0) for k in range(15)]
    report = made(here, compared=(earlier(*there),))
    assert run_names(report) == ["crown", "ibp"]
    drawing = cactus(report, WIDE)
    assert drawing is not None
    assert drawing.words == "Cactus plot: crown decides 20 instances; ibp decides 14 instances"
    page = document_to_html(benchmark_document(report))
    assert "1 decided by the first alone, 0 by the second alone" in page
    # One dot for each instance that both have.
    scatter = page[page.index("seconds, ibp") - 9000 :]
    assert scatter.count("<circle") >= 15
    values = json.loads(benchmark_to_json(report))
    assert values["compared"] == [
        {
            "name": "ibp",
            "path": "ibp.csv",
            "method": "ibp",
            "results": 15,
            "decided": 14,
            "wrong": 0,
        }
    ]
    again = made(here, compared=(earlier(*there, method="crown"),))
    assert run_names(again) == ["out.csv", "crown.csv"]


def test_times_are_those_in_the_limit_the_fastest_first() -> None:
    results = [found("a", "sat", 3.0), found("b", "sat", 0.0), found("c", "unsat", 9.5)]
    assert decided_seconds(results) == [SHORTEST, 3.0]
    assert cactus(made([found("a", "timeout", 9.5)]), WIDE) is None
    one = cactus(made([found("a", "sat", 0.0)]), WIDE)
    assert one is not None
    assert "nan" not in svg(one)


def test_the_table_has_every_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    report = made([found("b", "sat", 2.0, expected="sat")], 3)

    def table() -> Table:
        section = next(s for s in benchmark_document(report).sections if s.anchor == "instances")
        return next(block for block in section.blocks if isinstance(block, Table))

    rows = table().rows
    assert [plain(row.name) for row in rows] == ["b", "left 0", "left 1"]
    assert [plain(row.cells[1].text) for row in rows] == ["sat", "not run", "not run"]
    assert rows[0].cells[4].value == 2.0
    assert all(len(row.cells) + 1 == len(table().columns) for row in rows)
    lines = document_to_csv(benchmark_document(report))["instances"].splitlines()
    assert len(lines) == 4
    monkeypatch.setattr(shown_benchmark, "ROWS", 2)
    assert len(table().rows) == 2
    assert "1 more instances" in document_to_html(benchmark_document(report))


def test_json_holds_every_instance() -> None:
    values = json.loads(benchmark_to_json(made([found("b", "sat", expected="unsat")], 2)))
    assert [each["verdict"] for each in values["instances"]] == ["sat", None]
    assert values["instances"][0]["agreement"] == "wrong"
    assert values["summary"]["wrong"] == 1
    assert values["summary"]["median_seconds"] == 1.0
    assert values["date"] == "2026-01-02T03:04:05Z"


def test_a_report_shows_itself() -> None:
    report = made([found("b", "sat", 2.0), found("c", "timeout", 9.0)], 3)
    assert repr(report) == "BenchmarkReport(bench, 2 of 3 instances: 1 sat, 1 timeout)"
    assert report.to_html() == document_to_html(benchmark_document(report))
    assert report.to_json() == benchmark_to_json(report)
    assert report.to_pandas()["verdict"].tolist()[:2] == ["sat", "timeout"]
    assert report.plot().text.startswith("<svg")
    assert "Unfinished" in report._repr_html_()
    with pytest.raises(NotMeasured):
        made([], 1).plot()


def test_texts_of_files_are_escaped() -> None:
    there = EarlierResults(Path(EVIL), EVIL, (found(EVIL, "unsat"),))
    result = InstanceResult(Instance(EVIL, EVIL, 9.0, EVIL), "sat", 1.0, 9.0, 1, EVIL, EVIL)
    report = made(
        [result, found("b", "sat", expected="unsat")],
        compared=(there,),
        folder=Path(EVIL),
        method=EVIL,
        only=EVIL,
        machine={"processor": EVIL, "cores": 1, "memory": None, "system": EVIL},
    )
    page = document_to_html(benchmark_document(report))
    assert "<script>alert" not in page
    assert EVIL in unescape(page)


def test_the_undecided_come_with_how_far_they_are_the_nearest_first() -> None:
    left = [
        replace(found("far", "timeout"), shortfall=3.5, processor=2.0, explored=500),
        replace(found("nothing known", "unknown"), processor=0.0),
        replace(
            found("near", "timeout"),
            shortfall=0.125,
            phases={"looking": 1.0, "bounding": 1.0, "splitting": 2.0},
        ),
    ]
    document = benchmark_document(
        made([found("decided", "unsat"), found("broken", "error"), *left])
    )
    (section,) = (each for each in document.sections if each.anchor == "undecided")
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    rows = [[plain(row.name), *(plain(c.text) for c in row.cells)] for row in table.rows]
    assert [row[0] for row in rows] == ["near", "far", "nothing known"]
    assert rows[0][3] == "0.125"
    assert [cell.replace("\u00a0", " ") for cell in rows[0][6:]] == ["25 %", "25 %", "50 %"]
    assert rows[1][3:6] == ["3.5", "500", "250"]
    assert rows[2][3] == rows[2][5] == "–"
    told = json.loads(benchmark_to_json(made(left)))["instances"][2]
    assert (told["shortfall"], told["phases"]["splitting"]) == (0.125, 2.0)
    decided = benchmark_document(made([found("decided", "unsat")]))
    assert all(each.anchor != "undecided" for each in decided.sections)
