"""Pictures in the docs: made by one script, shown on a page, and small."""

from __future__ import annotations

import re

import pytest

from tests.docs.screenshots import ASSETS, SHOTS
from tests.test_layers import ROOT

LARGEST = 150_000
"""Bytes of one of them."""


@pytest.mark.parametrize("name", SHOTS)
def test_a_screenshot_is_there_and_small(name: str) -> None:
    data = (ASSETS / f"{name}.webp").read_bytes()
    assert data[:4] == b"RIFF"
    assert data[8:12] == b"WEBP"
    assert len(data) < LARGEST


def test_every_picture_is_on_a_page() -> None:
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    texts = "".join(page.read_text(encoding="utf-8") for page in pages)
    shown = set(re.findall(r"assets/([\w.-]+)\)", texts))
    pictures = {path.name for path in ASSETS.iterdir() if path.suffix != ".css"}
    assert pictures == shown


def test_every_screenshot_is_made_by_the_script() -> None:
    made = {f"{name}.webp" for name in SHOTS}
    assert {path.name for path in ASSETS.iterdir() if path.suffix in (".png", ".webp")} == made
