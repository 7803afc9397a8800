"""Tables of cells: by name, by seed, and what isomorphic ones lend each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sensverify.errors import BadData, BadSetting
from sensverify.models.nas201 import COUNT, all_cells, cell_at, representatives
from sensverify.scores import CLEAN, Network, Scores, Shift
from sensverify.scores.nas.cells import cell_table, every_column, only_cells, others_of
from sensverify.scores.nas.landscape import codes
from sensverify.scores.nas.planted import planted

FIRST = np.array(representatives())
TWIN = int(np.flatnonzero(np.arange(COUNT) != FIRST)[0])
"""The lowest index that is isomorphic to a lower one."""


def scores(rows: dict[str, tuple[int, int]]) -> Scores:
    """Samples of 100 that are right by themselves and under an attack; -1 for a hole."""
    right = np.array([*rows.values()])
    return Scores(
        networks=tuple(map(Network, rows)),
        shifts=(CLEAN, Shift("fgsm", 1.0, "attack")),
        right=np.maximum(right, 0),
        total=np.where(right < 0, 0, 100),
    )


def test_cells_are_told_by_names_and_averaged_over_seeds() -> None:
    table = cell_table(
        scores(
            {
                "nas201-7-seed0": (80, 40),
                "nas201-7-seed1": (90, -1),
                "resnet": (99, 99),
                f"{cell_at(3)}": (70, 30),
            }
        ),
        ("clean", "fgsm"),
    )
    assert table.cells.tolist() == [3, 7]
    np.testing.assert_allclose(table.values, [[0.7, 0.3], [0.85, np.nan]])
    assert table.others == ("resnet",)


def test_isomorphic_cells_lend_each_other_their_values() -> None:
    twins = np.flatnonzero(FIRST[TWIN] == FIRST)
    values, owners = cell_table(scores({f"nas201:{TWIN}": (80, 40)}), ("clean",)).everywhere(
        "clean"
    )
    assert np.flatnonzero(~np.isnan(values)).tolist() == twins.tolist()
    assert set(owners[twins]) == {TWIN}
    assert set(owners) == {TWIN, -1}
    two = {f"nas201:{twins[1]}": (80, 40), f"nas201:{twins[0]}": (60, 40)}
    values, owners = cell_table(scores(two), ("clean",)).everywhere("clean")
    # Each its own; the others that of the lowest index.
    assert values[twins[:2]].tolist() == [0.6, 0.8]
    assert set(values[twins[2:]]) == {0.6}
    assert set(owners[twins[2:]]) == {twins[0]}
    # A hole is lent, too.
    holed = {f"nas201:{twins[0]}": (-1, 40), f"nas201:{twins[1]}": (80, 40)}
    values, owners = cell_table(scores(holed), ("clean",)).everywhere("clean")
    assert values[twins].tolist() == [0.8] * len(twins)


def test_one_of_isomorphic_cells_is_kept() -> None:
    rows = {f"nas201:{TWIN}": (80, 40), f"nas201:{FIRST[TWIN]}": (60, 30), "vgg": (1, 1)}
    made = replace(scores(rows), measures=("size",), values=np.array([[1.0], [2.0], [3.0]]))
    kept = only_cells(made)
    assert [each.name for each in kept.networks] == [f"nas201:{FIRST[TWIN]}"]
    assert (kept.right.tolist(), kept.values.tolist()) == ([[60, 30]], [[2.0]])
    assert others_of(made) == ("vgg",)
    assert every_column(kept) == (("size",), ("clean", "fgsm"))
    assert every_column(kept, severities=True) == (("size",), ("clean", "fgsm/1"))


def test_positions_of_wrong_samples_stay_with_their_networks() -> None:
    rows = {"vgg": (99, 99), f"nas201:{TWIN}": (98, 40)}
    made = replace(scores(rows), wrong={(0, 0): np.array([5]), (1, 0): np.array([1, 2])})
    kept = only_cells(made)
    assert {key: each.tolist() for key, each in kept.wrong.items()} == {(0, 0): [1, 2]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"resnet": (1, 1), "vgg": (1, 1)}, "no network is a cell.*'resnet', 'vgg'"),
        ({"nas201:20000": (1, 1)}, "'nas201:20000': there is no cell 20000"),
        ({"nas201-7_a-seed0": (1, 1), "nas201-7_b-seed0": (1, 1)}, "differ in more than the seed"),
        ({f"nas201:{cell_at(7)}": (1, 1), "nas201:7": (1, 1)}, "of the same cell"),
        ({"nas201:" + str(cell_at(7)).replace("none", "nine", 1): (1, 1)}, "no operation|no cell"),
    ],
)
def test_tables_that_are_none_of_cells(rows: dict[str, tuple[int, int]], message: str) -> None:
    with pytest.raises(BadData, match=message):
        cell_table(scores(rows), ("clean",))


def test_columns_that_are_not_there() -> None:
    with pytest.raises(BadSetting, match="did you mean 'fgsm'"):
        cell_table(scores({"nas201:7": (1, 1)}), ("fgms",))


@pytest.mark.parametrize("seed", range(3))
def test_the_planted_cells_are_the_best(seed: int) -> None:
    made = planted(seed)
    accuracy = made.scores.accuracy
    assert np.flatnonzero(accuracy[:, 0] == accuracy[:, 0].max()).tolist() == [made.clean.index]
    for column in (1, 2):
        best = np.flatnonzero(accuracy[:, column] == accuracy[:, column].max())
        assert best.tolist() == [made.attacked.index]
    pairs = zip(made.clean.operations, made.attacked.operations, strict=True)
    assert sum(one == other for one, other in pairs) == 2
    assert len(made.scores.networks) == COUNT == len(all_cells())


def test_planted_accuracies_fall_with_every_edge() -> None:
    made = planted(1)
    clean = made.scores.clean
    best = codes()[made.clean.index]
    apart = (codes() != best).sum(axis=1)
    means = [clean[apart == count].mean() for count in range(7)]
    assert means == sorted(means, reverse=True)
    assert np.array_equal(planted(1).scores.right, made.scores.right)
    assert not np.array_equal(planted(1, noise=0.02).scores.right, made.scores.right)


@pytest.mark.parametrize(("seed", "noise"), [(-1, 0.0), (0, -0.1), (0, float("nan"))])
def test_bad_planted_tables(seed: int, noise: float) -> None:
    with pytest.raises(BadSetting, match="made-up table"):
        planted(seed, noise=noise)
