"""MNIST and Fashion-MNIST, from their idx files or from one ``.npz`` file."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np

from sensverify.data.dataset import Dataset, value_range
from sensverify.data.npz import PARTS as ARRAYS
from sensverify.data.npz import find_npz
from sensverify.data.places import find_folders, not_found
from sensverify.data.split import Split, make_split
from sensverify.errors import BadData
from sensverify.formats.arrays import SIZE_LIMIT, read_npz

_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_NEEDED = ("x_train", "x_test", "y_test")
_UNSIGNED_BYTE = 8


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images as bytes, ``[samples, channels, rows, columns]``, and their labels.

    ``train_labels`` is None where nobody asked for them. Bytes become float32 pixels, four times
    as large, only in the part that is asked for.
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray | None
    test: np.ndarray
    test_labels: np.ndarray

    @cached_property
    def feature_range(self) -> np.ndarray:
        """Largest minus smallest value of every pixel of the training images, in [0, 1]."""
        return value_range(self.train) / 255

    def dataset(self) -> Dataset:
        """The test images."""
        return self._pixels(self.test, self.test_labels)

    def split(self) -> Split:
        """The training and the test images."""
        train = self._pixels(self.train, self.train_labels)
        rule = "the parts are those of the data set"
        return make_split(train, self.dataset(), feature_range=self.feature_range, rule=rule)

    def _pixels(self, images: np.ndarray, labels: np.ndarray | None) -> Dataset:
        pixels = images.astype(np.float32)
        pixels /= np.float32(255)
        # Other labels than whole numbers are shown to whoever checks them as they are.
        whole = labels is not None and np.issubdtype(labels.dtype, np.integer)
        y = labels.astype(np.int64) if labels is not None and whole else labels
        return Dataset(self.name, pixels, y, self.feature_range, clip=(0.0, 1.0), images=True)


def missing_idx_set(
    name: str, folders: tuple[str, ...], data_dir: str | Path | None
) -> BadData | None:
    """The error of a set that no folder holds, as idx files or as an ``.npz`` file; reads none."""
    for folder in find_folders(folders, data_dir):
        if not _lacking(folder) or find_npz(folder, _NEEDED) is not None:
            return None
    return _not_found(name, folders, data_dir)


def _lacking(folder: Path) -> list[str]:
    return [part for part in _PARTS if _idx_path(folder, part) is None]


def _not_found(name: str, folders: tuple[str, ...], data_dir: str | Path | None) -> BadData:
    names = " or ".join(f"{folder}/" for folder in folders)
    wanted = f"{names} with {_PARTS[0]}-idx3-ubyte.gz and the other three idx files, or one .npz"
    found = {folder: _lacking(folder) for folder in find_folders(folders, data_dir)}
    return not_found(name, wanted, data_dir, found)


def load_idx_set(name: str, folders: tuple[str, ...], data_dir: str | Path | None) -> Dataset:
    """The test images, as ``[samples, 1, rows, columns]`` float32 pixels in [0, 1].

    A folder may hold the four idx files, gzipped or not, or one ``.npz`` file with ``x_train``,
    ``y_train``, ``x_test`` and ``y_test``. ``feature_range`` is taken over the training images
    that are there.

    Raises
    ------
    BadData
        No folder holds the files, or one of them is damaged.
    """
    return _stored(name, folders, data_dir, training=False).dataset()


def split_idx_set(name: str, folders: tuple[str, ...], data_dir: str | Path | None) -> Split:
    """Training and test images as `load_idx_set` gives the test images.

    Raises
    ------
    BadData
        No folder holds the files, or one of them is damaged.
    """
    return _stored(name, folders, data_dir, training=True).split()


def _stored(
    name: str, folders: tuple[str, ...], data_dir: str | Path | None, *, training: bool
) -> StoredImages:
    for folder in find_folders(folders, data_dir):
        parts = _from_idx(folder, training) or _from_npz(folder, training)
        if parts is not None:
            return _checked(name, folder, parts)
    raise _not_found(name, folders, data_dir)


_Arrays = tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray]


def _checked(name: str, folder: Path, parts: _Arrays) -> StoredImages:
    train, train_labels, x, y = parts
    if train.dtype != np.uint8 or x.dtype != np.uint8 or x.ndim != 3 or train.ndim != 3:
        raise BadData(
            f"data '{name}' in '{folder}': expected images of bytes, [samples, rows, columns], "
            f"got {x.dtype} of shape {x.shape}"
        )
    if train.shape[1:] != x.shape[1:] or len(train) == 0:
        raise BadData(f"data '{name}' in '{folder}': training and test images differ in shape")
    return StoredImages(name, train[:, np.newaxis], train_labels, x[:, np.newaxis], y)


def _from_idx(folder: Path, training: bool) -> _Arrays | None:
    paths = {part: path for part in _PARTS if (path := _idx_path(folder, part)) is not None}
    if len(paths) < len(_PARTS):
        return None
    x, y = read_idx(paths["t10k-images"]), read_idx(paths["t10k-labels"])
    labels = read_idx(paths["train-labels"]) if training else None
    return read_idx(paths["train-images"]), labels, x, y


def _idx_path(folder: Path, part: str) -> Path | None:
    kind = "idx3" if "images" in part else "idx1"
    for separator in "-.":
        for suffix in ("", ".gz"):
            path = folder / f"{part}{separator}{kind}-ubyte{suffix}"
            if path.is_file():
                return path
    return None


def _from_npz(folder: Path, training: bool) -> _Arrays | None:
    wanted = ARRAYS if training else _NEEDED
    path = find_npz(folder, wanted)
    if path is None:
        return None
    arrays = read_npz(path, required=wanted)
    return arrays["x_train"], arrays.get("y_train"), arrays["x_test"], arrays["y_test"]


def read_idx(path: Path, *, limit: int = SIZE_LIMIT) -> np.ndarray:
    """One array of bytes from an idx file, gzipped or not.

    Raises
    ------
    BadData
        The file is missing, damaged, cut short, of another type, or beyond ``limit`` bytes.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as stream:
            head = stream.read(4)
            if len(head) < 4 or head[:2] != b"\0\0" or head[2] != _UNSIGNED_BYTE:
                raise BadData(f"'{path}' is not an idx file of bytes")
            sizes = stream.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise BadData(f"'{path}' is cut short: its header is not complete")
            shape = struct.unpack(f">{head[3]}I", sizes)
            if prod(shape) > limit:
                raise BadData(f"'{path}' claims {prod(shape):,} bytes, above {limit:,}")
            # Unpacks piece by piece: a header that promises too much costs no memory.
            pieces, left = [], prod(shape)
            while left and (piece := stream.read(min(left, 1 << 22))):
                pieces.append(piece)
                left -= len(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise BadData(f"cannot read '{path}': {error}") from None
    if left:
        raise BadData(f"'{path}' is cut short: {left:,} of {prod(shape):,} bytes are missing")
    return np.frombuffer(b"".join(pieces), dtype=np.uint8).reshape(shape)
