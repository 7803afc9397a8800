"""Shards: every part once, whatever their number; other plans, counts and hands are refused."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from sensverify.errors import BadSetting, InputError, InUse
from sensverify.runs.files import make_file
from sensverify.runs.folder import RunFolder
from sensverify.runs.shards import Shard, Shards, each_once, journals, left_text

PLAN = "a" * 64


def shards(path: Path) -> Shards:
    return Shards(path / "shards", "study")


def begin(path: Path, text: str, plan: str = PLAN) -> None:
    with shards(path).open(Shard.parse(text), plan, resume=False) as place:
        (place / "journal").write_text(text)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_every_part_is_in_one_shard(count: int) -> None:
    parts = list(range(11))
    cut = [Shard(number, count).of(parts) for number in range(1, count + 1)]
    assert sorted(part for each in cut for part in each) == parts
    assert max(map(len, cut)) - min(map(len, cut)) <= 1
    assert all(each == sorted(each) for each in cut)


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "1/0", "0/0", "-1/3", "1/3/3", "3", "", "a/b", "1/²"]
)
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(BadSetting):
        Shard.parse(text)


def test_texts() -> None:
    assert Shard.parse(" 2 / 3 ") == Shard(2, 3)
    assert (str(Shard(2, 3)), Shard(2, 3).name) == ("2/3", "2-of-3")


def test_what_is_begun(tmp_path: Path) -> None:
    assert shards(tmp_path).begun() == []
    for text in ("10/12", "2/12"):
        begin(tmp_path, text)
    (tmp_path / "shards" / "notes").mkdir()
    found = shards(tmp_path).check(PLAN)
    assert [str(each.shard) for each in found] == ["2/12", "10/12"]
    assert found[0].machines[0]["cores"] >= 1
    assert [path.read_text() for path in journals(tmp_path, "journal")] == ["2/12", "10/12"]
    (tmp_path / "journal").write_text("whole")
    assert journals(tmp_path, "journal")[0].read_text() == "whole"


def test_a_shard_is_begun_once(tmp_path: Path) -> None:
    begin(tmp_path, "1/2")
    with pytest.raises(InputError, match="`resume`"):
        begin(tmp_path, "1/2")
    with shards(tmp_path).open(Shard(1, 2), PLAN, resume=True) as place:
        assert (place / "journal").read_text() == "1/2"
        with pytest.raises(InUse), shards(tmp_path).open(Shard(1, 2), PLAN, resume=True):
            pass
        # The other one is nobody's.
        begin(tmp_path, "2/2")


def test_other_plans_and_counts_are_refused(tmp_path: Path) -> None:
    begin(tmp_path, "1/2")
    for text, plan, words in (("2/2", "b" * 64, "another plan"), ("2/3", PLAN, "shards of 2")):
        with pytest.raises(InputError, match=words):
            begin(tmp_path, text, plan)
        assert not (tmp_path / "shards" / Shard.parse(text).name).exists()
    with pytest.raises(InputError, match="another plan"):
        shards(tmp_path).check("b" * 64)
    # Those that were begun at the same moment, or copied together.
    begin(tmp_path / "other", "2/2", "b" * 64)
    (tmp_path / "other" / "shards" / "2-of-2").rename(tmp_path / "shards" / "2-of-2")
    with pytest.raises(InputError, match="another plan"):
        shards(tmp_path).begun()


@pytest.mark.parametrize("content", ["", "{}", '{"schema": "sensverify.shard/1"}'])
def test_a_damaged_record(tmp_path: Path, content: str) -> None:
    begin(tmp_path, "1/2")
    (tmp_path / "shards" / "1-of-2" / "shard.json").write_text(content)
    with pytest.raises(InputError, match=r"shard\.json"):
        shards(tmp_path).begun()


def test_a_record_of_another_shard(tmp_path: Path) -> None:
    begin(tmp_path, "1/2")
    (tmp_path / "shards" / "1-of-2").rename(tmp_path / "shards" / "2-of-2")
    with pytest.raises(InputError, match="of shard 1/2, not of 2/2"):
        shards(tmp_path).begun()


def test_a_part_in_two_journals_is_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    rows = [(first, "x"), (second, "y")]
    assert each_once(rows, str, "study") == {"x": "x", "y": "y"}
    with pytest.raises(InputError, match=r"both hold 'x' of the study"):
        each_once([*rows, (second, "x")], str, "study")


def test_what_is_left_is_told_shard_by_shard(tmp_path: Path) -> None:
    keys = list("abcdefg")
    assert left_text(keys, keys, [], "trainings") == []
    assert left_text(keys, "abcdef", [], "trainings") == ["1 of 7 trainings are not done: g"]
    begin(tmp_path, "1/3")
    assert left_text(keys, "adbe", shards(tmp_path).begun(), "trainings") == [
        "3 of 7 trainings are not done: c, f, g",
        "shard 1/3 lacks 1 of 3: g",
        "shard 3/3 was not begun; it has 2 of 2: c, f",
    ]


def run_folder(path: Path) -> RunFolder:
    return RunFolder(path, "study", "study.json", "test/1")


def _join(path: Path, number: int, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    with run_folder(path).join({"first": number}) as kept:
        (path / f"{number}.txt").write_text(json.dumps(kept))


def test_of_all_who_come_at_once_one_writes_the_record(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(6)
    out = tmp_path / "out"
    processes = [context.Process(target=_join, args=(out, n, barrier)) for n in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    kept = run_folder(out).read()
    assert kept is not None
    assert {path.read_text() for path in out.glob("*.txt")} == {json.dumps(kept)}
    assert not list(out.glob(".*"))


def test_who_is_alone_keeps_those_who_share_away(tmp_path: Path) -> None:
    out = tmp_path / "out"
    joined = run_folder(out).join({})
    with joined, run_folder(out).join({}), pytest.raises(InUse), run_folder(out).open(resume=True):
        pass
    with run_folder(out).open(resume=True), pytest.raises(InUse), run_folder(out).join({}):
        pass
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"), run_folder(tmp_path).join({}):
        pass


def test_a_file_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise PermissionError("no links here")

    for name in ("linked", "unlinked"):
        assert make_file(tmp_path / name, b"first")
        assert not make_file(tmp_path / name, b"second")
        assert (tmp_path / name).read_bytes() == b"first"
        monkeypatch.setattr("sensverify.runs.files.os.link", refuse)
    assert {path.name for path in tmp_path.iterdir()} == {"linked", "unlinked"}
