"""The language of the package: how docstrings open, and who speaks of the command line."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.test_layers import SOURCES

RIDDLE = re.compile(r"(What|How|Those|That)\b")
OPTION = re.compile(r"(?:^|\s)--[a-z]")

# A report's line for a terminal alone, the command line that repeats a training, and a stylesheet.
MAY_SPEAK_OF_OPTIONS = (
    "sensverify.cli.",
    "sensverify.report.verification.document",
    "sensverify.report.theme",
    "sensverify.training.request",
)


@cache
def texts() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """All docstrings of the package, and all strings, each with its place."""
    described, written = [], []
    for name, path in SOURCES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node)
                if text:
                    described.append((f"{name}:{getattr(node, 'lineno', 1)}", text))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                written.append((f"{name}:{node.lineno}", node.value))
    return described, written


def test_docstrings_open_with_what_they_name() -> None:
    """With a noun phrase or a verb, so that a list of first lines can be read."""
    found = [f"{place}: {text}" for place, text in texts()[0] if RIDDLE.match(text)]
    assert not found, "\n".join(found)


def test_only_the_command_line_speaks_of_options() -> None:
    """Elsewhere settings are named in backquotes, as Python spells them."""
    found = [
        f"{place}: {text}"
        for place, text in texts()[1]
        if not place.startswith(MAY_SPEAK_OF_OPTIONS)
        if OPTION.search(text) and "pip install" not in text
    ]
    assert not found, "\n".join(found)
