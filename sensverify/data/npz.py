"""Samples from ``.npz`` and ``.npy`` files."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sensverify.data.dataset import Dataset, value_range
from sensverify.data.labels import holds_labels, listed, one_column
from sensverify.data.reading import Reading
from sensverify.data.split import Split, make_split, split_samples
from sensverify.errors import BadData
from sensverify.formats.arrays import read_npy, read_npz
from sensverify.registry.names import did_you_mean

PARTS = ("x_train", "y_train", "x_test", "y_test")
"""Names of the arrays of a file that holds a training and a test part."""

SAMPLES = ("x", "X", "arr_0", "images", "data")
NUMBERS = ("y", "Y", "labels", "label", "arr_1", "targets", "target")
"""Names of arrays that hold the samples, and the labels; all but the first are guesses."""


class _Arrays(NamedTuple):
    """The arrays of a file that hold its samples and labels, and what was guessed about it."""

    x: str
    y: str | None
    notes: tuple[str, ...] = ()


def dataset_of_npz(path: Path, reading: Reading, limit: int) -> Dataset:
    """The samples of an ``.npz`` file: the array of them, else those of its test part."""
    held = array_names(path)
    if reading == Reading(nhwc=reading.nhwc) and "x" not in held and _parts(held) is not None:
        return _test_part(path, held, limit)
    return _read(path, _find_arrays(path, held, reading), limit)


def split_of_npz(path: Path, reading: Reading, limit: int) -> Split:
    """The parts of an ``.npz`` file, or every fifth sample of one without parts."""
    held = array_names(path)
    found = [part for part in PARTS if _part(part, held) is not None]
    if found and reading == Reading(nhwc=reading.nhwc):
        train, test = _two_parts(path, held, limit)
        rule = "the parts are those of the file"
        return make_split(train, test, feature_range=train.feature_range, rule=rule)
    names = None
    if held:
        names = _find_arrays(path, held, reading, train=True)
    names = names or _Arrays("x", "y")
    if names.y is None:
        raise _untrainable(path, held)
    data = _read(path, names, limit)
    return split_samples(data, feature_range=data.feature_range)


def dataset_of_npy(path: Path, reading: Reading, limit: int) -> Dataset:
    """The samples of an ``.npy`` file, without labels."""
    return Dataset(str(path), floating(read_npy(path, limit=limit)))


def has_parts(path: Path) -> bool:
    """True where an ``.npz`` file holds a training and a test part."""
    return _parts(array_names(path)) is not None


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


def _find_arrays(path: Path, held: set[str], reading: Reading, *, train: bool = False) -> _Arrays:
    for name in (reading.x, reading.label):
        if name is not None and held and name not in held:
            raise BadData(
                f"'{path}' has no array '{name}'{did_you_mean(name, held)}",
                f"it holds {listed(sorted(held))}",
            )
    x = reading.x or _guess(path, held, SAMPLES, "samples", "x")
    y = reading.label or _guess(path, held, NUMBERS, "labels", "label")
    if x is None and held:
        raise (
            _untrainable(path, held)
            if train
            else BadData(
                f"'{path}' lacks the array '{SAMPLES[0]}'; it holds {listed(sorted(held))}",
                f"name the array of samples: '{path}(x=NAME)'",
            )
        )
    guessed = [
        f"the {what} are the array '{name}'"
        for what, name, sure in (("samples", x, SAMPLES[0]), ("labels", y, NUMBERS[0]))
        if name not in (None, sure, reading.x, reading.label)
    ]
    # Where there is none, reading says what the file holds.
    return _Arrays(x or SAMPLES[0], y, (", ".join(guessed),) if guessed else ())


def _guess(path: Path, held: set[str], names: Sequence[str], what: str, setting: str) -> str | None:
    """The array of the first name, or the only one of the others."""
    if names[0] in held:
        return names[0]
    found = [name for name in names if name in held]
    if len(found) > 1:
        raise BadData(
            f"'{path}' holds {' and '.join(found)}, and each could be the {what}",
            f"name the array: '{path}({setting}={found[0]})'",
        )
    return found[0] if found else None


def _untrainable(path: Path, held: set[str]) -> BadData:
    return BadData(
        f"'{path}' cannot be trained on: expected the arrays {', '.join(PARTS)}, or x and y; "
        f"it holds {listed(sorted(held))}",
        f"name the arrays: '{path}(x=NAME, label=NAME)'",
    )


def _part(part: str, held: set[str]) -> str | None:
    """The array of a part, whose first letter may be a capital one."""
    return next((name for name in (part, part.capitalize()) if name in held), None)


def _parts(held: set[str]) -> list[str] | None:
    """The arrays of all parts, where they are there."""
    names = [name for part in PARTS if (name := _part(part, held)) is not None]
    return names if len(names) == len(PARTS) else None


def _two_parts(path: Path, held: set[str], limit: int) -> tuple[Dataset, Dataset]:
    names = [_part(part, held) or part for part in PARTS]
    labels = (names[1], names[3])
    arrays = read_npz(path, required=names, optional=("feature_range",), text=labels, limit=limit)
    notes = () if tuple(names) == PARTS else (f"the parts are the arrays {', '.join(names)}",)
    train, test = (_dataset(path, arrays, _Arrays(x, y, notes)) for x, y in (names[:2], names[2:]))
    return train, test


def _test_part(path: Path, held: set[str], limit: int) -> Dataset:
    """The test samples, also those of a regression, whose targets are no labels."""
    train, test = _two_parts(path, held, limit)
    if all(part.y is not None and holds_labels(part.y) for part in (train, test)):
        return make_split(train, test, feature_range=train.feature_range).test
    spread = train.feature_range
    return replace(test, feature_range=value_range(train.x) if spread is None else spread)


def _read(path: Path, names: _Arrays, limit: int) -> Dataset:
    """The samples of some arrays of a file; numbers are taken as they are."""
    required = [names.x] if names.y is None else [names.x, names.y]
    text = () if names.y is None else (names.y,)
    arrays = read_npz(path, required=required, optional=("feature_range",), text=text, limit=limit)
    return _dataset(path, arrays, names)


def _dataset(path: Path, arrays: dict[str, np.ndarray], names: _Arrays) -> Dataset:
    labels = None if names.y is None else one_column(arrays[names.y])
    spread = arrays.get("feature_range")
    wide = None if spread is None else spread.astype(np.float64)
    return Dataset(str(path), floating(arrays[names.x]), labels, wide, notes=names.notes)
