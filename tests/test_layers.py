"""Imports only point down: the layers, drawn top to bottom, and what must not know torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "sensverify": "sensverify",
    "models": "sensverify.models",
    "solvers": "sensverify.solvers",
}

# A unit may import itself and the units of lower rows; units of one row do not know each other.
LAYERS = (
    ("cli",),
    ("studies",),
    ("report",),
    ("landscape",),
    ("training", "evaluation", "verification", "scores"),
    ("measures",),
    ("classification",),
    ("certificates",),
    ("solvers",),
    ("attacks", "corruptions"),
    ("bounds",),
    ("models",),
    ("data",),
    ("formats",),
    ("network",),
    ("runs", "registry"),
    ("core",),
    ("errors",),
)
RANK = {unit: row for row, units in enumerate(LAYERS) for unit in units}

# These never import torch, not even inside of a function: a certificate is checked with them.
TORCH_FREE = (
    "sensverify.core.box",
    "sensverify.core.digests",
    "sensverify.certificates",
    "sensverify.errors",
    "sensverify.formats.onnx",
    "sensverify.formats.vnnlib",
    "sensverify.network",
    "sensverify.core.proof",
    "sensverify.core.provenance",
    "sensverify.core.queries",
    "sensverify.core.results",
    "sensverify.runs.json_text",
    "sensverify.runs.watch",
)
# Importing these brings in no torch; they may import it when they are called.
LIGHT = ("sensverify", "sensverify.cli.main")
TORCH_FREE_AT_IMPORT = (
    *LIGHT,
    "sensverify.Guarantee",
    "sensverify.certificates",
    "sensverify.data",
    "sensverify.formats.arrays",
    "sensverify.formats.onnx",
    "sensverify.formats.vnnlib",
    "sensverify.models",
    "sensverify.network",
    "sensverify.core.provenance",
    "sensverify.core.results",
    "sensverify.classification.paired",
    "sensverify.classification.corruption_error",
    "sensverify.classification.flips",
    "sensverify.classification.shift",
    "sensverify.scores",
    "sensverify.scores.catalog",
)
ABOVE_THE_LAYERS = ("sensverify", "sensverify.__main__")


def module_name(path: Path) -> str:
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([FOLDERS[folder], *(part for part in rest if part != "__init__")])


SOURCES = {
    module_name(path): path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))
}


@cache
def imported(name: str, source: str) -> list[tuple[str, int]]:
    """Full names a module's source imports, wherever they stand, with their lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name.split(".") if _is_package(name) else name.split(".")[:-1]
                above = package[: len(package) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                # From the top package everything is `sensverify.name`, a module or not.
                target = full if full in SOURCES or base == "sensverify" else base
                found.append((target, node.lineno))
    return found


def _is_package(name: str) -> bool:
    return name in SOURCES and SOURCES[name].name == "__init__.py"


def complaints(name: str, source: str) -> list[str]:
    """Every arrow of a module that does not point down."""
    if name in ABOVE_THE_LAYERS:
        return []
    unit, found = name.split(".")[1], []
    if unit not in RANK:
        return [f"{name}: '{unit}' is in no row of LAYERS"]
    for target, line in imported(name, source):
        if target.split(".")[0] in ("models", "solvers"):
            found.append(f"{name}:{line} imports {target} under its bare name")
        if target.split(".")[0] != "sensverify" or target == "sensverify.__version__":
            continue
        other = target.split(".")[1] if "." in target else ""
        if other not in RANK:
            found.append(f"{name}:{line} imports {target}, which is in no row of LAYERS")
        elif other != unit and RANK[other] <= RANK[unit]:
            found.append(f"{name}:{line} imports {target}, which is not below it")
        elif other == "solvers" != unit:
            found.append(f"{name}:{line} imports {target}; methods are found by entry point")
    return found


def test_imports_point_down() -> None:
    assert len(SOURCES) > 20
    found = [line for name, path in SOURCES.items() for line in complaints(name, path.read_text())]
    assert not found, "\n".join(found)


def test_modules_import_each_other_in_no_circle() -> None:
    """Not even inside of functions, nor for types alone."""
    below: dict[str, set[str]] = {}
    for name, path in SOURCES.items():
        targets = {target for target, _ in imported(name, path.read_text())} - {name}
        # What a package's __init__ hands on is looked at where it stands.
        below[name] = {each for each in targets if each in SOURCES and not _is_package(each)}
    TopologicalSorter(below).prepare()


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sensverify.bounds.crown", "from sensverify.solvers import milp"),
        ("sensverify.bounds.crown", "import sensverify.cli.main"),
        ("sensverify.bounds.crown", "def f():\n    from sensverify.certificates import certify"),
        ("sensverify.bounds.crown", "import solvers"),
        ("sensverify.bounds.crown", "from sensverify import load"),
        ("sensverify.bounds.crown", "from ..certificates import certify"),
        ("sensverify.training.loop.epochs", "import sensverify.evaluation"),
        ("sensverify.cli.verify", "import sensverify.solvers"),
        ("sensverify.nowhere", ""),
    ],
)
def test_an_arrow_up_is_seen(name: str, source: str) -> None:
    assert complaints(name, source)


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "from sensverify import __version__",
        "from sensverify.network import Network",
        "from .backward import run",
        "from ..core.box import Box",
    ],
)
def test_an_arrow_down_is_fine(source: str) -> None:
    assert not complaints("sensverify.bounds.crown", source)


@pytest.mark.parametrize("unit", TORCH_FREE)
def test_torch_is_never_imported(unit: str) -> None:
    names = [name for name in SOURCES if name == unit or name.startswith(f"{unit}.")]
    assert names, f"{unit} is gone"
    found = [
        f"{name}:{line} imports {target}"
        for name in names
        for target, line in imported(name, SOURCES[name].read_text())
        if target.split(".")[0] == "torch"
        or any(target.startswith(f"sensverify.{top}") for top in ("bounds", "solvers"))
    ]
    assert not found, "\n".join(found)


def test_importing_brings_in_no_torch() -> None:
    """One after another in one process: what is loaded after each."""
    code = (
        f"import sys\nfrom pkgutil import resolve_name\nfor name in {TORCH_FREE_AT_IMPORT}:\n"
        "    resolve_name(name)\n    print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name, line in zip(TORCH_FREE_AT_IMPORT, done.stdout.splitlines(), strict=True):
        loaded = {module.split(".")[0] for module in line.split()}
        assert "sensverify" in loaded
        assert "torch" not in loaded, name
        assert name not in LIGHT or not loaded & {"numpy", "onnx", "rich", "sklearn", "cvxpy"}
