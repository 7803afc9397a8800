"""Benchmark folders: what is read, what is written, and what a broken instance costs."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import BadData, BadSetting, InputError, UnknownName
from sensverify.runs.progress import Progress
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Here
from sensverify.verification import benchmark_answer
from sensverify.verification.benchmark import (
    COLUMNS,
    BenchmarkSummary,
    Instance,
    InstanceResult,
)
from sensverify.verification.benchmark_files import read_instances
from sensverify.verification.benchmark_run import BenchmarkRequest, _present, run_benchmark
from sensverify.verification.property import PropertyRequest, check_property

Save = Callable[..., Path]
HEADER = ",".join(COLUMNS)


@pytest.fixture
def folder(tmp_path: Path, save_relu: Save, save_property: Save) -> Path:
    """Four instances: sat, unsat, unknown, and a property that does not fit."""
    save_relu(tmp_path / "relu.onnx")
    save_property("(>= Y_0 1.5)", name="sat.vnnlib")
    save_property("(>= Y_0 3)", name="unsat.vnnlib")
    save_property("(= Y_0 0.25)", name="unknown.vnnlib")
    save_property(
        "(= Y_0 0)", name="misfit.vnnlib", box="(and (= X_0 0) (= X_1 0) (= X_2 0))", inputs=3
    )
    names = ("sat", "unsat", "unknown", "misfit")
    (tmp_path / "instances.csv").write_text(
        "".join(f"relu.onnx,{name}.vnnlib,60\n" for name in names)
    )
    (tmp_path / "verdicts.csv").write_text(
        "onnx,vnnlib,timeout_s,verdict,ce_replayed\n"
        "relu.onnx,sat.vnnlib,60,sat,strict\n"
        "relu.onnx,unsat.vnnlib,60,unsat,\n"
        "relu.onnx,unknown.vnnlib,60,sat,majority\n"
    )
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[PropertyRequest]:
    """The requests that are asked in this process."""
    found: list[PropertyRequest] = []

    def listen(request: PropertyRequest, **options: Any) -> Any:
        found.append(request)
        return check_property(request, **options)

    monkeypatch.setattr(benchmark_answer, "check_property", listen)
    return found


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def go(folder: Path, **options: Any) -> BenchmarkSummary:
    """Without processes, unless workers are given."""
    values = {"method": "sampling", "jobs": 1, "out": folder / "out.csv", **options}
    workers = values.pop("workers", Here())
    return run_benchmark(BenchmarkRequest(folder=folder, **values), workers=workers).summary


@pytest.mark.usefixtures("fake_deciders")
def test_results(folder: Path, asked: list[PropertyRequest]) -> None:
    summary = go(folder, timeout=5.0)
    found = rows(folder / "out.csv")
    assert [row["verdict"] for row in found] == ["sat", "unsat", "unknown", "error"]
    assert [row["agreement"] for row in found] == ["right", "right", "", ""]
    assert [row["expected"] for row in found] == ["sat", "unsat", "sat", ""]
    assert "declares 3 inputs" in found[3]["note"]
    assert {row["timeout"] for row in found} == {"5"}
    assert {request.timeout for request in asked} == {5.0}
    assert (summary.total, summary.done, summary.decided) == (4, 4, 2)
    assert (summary.right, summary.wrong, summary.ignored, summary.known) == (2, (), 0, 2)
    assert summary.verdicts == {"error": 1, "sat": 1, "unknown": 1, "unsat": 1}


@pytest.mark.usefixtures("fake_deciders")
def test_resume(folder: Path, asked: list[PropertyRequest]) -> None:
    go(folder, only="sat.vnnlib")
    assert [request.property.name for request in asked] == ["sat.vnnlib", "unsat.vnnlib"]
    # A run that was killed in the middle of a line.
    with (folder / "out.csv").open("a") as stream:
        stream.write('relu.onnx,unknown.vnnlib,unk"')
    assert go(folder).done == 4
    assert len(asked) == 4
    found = rows(folder / "out.csv")
    assert [row["vnnlib"] for row in found] == [
        "sat.vnnlib",
        "unsat.vnnlib",
        "unknown.vnnlib",
        "misfit.vnnlib",
    ]
    before = (folder / "out.csv").read_bytes()
    assert go(folder).done == 4
    assert len(asked) == 4
    assert (folder / "out.csv").read_bytes() == before


@pytest.mark.usefixtures("fake_deciders")
def test_a_torn_header(folder: Path, asked: list[PropertyRequest]) -> None:
    (folder / "out.csv").write_text(HEADER[:20])
    assert go(folder).done == 4
    assert (folder / "out.csv").read_text().startswith(HEADER + "\n")


@pytest.mark.usefixtures("fake_deciders")
@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ("my,own,file\n", "out.csv"),
        ("precious", "out.csv"),
        ("\xff\xfe\n", "out.csv"),
        (f"{HEADER}\nrelu.onnx,sat.vnnlib\n", "line 2"),
        (f"{HEADER}\nrelu.onnx,sat.vnnlib,sat,soon,1,1,1,,,,,,,sampling,\n", "line 2"),
        (f"{HEADER}\nrelu.onnx,other.vnnlib,sat,1,1,1,1,,,,,,,sampling,\n", "other.vnnlib"),
        (f"{HEADER}\nrelu.onnx,sat.vnnlib,sat,1,1,1,1,,,,,,,highs,\n", "'highs'"),
    ],
)
def test_other_files_are_left_alone(
    folder: Path, asked: list[PropertyRequest], contents: str, words: str
) -> None:
    (folder / "out.csv").write_bytes(contents.encode("latin-1"))
    with pytest.raises(InputError, match=words):
        go(folder)
    assert (folder / "out.csv").read_bytes() == contents.encode("latin-1")
    assert not asked


@pytest.mark.usefixtures("fake_deciders")
def test_a_stopped_run_leaves_a_valid_file(folder: Path, asked: list[PropertyRequest]) -> None:
    watch = Watch()
    request = BenchmarkRequest(folder=folder, out=folder / "out.csv", method="sampling")

    def stop(now: Progress) -> None:
        if now.done == 2:
            watch.stop()

    summary = run_benchmark(request, watch=watch, workers=Here(), progress=stop).summary
    assert (summary.total, summary.done) == (4, 2)
    assert len(rows(folder / "out.csv")) == 2
    assert go(folder).done == 4


@pytest.mark.usefixtures("fake_deciders")
def test_duplicates_are_both_run(folder: Path, asked: list[PropertyRequest]) -> None:
    (folder / "instances.csv").write_text("relu.onnx,sat.vnnlib,60\n" * 2)
    assert go(folder).done == 2
    assert go(folder).done == 2
    assert len(asked) == 2


@pytest.mark.usefixtures("fake_deciders")
def test_a_contradiction(folder: Path, asked: list[PropertyRequest]) -> None:
    table = (folder / "verdicts.csv").read_text()
    (folder / "verdicts.csv").write_text(table.replace("60,unsat,", "60,sat,strict"))
    summary = go(folder)
    assert [result.instance.vnnlib for result in summary.wrong] == ["unsat.vnnlib"]
    assert [row["agreement"] for row in rows(folder / "out.csv")][:2] == ["right", "wrong"]


def test_bad_evidence_is_ignored() -> None:
    for expected, trusted, verdict, agreement in [
        ("sat", True, "sat", "right"),
        ("sat", True, "unsat", "wrong"),
        ("sat", False, "unsat", "ignored"),
        ("conflict", False, "unsat", "ignored"),
        ("unknown", False, "unsat", ""),
        ("", False, "unsat", ""),
        ("sat", True, "timeout", ""),
        ("sat", True, "error", ""),
    ]:
        assert Instance("m", "p", 1, expected, trusted).agreement(verdict) == agreement


def test_late_answers_are_not_decided_in_time() -> None:
    instance = Instance("m", "p", 10.0, "unsat", True)
    results = [
        InstanceResult(instance, "unsat", seconds, 10.0, 1, "m") for seconds in (1.0, 3.0, 11.0)
    ]
    summary = BenchmarkSummary.of([instance] * 4, results)
    assert (summary.decided, summary.right) == (2, 3)
    assert (summary.median_seconds, summary.max_seconds) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("name", "contents", "words"),
    [
        ("instances.csv", "", "instances.csv"),
        ("instances.csv", "a,b\n", "line 1"),
        ("instances.csv", "a,b,c\n", "'c'"),
        ("instances.csv", "a,b,-1\n", "'-1'"),
        ("instances.csv", "a,b,nan\n", "'nan'"),
        ("verdicts.csv", "a,b\n", "verdicts.csv"),
        ("verdicts.csv", "onnx,vnnlib,verdict\na,b\n", "line 2"),
    ],
)
def test_bad_folders(folder: Path, name: str, contents: str, words: str) -> None:
    (folder / name).write_text(contents)
    with pytest.raises(BadData, match=words):
        read_instances(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="nowhere"):
        read_instances(tmp_path / "nowhere")


@pytest.mark.usefixtures("fake_deciders")
def test_bad_requests(folder: Path) -> None:
    for options, error in [
        ({"method": "nobody"}, UnknownName),
        ({"settings": {"speed": "1"}}, BadSetting),
        ({"timeout": 0.0}, BadSetting),
        ({"timeout": math.nan}, BadSetting),
        ({"jobs": 0}, BadSetting),
        ({"only": "nothing"}, BadData),
        ({"out": folder / "no" / "folder.csv"}, InputError),
        ({"out": folder}, InputError),
    ]:
        with pytest.raises(error):
            go(folder, **options)
    assert not (folder / "out.csv").exists()


def test_a_file_that_is_only_there_gzipped(folder: Path) -> None:
    plain = folder / "sat.vnnlib"
    (folder / "sat.vnnlib.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(read_instances(folder)) == 4
    assert _present(folder, "sat.vnnlib").name == "sat.vnnlib.gz"
    assert _present(folder, "unsat.vnnlib").name == "unsat.vnnlib"


@pytest.mark.usefixtures("fake_deciders")
def test_a_process_that_dies_costs_one_instance(folder: Path, save_property: Save) -> None:
    save_property("(>= Y_0 3)", name="unknown.vnnlib", box="(and (= X_0 7) (= X_1 0))")
    settings = {"how": "die", "above": "5"}
    summary = go(folder, method="faulty", settings=settings, workers=None)
    assert summary.verdicts == {"error": 2, "sat": 1, "unsat": 1}
    found = {row["vnnlib"]: row for row in rows(folder / "out.csv")}
    assert "its process died (exit code -9; out of memory?)" in found["unknown.vnnlib"]["note"]
    assert found["unknown.vnnlib"]["method"] == "faulty (above=5, how=die)"


@pytest.mark.slow
@pytest.mark.usefixtures("fake_deciders")
def test_a_process_that_hangs_is_ended(
    folder: Path, save_property: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensverify.verification.benchmark_run.GRACE", 0.5)
    save_property("(>= Y_0 3)", name="sat.vnnlib", box="(and (= X_0 7) (= X_1 0))")
    settings = {"how": "hang", "above": "5"}
    options = {"timeout": 1.0, "only": "sat.vnnlib", "workers": None}
    summary = go(folder, method="faulty", settings=settings, **options)
    assert summary.verdicts == {"timeout": 1, "unsat": 1}
    assert "was ended" in rows(folder / "out.csv")[0]["note"]


@pytest.mark.usefixtures("fake_deciders")
@pytest.mark.parametrize(
    ("how", "note"), [("memory", "out of memory"), ("fail", "the solver fail")]
)
def test_errors_are_recorded(
    folder: Path, asked: list[PropertyRequest], how: str, note: str
) -> None:
    summary = go(folder, method="faulty", settings={"how": how}, only="unsat.vnnlib")
    assert summary.verdicts == {"error": 1}
    assert note in rows(folder / "out.csv")[0]["note"]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffa.onnx,p.vnnlib,60\nb.onnx,p.vnnlib,5\n",
        "\ufeffonnx,vnnlib,timeout\na.onnx,p.vnnlib,60\nb.onnx,p.vnnlib,5\n",
        "Property, Seconds ,Network\np.vnnlib,60,a.onnx\np.vnnlib,5,b.onnx\n",
        "# a, comment, line\n\n  \n,,\n// more\na.onnx,p.vnnlib,60,\n,,,\nb.onnx,p.vnnlib,5,,\n",
        "a.onnx,p.vnnlib,60\r\n\r\nb.onnx,p.vnnlib,5\r\n",
        "a.onnx,p.vnnlib,60\rb.onnx,p.vnnlib,5",
        ' "a.onnx", "p.vnnlib" ,\t60\n"b.onnx","p.vnnlib","5"\n',
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, text: str) -> None:
    (tmp_path / "instances.csv").write_bytes(text.encode())
    (tmp_path / "verdicts.csv").write_bytes(
        b"\xef\xbb\xbf# of the jury\r\nonnx, vnnlib,Verdict,note,\r\n\r\n"
        b'"./a.onnx",p.vnnlib, UNSAT,\r\nb.onnx,p.vnnlib,sat\r\n,,,,\r\n'
    )
    found = read_instances(tmp_path)
    assert [(i.onnx, i.vnnlib, i.timeout) for i in found] == [
        ("a.onnx", "p.vnnlib", 60),
        ("b.onnx", "p.vnnlib", 5),
    ]
    assert [(i.expected, i.trusted) for i in found] == [("unsat", True), ("sat", True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model,what,seconds\na,b,1\n", "line 1: 'seconds'"),
        ("onnx,vnnlib,timeout\nonnx,vnnlib,timeout\n", "line 2: 'timeout'"),
        ("a;b;1\n", "line 1"),
        ("#\na,b,1,2\n", "line 2"),
        ("a,,1\n", "line 1"),
        ("a,b,60,5\n", "line 1"),
        ("# nothing\n,,\n", "instances.csv"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "instances.csv").write_text(text)
    with pytest.raises(BadData, match=words):
        read_instances(tmp_path)


def test_two_verdicts_about_one_instance(tmp_path: Path) -> None:
    (tmp_path / "instances.csv").write_text("a,b,1\n")
    (tmp_path / "verdicts.csv").write_text("onnx,vnnlib,verdict\na,b,sat\n./a,b,unsat\n")
    with pytest.raises(BadData, match="line 3"):
        read_instances(tmp_path)
