"""Everything that has a name is listed, and nothing is cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from sensverify.cli.list import WHAT
from sensverify.corruptions import CORRUPTIONS
from sensverify.data import DATA_SETS
from sensverify.data.corrupted import FOLDERS, SUMMARIES
from sensverify.models.architectures import ARCHITECTURES, FAMILIES
from sensverify.training.augment import AUGMENTATIONS
from sensverify.training.losses import TERMS
from sensverify.training.losses.recipes import RECIPES

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("losses", [*RECIPES, *TERMS]),
        ("architectures", [*ARCHITECTURES, *FAMILIES]),
        ("data", list(DATA_SETS)),
        ("augmentations", [*AUGMENTATIONS, *CORRUPTIONS]),
    ],
)
def test_every_name_begins_a_row(run: Run, what: str, names: list[str]) -> None:
    done = run("list", what)
    assert done.exit_code == 0
    first = {line.split(" ")[0] for line in done.stdout.splitlines()}
    assert first.issuperset(names)


def test_sets_of_corrupted_images_are_listed_with_the_data(run: Run, tmp_path: Path) -> None:
    assert list(SUMMARIES) == list(FOLDERS)

    def told() -> str:
        done = run("list", "data", "--data-dir", tmp_path)
        assert done.exit_code == 0
        return " ".join(done.stdout.split())

    folder = tmp_path / "mnist_c" / "fog"
    folder.mkdir(parents=True)
    # An empty folder is none, nor one with files that are cut short.
    assert "mnist-c no the test images" in told()
    assert "holds no corrupted images" in told()
    np.save(folder / "test_labels.npy", np.zeros(3, np.int64))
    np.save(folder / "test_images.npy", np.zeros((3, 28, 28, 1), np.uint8))
    assert "mnist-c yes the test images" in told()
    assert "cifar-10-c no the test images" in told()
    whole = (folder / "test_images.npy").read_bytes()
    (folder / "test_images.npy").write_bytes(whole[:-1])
    assert "mnist-c no the test images" in told()
    assert "is cut short" in told()


@pytest.mark.parametrize("what", WHAT)
def test_nothing_is_cut_off(run: Run, what: str) -> None:
    assert "…" not in run("list", what).stdout


def test_losses_are_written_as_they_can_be_asked_for(run: Run) -> None:
    text = "".join(run("list", "losses").stdout.split())
    for name, recipe in RECIPES.items():
        assert "".join(str(recipe).split()) in text, name
    for name, term in TERMS.items():
        for option in TERMS.settings(term):
            assert f"{option}=" in text, (name, option)


@pytest.mark.parametrize("what", ["attacks", "corruptions", "measures"])
def test_a_title_stands_once(run: Run, what: str) -> None:
    lines = run("list", what).stdout.splitlines()
    last = len(lines) - lines[::-1].index("")
    first, sources = lines[:last], lines[last:]
    assert sources[0].split() == ["source", "title"]
    cited = [line.split("  ")[0] for line in sources[1:] if not line.startswith(" ")]
    assert cited == sorted(cited)
    text = " ".join(" ".join(first).split())
    for who in cited:
        assert f"({who}" in text, who
    titles = " ".join(" ".join(sources[1:]).split())
    assert "Hendrycks & Dietterich 2019" in titles or what != "corruptions"


def test_radii_of_a_grid_can_be_given_as_they_are_listed(run: Run) -> None:
    from sensverify.attacks.grids import GRIDS, parse_radii

    lines = " ".join(run("list", "attacks").stdout.split())
    for name, grid in GRIDS.items():
        listed = lines.split(f" {name} ")[-1].split(" (")[0]
        assert parse_radii(listed) == pytest.approx(grid.radii, rel=1e-9), name
