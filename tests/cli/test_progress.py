"""Progress of long commands, and what is printed beside results."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from sensverify.cli import progress
from sensverify.cli.main import main
from sensverify.cli.printing import QUIET, note
from sensverify.cli.progress import EVERY, Display, Lines, showing, showing_run
from sensverify.runs.progress import Progress

Run = Callable[..., Result]

QUICK = ("--attacks", "none", "--corruptions", "none", "--sequences", "none", "--measures", "none")


def lines_at(now: list[float]) -> tuple[Lines, list[str]]:
    """Lines about work that began at time 0, with what they said."""
    said: list[str] = []
    return Lines("bounding", said.append, lambda: now[0]), said


def test_a_log_hears_of_progress_every_half_a_minute() -> None:
    now = [0.0]
    lines, said = lines_at(now)
    assert lines.beat() == EVERY
    lines.update("pgd of 0.1", done=3, total=9, seconds_left=70.0)
    now[0] = EVERY - 1
    assert lines.beat() == 1
    assert not said
    now[0] = EVERY
    assert lines.beat() == EVERY
    assert said == ["bounding: 3 of 9, 30 s so far, about 1 min 10 s left; pgd of 0.1"]
    lines.update("20 of 50 samples")
    now[0] += EVERY - 1
    lines.beat()
    assert len(said) == 1
    now[0] += 1
    lines.beat()
    assert said[1:] == ["bounding: 3 of 9, 1 min so far, about 1 min 10 s left; 20 of 50 samples"]


def test_a_log_hears_also_of_work_that_says_nothing() -> None:
    now = [EVERY]
    lines, said = lines_at(now)
    now[0] += EVERY
    lines.beat()
    assert said == ["bounding: 30 s so far"]


def test_lines_of_the_work_itself_take_the_place_of_others() -> None:
    now = [0.0]
    lines, said = lines_at(now)
    now[0] = EVERY - 1
    lines.tell("epoch 1/2")
    now[0] = EVERY
    assert lines.beat() == EVERY - 1
    assert said == ["epoch 1/2"]


def test_the_time_left_follows_from_the_pace_since_the_beginning() -> None:
    """What was done before a stop tells nothing of the pace now."""
    now = [100.0]
    lines, _ = lines_at(now)
    assert lines.left() == ""
    lines.update(done=50, total=100)
    assert lines.left() == ""
    now[0] += 10
    lines.update(done=60)
    assert lines.left() == "about 40 s left"
    lines.update(done=60, seconds_left=7.0)
    assert lines.left() == "about 7 s left"
    lines.update(done=100)
    assert lines.left() == ""


def test_lines_come_while_a_step_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The step waits for the lines, which come from a thread of their own that ends with it."""
    monkeypatch.setattr(progress, "EVERY", 0.01)
    heard = threading.Event()
    real = Lines.line

    def line(self: Lines) -> str:
        heard.set()
        return real(self)

    monkeypatch.setattr(Lines, "line", line)
    before = threading.active_count()
    with showing("bounding") as display:
        display.update("a long step", done=0, total=1)
        assert heard.wait(60)
    assert threading.active_count() == before
    said = capsys.readouterr()
    assert not said.out
    assert {each.split(":")[0] for each in said.err.splitlines()} == {"bounding"}


def test_a_log_that_is_gone_ends_the_lines_and_not_the_work() -> None:
    gone = threading.Event()

    def say(text: str) -> None:
        gone.set()
        raise BrokenPipeError(32, "Broken pipe")

    now = [0.0]
    lines = Lines("bounding", say, lambda: now[0])
    now[0] = EVERY
    with lines.beating():
        assert gone.wait(60)


def test_a_run_shows_its_parts_and_the_shares_of_those_in_hand() -> None:
    state = Progress(done=3, total=9, running={"pgd": 0.5}, seconds_left=70.0)
    with showing_run("evaluating", lambda now: ", ".join(now.running)) as (display, show, listen):
        show(state)
        assert (display.text, display.done, display.total) == ("pgd", 3.5, 9)
        assert display.left() == "about 1 min 10 s left"
        listen("20 of 50 samples")
        assert display.text == "pgd 20 of 50 samples"
        show(replace(state, running={}))
        assert display.text == "pgd"


def quietly() -> click.core.Context:
    """A context of the command line with ``--quiet``."""
    context = click.Context(main)
    context.meta[QUIET] = True
    return context


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error is one, for rich."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("counted", [True, False])
def test_a_bar_keeps_what_is_told(counted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with showing("bounding", counted=counted) as display:
        assert not isinstance(display, Lines)
        display.update("[step] 1", done=1, total=4, seconds_left=3.0)
        display.tell("epoch [1/2]")
    said = capsys.readouterr().err
    assert "epoch [1/2]" in said
    assert "[step] 1" in said
    assert "about 3 s left" in said
    assert ("1/4" in said) == counted


@pytest.mark.usefixtures("terminal")
def test_quiet_shows_nothing_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with quietly(), showing("bounding") as display:
        assert type(display) is Display
        display.update("a step", done=1, total=2)
        display.tell("a line")
    assert capsys.readouterr().err == ""


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


def test_every_command_has_quiet() -> None:
    found = dict(commands(main))
    assert ("study", "run") in found
    for path, command in found.items():
        names = {name for each in command.params for name in each.opts}
        assert {"-q", "--quiet"} <= names, path


@pytest.mark.parametrize("place", ["before", "after"])
def test_quiet_leaves_results_alone(run: Run, place: str) -> None:
    asked = ("verify", "iris", "--samples", "0:2", "--json", "-")
    loud = run(*asked)
    quiet = run("-q", *asked) if place == "before" else run(*asked, "--quiet")
    assert "guarantee" in loud.stderr
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    boxes = [
        [sample["outer"] for sample in json.loads(done.stdout)["samples"]] for done in (loud, quiet)
    ]
    assert boxes[0] == boxes[1]


def test_quiet_prints_the_table_where_it_is_the_result(run: Run) -> None:
    done = run("verify", "iris", "--samples", "0:2", "-q")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "guarantee" in done.stdout


def test_quiet_answers_a_property_with_the_verdict_alone(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "any.vnnlib"
    names = [f"X_{k}" for k in range(4)] + [f"Y_{k}" for k in range(3)]
    text = [f"(declare-const {name} Real)" for name in names]
    text += [f"(assert (<= 0 X_{k})) (assert (<= X_{k} 1))" for k in range(4)]
    path.write_text("\n".join([*text, "(assert (>= Y_0 1e6))"]))
    done = run("verify", "iris", "--property", path, "-q")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "unsat\n", "")


def test_quiet_goes_with_a_critical_radius(run: Run) -> None:
    asked = ("--sigma", 0.05, "--samples", "0:1", "--steps", 2, "--json", "-", "-q")
    done = run("verify", "iris", "--critical-radius", *asked)
    assert done.stderr == ""
    assert json.loads(done.stdout)


def test_quiet_trains_without_a_line_an_epoch(run: Run, tmp_path: Path) -> None:
    asked = ("--data", "iris", "--model", "linear", "--epochs", 1, "--metric-samples", 0)
    done = run("train", *asked, "--final-samples", 10, "--out", tmp_path / "run", "--quiet")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "verify it with" in done.stdout


def test_quiet_evaluates_without_a_table_beside_the_json(run: Run) -> None:
    done = run("evaluate", "iris", *QUICK, "--json", "-", "-q")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout)["models"]


def test_errors_are_told_all_the_same(run: Run, tmp_path: Path) -> None:
    done = run("-q", "verify", "nothing.onnx", "-q")
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    certificate = tmp_path / "iris.cert"
    asked = ("verify", "iris", "--samples", "0:1", "--certificate", certificate, "-q")
    assert run(*asked).exit_code == 0
    good = run("check", certificate, "iris", "-q")
    assert (good.exit_code, good.stderr) == (0, "")
    bad = run("check", certificate, "mnist-conv1", "-q")
    assert bad.exit_code == 1
    assert bad.stderr


def test_notes_are_for_people() -> None:
    runner = CliRunner()

    @click.command()
    def told() -> None:
        note("a page: somewhere")

    assert runner.invoke(told).stderr == "a page: somewhere\n"
    assert runner.invoke(told, obj=None, parent=quietly()).stderr == ""
