"""The language of the package: how docstrings open, and who speaks of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.test_layers import SOURCES

RIDDLE = re.compile(r"(What|How|Those|That)\b")
OPTION = re.compile(r"(?:^|\s)--[a-z]")

# A report's line for a terminal alone, the command line that repeats a training, and a stylesheet.
MAY_SPEAK_OF_OPTIONS = (
    "sensverify.cli.",
    "sensverify.report.verify",
    "sensverify.report.theme",
    "sensverify.training.request",
)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text


def test_docstrings_open_with_what_they_name() -> None:
    """With a noun phrase or a verb, so that a list of first lines can be read."""
    found = [
        f"{name}:{line}: {text.splitlines()[0]}"
        for name, path in SOURCES.items()
        for line, text in docstrings(ast.parse(path.read_text()))
        if RIDDLE.match(text)
    ]
    assert not found, "\n".join(found)


def test_only_the_command_line_speaks_of_options() -> None:
    """Elsewhere settings are named in backquotes, as Python spells them."""
    found = [
        f"{name}:{node.lineno}: {node.value}"
        for name, path in SOURCES.items()
        if not name.startswith(MAY_SPEAK_OF_OPTIONS)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if OPTION.search(node.value) and "pip install" not in node.value
    ]
    assert not found, "\n".join(found)
