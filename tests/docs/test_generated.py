"""Drawings and tables in the pages are those that the code gives now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.generated import PARTS, filled


@pytest.mark.parametrize(("path", "marker"), PARTS, ids=lambda value: getattr(value, "name", value))
def test_page_is_up_to_date(path: Path, marker: str) -> None:
    text = path.read_text(encoding="utf-8")
    wanted = filled(text, marker, PARTS[path, marker]())
    assert text == wanted, "write it anew with: python -m tests.docs.generated"
