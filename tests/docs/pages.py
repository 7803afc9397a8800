"""Code blocks of the pages in docs/ and of the README."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(r'^```(\w*)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
_SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line where the text begins.

    One with a title is the file of that name.
    """

    language: str
    text: str
    line: int
    title: str | None = None


def name_of(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page in some languages, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[3], text.count("\n", 0, found.start(3)) + 1, found[2])
        for found in _FENCE.finditer(text)
        if found[1] in languages
    ]


def included(page: Path) -> list[str]:
    """Paths of the files that a page includes."""
    return _SNIPPET.findall(page.read_text(encoding="utf-8"))


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Commands behind ``$``, each with the lines of output that are shown for it."""
    command, shown = "", []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, shown
            command, shown = line[2:], []
        else:
            shown.append(line)
    if command:
        yield command, shown


def matches(shown: list[str], printed: list[str]) -> bool:
    """Whether printed lines are those shown: ``...`` stands for any lines, or the end of one.

    Numbers agree to three digits, as machines round differently.
    """
    if not shown:
        return not any(line.strip() for line in printed)
    first, rest = shown[0], shown[1:]
    if first.strip() == "...":
        return any(matches(rest, printed[k:]) for k in range(len(printed) + 1))
    return bool(printed) and _same(first, printed[0]) and matches(rest, printed[1:])


def _same(shown: str, printed: str) -> bool:
    wanted, found = shown.split(), printed.split()
    if wanted and wanted[-1].endswith("..."):
        wanted = wanted[:-1]
        found = found[: len(wanted)]
    return len(wanted) == len(found) and all(map(_alike, wanted, found))


def _alike(wanted: str, found: str) -> bool:
    if wanted == found:
        return True
    try:
        left, right = float(wanted), float(found)
    except ValueError:
        return False
    return abs(left - right) <= 2e-3 * max(abs(left), abs(right))
