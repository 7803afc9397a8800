"""CIFAR-10, from the files of its binary version or from one ``.npz`` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sensverify.data.dataset import Dataset
from sensverify.data.images import StoredImages
from sensverify.data.npz import PARTS, find_npz
from sensverify.data.places import find_folders, not_found
from sensverify.data.split import Split
from sensverify.errors import BadData
from sensverify.formats.arrays import SIZE_LIMIT, read_npz
from sensverify.runs.files import reading

SHAPE = (3, 32, 32)
FOLDERS = ("cifar-10-batches-bin", "cifar-10", "cifar10")
_RECORD = 1 + 3 * 32 * 32
_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST = "test_batch.bin"


def missing_cifar(data_dir: str | Path | None) -> BadData | None:
    """The error of a set that no folder holds, in binary or as an ``.npz`` file; reads none."""
    for folder in find_folders(FOLDERS, data_dir):
        if not _lacking(folder) or find_npz(folder, PARTS) is not None:
            return None
    return _not_found(data_dir)


def load_cifar(data_dir: str | Path | None) -> Dataset:
    """The test images, as ``[samples, 3, 32, 32]`` float32 pixels in [0, 1], red first.

    A folder may hold the six files ``*.bin`` of the binary version, or one ``.npz`` file of bytes
    with ``x_train``, ``y_train``, ``x_test`` and ``y_test``, channels first or last.
    ``feature_range`` is taken over the training images that are there.

    Raises
    ------
    BadData
        No folder holds the files, or one of them is damaged.
    """
    return _stored(data_dir).dataset()


def split_cifar(data_dir: str | Path | None) -> Split:
    """Training and test images as `load_cifar` gives the test images.

    Raises
    ------
    BadData
        No folder holds the files, or one of them is damaged.
    """
    return _stored(data_dir).split()


def _stored(data_dir: str | Path | None) -> StoredImages:
    for folder in find_folders(FOLDERS, data_dir):
        if not _lacking(folder):
            parts = [_read_batch(folder / name) for name in _TRAIN]
            train, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            return StoredImages("cifar-10", train, labels, *_read_batch(folder / _TEST))
        path = find_npz(folder, PARTS)
        if path is not None:
            arrays = read_npz(path, required=PARTS)
            train, test = (_channels_first(arrays[f"x_{part}"], path) for part in ("train", "test"))
            y_train, y_test = (arrays[f"y_{part}"].reshape(-1) for part in ("train", "test"))
            return StoredImages("cifar-10", train, y_train, test, y_test)
    raise _not_found(data_dir)


def _lacking(folder: Path) -> list[str]:
    """Files of the binary version that a folder does not hold."""
    return [name for name in (*_TRAIN, _TEST) if not (folder / name).is_file()]


def _not_found(data_dir: str | Path | None) -> BadData:
    wanted = f"{FOLDERS[0]}/ with {_TRAIN[0]} and the other five files, or {FOLDERS[1]}/ with .npz"
    found = {folder: _lacking(folder) for folder in find_folders(FOLDERS, data_dir)}
    return not_found("cifar-10", wanted, data_dir, found)


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels: each record is one byte of label and 3,072 of pixels."""
    with reading(path, BadData):
        size = path.stat().st_size
        if size == 0 or size % _RECORD or size > SIZE_LIMIT:
            raise BadData(
                f"'{path}' has {size:,} bytes, which is no whole number of records of {_RECORD:,} "
                "bytes; it is damaged, or not of CIFAR-10's binary version"
            )
        records = np.fromfile(path, dtype=np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].copy()
    if labels.max() > 9:
        raise BadData(f"'{path}' holds the label {labels.max()}; CIFAR-10 has labels from 0 to 9")
    return records[:, 1:].reshape(-1, *SHAPE), labels


def _channels_first(images: np.ndarray, path: Path) -> np.ndarray:
    if images.dtype == np.uint8 and len(images) and images.shape[1:] == (32, 32, 3):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if images.dtype == np.uint8 and len(images) and images.shape[1:] == SHAPE:
        return images
    raise BadData(
        f"'{path}' holds images of {images.dtype} and shape {images.shape}; expected bytes, "
        "[samples, 3, 32, 32] or [samples, 32, 32, 3]"
    )
