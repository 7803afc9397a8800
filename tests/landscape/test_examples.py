"""Every function of the reference page of landscapes has an example, which gives what it shows."""

from __future__ import annotations

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.test_layers import ROOT

PAGE = ROOT / "docs" / "reference" / "landscape.md"
NAMES = re.findall(r"^::: (\S+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
WITH_EXAMPLE = ("sensverify.landscape.FunctionEnergy", "sensverify.landscape.NetworkEnergy")


def found(name: str) -> Any:
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


SHOWN = [name for name in NAMES if inspect.isfunction(found(name)) or name in WITH_EXAMPLE]


def test_every_public_name_is_on_the_page() -> None:
    import sensverify.landscape as package

    assert {f"{package.__name__}.{name}" for name in package.__all__} <= set(NAMES)
    assert len(SHOWN) > 15


@pytest.mark.parametrize("name", SHOWN)
def test_example(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subject = found(name)
    text = inspect.getdoc(subject) or ""
    assert "\nExamples\n--------\n" in text
    if "\nExamples\n--------\nSee `" in text:
        return
    names = vars(inspect.getmodule(subject))
    (example,) = doctest.DocTestFinder(recurse=False).find(subject, name, globs=dict(names))
    assert example.examples
    lines: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=lines.append)
    assert not lines, "".join(lines)
