"""A run that is killed or stopped at any moment, and resumed, ends as one that nothing happened to.

One law for everything that takes long: a benchmark, an evaluation, a search for critical radii, a
study, a training, a set of corrupted images.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.contracts.frozen_inputs import write_instances

TIMES = (
    *("command", "date", "machines", "key"),
    *("seconds", "processor", "phases", "looking", "bounding", "splitting"),
    *("peak_memory", "peak_memory_bytes"),
)


def timeless(value: Any) -> Any:
    """A plain value without what a clock says, or the name of a machine."""
    if isinstance(value, dict):
        return {key: timeless(entry) for key, entry in value.items() if key not in TIMES}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


def table(path: Path) -> Any:
    with path.open(newline="") as stream:
        return timeless(list(csv.DictReader(stream)))


def lines(path: Path) -> Any:
    return timeless([json.loads(line) for line in path.read_text().splitlines()])


def trained(run: Path) -> list[Any]:
    """Everything that a run directory holds at the end, with the bits of the weights."""
    found = [
        timeless(json.loads((run / name).read_text())) for name in ("config.json", "result.json")
    ]
    tables = [table(run / name) for name in ("metrics.csv", "steps.csv")]
    return [*found, *tables, (run / "model.onnx").read_bytes()]


def write_benchmark(folder: Path) -> None:
    write_instances(folder)
    names = [f"again{number}" for number in range(10)]
    for name in names:
        (folder / "bench" / f"{name}.vnnlib").write_bytes(
            (folder / "bench" / "unsat.vnnlib").read_bytes()
        )
    rows = "".join(f"identity.onnx,{name}.vnnlib,60\n" for name in ("sat", *names))
    (folder / "bench" / "instances.csv").write_text(rows)


def write_images(folder: Path) -> None:
    x = np.random.default_rng(0).random((300, 3, 24, 24), dtype=np.float32)
    np.savez(folder / "images.npz", x=x, y=np.arange(300) % 7)


def files(folder: Path) -> dict[str, Any]:
    """Everything in a folder, by name, with the bits of every file that is no record."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        record = path.suffix == ".json"
        found[path.name] = timeless(json.loads(path.read_text())) if record else path.read_bytes()
    return found


def write_study(folder: Path) -> None:
    (folder / "study.toml").write_text(
        '[study]\ntitle = "T"\ndata = "iris"\nmodel = "iris"\nseeds = [0, 1]\n'
        "[settings]\nepochs = 6\nbatch_size = 24\nsigma = 0.1\npgd_steps = 1\nthreads = 1\n"
        "metric_samples = 30\nfinal_samples = 30\n"
        '[[runs]]\nname = "base"\nloss = "base"\n'
    )


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    ``prepare`` writes what ``command`` reads. ``journals`` are patterns of the files that grow by
    rows, each of which has the bytes ``row``; those whose rows stay as they are, whatever happens,
    are named in ``append_only``.
    """

    command: str
    journals: tuple[str, ...]
    ending: Callable[[Path], Any]
    append_only: tuple[str, ...] = ()
    prepare: Callable[[Path], None] | None = None
    resume: tuple[str, ...] = ("--resume",)
    row: bytes = b"\n"


KINDS = {
    "benchmark": Kind(
        "benchmark bench --out {out} --jobs 1 --no-runtime-check",
        ("{out}",),
        table,
        append_only=("{out}",),
        prepare=write_benchmark,
        resume=(),
    ),
    "evaluate": Kind(
        "evaluate mnist-conv1 --count 10 --attacks fgsm,pgd(steps=5),square(queries=20)"
        " --sequences translation --corruptions gaussian-noise,fog --severities 1,3,5"
        " --measures complexity,input-gradient,jacobian --out {out}",
        ("{out}/journal.jsonl",),
        lambda out: [
            timeless(json.loads((out / "evaluation.json").read_text())),
            lines(out / "journal.jsonl"),
        ],
        append_only=("{out}/journal.jsonl",),
    ),
    "critical radius": Kind(
        "verify digits --data digits --samples 0:192 --critical-radius --steps 4 --out {out}",
        ("{out}/journal.jsonl",),
        lambda out: [
            timeless(json.loads((out / "critical-radius.json").read_text())),
            lines(out / "journal.jsonl"),
            (out / "counterexamples.npz").read_bytes(),
        ],
        append_only=("{out}/journal.jsonl",),
    ),
    "train": Kind(
        "train --data iris --model iris --epochs 12 --batch-size 24 --sigma 0.1 --pgd-steps 1"
        " --loss sm-softplus --optimiser adam(lr=0.01) --checkpoint-seconds 0 --threads 1"
        " --metric-samples 30 --final-samples 30 --out {out}",
        ("{out}/metrics.csv",),
        trained,
    ),
    "study": Kind(
        "study run study.toml --out {out}",
        ("{out}/journal.jsonl", "{out}/runs/*/metrics.csv"),
        lambda out: [
            timeless(json.loads((out / "study.json").read_text())),
            sorted(lines(out / "journal.jsonl"), key=str),
            *(trained(run) for run in sorted(out.glob("runs/*"))),
        ],
        append_only=("{out}/journal.jsonl",),
        prepare=write_study,
    ),
}
# The record of a set is written anew, in one piece, after each file that is whole.
KINDS["corrupt"] = Kind(
    "corrupt images.npz --corruptions gaussian-noise,impulse-noise,fog,rotation,contrast,shear,"
    "white-noise,motion-blur,brightness,box-blur,contrast-loss,zoom-blur --seed 3 --out {out}",
    ("{out}/corrupted.json",),
    files,
    prepare=write_images,
    row=b'.npy": "',
)
KINDS["study, two at once"] = Kind(
    **{**vars(KINDS["study"]), "command": "study run study.toml --jobs 2 --out {out}"}
)

_CODE = """
import os
os.chdir(folder)
nothing = os.open(os.devnull, os.O_WRONLY)
os.dup2(nothing, 1)
os.dup2(nothing, 2)
from sensverify.cli.main import main
main(arguments)
"""


@pytest.fixture(scope="module")
def processes() -> Any:
    """Starts processes that have the imports, which take seconds, behind them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            *("sensverify.cli.main", "sensverify.training", "sensverify.evaluation.run"),
            *("lightning_fabric", "tensorboardX", "sensverify.studies.run"),
            *("onnxruntime", "sklearn.datasets", "torch._dynamo", "torch.export._trace"),
            *("sensverify.certificates", "sensverify.report", "sensverify.verification"),
        ]
    )
    return context


@dataclass(frozen=True)
class Trial:
    """A run in a folder."""

    processes: Any
    kind: Kind
    folder: Path

    def start(self, out: str, *more: str) -> Any:
        arguments = [*self.kind.command.format(out=out).split(), *more]
        code = {"folder": str(self.folder), "arguments": arguments}
        process = self.processes.Process(target=exec, args=(_CODE, code))
        process.start()
        return process

    def files(self, patterns: tuple[str, ...], out: str) -> list[Path]:
        return [file for each in patterns for file in self.folder.glob(each.format(out=out))]

    def rows(self, out: str) -> int:
        files = self.files(self.kind.journals, out)
        return sum(file.read_bytes().count(self.kind.row) for file in files)

    def end_after(self, out: str, rows: int, how: signal.Signals, draw: random.Random) -> int:
        """Go on in another process, and send it a signal some rows later; its status."""
        wanted, limit = self.rows(out) + rows, time.monotonic() + 300
        process = self.start(out, *self.kind.resume)
        while process.is_alive() and self.rows(out) < wanted and time.monotonic() < limit:
            time.sleep(0.001)
        # Into the middle of a part, of a row, or of a checkpoint.
        process.join(draw.uniform(0, 0.02))
        if process.is_alive():
            os.kill(process.pid, how)
        process.join()
        return int(process.exitcode)

    def finish(self, out: str) -> int:
        """Go on to the end; processes whose parent was killed let go of its folder in time."""
        limit = time.monotonic() + 60
        while True:
            process = self.start(out, *self.kind.resume)
            process.join()
            if process.exitcode == 0 or time.monotonic() > limit:
                return int(process.exitcode)
            time.sleep(0.5)


def check(trial: Trial, how: signal.Signals, seed: int, ends: tuple[int, ...]) -> None:
    draw, kind = random.Random(seed), trial.kind
    if kind.prepare is not None:
        kind.prepare(trial.folder)
    cut, whole = (f"{name}/out" for name in ("cut", "whole"))
    for out in (cut, whole):
        (trial.folder / out).parent.mkdir()
    written: dict[Path, bytes] = {}
    for rows in ends:
        status = trial.end_after(cut, rows, how, draw)
        assert status == (-how if how == signal.SIGKILL else 3)
        for path in trial.files(kind.append_only, cut):
            content = path.read_bytes()
            assert content.startswith(written.get(path, b""))
            written[path] = content[: content.rfind(b"\n") + 1]
    if kind.resume:
        # Nothing goes on that was not asked to.
        again = trial.start(cut)
        again.join()
        assert again.exitcode == 2
    assert trial.finish(cut) == 0
    assert trial.finish(whole) == 0
    assert kind.ending(trial.folder / cut) == kind.ending(trial.folder / whole)
    for path, content in written.items():
        assert path.read_bytes().startswith(content)
    assert not list(trial.folder.rglob("*.part"))


@pytest.mark.parametrize(
    "name", ["benchmark", "evaluate", "critical radius", "train", "study", "corrupt"]
)
def test_killed(processes: Any, tmp_path: Path, name: str) -> None:
    check(Trial(processes, KINDS[name], tmp_path), signal.SIGKILL, 0, (3,))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
@pytest.mark.parametrize("name", KINDS)
def test_stopped_twice(processes: Any, tmp_path: Path, name: str, how: signal.Signals) -> None:
    check(Trial(processes, KINDS[name], tmp_path), how, 1, (2, 3))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", KINDS)
def test_killed_at_many_random_moments(
    processes: Any, tmp_path: Path, name: str, seed: int
) -> None:
    draw = random.Random(seed)
    ends = tuple(draw.randint(1, 2) for _ in range(4))
    check(Trial(processes, KINDS[name], tmp_path), signal.SIGKILL, seed, ends)
