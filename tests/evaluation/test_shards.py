"""Shards of an evaluation: the rows of one process, and no gate that passes on a part of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sensverify.core.gates import GateVerdict
from sensverify.errors import BadSetting, InputError, InUse
from sensverify.evaluation.folder import shards_in
from sensverify.evaluation.prepared import prepare_evaluation
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.run import evaluate, read_evaluation
from sensverify.evaluation.shards import evaluate_shard, shard_order
from sensverify.report.evaluation.json import evaluation_to_json
from sensverify.runs.progress import Progress
from sensverify.runs.shards import Shard
from sensverify.runs.watch import Watch
from tests.contracts.test_kill_and_resume import timeless

FILES: list[Path] = []


@pytest.fixture(autouse=True)
def _with_files(files: Path) -> None:
    FILES[:] = [files]


def request(out: Path | None, **settings: object) -> EvaluateRequest:
    (folder,) = FILES
    asked: dict[str, object] = {
        "models": (str(folder / "a.onnx"), str(folder / "b.onnx")),
        "data": str(folder / "data.npz"),
        "clip": (0.0, 1.0),
        "count": 12,
        "attacks": ("fgsm", "pgd(steps=3)"),
        "radii": (0.01, 0.02),
        "gate_radius": 0.01,
        "corruptions": (),
        "sequences": (),
        "measures": ("l2", "input-gradient"),
        "min_accuracy": 0.0,
        "min_robust": 0.0,
        "out": out,
        **settings,
    }
    return EvaluateRequest(**asked)  # type: ignore[arg-type]


def plain(found: object) -> object:
    return timeless(json.loads(evaluation_to_json(found)))  # type: ignore[arg-type]


def keys(out: Path) -> list[str]:
    files = [out / "journal.jsonl", *out.glob("shards/*/journal.jsonl")]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    return [json.loads(line)["key"] for line in lines]


def test_shards_make_the_same_evaluation(tmp_path: Path) -> None:
    single = evaluate(request(tmp_path / "single"))
    out = tmp_path / "out"
    for number in (3, 1):
        done = evaluate_shard(request(out), Shard(number, 3))
        assert done.left == 0
    assert done.done < done.total
    # One that is stopped in the middle, with a line that a kill has cut off.
    watch = Watch()

    def stop(state: Progress) -> None:
        if state.done == 3:
            watch.stop()

    stopped = evaluate_shard(request(out), Shard(2, 3), watch=watch, progress=stop)
    assert 0 < stopped.left < stopped.asked
    journal = out / "shards" / "2-of-3" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-7])
    part = read_evaluation(request(out))
    assert part.exit_status == 3
    missing = [each for model in part.models for each in model.missing if not each.final]
    assert len(missing) in (stopped.left, stopped.left + 1)
    assert {each.reason for each in missing} == {"it is not done yet: it is of shard 2/3"}
    last = evaluate_shard(request(out, resume=True), Shard(2, 3))
    assert (last.left, last.done) == (0, last.total)
    assert len(keys(out)) == len(set(keys(out))) == last.total
    merged = read_evaluation(request(out))
    assert plain(merged) == plain(single)
    assert plain(evaluate(request(out, resume=True))) == plain(single)


def test_without_a_shard_the_rest_is_done(tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate_shard(request(out), Shard(1, 2))
    assert read_evaluation(request(out)).exit_status != 0
    told: list[Progress] = []
    found = evaluate(request(out, resume=True), progress=told.append)
    assert not found.interrupted
    assert len(keys(out)) == len(set(keys(out))) == told[-1].total
    done = evaluate_shard(request(out), Shard(2, 2))
    assert (done.left, done.done) == (0, done.total)
    assert (out / "shards/2-of-2/journal.jsonl").read_text() == ""


def test_a_gate_on_a_part_does_not_pass(tmp_path: Path) -> None:
    """What has met one attack may still fall to another."""
    asked = request(tmp_path, min_accuracy=None, min_robust=0.01)
    parts = shard_order(prepare_evaluation(asked))
    number = next(n for n, (task, _) in enumerate(parts, 1) if task.key == "attack/fgsm/0.01")
    evaluate_shard(asked, Shard(number, len(parts)))
    found = read_evaluation(asked)
    assert found.exit_status != 0
    # Of the other network nothing is known at all.
    assert [gate.verdict for gate in found.gates] == [GateVerdict.UNDECIDED, GateVerdict.FAILED]


@pytest.mark.parametrize(
    ("changes", "shard", "words"),
    [
        ({"measures": ()}, Shard(2, 2), "another plan"),
        ({"attacks": ("fgsm",)}, Shard(2, 2), "another plan"),
        ({"certify": ()}, Shard(2, 2), "another plan"),
        ({"seed": 1}, Shard(2, 2), "seed is 0 there and 1 now"),
        ({}, Shard(2, 3), "shards of 2"),
        ({}, Shard(1, 2), "`resume`"),
    ],
)
def test_what_does_not_belong_together(
    tmp_path: Path, changes: dict[str, object], shard: Shard, words: str
) -> None:
    stopped = Watch()
    stopped.stop()
    evaluate_shard(request(tmp_path), Shard(1, 2), watch=stopped)
    with pytest.raises(InputError, match=words):
        evaluate_shard(request(tmp_path, **changes), shard, watch=stopped)


def test_shards_are_at_work_at_the_same_time(tmp_path: Path) -> None:
    stopped, met = Watch(), []
    stopped.stop()

    def intrude(state: Progress) -> None:
        if not met:
            evaluate_shard(request(tmp_path, resume=True), Shard(2, 2), watch=stopped)
            assert read_evaluation(request(tmp_path)).interrupted
            with pytest.raises(InUse):
                evaluate_shard(request(tmp_path, resume=True), Shard(1, 2))
            with pytest.raises(InUse):
                evaluate(request(tmp_path, resume=True))
            met.append(True)

    assert evaluate_shard(request(tmp_path), Shard(1, 2), progress=intrude).left == 0
    assert met
    assert len(shards_in(tmp_path).begun()) == 2


def test_a_folder_is_needed(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="`out`"):
        evaluate_shard(request(None), Shard(1, 2))
    with pytest.raises(BadSetting, match="`out`"):
        read_evaluation(request(None))
    with pytest.raises(InputError, match="holds no evaluation"):
        read_evaluation(request(tmp_path))
