"""CIFAR-10 from its binary files and from one npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sensverify.data import DATA_SETS, load_data, load_split
from sensverify.errors import BadData

NAMES = (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin")


@pytest.fixture
def images() -> np.ndarray:
    """Two images for each of the six files, ``[12, 3, 32, 32]``."""
    return np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32)).astype(np.uint8)


def write(folder: Path, images: np.ndarray) -> None:
    folder.mkdir()
    for number, name in enumerate(NAMES):
        records = [bytes([k % 10]) + images[k].tobytes() for k in (2 * number, 2 * number + 1)]
        (folder / name).write_bytes(b"".join(records))


def test_binary_version(tmp_path: Path, images: np.ndarray) -> None:
    assert not DATA_SETS["cifar-10"].available(tmp_path)
    write(tmp_path / "cifar-10-batches-bin", images)
    assert DATA_SETS["cifar-10"].available(tmp_path)
    split, data = (load("cifar-10", data_dir=tmp_path) for load in (load_split, load_data))
    np.testing.assert_allclose(split.train.x, images[:10] / 255, rtol=1e-6)
    np.testing.assert_allclose(split.test.x, images[10:] / 255, rtol=1e-6)
    np.testing.assert_array_equal(data.x, split.test.x)
    assert split.train.y is not None
    assert split.train.y.tolist() == list(range(10))
    assert data.y is not None
    assert data.y.tolist() == [0, 1]
    assert split.labels[:2] == ("airplane", "automobile")
    spread = (images[:10].max(axis=0).astype(float) - images[:10].min(axis=0)) / 255
    np.testing.assert_allclose(data.feature_range, spread)
    assert (data.clip, split.train.clip) == ((0.0, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("last", [False, True])
def test_npz_file_with_channels_first_or_last(
    tmp_path: Path, images: np.ndarray, last: bool
) -> None:
    folder = tmp_path / "cifar10"
    folder.mkdir()
    # One that is no training set does not get in the way.
    np.savez(folder / "a.npz", x=images)
    stored = images.transpose(0, 2, 3, 1) if last else images
    y = (np.arange(12) % 10)[:, np.newaxis]
    np.savez(
        folder / "b.npz", x_train=stored[:10], y_train=y[:10], x_test=stored[10:], y_test=y[10:]
    )
    split = load_split("cifar-10", data_dir=tmp_path)
    np.testing.assert_allclose(split.train.x, images[:10] / 255, rtol=1e-6)
    assert split.test.y is not None
    assert split.test.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no whole number of records"),
        (b"\0" * 3072, "no whole number of records"),
        (b"\x0a" + b"\0" * 3072, "label 10"),
    ],
)
def test_damaged_files(tmp_path: Path, images: np.ndarray, content: bytes, message: str) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    write(folder, images)
    (folder / NAMES[2]).write_bytes(content)
    with pytest.raises(BadData, match=message):
        load_split("cifar-10", data_dir=tmp_path)


def test_images_of_another_kind(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10"
    folder.mkdir()
    x, y = np.zeros((2, 32, 32, 3)), np.zeros(2)
    np.savez(folder / "b.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(BadData, match="expected bytes"):
        load_split("cifar-10", data_dir=tmp_path)


def test_the_message_says_what_to_put_where(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / NAMES[0]).write_bytes(b"")
    with pytest.raises(BadData, match=r"data_batch_1\.bin and the other five.*`data_dir`"):
        load_data("cifar-10", data_dir=tmp_path)


@pytest.mark.parametrize("bad", [0.7, np.nan, -1.0])
def test_labels_that_are_no_class_numbers(tmp_path: Path, images: np.ndarray, bad: float) -> None:
    folder = tmp_path / "cifar10"
    folder.mkdir()
    y = np.array([bad, 1.0, 2.0])
    np.savez(folder / "a.npz", x_train=images[:3], y_train=y, x_test=images[:2], y_test=y[1:])
    with pytest.raises(BadData, match=f"label {bad} of training sample 0 "):
        load_split("cifar-10", data_dir=tmp_path)
    # Whole numbers may come as floating-point ones.
    np.savez(folder / "a.npz", x_train=images[:2], y_train=y[1:], x_test=images[:2], y_test=y[1:])
    assert load_split("cifar-10", data_dir=tmp_path).train.y.tolist() == [1, 2]  # type: ignore[union-attr]
