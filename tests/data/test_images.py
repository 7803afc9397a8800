"""MNIST and its kin, from idx files or one npz file, in the places they are looked for."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from sensverify.data import DATA_SETS, load_data, search_places
from sensverify.data.images import read_idx
from sensverify.errors import BadData


def idx(values: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.astype(np.uint8).tobytes()


@pytest.fixture
def parts() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (6, 3, 3))
    train[:, 0, 0] = 7
    return {
        "train-images-idx3-ubyte": train,
        "train-labels-idx1-ubyte": np.arange(6) % 10,
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (4, 3, 3)),
        "t10k-labels-idx1-ubyte": np.array([3, 1, 4, 1]),
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files(tmp_path: Path, parts: dict[str, np.ndarray], zipped: bool) -> None:
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, values in parts.items():
        content = idx(values)
        path = folder / (name + (".gz" if zipped else ""))
        path.write_bytes(gzip.compress(content) if zipped else content)
    assert DATA_SETS["mnist"].available(tmp_path)
    data = load_data("mnist", data_dir=tmp_path)
    assert data.x.shape == (4, 1, 3, 3)
    np.testing.assert_allclose(data.x[:, 0] * 255, parts["t10k-images-idx3-ubyte"], atol=1e-4)
    assert data.y is not None
    assert data.y.tolist() == [3, 1, 4, 1]
    assert data.feature_range is not None
    train = parts["train-images-idx3-ubyte"]
    expected = (train.max(axis=0) - train.min(axis=0)) / 255
    np.testing.assert_allclose(data.feature_range[0], expected)
    assert data.feature_range[0, 0, 0] == 0


def test_npz_file_where_the_idx_files_are_not_complete(tmp_path: Path) -> None:
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(2)))
    images = np.full((2, 3, 3), 51, dtype=np.uint8)
    labels = np.array([1, 2], dtype=np.uint8)
    np.savez(folder / "f.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    data = load_data("fashion-mnist", data_dir=tmp_path)
    assert data.x == pytest.approx(0.2)


def test_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, np.ndarray]
) -> None:
    monkeypatch.setenv("SENSVERIFY_DATA", str(tmp_path / "environment"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    places = search_places(tmp_path / "given")
    assert places[:2] == (tmp_path / "given", tmp_path / "environment")
    assert len(places) == 3
    with pytest.raises(BadData, match="was not found") as caught:
        load_data("mnist", data_dir=tmp_path / "given")
    for place in places:
        assert str(place) in str(caught.value)
    assert not DATA_SETS["mnist"].available(tmp_path / "given")
    folder = tmp_path / "environment" / "mnist"
    folder.mkdir(parents=True)
    for name, values in parts.items():
        (folder / name).write_bytes(idx(values))
    assert len(load_data("mnist")) == 4


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"not an idx file",
        bytes([0, 0, 13, 1, 0, 0, 0, 1]) + b"\0" * 8,
        bytes([0, 0, 8, 3, 0, 0]),
        bytes([0, 0, 8, 1, 0, 0, 0, 9]) + b"\0" * 5,
        bytes([0, 0, 8, 3]) + b"\xff" * 12,
        bytes([0, 0, 8, 1]) + b"\x7f\xff\xff\xff" + b"\0" * 100,
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_idx_files(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    with pytest.raises(BadData):
        read_idx(path)
    if suffix:
        path.write_bytes(gzip.compress(content)[:-6])
        with pytest.raises(BadData):
            read_idx(path)


def test_images_that_do_not_belong_together(tmp_path: Path, parts: dict[str, np.ndarray]) -> None:
    folder = tmp_path / "mnist"
    folder.mkdir()
    parts["t10k-images-idx3-ubyte"] = np.zeros((4, 5, 5))
    for name, values in parts.items():
        (folder / name).write_bytes(idx(values))
    with pytest.raises(BadData, match="differ in shape"):
        load_data("mnist", data_dir=tmp_path)


def test_real_mnist(data_dir: Path) -> None:
    data = load_data("mnist", data_dir=data_dir)
    assert data.x.shape == (10000, 1, 28, 28)
    assert data.feature_range is not None
    assert int((data.feature_range == 0).sum()) == 67
    assert data.y is not None
    assert data.y[:5].tolist() == [7, 2, 1, 0, 4]


def test_real_fashion_mnist(data_dir: Path) -> None:
    data = load_data("fashion-mnist", data_dir=data_dir)
    assert data.x.shape[1:] == (1, 28, 28)
    assert 0 <= data.x.min() < data.x.max() <= 1
