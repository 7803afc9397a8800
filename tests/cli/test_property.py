"""`sensverify verify --property`: the form of VNN-COMP, files, exit status, refused options."""

from __future__ import annotations

import gzip
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from sensverify.runs.watch import STOPPING

pytestmark = pytest.mark.usefixtures("fake_deciders")

Run = Callable[..., Result]
SAMPLING = ("--method", "sampling")


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a property over inputs in [0, 1] x [-1, 1] of a model that returns its inputs."""

    def write(asserted: str, *, inputs: int = 2) -> Path:
        declared = "".join(f"(declare-const X_{i} Real)\n" for i in range(inputs))
        declared += "(declare-const Y_0 Real)\n(declare-const Y_1 Real)\n"
        box = "(assert (<= 0 X_0 1))\n(assert (<= -1 X_1 1))\n"
        path = tmp_path / "p.vnnlib"
        path.write_text(f"{declared}{box}(assert {asserted})\n")
        return path

    return write


Ask = Callable[..., Path]


def test_sat(run: Run, identity: Path, ask: Ask) -> None:
    done = run("verify", identity, "--property", ask("(<= Y_0 Y_1)"), *SAMPLING)
    assert done.exit_code == 1
    number = r"-?\d+(\.\d+)?(e-?\d+)?"
    lines = r"\n ".join(rf"\({name} ({number})\)" for name in ("X_0", "X_1", "Y_0", "Y_1"))
    match = re.fullmatch(rf"sat\n\({lines}\)\n", done.stdout)
    assert match is not None, done.stdout
    x0, x1, y0, y1 = (float(match[i]) for i in (1, 4, 7, 10))
    assert (x0, x1) == (y0, y1)
    assert 0 <= x0 <= x1 <= 1
    assert "replayed through onnxruntime" in done.stderr


def test_unsat(run: Run, identity: Path, ask: Ask) -> None:
    done = run("verify", identity, "--property", ask("(>= Y_0 1.5)"), *SAMPLING)
    assert (done.exit_code, done.stdout) == (0, "unsat\n")
    assert "guarantee SOUND" in done.stderr


def test_unknown(run: Run, identity: Path, ask: Ask) -> None:
    done = run("verify", identity, "--property", ask("(= Y_0 0.25)"), *SAMPLING)
    assert (done.exit_code, done.stdout) == (3, "unknown\n")


def test_timeout(run: Run, identity: Path, ask: Ask) -> None:
    options = ("--method", "faulty", "--setting", "how=timeout", "--timeout", 0.3)
    done = run("verify", identity, "--property", ask("(= Y_0 0.25)"), *options)
    assert (done.exit_code, done.stdout) == (3, "timeout\n")


def test_a_gzipped_property(run: Run, identity: Path, ask: Ask) -> None:
    plain = ask("(>= Y_0 1.5)")
    packed = plain.with_suffix(".vnnlib.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert run("verify", identity, "--property", packed, *SAMPLING).stdout == "unsat\n"


def test_files(run: Run, identity: Path, ask: Ask, tmp_path: Path) -> None:
    json_file, witness = tmp_path / "a.json", tmp_path / "witness"
    question = ("verify", identity, "--property", ask("(<= Y_0 Y_1)"), *SAMPLING)
    done = run(*question, "--json", json_file, "--witness", witness)
    assert done.exit_code == 1
    assert done.stdout == f"sat\n{witness.read_text()}"
    found = json.loads(json_file.read_text())
    assert list(found) == [
        *("schema", "command", "date", "versions"),
        "model",
        "property",
        "method",
        "device",
        "timeout",
        "verdict",
        "guarantee",
        "certificate",
        "witness",
        "float32",
        "unsat_cases",
        "explored",
        "seconds",
        "phases",
        "shortfall",
        "stopped",
        "warnings",
    ]
    assert found["schema"] == "sensverify.property/2"
    assert found["verdict"] == "sat"
    assert found["witness"]["inputs"] == found["witness"]["outputs"]
    # Nothing is overwritten, before any work is done.
    again = run(*question, "--witness", witness)
    assert again.exit_code == 2
    assert "not overwritten" in again.stderr
    assert run(*question, "--witness", witness, "--force").exit_code == 1


def test_json_on_standard_output(run: Run, identity: Path, ask: Ask) -> None:
    done = run("verify", identity, "--property", ask("(>= Y_0 1.5)"), *SAMPLING, "--json", "-")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["verdict"], found["guarantee"]) == (0, "unsat", "SOUND")
    assert found["witness"] is None
    assert "holds" in done.stderr


def test_without_a_witness_no_file_is_written(
    run: Run, identity: Path, ask: Ask, tmp_path: Path
) -> None:
    target = tmp_path / "witness"
    options = (*SAMPLING, "--witness", target)
    assert run("verify", identity, "--property", ask("(>= Y_0 1.5)"), *options).exit_code == 0
    assert not target.exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--radius", 0.1),
        ("--sigma", 0.1),
        ("--data", "iris"),
        ("--samples", "0:2"),
        ("--clip", 0, 1),
        ("--box", "b.npz"),
        ("--dtype", "float64"),
        ("--gap", 0.1),
        ("--objective-timeout", 3),
        ("--memory", "1GB"),
        ("--report", "a.html"),
        ("--max-width", 1),
        ("--max-log-volume", 1),
        ("--data-dir", "."),
    ],
)
def test_options_that_ask_something_else(
    run: Run, identity: Path, ask: Ask, options: tuple[object, ...]
) -> None:
    done = run("verify", identity, "--property", ask("(>= Y_0 1.5)"), *SAMPLING, *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert str(options[0]) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("asserted", "inputs", "words"),
    [
        ("(<= X_0 X_1)", 2, "line 7: '(<= X_0 X_1)'"),
        ("(<= Y_0 1)", 3, "for X_2"),
        ("(<= (* Y_0 Y_1) 1)", 2, "(* Y_0 Y_1)"),
        ("(and (<= Y_0 1) (= X_2 0))", 3, "'identity.onnx' has 2"),
        ("(<= Y_0 1", 2, "not closed"),
    ],
)
def test_bad_properties(
    run: Run, identity: Path, ask: Ask, asserted: str, inputs: int, words: str
) -> None:
    done = run("verify", identity, "--property", ask(asserted, inputs=inputs), *SAMPLING)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_missing_files(run: Run, identity: Path, ask: Ask) -> None:
    done = run("verify", identity, "--property", "nothing.vnnlib", *SAMPLING)
    assert done.exit_code == 2
    assert "nothing.vnnlib" in done.stderr
    done = run("verify", "nothing.onnx", "--property", ask("(<= Y_0 1)"), *SAMPLING)
    assert done.exit_code == 2


def test_the_inputs_are_never_overwritten(run: Run, identity: Path, ask: Ask) -> None:
    path = ask("(<= Y_0 1)")
    for target in (path, identity):
        done = run(
            "verify", identity, "--property", path, *SAMPLING, "--witness", target, "--force"
        )
        assert done.exit_code == 2
        assert "is what this run reads" in done.stderr


def test_an_unknown_method(run: Run, identity: Path, ask: Ask) -> None:
    done = run("verify", identity, "--property", ask("(<= Y_0 1)"), "--method", "crown")
    assert done.exit_code == 2
    assert "'crown'" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_and_the_result_is_written(
    run: Run, identity: Path, ask: Ask, tmp_path: Path, how: signal.Signals
) -> None:
    """The first one stops the work, which says what it has: here, nothing."""
    question, result = ("--property", ask("(= Y_0 0.25)")), tmp_path / "result.json"
    options = ("--method", "faulty", "--setting", f"how={how.name}", "--timeout", 60)
    done = run("verify", identity, *question, *options, "--json", result)
    assert (done.exit_code, done.stdout) == (3, "timeout\n"), done.stderr
    first, second = done.stderr.splitlines()[:2]
    assert first == STOPPING[how]
    assert second.startswith("stopped")
    assert json.loads(result.read_text())["verdict"] == "timeout"
