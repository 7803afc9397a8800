"""What pyproject.toml promises is there."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import sensverify

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAMES = {"sensverify": "sensverify", "models": "sensverify.models", "solvers": "sensverify.solvers"}


def test_version() -> None:
    assert sensverify.__version__ == version("sensverify")


def test_every_package_is_listed() -> None:
    found = set()
    for folder, name in NAMES.items():
        for path in (ROOT / folder).rglob("*.py"):
            found.add(".".join([name, *path.parent.relative_to(ROOT / folder).parts]))
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"
    assert sorted(found) == PROJECT["tool"]["setuptools"]["packages"]


def test_installed_entry_points_are_those_of_the_project() -> None:
    declared = PROJECT["project"]["entry-points"]["sensverify.methods"]
    assert list(declared) == sorted(declared)
    installed = entry_points(group="sensverify.methods")
    assert {point.name: point.value for point in installed} == declared


def test_methods_resolve() -> None:
    for point in entry_points(group="sensverify.methods"):
        assert point.load().name == point.name


def test_command_resolves() -> None:
    (point,) = entry_points(group="console_scripts", name="sensverify")
    assert callable(point.load())


def test_public_names_are_sorted_and_complete() -> None:
    assert sensverify.__all__ == sorted(sensverify.__all__)
    assert sensverify.__all__ == sorted(sensverify._HOMES)
    source = ast.parse(Path(sensverify.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name: f"{node.module}:{alias.name}" if alias.asname else node.module
        for guard in source.body
        if isinstance(guard, ast.If)
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == sensverify._HOMES


def test_public_names_resolve() -> None:
    assert set(sensverify.__all__) <= set(dir(sensverify))
    assert None not in [getattr(sensverify, name) for name in sensverify.__all__]


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sensverify.nothing


def test_every_version_bound_says_why() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    bounded = [
        number
        for number, line in enumerate(lines)
        if any(mark in line for mark in (">=", "<", "==", "!="))
        and not line.lstrip().startswith("#")
    ]
    assert bounded
    for number in bounded:
        assert lines[number - 1].lstrip().startswith("#"), f"no reason before: {lines[number]}"


def test_constraints_allow_what_the_project_asks_for() -> None:
    text = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(line.split("==") for line in text.splitlines() if line and not line.startswith("#"))
    assert list(pins) == sorted(pins, key=str.lower)
    asked = list(PROJECT["project"]["dependencies"])
    for needs in PROJECT["project"]["optional-dependencies"].values():
        asked += needs
    # What stands behind a semicolon says for which Pythons.
    for need in (text.split(";")[0] for text in asked):
        name = need.split(">")[0].split("<")[0].split("!")[0].split("=")[0].strip()
        assert name in pins, f"{name} has no tested version in .ci/constraints.txt"


def test_extras_are_installed_from_a_copy_of_the_repository() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    files = [ROOT / "README.md"]
    for folder in ("sensverify", "models", "solvers", "examples", "docs"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md")]
    named = set()
    for path in files:
        # Quotes between the lines of one message.
        text = re.sub(r'"\s+f?"', "", path.read_text(encoding="utf-8"))
        assert "sensverify[" not in text, path
        named |= set(re.findall(r"pip install '\.\[(\w+)\]'", text))
    assert named <= set(extras)
    assert {"data", "evaluate", "examples", "lirpa", "marabou", "train", "vnnlib"} <= named


def test_installing_leaves_nothing_in_the_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    for name in (".ci", "LICENSE", "MANIFEST.in", "NOTICE", "README.md", "pyproject.toml"):
        source, copy = ROOT / name, clone / name
        copy.parent.mkdir(exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    for name in ("sensverify", "models", "solvers"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    before = {path.relative_to(clone) for path in clone.rglob("*")}
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", tmp_path, clone], check=True, capture_output=True)
    added = {path.relative_to(clone) for path in clone.rglob("*")} - before
    assert added == set()
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"sensverify/solvers/lp.py", "sensverify/models/iris.onnx"} <= set(names)
    assert not any("build_backend" in name for name in names)


def test_highspy_finds_the_optimum_that_1_14_missed() -> None:
    # min 2x + 3z, x + z >= 4.5, z integer, 0 <= x, z <= 10: x = 4.5, z = 0 gives 9; 1.14.0 said 15.
    import highspy

    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    for cost in (2.0, 3.0):
        solver.addCol(cost, 0.0, 10.0, 0, [], [])
    solver.changeColIntegrality(1, highspy.HighsVarType.kInteger)
    solver.addRow(4.5, highspy.kHighsInf, 2, [0, 1], [1.0, 1.0])
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    assert solver.getInfo().objective_function_value == pytest.approx(9.0)
