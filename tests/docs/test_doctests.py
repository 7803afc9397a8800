"""Every public function has an example, and it gives what it shows."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import pytest

import sensverify

FUNCTIONS = [name for name in sensverify.__all__ if inspect.isfunction(getattr(sensverify, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_example(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    function = getattr(sensverify, name)
    text = inspect.getdoc(function) or ""
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert example.examples, f"{name} has no example"
    assert "\nExamples\n--------\n" in text
    lines: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=lines.append)
    assert not lines, "".join(lines)
