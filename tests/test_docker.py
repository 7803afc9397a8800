"""The Dockerfile beside what it copies and installs, read as text: no image is built here."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TORCH = re.compile(r"torch==(\S+) --index-url https://download\.pytorch\.org/whl/cpu")


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its arguments, lines that go on joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    return [(name, " ".join(rest.split())) for name, rest in pairs]


def copied() -> dict[str, str]:
    """Where every file or folder of the tree goes."""
    found = {}
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--"):
            *sources, target = rest.split()
            # A folder's contents go into the target, a file into it where it ends with a slash.
            assert all((ROOT / source).is_dir() or target.endswith("/") for source in sources)
            for source in sources:
                inside = target + Path(source).name if target.endswith("/") else target
                found[source] = inside
    return found


def test_it_copies_what_a_build_needs_and_nothing_that_is_not_there() -> None:
    found = copied()
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    for source, target in found.items():
        assert (ROOT / source).exists(), source
        if tracked:
            assert any(f"{name}/".startswith(f"{source}/") for name in tracked), source
        if source != ".ci/constraints.txt":
            assert target == f"/source/{source}"
    # The build backend copies the same before it builds.
    needed = runpy.run_path(str(ROOT / ".ci" / "build_backend.py"))["SOURCES"]
    assert {*needed} == {*found} - {".ci/constraints.txt"}


def test_it_starts_the_command() -> None:
    (entry,) = [rest for name, rest in instructions() if name == "ENTRYPOINT"]
    assert json.loads(entry) == ["sensverify"]
    assert "sensverify" in PROJECT["project"]["scripts"]


def test_its_python_may_run_the_package() -> None:
    found = [re.match(r"python:3\.(\d+)-slim", rest) for n, rest in instructions() if n == "FROM"]
    versions = {int(match[1]) for match in found if match}
    assert len(found) == 2
    assert len(versions) == 1
    least = re.fullmatch(r">=3\.(\d+)", PROJECT["project"]["requires-python"])
    assert least is not None
    assert versions.pop() >= int(least[1])


def test_it_installs_with_the_tested_versions() -> None:
    runs = [each for name, rest in instructions() if name == "RUN" for each in rest.split(" && ")]
    assert all(each.startswith("pip ") for each in runs)
    for each in runs:
        if each.startswith("pip install") and not TORCH.search(each):
            assert "-c /wheels/constraints.txt" in each
    named = re.findall(r"\[([\w,]+)\]", " ".join(runs))
    assert named == ["all"]
    assert set(named) <= set(PROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize("file", ["Dockerfile", "README.md", "docs/quick-start.md"])
def test_torch_for_the_cpu_is_the_tested_one(file: str) -> None:
    pins = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").split()
    (version,) = TORCH.findall(" ".join((ROOT / file).read_text(encoding="utf-8").split()))
    assert f"torch=={version}" in pins
