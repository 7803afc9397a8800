"""``sensverify landscape run`` and ``list``: what they print, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sensverify.cli.landscape import landscape
from sensverify.cli.main import main
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


def test_a_file_that_is_not_there_is_said_to_be_that(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        run("run", str(tmp_path / "a.toml"), "--out", str(tmp_path / "out"))
    assert "No such file" in str(caught.value)
    assert "no TOML" not in str(caught.value)


def test_a_folder_without_a_landscape_has_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no landscape"):
        run("list", str(tmp_path))


BAD_FILES = {
    "one class": (np.ones((6, 2)) * np.arange(6)[:, None], np.zeros(6, dtype=int), "two classes"),
    "NaN": (np.array([[0.0, 1.0], [np.nan, 2.0], [1.0, 3.0]]), np.array([0, 1, 1]), "NaN"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_data_that_say_nothing_are_one_line(name: str, tmp_path: Path) -> None:
    x, y, said = BAD_FILES[name]
    np.savez(tmp_path / "samples.npz", x=x.astype(np.float32), y=y)
    (tmp_path / "a.toml").write_text(FILE.replace('"iris"', '"samples.npz"'))
    refused(tmp_path, said)
    assert not (tmp_path / "out").exists()


def test_a_search_whose_starts_all_diverge_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(FILE.replace("[search]", "scale = 1e200\n[search]"))
    refused(tmp_path, "no minimum was found: 2 searches lost: diverged")


def refused(folder: Path, said: str) -> None:
    """Exit status 2, and one line that says why."""
    words = ["landscape", "run", str(folder / "a.toml"), "--out", str(folder / "out"), "-q"]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 2
    assert said in found.stderr
    assert [line for line in found.stderr.splitlines() if line.startswith("error:")]
    assert "Traceback" not in found.output


def test_without_l2_flat_directions_are_said(tmp_path: Path) -> None:
    text = FILE.replace("l2 = 0.05", "l2 = 0").replace('"mlp-2"', '"mlp-4"')
    (tmp_path / "a.toml").write_text(text)
    out = str(tmp_path / "out")
    for text in (run("run", str(tmp_path / "a.toml"), "--out", out), run("list", out)):
        words = " ".join(text.split())
        assert "1 of them has zero modes: flat directions" in words
        assert "without L2 the energy has flat directions" in words
