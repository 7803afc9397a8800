"""Which properties the command line answers at once, and when it may not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.verification.test_at_once import asked

Run = Callable[..., Result]


def test_other_options_ask_for_the_full_answer(run: Run, tmp_path: Path) -> None:
    lower, upper = [4.9, 3.3, 1.2, 0.1], [5.3, 3.7, 1.6, 0.3]
    file = asked(tmp_path / "p.vnnlib", lower, upper, 3, "(>= Y_1 Y_0)")
    plain = run("verify", "iris", "--property", file)
    assert (plain.exit_code, plain.stdout) == (0, "unsat\n")
    assert "at once" in plain.stderr
    for more in (["--method", "branch-and-bound"], ["--rigorous"], ["--json", tmp_path / "a.json"]):
        done = run("verify", "iris", "--property", file, *more)
        assert (done.exit_code, done.stdout) == (0, "unsat\n")
        assert "at once" not in done.stderr


def test_a_violation_is_written_as_any_other(run: Run, tmp_path: Path) -> None:
    lower, upper = [4.9, 3.3, 1.2, 0.1], [5.3, 3.7, 1.6, 0.3]
    file = asked(tmp_path / "p.vnnlib", lower, upper, 3, "(>= Y_0 Y_1)")
    done = run("verify", "iris", "--property", file, "--witness", tmp_path / "w.txt", "-q")
    assert (done.exit_code, done.stderr) == (1, "")
    first, _, rest = done.stdout.partition("\n")
    assert first == "sat"
    assert (tmp_path / "w.txt").read_text() == rest
    again = run("verify", "iris", "--property", file, "--witness", tmp_path / "w.txt")
    assert (again.exit_code, again.stdout) == (2, "")


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf"])
def test_a_time_that_cannot_be_is_refused_as_ever(timeout: str, run: Run, tmp_path: Path) -> None:
    file = asked(tmp_path / "p.vnnlib", [0.0] * 4, [0.1] * 4, 3, "(>= Y_1 1e9)")
    plain = run("verify", "iris", "--property", file, "--timeout", timeout)
    full = run("verify", "iris", "--property", file, "--timeout", timeout, "--method", "exact")
    assert (plain.exit_code, plain.stdout) == (full.exit_code, full.stdout)
    assert "at once" not in plain.stderr
