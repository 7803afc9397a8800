"""Training and test parts: of tables, of images, of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sensverify.data import DATA_SETS, Dataset, Split, load_data, load_split
from sensverify.data.facts import FACTS
from sensverify.data.split import make_split, split_samples
from sensverify.errors import BadData, BadShape, UnknownName

TABLES = ("breast-cancer", "digits", "iris", "wine")


def rows(x: np.ndarray, y: np.ndarray | None) -> list[tuple[bytes, int]]:
    assert y is not None
    return sorted((sample.tobytes(), int(label)) for sample, label in zip(x, y, strict=True))


@pytest.mark.parametrize("name", TABLES)
def test_tables(name: str) -> None:
    whole, split = load_data(name), load_split(name)
    assert whole.y is not None
    test = np.arange(len(whole)) % 5 == 4
    np.testing.assert_array_equal(split.test.x, whole.x[test])
    np.testing.assert_array_equal(split.test.y, whole.y[test])
    # The training part is all the rest, in another order.
    assert rows(split.train.x, split.train.y) == rows(whole.x[~test], whole.y[~test])
    spread = whole.x[~test].astype(np.float64)
    spread = spread.max(axis=0) - spread.min(axis=0)
    for part in (split.train, split.test):
        np.testing.assert_array_equal(part.feature_range, spread)
        assert part.x.dtype == np.float32
        assert part.clip == whole.clip
    assert split.classes == len(split.labels) == len(set(whole.y.tolist()))
    assert "fifth" in split.rule


@pytest.mark.parametrize("name", TABLES)
def test_any_stretch_of_the_training_samples_is_like_the_rest(name: str) -> None:
    y = load_split(name).train.y
    assert y is not None
    shares = np.bincount(y) / len(y)
    for part in (y[: len(y) // 3], y[-len(y) // 3 :]):
        assert np.abs(np.bincount(part, minlength=len(shares)) / len(part) - shares).max() < 0.1


def test_sets_sorted_by_class_are_spread_whatever_their_size() -> None:
    for count in range(5, 60):
        x = np.arange(count, dtype=np.float32)[:, np.newaxis]
        split = split_samples(Dataset("d", x, (np.arange(count) >= count / 2).astype(int)))
        seen = np.concatenate([split.train.x, split.test.x])[:, 0]
        assert sorted(seen.tolist()) == list(range(count))
        assert len(split.test) == count // 5


def test_mnist_keeps_its_parts(data_dir: Path) -> None:
    whole, split = load_data("mnist", data_dir=data_dir), load_split("mnist", data_dir=data_dir)
    assert split.train.x.shape == (60000, 1, 28, 28)
    assert split.train.y is not None
    assert split.train.y[:5].tolist() == [5, 0, 4, 1, 9]
    np.testing.assert_array_equal(split.test.x, whole.x)
    np.testing.assert_array_equal(split.test.feature_range, whole.feature_range)
    spread = split.train.x.max(axis=0) - split.train.x.min(axis=0)
    np.testing.assert_allclose(split.train.feature_range, spread, atol=1e-6)
    assert split.train.x.dtype == np.float32
    assert (split.train.x.min(), split.train.x.max()) == (0, 1)


def test_every_named_set_says_whose_it_is() -> None:
    assert FACTS.keys() == DATA_SETS.keys()
    for name, facts in FACTS.items():
        assert len(set(facts.labels)) == len(facts.labels) >= 2
        assert f", {len(facts.labels)} classes" in DATA_SETS[name].summary


def save(path: Path, **arrays: object) -> str:
    np.savez(path, **{name: np.asarray(values) for name, values in arrays.items()})  # type: ignore[arg-type]
    return str(path)


def test_a_file_with_its_own_parts(tmp_path: Path) -> None:
    path = save(
        tmp_path / "d.npz",
        x_train=[[0, 10], [4, 10], [2, 10]],
        y_train=[[0], [1], [0]],
        x_test=[[9.0, 9.0]],
        y_test=[2.0],
    )
    split = load_split(path)
    assert split.train.x.tolist() == [[0, 10], [4, 10], [2, 10]]
    assert split.train.y is not None
    assert split.train.y.tolist() == [0, 1, 0]
    assert split.classes == 3
    assert split.test.feature_range is not None
    assert split.test.feature_range.tolist() == [4, 0]
    # What verifies takes the test samples of such a file.
    data = load_data(path)
    assert data.x.tolist() == [[9, 9]]
    assert data.feature_range is not None
    assert data.feature_range.tolist() == [4, 0]


def test_a_file_without_parts(tmp_path: Path) -> None:
    x = np.arange(20.0).reshape(10, 2)
    path = save(tmp_path / "d.npz", x=x, y=np.arange(10) % 2)
    split = load_split(path)
    assert split.test.x.tolist() == x[4::5].tolist()
    assert len(split.train) == 8
    assert split.train.feature_range is not None
    assert split.train.feature_range.tolist() == [16, 16]
    assert "fifth" in split.rule
    assert split.licence == "of the data's owner"
    path = save(tmp_path / "d.npz", x=x, y=np.arange(10) % 2, feature_range=[1, 2])
    given = load_split(path).test.feature_range
    assert given is not None
    assert given.tolist() == [1, 2]


X, Y = np.zeros((6, 2)), np.arange(6) % 2


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"x": X}, BadData, "x and y; it holds x"),
        ({"z": X}, BadData, "cannot be trained on"),
        ({"x_train": X, "y_train": Y, "x_test": X}, BadData, "lacks the array 'y_test'"),
        ({"x": X[:4], "y": Y[:4]}, BadData, "at least 5"),
        ({"x": X, "y": Y - 1}, BadData, "label -1.0 of training sample|label -1 of training"),
        ({"x": X, "y": Y + 0.5}, BadData, "no class number"),
        ({"x": X, "y": np.full(6, np.nan)}, BadData, "no class number"),
        ({"x": X, "y": Y * 0}, BadData, "at least two classes"),
        ({"x": X, "y": np.arange(6) * 1000}, BadData, "labels go up to"),
        ({"x": X, "y": Y[:5]}, BadShape, "one label for each"),
        ({"x": X * np.nan, "y": Y}, BadData, "NaN"),
        ({"x": X + 1e300, "y": Y}, BadData, "training sample 0 .* does not fit float32"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :1], "y_test": Y}, BadShape, "test samples"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_files_that_cannot_be_trained_on(
    tmp_path: Path, arrays: dict[str, np.ndarray], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_split(save(tmp_path / "d.npz", **arrays))


def test_names_and_paths_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'iris'"):
        load_split("irsi")
    with pytest.raises(BadData, match="there is no file"):
        load_split(str(tmp_path / "none.npz"))
    (tmp_path / "d.npz").write_bytes(b"no archive")
    with pytest.raises(BadData, match="not a usable"):
        load_split(str(tmp_path / "d.npz"))


def test_idx_sets_have_a_training_part(tmp_path: Path) -> None:
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "other.npz").write_bytes(b"no archive")
    images = np.arange(4 * 9, dtype=np.uint8).reshape(4, 3, 3)
    save(
        folder / "set.npz",
        x_train=images,
        y_train=np.array([0, 1, 2, 3], dtype=np.uint8),
        x_test=images[:2],
        y_test=np.array([4, 4], dtype=np.uint8),
    )
    split: Split = load_split("mnist", data_dir=tmp_path)
    np.testing.assert_allclose(split.train.x[:, 0], images / 255, rtol=1e-6)
    assert split.classes == 5
    # Ten digits are named, five are there.
    assert split.labels == ()


def test_classes_without_samples_are_told() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    data = Dataset("mine", x, np.arange(6) % 2 + 1)
    split = make_split(data, data)
    assert split.classes == 3
    assert "no training sample has the label 0 " in split.rule
    assert repr(split) == ("Split(mine: 6 training and 6 test samples of shape (2,), 3 classes)")
