"""MNIST and Fashion-MNIST, from their idx files or from one ``.npz`` file."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np

from sensverify.data.dataset import Dataset
from sensverify.data.places import find_folders, not_found
from sensverify.errors import BadData
from sensverify.formats.arrays import SIZE_LIMIT, read_npz

_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_UNSIGNED_BYTE = 8


def has_idx_set(folders: tuple[str, ...], data_dir: str | Path | None) -> bool:
    """Whether a folder holds the idx files or an ``.npz`` file; opens nothing."""
    return any(
        all(_idx_path(folder, part) for part in _PARTS) or any(folder.glob("*.npz"))
        for folder in find_folders(folders, data_dir)
    )


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
    for folder in find_folders(folders, data_dir):
        parts = _from_idx(folder) or _from_npz(folder)
        if parts is not None:
            return _dataset(name, folder, *parts)
    names = " or ".join(f"{folder}/" for folder in folders)
    wanted = f"{names} with {_PARTS[0]}-idx3-ubyte.gz and the other three idx files, or one .npz"
    raise not_found(name, wanted, data_dir)


def _dataset(name: str, folder: Path, train: np.ndarray, x: np.ndarray, y: np.ndarray) -> Dataset:
    if train.dtype != np.uint8 or x.dtype != np.uint8 or x.ndim != 3 or train.ndim != 3:
        raise BadData(
            f"data '{name}' in '{folder}': expected images of bytes, [samples, rows, columns], "
            f"got {x.dtype} of shape {x.shape}"
        )
    if train.shape[1:] != x.shape[1:] or len(train) == 0:
        raise BadData(f"data '{name}' in '{folder}': training and test images differ in shape")
    spread = (train.max(axis=0).astype(np.float64) - train.min(axis=0)) / 255
    pixels = x.astype(np.float32)[:, np.newaxis] / np.float32(255)
    return Dataset(name, pixels, y.astype(np.int64), spread[np.newaxis], clip=(0.0, 1.0))


def _from_idx(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    paths = {part: path for part in _PARTS if (path := _idx_path(folder, part)) is not None}
    if len(paths) < len(_PARTS):
        return None
    x, y = read_idx(paths["t10k-images"]), read_idx(paths["t10k-labels"])
    return read_idx(paths["train-images"]), x, y


def _idx_path(folder: Path, part: str) -> Path | None:
    kind = "idx3" if "images" in part else "idx1"
    for separator in "-.":
        for suffix in ("", ".gz"):
            path = folder / f"{part}{separator}{kind}-ubyte{suffix}"
            if path.is_file():
                return path
    return None


def _from_npz(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    files = sorted(folder.glob("*.npz"))
    if not files:
        return None
    arrays = read_npz(files[0], required=("x_train", "x_test", "y_test"))
    return arrays["x_train"], arrays["x_test"], arrays["y_test"]


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
