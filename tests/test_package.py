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
from sensverify import errors
from sensverify.cli.extras import COMMANDS, USES, packages

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
    for name in names_of(asked):
        # Of its own parts it has none.
        assert name in [*pins, "sensverify"], f"{name} has no tested version in constraints.txt"


def names_of(needs: list[str]) -> list[str]:
    """The packages of requirements, without versions and markers."""
    return [re.split(r"[^\w.-]", need)[0] for need in needs]


def sources(*suffixes: str) -> list[Path]:
    folders = ("sensverify", "models", "solvers", "examples", "docs")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    return [ROOT / "README.md", *(path for path in found if path.suffix in suffixes)]


def test_every_extra_that_is_named_exists_and_holds_the_package() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    asked = {extra: set[str]() for extra in USES}
    for path in sources(".py", ".md"):
        text = path.read_text(encoding="utf-8")
        # In the documentation also of a copy of the repository, as that is installed at first.
        for line in re.findall(r"pip install (?:-\S+ \S+ )*'(?:sensverify|\.)\[([\w,]+)\]'", text):
            assert set(line.split(",")) <= set(extras), (path, line)
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            given = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if node.func.id == "missing":
                package, extra = given[:2]
                assert package in names_of(extras[extra]), path
                asked[extra].add(package)
            elif node.func.id == "install" and given:
                assert given[0] in extras, path
                asked[given[0]] |= set(names_of(extras[given[0]]))
    assert {extra: set(names_of(extras[extra])) for extra in USES} == asked


def test_all_holds_every_part_that_a_command_asks_for() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert extras["all"] == [f"sensverify[{','.join(sorted(USES))}]"]
    assert set(COMMANDS.values()) <= set(USES)
    for extra in USES:
        assert packages(extra) == names_of(extras[extra])


def test_an_extra_is_added_to_what_is_installed() -> None:
    """Without an index: pip takes the installed sensverify, wherever it is from."""
    line = errors.install("data").split()
    assert line[:2] == ["pip", "install"]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*command, line[2].strip("'")], check=True, capture_output=True, text=True
    )
    assert "Requirement already satisfied: sensverify" in done.stdout


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
