"""`sensverify study`: what it prints, and its exit status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from sensverify.runs.watch import Watch

Run = Callable[..., Result]

TEXT = """
[study]
title = "Tiny"
data = "iris"
model = "mlp-6"
seeds = [0]
[settings]
epochs = 2
sigma = 0.1
metric_samples = 10
final_samples = 10
pgd_steps = 1
[[runs]]
name = "base"
loss = "base"
[[runs]]
name = "smooth"
loss = "label-smoothing"
[variants.one]
settings = { epochs = 1 }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TEXT)
    return path


def test_run_and_report(run: Run, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("study", "run", file, "--out", out, "--variant", "one")
    assert done.exit_code == 0, done.output
    for words in ("test samples", "base", "smooth", "ADV_ERR (%)"):
        assert words in done.stdout
    assert "2 trainings: 2 runs with 1 seed" in done.stderr
    for words in ("base, seed 0: ERR", "(2 of 2)", "sensverify study report"):
        assert words in done.stderr
    again = run("study", "run", file, "--out", out, "--variant", "one", "--resume")
    assert (again.exit_code, again.stdout) == (0, done.stdout)
    report = run("study", "report", out)
    assert report.exit_code == 0
    assert str(out / "report" / "report.html") in report.stdout.replace("\n", "")
    assert (out / "report" / "report.html").exists()


def test_shards(run: Run, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("study", "run", file, "--out", out, "--variant", "one", "--shard", "2/2")
    assert (done.exit_code, done.stdout) == (
        0,
        "shard 2/2: 1 of its 1 trainings are done; of the whole study 1 of 2\n",
    )
    report = run("study", "report", out)
    assert report.exit_code == 3
    assert "1 of 2 trainings are not done: base-seed0" in " ".join(report.stdout.split())
    assert "not complete" in report.stderr
    run("study", "run", file, "--out", out, "--variant", "one", "--shard", "1/2")
    assert run("study", "report", out).exit_code == 0


def test_plan(run: Run, file: Path) -> None:
    done = run("study", "plan", file)
    assert done.exit_code == 0, done.output
    first, *others = done.stdout.splitlines()
    assert first == "2 trainings: 2 runs with 1 seed"
    assert any(line.startswith("smooth") for line in others)
    assert sorted(each.name for each in file.parent.iterdir()) == ["tiny.toml"]
    for wrong in (("--variant", "too"), ("--out", "x")):
        refused = run("study", "plan", file, *wrong)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert len(refused.stderr.splitlines()) == 1


def test_stopped(run: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(Watch, "over", property(lambda self: True))
    done = run("study", "run", file, "--out", out)
    assert done.exit_code == 3
    assert "--resume goes on" in done.stderr
    monkeypatch.undo()
    assert run("study", "run", file, "--out", out, "--resume").exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--out"),
        (("--out", "out", "--variant", "too"), "'too'"),
        (("--out", "out", "--jobs", "0"), "--jobs"),
        (("--out", "tiny.toml"), "tiny.toml"),
        (("--out", "out", "--shard", "4/3"), "there is no shard 4 of 3"),
        (("--out", "out", "--shard", "0/3"), "there is no shard 0 of 3"),
        (("--out", "out", "--shard", "2"), "such as 2/3"),
        (("--out", "out", "--shard", "1/2", "--workers", "ray"), "give one of the two"),
        (("--out", "out", "--workers", "rays"), "--workers is 'ray'"),
        (("--out", "out", "--workers", "ray:1.2.3.4"), "expected HOST:PORT"),
        (("--out", "out", "--workers", "ray(gpu=1)"), "did you mean 'gpus'"),
        (("--out", "out", "--workers", "ray(cpus=0)"), "cpus"),
    ],
)
def test_bad_input(
    run: Run,
    file: Path,
    options: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(file.parent)
    done = run("study", "run", file, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (file.parent / "out").exists()


def test_a_folder_without_a_study(run: Run, tmp_path: Path) -> None:
    done = run("study", "report", tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "holds no study" in done.stderr


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[grid]\nepoch = [1]", "did you mean 'epochs'"),
        ("[grid]\nbatch_size = []", "an empty one"),
        ("[grid]\nepochs = [1, 2]", "[settings] gives it"),
        ("[expand]\ncorruptions = ['fog', 'rotation']", "both say what is trained"),
        ("[evaluate]\ncorruptions = ['rotaton']", "did you mean 'rotation'"),
    ],
)
def test_mistakes_in_a_file_are_one_line(
    run: Run, file: Path, tmp_path: Path, table: str, words: str
) -> None:
    file.write_text(f"{TEXT}\n{table}\n")
    done = run("study", "run", file, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
