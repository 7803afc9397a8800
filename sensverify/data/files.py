"""A data set from an ``.npz`` file."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from sensverify.data.dataset import Dataset, holds_labels, one_column, value_range
from sensverify.data.split import Split, make_split, split_samples
from sensverify.errors import BadData
from sensverify.formats.arrays import SIZE_LIMIT, read_npz

PARTS = ("x_train", "y_train", "x_test", "y_test")
"""Names of the arrays of a file that holds a training and a test part."""


def read_dataset(path: str | Path, *, name: str | None = None, limit: int = SIZE_LIMIT) -> Dataset:
    """The samples ``x`` of an ``.npz`` file, with ``y`` and ``feature_range`` where it has them.

    Of a file with a training and a test part (`PARTS`) and no ``x``, the test samples. Numbers are
    taken as they are: nothing is rescaled. Integers become float32, float16 becomes float32,
    float32 and float64 stay.

    Raises
    ------
    BadData, BadShape
        The file cannot be read, or what it holds does not fit together.
    """
    held = array_names(path)
    if "x" not in held and held.issuperset(PARTS):
        test = _test_part(path, limit)
        return test if name is None else replace(test, name=name)
    arrays = read_npz(path, required=("x",), optional=("y", "feature_range"), limit=limit)
    return _dataset(name or str(path), arrays, "x", "y")


def read_split(path: str | Path, *, limit: int = SIZE_LIMIT) -> Split:
    """The training and the test part of an ``.npz`` file.

    It holds ``x_train``, ``y_train``, ``x_test`` and ``y_test``; or ``x`` and ``y``, of which
    every fifth sample is then a test sample. Where it holds ``feature_range``, that is taken
    instead of the range over the training samples.

    Raises
    ------
    BadData, BadShape
        The file cannot be read, lacks an array, or what it holds does not fit together.
    """
    held = array_names(path)
    found = [part for part in PARTS if part in held]
    if held and not found and not held.issuperset("xy"):
        shown = ", ".join(sorted(held)[:10])
        raise BadData(
            f"'{path}' cannot be trained on: expected the arrays {', '.join(PARTS)}, or x and y; "
            f"it holds {shown}"
        )
    if not found:
        arrays = read_npz(path, required=("x", "y"), optional=("feature_range",), limit=limit)
        data = _dataset(str(path), arrays, "x", "y")
        return split_samples(data, feature_range=data.feature_range)
    train, test = _two_parts(path, limit)
    rule = "the parts are those of the file"
    return make_split(train, test, feature_range=train.feature_range, rule=rule)


def array_names(path: str | Path) -> set[str]:
    """Names of the arrays of an ``.npz`` file; none where it is no such file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return set()


def find_npz(folder: Path, arrays: Collection[str]) -> Path | None:
    """The first ``.npz`` file of a folder, by name, that holds these arrays."""
    files = sorted(folder.glob("*.npz"))
    return next((path for path in files if array_names(path).issuperset(arrays)), None)


def floating(values: np.ndarray) -> np.ndarray:
    """Native float64 for what is float64 or longer, else native float32."""
    wide = values.dtype.kind == "f" and values.dtype.itemsize >= 8
    return values.astype(np.float64 if wide else np.float32)


def _two_parts(path: str | Path, limit: int) -> tuple[Dataset, Dataset]:
    arrays = read_npz(path, required=PARTS, optional=("feature_range",), limit=limit)
    train = _dataset(str(path), arrays, "x_train", "y_train")
    return train, _dataset(str(path), arrays, "x_test", "y_test")


def _test_part(path: str | Path, limit: int) -> Dataset:
    """The test samples, also those of a regression, whose targets are no labels."""
    train, test = _two_parts(path, limit)
    if all(part.y is not None and holds_labels(part.y) for part in (train, test)):
        return make_split(train, test, feature_range=train.feature_range).test
    spread = train.feature_range
    return replace(test, feature_range=value_range(train.x) if spread is None else spread)


def _dataset(name: str, arrays: dict[str, np.ndarray], x: str, y: str) -> Dataset:
    labels, spread = arrays.get(y), arrays.get("feature_range")
    if labels is not None:
        labels = one_column(labels)
    wide = None if spread is None else spread.astype(np.float64)
    return Dataset(name, floating(arrays[x]), labels, wide)
