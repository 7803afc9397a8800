"""The command itself: help, speed, version, interruption, defects."""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import Result

from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.runs.watch import STOPPING

Run = Callable[..., Result]


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help(run: Run, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.exit_code == 0
    assert "Exit status" in done.stdout
    assert "sensverify verify iris" in done.stdout


def test_help_of_verify(run: Run) -> None:
    done = run("verify", "--help")
    assert done.exit_code == 0
    text = done.stdout
    for option in ("--data", "--samples", "--radius", "--sigma", "--clip", "--box", "--method"):
        assert option in text
    for option in ("--property", "--witness", "--gap", "--threads", "--objective-timeout"):
        assert option in text
    for option in ("--certificate", "--rigorous", "sensverify check iris.cert iris"):
        assert option in text
    assert "Default:crown.With--property:branch-and-bound(default)" in "".join(text.split())
    assert "Examples:" in text


@pytest.mark.parametrize("command", ["verify", "evaluate", "train"])
def test_many_options_stand_in_groups(command: str, run: Run) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    _, others = done.stdout.split("\nOther options:\n")
    assert [line.split()[0] for line in others.splitlines()] == ["-h,"]


def test_help_names_the_true_default_of_memory(run: Run) -> None:
    assert DEFAULT_BUDGET == 1 << 30
    assert "Default: 1GiB" in " ".join(run("verify", "--help").stdout.split())


def test_help_is_quick() -> None:
    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def once() -> float:
        began = spent()
        subprocess.run(
            [sys.executable, "-m", "sensverify", "--help"], check=True, capture_output=True
        )
        return spent() - began

    # The aim is 0.4 s, of the processor's time: others may use the machine too.
    assert statistics.median(once() for _ in range(5)) < 1.0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['sensverify', 'verify', '--help']\n"
        "from sensverify.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"torch", "numpy", "onnx", "rich"}


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(run: Run, option: str) -> None:
    done = run(option)
    assert done.exit_code == 0
    assert done.stdout.startswith("sensverify ")


@pytest.mark.parametrize("given", [None, "active"])
def test_threads_wait_asleep_unless_they_are_told_otherwise(given: str | None) -> None:
    """Where other programs take the processors, waiting awake made commands fifty times as slow."""
    code = (
        "import os\n"
        "from sensverify.cli.main import main\n"
        "try:\n    main(['list', 'methods'])\n"
        "finally:\n    print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == (given or "passive")


def test_ctrl_c_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sensverify.verification.verify", interrupted)
    done = run("verify", "iris")
    assert done.exit_code == 130
    assert done.stdout == ""
    assert done.stderr == "error: stopped by Ctrl-C\n"


def test_sigterm_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminated(*_: object, **__: object) -> None:
        # The first one asks the work to stop.
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("sensverify.verification.verify", terminated)
    before = signal.getsignal(signal.SIGTERM)
    done = run("verify", "iris")
    assert (done.exit_code, done.stdout) == (143, "")
    assert done.stderr.splitlines() == [STOPPING[signal.SIGTERM], "error: stopped by SIGTERM"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_defect_is_no_exceeded_threshold(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*_: object, **__: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr("sensverify.verification.verify", defect)
    done = run("verify", "iris")
    assert done.exit_code == 70
    assert "a bug" in done.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("verify", "iris")])
def test_a_reader_that_went_away(arguments: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sensverify", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait(timeout=120)
    process.stderr.close()
    # As the shell reports it; above all not 1, which is an exceeded threshold.
    assert process.returncode == 141
    assert errors == ""


def test_help_lists_what_can_happen(run: Run) -> None:
    text = " ".join(run("--help").stdout.split())
    for status in ("0 done", "1 a threshold", "2 bad input", "3 undecided"):
        assert status in text
    assert "a certificate is rejected" in text
    assert "check Check a certificate against the model it is about." in text
    assert "are looser where it was cut short" in " ".join(run("verify", "--help").stdout.split())
