"""Files and names that the pages mention are there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name_of

_TEXTS = (*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md")
_QUOTED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_FILE = re.compile(r"[\w.-]+(/[\w.-]+)*/?")
_CODE = ("sensverify", "tests", "examples", "models", "solvers", "docs", ".ci")
_NAME = re.compile(r"sensverify(\.\w+)+")


def _quoted(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return _QUOTED.findall(text)


@pytest.mark.parametrize("page", _TEXTS, ids=name_of)
def test_files_are_there(page: Path) -> None:
    # Paths in the architecture begin inside of the package.
    for path in _quoted(page):
        if (
            "/" in path
            and _FILE.fullmatch(path)
            and (path.split("/")[0] in _CODE or page.name == "ARCHITECTURE.md")
        ):
            places = (ROOT / path, ROOT / "sensverify" / path)
            assert any(place.exists() for place in places), f"{name_of(page)} mentions {path}"


@pytest.mark.parametrize("page", _TEXTS, ids=name_of)
def test_names_are_there(page: Path) -> None:
    groups = set(_catalog_groups())
    for name in filter(_NAME.fullmatch, _quoted(page)):
        assert name in groups or _found(name), f"{name_of(page)} mentions {name}"


def test_every_group_is_on_the_page() -> None:
    text = (ROOT / "docs" / "extend" / "index.md").read_text(encoding="utf-8")
    assert all(f"`{group}`" in text for group in _catalog_groups())


def _catalog_groups() -> list[str]:
    sources = [p for folder in ("sensverify", "models") for p in (ROOT / folder).rglob("*.py")]
    found = [re.findall(r'group="(sensverify\.\w+)"', p.read_text("utf-8")) for p in sources]
    return sorted({group for each in found for group in each})


def _found(name: str) -> bool:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False
