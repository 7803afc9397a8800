"""Labels: class numbers of any type, and rows with a single 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensverify.data import load_split
from sensverify.data.files import read_dataset
from sensverify.data.labels import class_labels, holds_labels, one_hot
from sensverify.errors import BadData, BadShape

Y = np.arange(30) % 3
X = np.random.default_rng(0).random((30, 4), dtype=np.float32)


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path / "d.npz", **arrays)  # type: ignore[arg-type]
    return path / "d.npz"


@pytest.mark.parametrize(
    "y",
    [
        Y,
        Y.astype(np.uint8),
        Y.astype(np.float32),
        Y[:, None],
        Y[:, None, None].astype(np.float64),
        np.eye(3)[Y],
        np.eye(3, dtype=np.int8)[Y],
        np.eye(3, dtype=bool)[Y],
    ],
)
def test_labels_in_every_form(tmp_path: Path, y: np.ndarray) -> None:
    path = saved(tmp_path, x=X, y=y)
    data = read_dataset(path)
    assert data.y is not None
    assert holds_labels(data.y)
    assert class_labels(data.y, 3, "it").tolist() == Y.tolist()
    split = load_split(str(path))
    assert split.classes == 3
    assert split.test.y is not None
    assert split.test.y.tolist() == Y[4::5].tolist()


def test_two_classes_as_booleans() -> None:
    assert class_labels(Y == 1, 2, "it").tolist() == (Y == 1).astype(int).tolist()


def test_a_class_without_a_sample_has_a_column(tmp_path: Path) -> None:
    y = np.eye(5)[Y]
    assert load_split(str(saved(tmp_path, x=X, y=y))).classes == 5
    parts = {"x_train": X, "y_train": y, "x_test": X, "y_test": y[:, :4]}
    with pytest.raises(BadData, match="4 and 5 columns"):
        load_split(str(saved(tmp_path, **parts)))


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.where(Y == 0, -1, 1), "label -1 .* of labels -1 and 1, write 0 for -1"),
        (Y + 1, "label 3 .* counted from 1"),
        (Y / 3, "label 0.3"),
        (np.full(30, np.nan), "label nan"),
        (np.eye(4)[Y], r"shape \(30, 4\) holds no labels for 3 outputs"),
        (np.eye(3)[Y] * 2, "holds no labels"),
        (np.eye(3)[Y] * 0.5 + 0.1, "holds no labels"),
        (np.ones((30, 3)), "holds no labels"),
    ],
)
def test_what_is_no_label_is_refused(y: np.ndarray, words: str) -> None:
    with pytest.raises(BadData, match=words):
        class_labels(y, 3, "it")


def test_targets_are_kept_with_the_samples_and_cannot_be_trained_on(tmp_path: Path) -> None:
    targets: list[Any] = [X[:, 0], X[:, :2], np.eye(3)[Y] + X[:, :3]]
    for y in targets:
        path = saved(tmp_path, x_train=X, y_train=y, x_test=X[:7], y_test=y[:7])
        data = read_dataset(path)
        assert (len(data), data.y is not None and holds_labels(data.y)) == (7, False)
        np.testing.assert_array_equal(data.feature_range, X.max(0).astype(float) - X.min(0))
        with pytest.raises(BadData, match=r"no class number|holds no labels"):
            load_split(str(path))


def test_more_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadShape, match="one label for each"):
        read_dataset(saved(tmp_path, x=X, y=np.zeros((30, 2, 2))))
    assert not one_hot(np.zeros((30, 2)))
