"""Files for clusters, run with stand-ins: the commands and options that they name are there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from sensverify.cli.study import report, run
from sensverify.runs.shards import Shard

yaml = pytest.importorskip("yaml")

CLUSTERS = Path(__file__).parents[2] / "examples" / "clusters"

SLURM = {
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_ARRAY_TASK_COUNT": "16",
    "SLURM_CPUS_PER_TASK": "16",
    "SLURM_NNODES": "4",
}


def calls(script: str, folder: Path) -> list[list[str]]:
    """Everything that a script calls, by stand-ins that write down their arguments."""
    shutil.copy(CLUSTERS / script, folder)
    for name in ("sensverify", "ray", "srun", "sleep", "openssl"):
        stand_in = folder / "bin" / name
        stand_in.parent.mkdir(exist_ok=True)
        # A line at once: those of two that run at the same time are not mixed.
        line = f'line=$(printf "%s\\037" {name} "$@"); printf "%s\\n" "$line" >> $CALLS'
        # What a script starts in the background gets the time that the script gives it.
        rest = 'exec "$WAIT" 1' if name == "sleep" else ""
        stand_in.write_text(f"#!/bin/sh\n{line}\n{rest}\n")
        stand_in.chmod(0o755)
    given = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CALLS": str(folder / "calls")}
    given["WAIT"] = shutil.which("sleep") or ""
    done = subprocess.run(
        ["bash", "-eu", script], cwd=folder, env={**os.environ, **SLURM, **given}, timeout=60
    )
    assert done.returncode == 0
    lines = (folder / "calls").read_text().split("\n")
    return [line.split("\037")[:-1] for line in lines if line]


def options(call: list[str]) -> dict[str, object]:
    """What ``sensverify study run`` makes of a call."""
    assert call[:3] == ["sensverify", "study", "run"]
    return run.make_context("run", call[3:]).params


def commented(text: str, command: str) -> list[str]:
    """A command in the comments at the head of a file."""
    lines = re.sub(r"\\\n#\s*", "", text)
    found = re.search(rf"{command}[^\n'\"]*", lines)
    assert found is not None
    return shlex.split(found[0])


def test_slurm_array(tmp_path: Path) -> None:
    (call,) = calls("slurm-array.sh", tmp_path)
    asked = options(call)
    assert asked["shard"] == Shard(3, 16)
    assert (asked["out"], asked["resume"]) == (Path("study"), True)
    text = (CLUSTERS / "slurm-array.sh").read_text()
    told = commented(text, "sensverify study report")
    assert report.make_context("report", told[3:]).params["folder"] == asked["out"]
    # The array counts from 1, as shards do.
    assert "#SBATCH --array=1-16\n" in text


def test_ray_inside_of_slurm(tmp_path: Path) -> None:
    scripts = pytest.importorskip("ray.scripts.scripts")
    found = calls("ray-slurm.sh", tmp_path)
    (asked,) = [options(call) for call in found if call[0] == "sensverify"]
    assert re.fullmatch(r"ray:[\d.:a-f]+:6379\(gpus=0\.5\)", str(asked["workers"]))
    started = [call[call.index("ray") :] for call in found if "ray" in call]
    assert [call[1] for call in started].count("start") == 2
    for call in started:
        command = {"start": scripts.start, "stop": scripts.stop}[call[1]]
        command.make_context(call[1], call[2:])


def test_the_launcher_s_file() -> None:
    scripts = pytest.importorskip("ray.scripts.scripts")
    text = (CLUSTERS / "ray-cluster.yaml").read_text()
    asked = options(commented(text, "sensverify study run"))
    assert asked["workers"] == "ray"
    config = yaml.safe_load(text)
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        for line in config[key]:
            _, name, *rest = shlex.split(line)
            command: click.Command = {"start": scripts.start, "stop": scripts.stop}[name]
            command.make_context(name, rest)
    extras = re.search(r"sensverify\[(.*?)\]", str(config["setup_commands"]))
    assert extras is not None
    assert extras[1].split(",") == ["train", "ray"]
