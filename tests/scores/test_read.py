"""Scores from every kind of file, their joins, and everything that is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.errors import BadData
from sensverify.models.nas201 import cell_at
from sensverify.scores import CLEAN, Network, Scores, Shift, read_scores, write_csv
from sensverify.scores.join import join
from sensverify.scores.part import CellRow, Part
from sensverify.scores.table import Source
from sensverify.scores.transfer import transfer
from tests.scores.conftest import SAMPLES, A, B, Write, counted, model, result

HEAD = "network,shift,severity,right,total\n"


def test_an_evaluation(write: Write) -> None:
    net = model(
        attacks=[{"attack": "fgsm", "radius": 0.1, "broken": [3, 0]}],
        certified=[{"method": "ibp", "radius": 0.1, "certified": [1]}],
        corruptions=[
            counted("corruption", "fog", [1, 3], severity=2),
            counted("corruption", "fog", None, severity=3),
        ],
        sequences=[{"sequence": "tilt", "flip_rate": 0.25}],
        measures=[{"measure": "l2", "value": 7.5}],
    )
    net["clean"].append(counted("part", "train", []))
    scores = read_scores([write("evaluation.json", result(net))])
    assert scores.networks == (Network("net", A),)
    assert [each.label for each in scores.shifts] == [
        *("clean", "train", "fgsm/0.1", "ibp/0.1", "fog/2", "fog/3")
    ]
    assert scores.right.tolist() == [[3, 4, 2, 1, 2, 4]]
    assert scores.wrong[0, 2].tolist() == [0, 3]
    assert scores.wrong[0, 3].tolist() == [0, 2, 3]
    assert (0, 5) not in scores.wrong
    assert dict(zip(scores.measures, scores.values[0], strict=True)) == {
        "l2": 7.5,
        "flip_rate/tilt": 0.25,
    }
    assert scores.samples == SAMPLES
    assert scores.clean.tolist() == [0.75]
    assert scores.sources[0].form == "evaluation"
    assert len(scores.sources[0].sha256) == 64


def test_several_runs_are_joined_and_leave_holes(write: Write) -> None:
    one = write("one.json", result(model("net", A, measures=[{"measure": "l2", "value": 1}])))
    fog = [counted("corruption", "fog", [0], severity=1)]
    other = write("other.json", result(model("net", B, corruptions=fog), model("again", A)))
    scores = read_scores([one, other])
    assert [each.name for each in scores.networks] == ["net (aaaaaaaa)", "net (bbbbbbbb)"]
    assert scores.measured.tolist() == [[True, False], [True, True]]
    assert np.isnan(scores.accuracy[0, 1])
    assert np.isnan(scores.values[1, 0])
    assert scores.origin.tolist() == [[0, -1], [1, 1]]


def test_folders(write: Write, tmp_path: Path) -> None:
    write("run/evaluation.json", result(model()))
    write("study/study.json", {})
    rows = [
        {"run": "base", "seed": 1, "status": "done", "metrics": {"test": {"ERR": 0.5, "CE": None}}},
        {"run": "base", "seed": 2, "status": "failed", "metrics": {}},
    ]
    write("study/journal.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    scores = read_scores([tmp_path / "run", tmp_path / "study"])
    assert [each.name for each in scores.networks] == ["net", "base-seed1"]
    assert scores.networks[1].group == "base"
    assert scores.measures == ("test/ERR",)
    assert scores.values[1].tolist() == [0.5]


def test_a_study_is_joined_with_evaluations_of_its_networks(write: Write, tmp_path: Path) -> None:
    from sensverify.core.digests import sha256

    write("study/study.json", {})
    row = {"run": "base", "seed": 0, "status": "done", "metrics": {"test": {"ERR": 0.5}}}
    write("study/journal.jsonl", json.dumps(row) + "\n")
    write("study/runs/base-seed0/model.onnx", "weights")
    found = write("e.json", result(model("model", sha256("weights"))))
    scores = read_scores([tmp_path / "study", found])
    assert [each.name for each in scores.networks] == ["base-seed0"]
    assert (scores.clean[0], scores.values[0, 0]) == (0.75, 0.5)


def test_a_network_of_two_names_is_one(write: Write, tmp_path: Path) -> None:
    head = "network,shift,severity,right,total,network_sha256,samples_sha256\n"
    rows = [
        f"standard-seed0,clean,,3,4,{A},s", f"standard-seed0,fog,,1,4,{A},s",
        f"blur-seed0,clean,,3,4,{B},s", f"blur-seed0,fog,,2,4,{B},s",
        f"no-fog-seed0,clean,,3,4,{B},s", f"no-fog-seed0,blur,,2,4,{B},s",
    ]  # fmt: skip
    found = read_scores([write("scores.csv", head + "\n".join(rows))])
    assert [each.name for each in found.networks] == ["standard-seed0", "blur-seed0"]
    assert found.networks[1].aliases == ("no-fog-seed0",)
    assert found.networks[1].called == {"blur", "blur-seed0", "no-fog", "no-fog-seed0"}
    moved = transfer(found)
    assert {(e.network, e.shift): e.role for e in moved.cells if e.network != "standard-seed0"} == {
        ("blur-seed0", "fog"): "held-out", ("blur-seed0", "blur"): "own"
    }  # fmt: skip
    assert moved.aliases == {"blur-seed0": ("no-fog-seed0",)}
    write_csv(found, tmp_path / "again.csv")
    again = read_scores([tmp_path / "again.csv"])
    assert again.networks == found.networks
    np.testing.assert_array_equal(again.right, found.right)


def test_csv(write: Write) -> None:
    text = HEAD + "a,clean,,9,10\na,fog,2,5,10\nb,clean,,8,10\n"
    measures = write("m.csv", "network,measure,value\nb,l2,1e-3\n")
    scores = read_scores([write("t.csv", text), measures])
    assert scores.shifts == (CLEAN, Shift("fog", 2.0))
    assert scores.right.tolist() == [[9, 5], [8, 0]]
    assert scores.measured.tolist() == [[True, True], [True, False]]
    assert scores.values[1].tolist() == [1e-3]


def test_csv_is_written_and_read_again(write: Write, tmp_path: Path) -> None:
    attacks = [{"attack": "fgsm", "radius": 0.1, "broken": [0, 3]}]
    net = model("=net, the first", attacks=attacks, measures=[{"measure": "l2", "value": 0.1}])
    scores = read_scores([write("e.json", result(net, model("b", B)))])
    write_csv(scores, tmp_path / "c.csv", tmp_path / "m.csv")
    again = read_scores([tmp_path / "c.csv", tmp_path / "m.csv"])
    assert again.networks == scores.networks
    assert again.shifts == scores.shifts
    assert again.samples == scores.samples
    assert (again.right == scores.right).all()
    assert (again.total == scores.total).all()
    np.testing.assert_array_equal(again.values, scores.values)
    assert {place: each.tolist() for place, each in again.wrong.items()} == {
        place: each.tolist() for place, each in scores.wrong.items()
    }


def test_the_published_data_set(write: Write) -> None:
    write("meta.json", {"ids": {}, "epsilons": {"fgsm@Linf": [0.1, 8.0]}})
    attacked = {"cifar10": {"fgsm@Linf": {"accuracy": {"0": [0.75, 0.1], "7": [0.5, 0.0]}}}}
    files = [
        write("cifar10/fgsm@Linf_accuracy.json", attacked),
        write("cifar10/clean_accuracy.json", {"cifar10": {"clean": {"accuracy": {"7": 0.9468}}}}),
        write("cifar10/fog_accuracy.json", {"cifar10": {"fog": {"accuracy": {"7": [0.5] * 5}}}}),
    ]
    scores = read_scores(files)
    assert [each.name for each in scores.networks] == ["nas201:0", "nas201:7"]
    assert [each.label for each in scores.shifts][:4] == [
        *("clean", "fgsm@Linf/0.1", "fgsm@Linf/8", "fog/1")
    ]
    assert scores.right[1, :3].tolist() == [9468, 5000, 0]
    assert not scores.measured[0, 0]
    assert scores.measured[1, 2]


def test_tables_cannot_be_written() -> None:
    scores = join([Part(source=Source("x", "csv", ""), cells=[_cell("a", 1)])])
    with pytest.raises(ValueError, match="read-only"):
        scores.right[0, 0] = 3


def _cell(name: str, right: int, wrong: tuple[int, ...] | None = None) -> CellRow:
    return CellRow(Network(name), CLEAN, right, 4, wrong)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"schema": "sensverify.evaluate/3", "models": []}, "has the schema"),
        ({"schema": "sensverify.verify/2"}, "is no result of the schema"),
        (result(), "there are no scores"),
        (result({"model": {}}), "is damaged"),
        (result(model(), samples=None), "is damaged: TypeError: None is no digest"),
        (result(model(sha256=3)), "is damaged: TypeError: 3 is no digest"),
        ('{"schema": "sensverify.evaluate/2", "models": NaN}', "NaN is no number"),
        ("{", "cannot read the result"),
    ],
)
def test_results_that_are_refused(write: Write, values: Any, words: str) -> None:
    with pytest.raises(BadData, match=words) as found:
        read_scores([write("e.json", values)])
    assert str(found.value)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (result(model(sha256=B), samples="6" * 64), "have different samples"),
        (result(model(sha256=B), seed=1), "differ in the seed: 0 and 1"),
        (result(model(sha256=B), clip=[0, 2]), "differ in the range of inputs"),
        (result(model(sha256=B), radius_unit="shares"), "differ in the unit of radii"),
        (result(model(clean=[counted("part", "test", [1, 2])])), "contradict each other"),
        (result(model(clean=[counted("part", "test", [2])])), "contradict each other"),
        (result(model(sha256=None)), "has a digest in"),
        (
            result(model(measures=[{"measure": "l2", "value": 2}])),
            "contradict each other about the network 'net' in the measure 'l2'",
        ),
    ],
)
def test_results_that_do_not_belong_together(write: Write, other: Any, words: str) -> None:
    one = write("one.json", result(model(measures=[{"measure": "l2", "value": 1}])))
    with pytest.raises(BadData, match=words) as found:
        read_scores([one, write("two.json", other)])
    assert found.value.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has the columns none"),
        ("network,shift,right,total\n", "has the columns network, shift"),
        (HEAD.replace("total", "totals"), "totals"),
        (HEAD, "has no row"),
        (HEAD + "a,fog,2,5\n", "row 2: 4 values under 5 columns"),
        (HEAD + ",fog,2,5,10\n", "no network is named"),
        (HEAD + "a,fog,two,5,10\n", "severity is 'two', which is no number"),
        (HEAD + "a,fog,2,nan,10\n", "right is 'nan', which is no number"),
        (HEAD + "a,fog,2,,10\n", "right is '', which is no number"),
        (HEAD + "a,fog,2,5.5,10\n", "right is '5.5'"),
        (HEAD + "a,fog,2,1e300,1e300\n", "samples right"),
        (HEAD.replace("\n", ",wrong\n") + f"a,fog,2,5,6,{'9' * 5000}\n", "wrong is '999"),
        (
            HEAD.replace("\n", ",kind\n") + "a,fog,1,5,6,attack\na,fog,2,5,6,\n",
            "'fog' is of the kinds 'attack' and 'shift'",
        ),
        (HEAD + "a,fog,2,5,10\na,fog/2,,5,10\n", "several shifts 'fog/2'"),
        (HEAD + "a,fog,2,11,10\n", "11 of 10 samples right"),
        (HEAD + "a,fog,2,-1,10\n", "-1 of 10 samples right"),
        (HEAD + "a,fog,2,0,0\n", "0 of 0 samples right"),
        (HEAD + "a,fog,2,5,10\na,fog,2,6,10\n", "contradict each other"),
        (HEAD.replace("\n", ",kind\n") + "a,fog,2,5,10,weather\n", "of the kind 'weather'"),
        (HEAD.replace("\n", ",wrong\n") + "a,fog,2,5,6,first\n", "wrong is 'first'"),
        (HEAD.replace("\n", ",wrong\n") + "a,fog,2,5,6,6\n", "positions of the samples"),
        (HEAD.replace("\n", ",wrong\n") + "a,fog,2,5,6,1 2\n", "positions of the samples"),
        (
            HEAD.replace("\n", ",samples_sha256\n") + "a,fog,1,5,6,x\na,fog,2,5,6,y\n",
            "rows of different samples",
        ),
        ("network,measure,value\na,l2,nan\n", "value is 'nan'"),
        ("network,measure,value\na,,1\n", "no measure is named"),
        ("network,measure,value\na,l2,1\na,l2,2\n", "contradict each other"),
        ('network,measure,value\n"a,l2,1\n', "is no CSV file"),
    ],
)
def test_csv_that_is_refused(write: Write, text: str, words: str) -> None:
    with pytest.raises(BadData, match=words):
        read_scores([write("t.csv", text)])


def test_csv_of_samples_that_nobody_names_stand_alone(write: Write) -> None:
    one, other = write("a.csv", HEAD + "a,clean,,1,4\n"), write("b.csv", HEAD + "b,clean,,1,4\n")
    with pytest.raises(BadData, match=r"nothing says that .* have the same samples"):
        read_scores([one, other])
    with pytest.raises(BadData, match="nothing says that"):
        read_scores([one, write("e.json", result(model()))])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cifar10": {"fgsm@Linf": {"accuracy": {"0": [0.75]}}}}, "1 accuracies, and there are 2"),
        ({"cifar10": {"fgsm@Linf": {"accuracy": {"0": [75, 10]}}}}, "accuracies are shares"),
        ({"cifar10": {"fgsm@Linf": {"accuracy": {"0": [0.55555, 0]}}}}, "no whole number of 10000"),
        ('{"cifar10": {"fgsm@Linf": {"accuracy": {"0": [NaN, 0]}}}}', "accuracies are shares"),
        ({"mnist": {"fgsm@Linf": {"accuracy": {}}}}, "is of the data 'mnist'"),
        ({"cifar10": {"pgd@Linf": {"accuracy": {"0": [1]}}}}, "names no radii of 'pgd@Linf'"),
        ({"cifar10": {"fgsm@Linf": {"confidence": {}}}}, "is no file of accuracies"),
        ({"cifar10": {"apgd@Linf": {"accuracy": {}}}}, "names no radii of 'apgd@Linf'"),
        ([], "is no file of accuracies"),
        ("[", "is no JSON"),
    ],
)
def test_published_files_that_are_refused(write: Write, values: Any, words: str) -> None:
    radii = '{"fgsm@Linf": [0.1, 8.0], "apgd@Linf": [NaN]}'
    write("meta.json", f'{{"epsilons": {radii}}}')
    with pytest.raises(BadData, match=words):
        read_scores([write("fgsm@Linf_accuracy.json", values)])


def meta_of(**changes: Any) -> dict[str, Any]:
    ids = {
        str(cell.index): {"nb201-string": str(cell), "isomorph": str(cell.representative)}
        for cell in (cell_at(0), cell_at(7), cell_at(15))
    }
    ids["7"] |= changes
    return {"ids": ids, "epsilons": {"fgsm@Linf": [0.1]}}


def test_published_cells_are_those_of_the_bench(write: Write) -> None:
    write("meta.json", meta_of())
    values = {"cifar10": {"fgsm@Linf": {"accuracy": {"0": [1], "7": [0.5], "9": [0.25]}}}}
    assert len(read_scores([write("fgsm@Linf_accuracy.json", values)]).networks) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nb201-string": str(cell_at(8))}, "another cell than NAS-Bench-201 as 7"),
        ({"isomorph": "0"}, "isomorphic to one that it is not"),
        ({"isomorph": "99999"}, "there is no cell 99999"),
        ({"isomorph": None}, "does not say which cells"),
        ({"isomorph": "x"}, "does not say which cells"),
    ],
)
def test_published_cells_that_are_others(write: Write, changes: dict[str, Any], words: str) -> None:
    write("meta.json", meta_of(**changes))
    values = {"cifar10": {"clean": {"accuracy": {"0": 1, "7": 0.5}}}}
    with pytest.raises(BadData, match=words):
        read_scores([write("cifar10/clean_accuracy.json", values)])


def test_radii_without_their_file(write: Write) -> None:
    values = {"cifar10": {"fgsm@Linf": {"accuracy": {"0": [1]}}}}
    with pytest.raises(BadData, match=r"no 'meta\.json'"):
        read_scores([write("fgsm@Linf_accuracy.json", values)])


def test_paths_that_hold_none(tmp_path: Path, write: Write) -> None:
    with pytest.raises(BadData, match="no files of scores"):
        read_scores([])
    with pytest.raises(BadData, match="holds no scores"):
        read_scores([tmp_path])
    with pytest.raises(BadData, match="there is no file"):
        read_scores([tmp_path / "nowhere.csv"])
    write("study/study.json", {})
    write("study/journal.jsonl", "")
    with pytest.raises(BadData, match="has finished no training"):
        read_scores([tmp_path / "study"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"right": [[5]]}, "5 of 4 samples"),
        ({"right": [[1, 2]]}, "arrays of"),
        ({"networks": (Network("a"), Network("a"))}, "several networks with the name 'a'"),
        ({"shifts": (CLEAN, CLEAN)}, "several shifts"),
        ({"measures": ("l2",), "values": [[np.inf]]}, "infinite"),
        ({"wrong": {(0, 0): [4]}}, "positions of the samples"),
    ],
)
def test_tables_that_are_none(changes: dict[str, Any], words: str) -> None:
    whole = {"networks": (Network("a"),), "shifts": (CLEAN,), "right": [[3]], "total": [[4]]}
    assert repr(Scores(**whole)) == "Scores(1 networks, 1 shifts, 0 measures, 0 holes)"  # type: ignore[arg-type]
    with pytest.raises(BadData, match=words):
        Scores(**{**whole, **changes})
    assert np.isnan(Scores(**{**whole, "shifts": (Shift("fog"),)}).clean).all()  # type: ignore[arg-type]
    with pytest.raises(BadData, match="there is no network 'b'"):
        Scores(**whole).place("b")  # type: ignore[arg-type]
