"""`evaluate --specification`: verdicts everywhere, refusals in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import Result

Run = Callable[..., Result]
SPECIFICATION = """
title = "Both"
[[requirements]]
name = "clean"
min = 0.5
by = "estimate"
[[requirements]]
name = "near <b>"
radius = 1
min = "40%"
by = "certified"
[[requirements]]
name = "tried"
attacks = "pgd(steps = 3)"
radius = 0.25
min = 0.3
"""


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """Two samples of the identity, one of each class, both right."""
    path = tmp_path / "both.npz"
    np.savez(path, x=np.array([[2.0, 0.0], [0.0, 1.0]], dtype=np.float32), y=np.array([0, 1]))
    return path


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "spec.toml"
        path.write_text(text)
        return path

    return write


def test_every_requirement_is_a_gate_with_its_name(
    run: Run, identity: Path, both: Path, save: Callable[[str], Path], tmp_path: Path
) -> None:
    files = {name: tmp_path / f"a.{name}" for name in ("json", "report", "junit")}
    done = run(
        *("evaluate", identity, "--data", both, "--specification", save(SPECIFICATION)),
        *(part for name, path in files.items() for part in (f"--{name}", path)),
        *("--annotations", "github"),
    )
    # At a corner of the first sample's box both outputs are equal: neither proven nor refuted.
    assert done.exit_code == 3, done.output
    values = json.loads(files["json"].read_text())
    gates = {gate["requirement"]: gate for gate in values["gates"]}
    verdicts = {name: (gate["by"], gate["verdict"]) for name, gate in gates.items()}
    assert verdicts == {
        "clean": ("estimate", "passed"),
        "near <b>": ("certified", "undecided"),
        "tried": ("interval", "passed"),
    }
    assert gates["tried"]["estimate"] == 1
    assert gates["tried"]["least"] == pytest.approx(0.342, abs=1e-3)
    (model,) = values["models"]
    assert {row["attack"] for row in model["attacks"]} == {"pgd(steps=3)"}
    assert not model["corruptions"]
    assert not model["measures"]
    assert not model["sequences"]
    cases = ElementTree.parse(files["junit"]).getroot()
    assert next(case.get("name") for case in cases) == "clean"
    assert cases.get("errors") == "1"
    page = files["report"].read_text()
    assert "near &lt;b&gt;" in page
    assert "near <b>" not in page
    assert "100 % (34.24 % to 100 %)" in page
    assert "::warning title=sensverify identity" in done.stdout


@pytest.mark.parametrize(
    ("change", "status"),
    [(("radius = 1\n", "radius = 0.4\n"), 0), (("min = 0.5\n", "min = 1\n"), 3)],
)
def test_the_exit_status_is_that_of_gates(
    run: Run, identity: Path, both: Path, save: Callable[[str], Path], change: Any, status: int
) -> None:
    path = save(SPECIFICATION.replace(*change))
    done = run("evaluate", identity, "--data", both, "--specification", path)
    assert done.exit_code == status, done.output


def test_a_requirement_that_is_not_met_fails(
    run: Run, identity: Path, data: Path, save: Callable[[str], Path]
) -> None:
    path = save('[[requirements]]\nname = "all"\nmin = 0.6\nby = "estimate"')
    done = run("evaluate", identity, "--data", data, "--specification", path)
    assert done.exit_code == 1, done.output
    words = " ".join(done.stdout.split())
    assert "gate failed: all: accuracy at least 60 % by estimate; found 50 %" in words


def test_limits_beside_a_reference(
    run: Run, identity: Path, data: Path, save: Callable[[str], Path], save_mlp: Any, tmp_path: Path
) -> None:
    save_mlp(tmp_path / "old.onnx", (np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(2)))
    text = 'reference = "./old.onnx"\n[[requirements]]\nname = "r"\nby = "estimate"\nmin = '
    for limit, status in (("reference", 0), ("reference+1%", 1)):
        path = save(f'{text}"{limit}"')
        done = run("evaluate", identity, "--data", data, "--specification", path)
        assert done.exit_code == status, done.output
        assert "reference: 50 %" in " ".join(done.stdout.split())
    other = run(
        *("evaluate", identity, "--data", data, "--specification", path),
        *("--reference", identity),
    )
    assert other.exit_code == 2
    assert "--reference" in other.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 'r'\nmni = 1", "did you mean 'min'"),
        ("name = 'r'\nmin = 0.9", "out of reach with 2 samples"),
        ("name = 'r'\nmin = 2", "out of reach"),
        ("name = 'r'\nmin = 0.5\ncorruptions = []", "empty shift"),
        ("name = 'r'\nmin = 0.1\ncorruptions = ['fog']", "corruption 'fog' cannot be had here"),
        ("name = 'r'\nmin = 0.1\ncorruptions = ['fogg']", "did you mean 'fog'"),
        ("name = 'r'\nmin = 0.1\nattacks = ['pdg']\nradius = 1", "did you mean"),
        ("name = 'r'\nmin = 0.1\nby = 'certified'\nradius = 1\nmethods = ['crwn']", "did you mean"),
        ("name = 'r'\nmin = 0.1\nclass = 'cat'", "no class 'cat'"),
        ("name = 'r'\nmin = 0.1\nclass = 1", "of class '1' there is no sample"),
        ("name = 'r'\nmin = 0.1\nattacks = ['pgd']\nradius = '5%'", "range"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_line(
    run: Run, identity: Path, data: Path, save: Callable[[str], Path], text: str, said: str
) -> None:
    path = save(f"[[requirements]]\n{text}")
    done = run("evaluate", identity, "--data", data, "--specification", path)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_specification_is_never_overwritten(
    run: Run, identity: Path, data: Path, save: Callable[[str], Path]
) -> None:
    path = save(SPECIFICATION)
    done = run(
        *("evaluate", identity, "--data", data, "--specification", path),
        *("--json", path, "--force"),
    )
    assert done.exit_code == 2
    assert path.read_text() == SPECIFICATION


@pytest.mark.parametrize(
    ("least", "found", "status"),
    [(2, "a proof", 0), (0.5, "an input that violates it", 1)],
)
def test_a_property_is_a_requirement(
    run: Run,
    identity: Path,
    both: Path,
    save: Callable[[str], Path],
    tmp_path: Path,
    least: float,
    found: str,
    status: int,
) -> None:
    names = " ".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1"))
    box = " ".join(f"(assert (>= X_{k} 0)) (assert (<= X_{k} 1))" for k in range(2))
    (tmp_path / "far.vnnlib").write_text(f"{names} {box} (assert (>= Y_0 {least}))\n")
    path = save('[[requirements]]\nname = "near"\nproperty = "far.vnnlib"\ntimeout = 60')
    target = tmp_path / "a.json"
    done = run("evaluate", identity, "--data", both, "--specification", path, "--json", target)
    assert done.exit_code == status, done.output
    assert found in " ".join(done.stdout.split())
    (gate,) = json.loads(target.read_text())["gates"]
    assert (gate["requirement"], gate["name"], gate["least"]) == ("near", "min_holds", 1 - status)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('property = "none.vnnlib"', "none.vnnlib"),
        ('property = ""', "names no file"),
        ('property = "a.vnnlib"\nmin = 1', "no key 'min'"),
        ('property = "a.vnnlib"\ntimeout = 0', "timeout"),
        ('property = "a.vnnlib"\ntimeout = "5%"', "timeout"),
    ],
)
def test_a_property_that_cannot_be_asked(
    run: Run, identity: Path, both: Path, save: Callable[[str], Path], keys: str, said: str
) -> None:
    path = save(f'[[requirements]]\nname = "near"\n{keys}')
    done = run("evaluate", identity, "--data", both, "--specification", path)
    assert done.exit_code == 2, done.output
    assert said in done.stderr


SHIFTED = """
[[requirements]]
name = "elsewhere"
shifts = ["other"]
by = "estimate"
min = "{limit}"
[shifts.other]
data = "other.npz"
classes = "other.json"
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Three samples, two of them right where output 1 stands for class 0."""
    (tmp_path / "other.json").write_text("[1, 0]")
    x = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=np.float32)
    np.savez(tmp_path / "other.npz", x=x, y=np.array([1, 0, 1]))
    return tmp_path


@pytest.mark.parametrize(("limit", "status"), [("60%", 0), ("70%", 1)])
def test_other_data_beside_the_file_are_a_requirement(
    run: Run,
    identity: Path,
    both: Path,
    save: Callable[[str], Path],
    elsewhere: Path,
    limit: str,
    status: int,
) -> None:
    path, target = save(SHIFTED.format(limit=limit)), elsewhere / "a.json"
    done = run(
        *("evaluate", identity, "--data", both, "--specification", path),
        *("--json", target, "--report", elsewhere / "a.html"),
    )
    assert done.exit_code == status, done.output
    (gate,) = json.loads(target.read_text())["gates"]
    assert (gate["name"], gate["requirement"], gate["samples"]) == ("min_shifted", "elsewhere", 3)
    assert gate["least"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("other.npz", None, "other.npz"),
        ("other.npz", b"PK", "other.npz"),
        ("other.json", None, "other.json"),
        ("other.json", b"[1]", "fewer than two classes"),
        ("other.json", b"[1, 1]", "twice"),
        ("other.json", b"[1, 2]", "outputs from 0 to 1"),
        ("other.json", b"[1, -1]", "outputs from 0 to 1"),
        ("other.json", b"[1, true]", "outputs from 0 to 1"),
        ("other.json", b"[1, []]", "outputs from 0 to 1"),
        ("other.json", b"[1, 0e999]", "outputs from 0 to 1"),
        ("other.json", b"[1, " + b"9" * 5000 + b"]", "other.json"),
        ("other.json", b"[" * 100_000, "other.json"),
        ("other.json", b"\xff", "no JSON"),
        ("other.json", b'{"cat": 1, "dog": 0}', "classes by name"),
    ],
)
def test_other_data_that_cannot_be_had_are_refused_in_a_line(
    run: Run,
    identity: Path,
    both: Path,
    save: Callable[[str], Path],
    elsewhere: Path,
    name: str,
    content: bytes | None,
    said: str,
) -> None:
    path = elsewhere / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    spec = save(SHIFTED.format(limit="1%"))
    done = run("evaluate", identity, "--data", both, "--specification", spec)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_samples_of_other_data_are_refused(
    run: Run, identity: Path, both: Path, save: Callable[[str], Path], elsewhere: Path
) -> None:
    np.savez(elsewhere / "other.npz", x=np.zeros((0, 2), np.float32), y=np.zeros(0, int))
    spec = save(SHIFTED.format(limit="1%"))
    done = run("evaluate", identity, "--data", both, "--specification", spec)
    assert done.exit_code == 2
    x = np.array([[np.nan, 0.0]], dtype=np.float32)
    np.savez(elsewhere / "other.npz", x=x, y=np.zeros(1, int))
    done = run("evaluate", identity, "--data", both, "--specification", spec)
    assert done.exit_code == 2


@pytest.mark.parametrize("name", ["spec.toml", "other.npz", "other.json", "far.vnnlib"])
def test_what_a_specification_names_is_never_overwritten(
    run: Run, identity: Path, both: Path, save: Callable[[str], Path], elsewhere: Path, name: str
) -> None:
    (elsewhere / "far.vnnlib").write_text("x")
    property_ = '\n[[requirements]]\nname = "p"\nproperty = "far.vnnlib"\n'
    spec, before = save(property_ + SHIFTED.format(limit="1%")), (elsewhere / name).read_bytes()
    done = run(
        *("evaluate", identity, "--data", both, "--specification", spec),
        *("--json", elsewhere / name, "--force"),
    )
    assert done.exit_code == 2
    assert (elsewhere / name).read_bytes() == before


def test_a_network_is_not_its_own_reference(
    run: Run, identity: Path, both: Path, save: Callable[[str], Path], save_mlp: Any, tmp_path: Path
) -> None:
    text = 'reference = "./identity.onnx"\n[[requirements]]\nname = "r"\nmin = "reference-50%"'
    path = save(text)
    done = run("evaluate", tmp_path / "identity.onnx", "--data", both, "--specification", path)
    assert done.exit_code == 2, done.output
    assert "itself" in done.stderr or "a second time" in done.stderr
    save_mlp(tmp_path / "new.onnx", (np.eye(2), np.zeros(2)))
    done = run("evaluate", tmp_path / "new.onnx", "--data", both, "--specification", path)
    # The same weights in another file: their difference has an interval, which is wide of two.
    assert done.exit_code == 3, done.output


@pytest.mark.parametrize("limit", ["reference*0.5", "reference-90%"])
@pytest.mark.parametrize("metric", ["residual", "app"])
def test_what_a_shift_takes_is_compared_with_a_reference(
    run: Run,
    identity: Path,
    both: Path,
    save: Callable[[str], Path],
    save_mlp: Any,
    elsewhere: Path,
    metric: str,
    limit: str,
) -> None:
    save_mlp(elsewhere / "old.onnx", (0.5 * np.eye(2), np.zeros(2)))
    side = "max" if metric == "residual" else "min"
    text = SHIFTED.replace('by = "estimate"\nmin', f'metric = "{metric}"\n{side}')
    path = save('reference = "./old.onnx"' + text.format(limit=limit))
    done = run("evaluate", identity, "--data", both, "--specification", path)
    # Of three samples nothing can be told; nothing is refused or passed by that.
    assert done.exit_code in (1, 3), done.output
