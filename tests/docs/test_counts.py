"""Numbers of things, as the pages state them, are those of the catalogs."""

import re
from pathlib import Path

from sensverify.measures.catalog import MEASURES

ROOT = Path(__file__).parents[2]


def test_measures_are_counted() -> None:
    for page in ("README.md", "docs/tasks/evaluate.md"):
        (number,) = re.findall(r"(\d+) measures", (ROOT / page).read_text())
        assert int(number) == len(list(MEASURES)), page
