"""Files of numpy's: arrays that are guessed and said, names of classes, channels last."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sensverify.data import load_data, load_split, read_dataset
from sensverify.data.files import DataFile
from sensverify.errors import BadData, BadSetting, BadShape, UnknownName

X = np.arange(24, dtype=np.float32).reshape(12, 2)
Y = np.arange(12) % 3
WORDS = np.array(["c", "a", "b"])[Y]


def saved(folder: Path, **held: np.ndarray) -> str:
    np.savez(folder / "d.npz", **held)  # type: ignore[arg-type]
    return str(folder / "d.npz")


@pytest.mark.parametrize("x", ["x", "X", "arr_0", "images", "data"])
@pytest.mark.parametrize("y", ["y", "Y", "labels", "arr_1", "target", "targets"])
def test_arrays_are_guessed_and_said(tmp_path: Path, x: str, y: str) -> None:
    data = load_data(saved(tmp_path, **{x: X, y: Y}))
    assert data.x.tolist() == X.tolist()
    assert data.y is not None
    assert data.y.tolist() == Y.tolist()
    said = " ".join(data.notes)
    assert (f"'{x}'" in said, f"'{y}'" in said) == (x != "x", y != "y")
    assert load_split(saved(tmp_path, **{x: X, y: Y})).classes == 3


def test_the_names_of_the_house_go_before_guesses(tmp_path: Path) -> None:
    data = load_data(saved(tmp_path, x=X, images=X + 1, y=Y, labels=Y + 1))
    assert data.y is not None
    assert (data.x[0, 0], data.y.tolist(), data.remarks) == (0, Y.tolist(), ())


def test_what_could_be_two_is_refused_until_it_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, images=X, data=X + 1, labels=Y, target=2 - Y)
    with pytest.raises(BadData, match=r"images and data, and each could be the samples.*\(x="):
        load_data(path)
    with pytest.raises(BadData, match="labels and target, and each could be the labels"):
        load_data(f"{path}(x=data)")
    data = load_data(f"{path}(x=data, label=target)")
    assert data.y is not None
    assert (data.x[0, 0], data.y[0], data.notes) == (1, 2, ())
    with pytest.raises(BadData, match=r"no array 'dat' \(did you mean 'data'"):
        load_data(f"{path}(x=dat)")
    with pytest.raises(BadData, match=r"lacks the array 'x'; it holds z.*\(x=NAME\)"):
        load_data(saved(tmp_path, z=X))


def test_parts_with_a_capital_x(tmp_path: Path) -> None:
    path = saved(tmp_path, X_train=X, y_train=WORDS, X_test=X[:2], y_test=WORDS[:2])
    split = load_split(path)
    assert (len(split.train), len(split.test)) == (12, 2)
    # A class without a test sample is a class.
    assert split.labels == split.test.classes == ("a", "b", "c")
    assert split.test.y is not None
    assert split.test.y.tolist() == [2, 0]
    assert "X_train" in split.rule
    assert len(load_data(path)) == 2


def test_names_of_classes(tmp_path: Path) -> None:
    for words in (WORDS, WORDS.astype("S"), WORDS[:, np.newaxis]):
        data = load_data(saved(tmp_path, x=X, y=words))
        assert data.y is not None
        assert (data.classes, data.y[:3].tolist()) == (("a", "b", "c"), [2, 0, 1])
    parts = {"x_train": X, "y_train": WORDS, "x_test": X, "y_test": Y}
    with pytest.raises(BadData, match="one part are names, those of the other numbers"):
        load_split(saved(tmp_path, **parts))


@pytest.mark.parametrize(
    "y",
    [
        WORDS.astype(object),
        np.array([""] * 12, dtype="<U0"),
        np.array([""] * 12, dtype="<U3"),
        np.full(12, 0x7FFFFFFF, dtype="<u4").view("<U1"),
        np.full(12, 255, dtype=np.uint8).view("S1"),
        np.full(12, 1j),
    ],
)
def test_labels_that_are_none(tmp_path: Path, y: np.ndarray) -> None:
    with pytest.raises(BadData):
        load_data(saved(tmp_path, x=X, y=y))


def test_samples_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="plain numbers"):
        load_data(saved(tmp_path, x=np.array([["1", "2"]])))


def test_npy_holds_samples_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", X)
    data = load_data(tmp_path / "d.npy")
    assert (data.x.tolist(), data.y) == (X.tolist(), None)
    with pytest.raises(BadData, match="no labels"):
        load_split(tmp_path / "d.npy")
    with pytest.raises(BadSetting, match="`label` says nothing"):
        load_data(tmp_path / "d.npy", label="last")
    np.save(tmp_path / "d.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadData, match="could run code"):
        load_data(tmp_path / "d.npy")


def test_channels_last_are_turned_around_when_asked(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((10, 6, 8, 3), dtype=np.float32)
    spread = images.max(axis=0) - images.min(axis=0)
    path = saved(tmp_path, x=images, y=np.arange(10) % 2, feature_range=spread)
    data, split = load_data(f"{path}(nhwc)"), load_split(path, nhwc=True)
    np.testing.assert_array_equal(data.x, images.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(data.feature_range, spread.transpose(2, 0, 1))
    np.testing.assert_array_equal(split.test.x, data.x[4::5])
    assert split.train.feature_range is not None
    assert split.train.feature_range.shape == (3, 6, 8)
    with pytest.raises(BadShape, match=r"move the axes.*FILE\(nhwc\)"):
        load_data(path).shaped((3, 6, 8))
    with pytest.raises(BadShape, match="no images with their channels last"):
        load_data(saved(tmp_path, x=X), nhwc=True)
    with pytest.raises(BadSetting, match="`nhwc` says nothing about the data set 'iris'"):
        load_data("iris", nhwc=True)


def test_files_as_text(tmp_path: Path) -> None:
    for text in ("a.npz", "a.csv(label=b c)", "a.npz(label=b, x=c, nhwc)", "a.tsv(header=no)"):
        found = DataFile.find(text)
        assert found is not None
        assert DataFile.find(str(found)) == found
    assert DataFile.find("iris") is None
    # A name with parentheses is first of all a name.
    np.save(tmp_path / "d (nhwc).npy", X)
    assert len(load_data(str(tmp_path / "d (nhwc).npy"))) == 12


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d.pkl").write_bytes(b"")
    (tmp_path / "d.text").write_bytes(b"")
    for name in ("d.pkl", "d.text", "missing.pt"):
        with pytest.raises(BadData, match=r"kind that is not read.*npz"):
            load_data(str(tmp_path / name))
    with pytest.raises(BadData, match="there is no folder"):
        load_data(f"{tmp_path}/missing/")
    with pytest.raises(UnknownName, match="give a file"):
        load_data("missing")


@given(
    x=arrays(
        st.sampled_from(["<f4", "<f8", ">f4", "u1", "<i8"]),
        array_shapes(min_dims=2, max_dims=4, max_side=4),
        elements={"min_value": 0, "max_value": 100},
    ),
    data=st.data(),
)
def test_what_is_saved_is_read(x: np.ndarray, data: st.DataObject) -> None:
    labels = st.one_of(st.integers(0, 2**31), st.sampled_from(["u", "v", "w x", "ü"]))
    first = data.draw(labels)
    y = [first, *(data.draw(labels.filter(lambda k: type(k) is type(first))) for _ in x[1:])]
    with tempfile.TemporaryDirectory() as folder:
        found = read_dataset(saved(Path(folder), x=x, y=np.array(y)))
    np.testing.assert_array_equal(found.x, x)
    assert found.x.dtype.kind == "f"
    assert found.y is not None
    names = found.classes
    assert [names[k] if names else k for k in found.y.tolist()] == y
