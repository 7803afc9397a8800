"""``sensverify landscape run`` and ``list``: what they print, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from sensverify.cli.landscape import landscape
from sensverify.errors import InputError

FILE = """
[landscape]
data = "iris"
model = "mlp-2"
activation = "tanh"
standardise = true
l2 = 0.05
[search]
starts = 2
batch = 2
rounds = 0
"""


def run(*words: str) -> str:
    found = CliRunner().invoke(
        landscape, list(words), catch_exceptions=False, standalone_mode=False
    )
    assert found.return_value == 0
    return found.output


def test_a_run_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(FILE)
    out = str(tmp_path / "out")
    printed = run("run", str(tmp_path / "a.toml"), "--out", out)
    listed = run("list", out)
    for text in (printed, listed):
        assert "m1" in text
        assert "0 saddles of index 1" in text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[search]", "[searches]", "searches"),
        ("starts = 2", "starts = 0", "starts"),
        ('"tanh"', '"relu"', "not smooth"),
        ('"iris"', '"irys"', "irys"),
        ("l2 = 0.05", 'l2 = "much"', "l2"),
        ("[landscape]", "[landscape", "TOML"),
    ],
)
def test_a_file_that_is_none_begins_nothing(old: str, new: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(FILE.replace(old, new))
    with pytest.raises(InputError, match=words):
        run("run", str(tmp_path / "a.toml"), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_landscape_has_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no landscape"):
        run("list", str(tmp_path))
