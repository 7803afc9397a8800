"""Tasks that workers do in tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sensverify.errors import BadData
from sensverify.runs.watch import Watch
from sensverify.runs.workers import Report, Task

_RUNS: list[str] = []


def task(key: str, what: str = "double", **data: Any) -> Task:
    seconds = data.pop("seconds", float("inf"))
    return Task(key, f"tests.runs.tasks:{what}", data, seconds)


def double(data: Mapping[str, Any], watch: Watch, report: Report) -> dict[str, Any]:
    _RUNS.append("one")
    report(0.5)
    return {"twice": 2 * data["number"], "process": os.getpid(), "runs": len(_RUNS)}


def die(data: Mapping[str, Any], watch: Watch, report: Report) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(data: Mapping[str, Any], watch: Watch, report: Report) -> None:
    raise BadData("the data are bad", "give better data")


def defect(data: Mapping[str, Any], watch: Watch, report: Report) -> None:
    raise ZeroDivisionError("of the program")


def hang(data: Mapping[str, Any], watch: Watch, report: Report) -> None:
    """Starts a program, says in a file that both are there, and looks at nothing."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(data["file"]).write_text(f"{os.getpid()} {program.pid}")
    time.sleep(600)


def wait(data: Mapping[str, Any], watch: Watch, report: Report) -> dict[str, Any] | None:
    """Ends itself when it is told to, and says so in a file."""
    Path(data["file"]).write_text(str(os.getpid()))
    while not watch.over:
        time.sleep(0.01)
        report(0.25)
    Path(data["file"]).write_text("stopped")
    return {"late": True} if data.get("row") else None


def die_once(data: Mapping[str, Any], watch: Watch, report: Report) -> dict[str, Any]:
    """The first process that does it is killed in the middle."""
    file = Path(data["file"])
    if not file.exists():
        file.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return {"process": os.getpid()}


def wait_for(data: Mapping[str, Any], watch: Watch, report: Report) -> dict[str, Any]:
    """Says in a file who has begun, and waits for another one."""
    with Path(data["file"]).open("a") as stream:
        stream.write(f"{os.getpid()} ")
    while not Path(data["go"]).exists():
        report(0.5)
        time.sleep(0.05)
    time.sleep(0.3)
    return {"process": os.getpid()}
