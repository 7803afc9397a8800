"""A training that is killed and resumed, at any moment, ends as one that was not."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from sensverify.training.directory.checkpoints import checkpoint_files, newest_checkpoint
from tests.training.trainings import CASES, Case, rows, same_weights

ROOT = Path(__file__).parents[2]
_CODE = """
import sys
sys.path.insert(0, root)
from tests.training.trainings import killed_run
killed_run(*arguments)
"""


@pytest.fixture(scope="module")
def processes() -> Any:
    """Starts processes that have the imports, which take seconds, behind them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sensverify.training", "lightning_fabric", "tensorboardX"])
    return context


def start(processes: Any, case: str, out: Path, moment: dict[str, int]) -> tuple[Any, Any]:
    ears, words = processes.Pipe(duplex=False)
    globals_ = {"root": str(ROOT), "arguments": (case, str(out), moment, words)}
    process = processes.Process(target=exec, args=(_CODE, globals_))
    process.start()
    words.close()
    return process, ears


def kill_after(processes: Any, case: str, out: Path, steps: int, draw: random.Random) -> bool:
    """Go on in another process and kill it some steps later; False where it was done before."""
    process, ears = start(processes, case, out, {})
    try:
        for _ in range(steps):
            if not ears.poll(60):
                break
            ears.recv()
        # Into the middle of a step, or of the writing of a checkpoint.
        process.join(draw.uniform(0, 0.01))
    except EOFError:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return bool(process.exitcode == -signal.SIGKILL)


def check_equal(case: Case, broken: Path, whole: Path) -> None:
    """Resume a training to its end and compare it with one that nothing happened to."""
    resumed = case.run(broken, resume=True)
    expected = case.run(whole, resume=False)
    assert not resumed.interrupted
    assert same_weights(resumed.module, expected.module)
    assert resumed.metrics_test == expected.metrics_test
    for name in {"metrics.csv", "steps.csv", *(path.name for path in whole.glob("*.csv"))}:
        assert rows(broken / name) == rows(whole / name)
    assert (broken / "model.onnx").read_bytes() == (whole / "model.onnx").read_bytes()
    assert not list(broken.rglob("*.part"))
    last, other = (newest_checkpoint(run / "checkpoints") for run in (broken, whole))
    assert last is not None
    assert other is not None
    assert all(last.tensors[name].equal(values) for name, values in other.tensors.items())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CASES)
def test_many_random_moments(processes: Any, tmp_path: Path, name: str, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(6):
        kill_after(processes, name, tmp_path / "a", draw.randint(1, 10), draw)
    check_equal(CASES[name], tmp_path / "a", tmp_path / "b")


MOMENTS = [
    {"replace": 1},
    {"replace": 2},
    {"replace": 7},
    {"fsync": 11},
    {"replace": 5, "fsync": 9},
]


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_killed_while_a_file_is_written(
    processes: Any, tmp_path: Path, moment: dict[str, int]
) -> None:
    name, out = "sam-adversarial", tmp_path / "a"
    process, ears = start(processes, name, out, moment)
    process.join(120)
    ears.close()
    assert process.exitcode == -signal.SIGKILL
    assert all(newest_checkpoint(path.parent) for path in checkpoint_files(out / "checkpoints"))
    check_equal(CASES[name], out, tmp_path / "b")
