"""Running a study: nothing twice, nothing overwritten, the same results however often stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sensverify.cli.study_progress import finished_line, running_text
from sensverify.errors import InputError, UnsoundResult
from sensverify.runs.progress import Progress
from sensverify.runs.watch import Watch
from sensverify.studies.analyses import sample_counts
from sensverify.studies.collect import collect
from sensverify.studies.entries import FAILED, read_entries
from sensverify.studies.files import parse_study
from sensverify.studies.folder import run_folder
from sensverify.studies.run import run_study
from sensverify.studies.study import Study
from sensverify.studies.train import training_task


def weights(folder: Path) -> dict[str, str]:
    return {
        path.parent.name: json.loads(path.read_text())["weights_sha256"]
        for path in sorted(folder.glob("runs/*/result.json"))
    }


def test_what_a_study_leaves(tiny: Study, tiny_folder: Path) -> None:
    entries = read_entries(tiny_folder)
    assert [entry.key for entry in entries] == [each.key for each in tiny.trainings]
    assert {entry.status for entry in entries} == {"done"}
    assert {entry.epochs for entry in entries} == {2}
    assert all(set(entry.metrics) == {"test", "train"} for entry in entries)
    assert all((entry.metrics["test"]["SENSE"] or 0) > 0 for entry in entries)
    assert entries[0].samples == {"test": 20, "train": 20}
    assert len(set(weights(tiny_folder).values())) == 4


def test_losses_begin_with_the_same_weights_and_settings(tiny_folder: Path) -> None:
    found = {
        path.parent.name: json.loads(path.read_text())
        for path in tiny_folder.glob("runs/*/config.json")
    }
    first = {name: config["model"]["initial_weights"] for name, config in found.items()}
    assert first["base-seed0"] == first["sm-seed0"] != first["base-seed1"] == first["sm-seed1"]
    assert found["base-seed0"]["settings"] == found["sm-seed0"]["settings"]


def test_nothing_is_done_twice(tiny: Study, tiny_folder: Path) -> None:
    states: list[Progress] = []
    before = weights(tiny_folder), read_entries(tiny_folder)
    outcome = run_study(tiny, tiny_folder, resume=True, progress=states.append)
    assert outcome.complete
    assert (weights(tiny_folder), read_entries(tiny_folder)) == before
    assert [(state.done, state.total) for state in states] == [(4, 4)]


def test_a_folder_in_use_is_refused(tiny: Study, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`resume`"):
        run_study(tiny, tiny_folder)
    with pytest.raises(InputError, match="seeds is"):
        run_study(replace(tiny, seeds=(0, 1, 2)), tiny_folder, resume=True)
    other = replace(tiny.runs[0], settings=replace(tiny.runs[0].settings, epochs=3))
    changed = replace(tiny, runs=(other, tiny.runs[1]))
    with pytest.raises(InputError, match=r"runs\.'base'\.settings\.epochs is 2 there and 3 now"):
        run_study(changed, tiny_folder, resume=True)
    (tmp_path / "letter.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match="is not empty"):
            run_study(tiny, tmp_path, resume=resume)

    def intrude(state: Progress) -> None:
        with pytest.raises(InputError, match="another process"):
            run_study(tiny, tiny_folder, resume=True)

    run_study(tiny, tiny_folder, resume=True, progress=intrude)


def test_new_words_change_nothing(tiny: Study, tiny_folder: Path) -> None:
    run_study(replace(tiny, title="Another title"), tiny_folder, resume=True)
    assert collect(tiny_folder).title == "Another title"
    run_study(tiny, tiny_folder, resume=True)


def test_mistakes_leave_no_folder(tiny: Study, tmp_path: Path) -> None:
    for wrong in (replace(tiny, data="irsi"), replace(tiny, model="iris-9")):
        with pytest.raises(InputError):
            run_study(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hold_out": 500}, "run 'sm': `hold_out` leaves nothing"),
        ({"clip": (0.0, 1.0)}, "run 'sm': `clip` is"),
        ({"train_samples": 121}, "run 'sm': `train_samples`"),
    ],
)
def test_what_is_wrong_with_a_later_run_is_said_first(
    tiny: Study, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    first, second = tiny.runs
    second = replace(second, settings=replace(second.settings, **changes))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=words):
        run_study(replace(tiny, runs=(first, second)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_a_run(tiny: Study, tmp_path: Path) -> None:
    (tmp_path / "base-seed0").write_text("mine")
    task = training_task(tiny, tiny.trainings[0], tmp_path / "base-seed0")
    with pytest.raises(InputError, match="base-seed0"):
        task.do(Watch(), lambda share: None)
    assert (tmp_path / "base-seed0").read_text() == "mine"


def test_an_unsound_metric_stops_the_study(
    tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuted(*given: object, **options: object) -> None:
        raise UnsoundResult("method x proved the label of sample 3")

    monkeypatch.setattr("sensverify.training.loop.measuring.measure", refuted)
    with pytest.raises(UnsoundResult, match="sample 3"):
        run_study(tiny, tmp_path)
    assert read_entries(tmp_path) == []


def test_a_study_that_goes_on_elsewhere_tells_both_machines(
    tiny: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    watch.stop()
    for processor in ("First", "Second", "First"):
        facts = {"processor": processor, "cores": 2, "versions": {"torch": processor[0]}}
        monkeypatch.setattr("sensverify.studies.folder.machine_facts", lambda facts=facts: facts)
        run_study(tiny, tmp_path, watch=watch, resume=(tmp_path / "study.json").exists())
    record = collect(tmp_path).record
    assert record["Machine"] == "First, 2 cores, ; later Second, 2 cores, "
    assert record["Versions"] == "torch F; later torch S"


def test_metrics_of_every_epoch_count_their_own_samples(tiny: Study, tiny_folder: Path) -> None:
    """Final metrics are of 20 here; those of the epochs follow their own setting."""
    training = tiny.trainings[0]
    folder = run_folder(tiny_folder, training)
    for most, counts in ((20, (20, 20)), (25, (25, 25)), (500, (30, 120))):
        asked = replace(training, settings=replace(training.settings, metric_samples=most))
        assert sample_counts(folder, asked) == dict(zip(("test", "train"), counts, strict=True))
    assert sample_counts(tiny_folder, training) == {}


def test_stopped_anywhere_it_ends_the_same(tiny: Study, tiny_folder: Path, tmp_path: Path) -> None:
    stops, resumed = 0, False
    while True:
        watch = Watch()
        calls = 0

        def stop_soon(state: Progress, watch: Watch = watch) -> None:
            nonlocal calls
            calls += 1
            if calls > 8:
                watch.stop()

        outcome = run_study(tiny, tmp_path, resume=resumed, watch=watch, progress=stop_soon)
        if outcome.complete:
            break
        stops, resumed = stops + 1, True
        assert stops < 40
    assert stops > 1
    assert weights(tmp_path) == weights(tiny_folder)
    for mine, theirs in zip(read_entries(tmp_path), read_entries(tiny_folder), strict=True):
        assert (mine.key, mine.metrics) == (theirs.key, theirs.metrics)


def test_a_training_that_fails_is_a_result(tmp_path: Path) -> None:
    study = parse_study(
        {
            "study": {"title": "T", "data": "iris", "model": "mlp-6", "seeds": [0]},
            "settings": {"epochs": 2, "batch_size": 12, "metric_samples": 0, "final_samples": 5},
            "runs": [
                {"name": "bad", "loss": "base", "settings": {"optimiser": "sgd(lr=1e6)"}},
                {"name": "good", "loss": "base"},
            ],
        }
    )
    lines: list[str] = []

    def listen(state: Progress) -> None:
        running_text(state)
        if state.row is not None:
            lines.append(finished_line(state.row, state))

    outcome = run_study(study, tmp_path / "out", progress=listen)
    assert outcome.complete
    assert [entry.status for entry in outcome.entries] == [FAILED, "done"]
    assert [entry.run for entry in outcome.failed] == ["bad"]
    assert "bad, seed 0: failed" in lines[0]
    assert "good, seed 0: ERR" in lines[1]
    report = collect(tmp_path / "out")
    assert "bad, seed 0, failed" in report.warnings[0]
    assert report.tables[0].rows[0].seeds == 0
    # It is not tried again.
    assert run_study(study, tmp_path / "out", resume=True).complete


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "x"}'])
def test_a_damaged_study_file(tmp_path: Path, tiny: Study, content: str) -> None:
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(InputError, match=r"study\.json"):
        run_study(tiny, tmp_path, resume=True)
    with pytest.raises(InputError, match=r"study\.json"):
        collect(tmp_path)


@pytest.mark.slow
def test_several_at_once_end_the_same(tiny: Study, tiny_folder: Path, tmp_path: Path) -> None:
    states: list[Progress] = []
    outcome = run_study(tiny, tmp_path / "out", jobs=2, progress=states.append)
    assert outcome.complete
    assert weights(tmp_path / "out") == weights(tiny_folder)
    assert max(len(state.running) for state in states) <= 2
    assert all((entry.peak_memory or 0) > 2**20 for entry in outcome.entries)
