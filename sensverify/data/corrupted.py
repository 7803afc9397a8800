"""Published sets of corrupted test images: CIFAR-10-C, MNIST-C and folders like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sensverify.data.places import find_folders, not_found
from sensverify.errors import BadData, BadSetting, BadShape, SensverifyError, UnknownName
from sensverify.formats.arrays import read_npy, read_npy_header
from sensverify.runs.files import reading

FOLDERS: dict[str, tuple[str, ...]] = {
    "cifar-10-c": ("CIFAR-10-C", "cifar-10-c", "cifar10-c", "cifar10c"),
    "mnist-c": ("mnist_c", "mnist-c", "MNIST-C"),
}
"""Names of folders that may hold a set, by the name of the set."""

SUMMARIES = {
    "cifar-10-c": "the test images of cifar-10, 19 corruptions in 5 severities (Hendrycks & "
    "Dietterich 2019)",
    "mnist-c": "the test images of mnist, 15 corruptions in one severity (Mu & Gilmer 2019)",
}
"""Each set in a few words."""

LABELS = "labels.npy"
"""The file of the labels, beside one file for each corruption."""
_PART_IMAGES, _PART_LABELS = "test_images.npy", "test_labels.npy"
_LABEL_LIMIT = 1 << 28
_STACKED = 5
"""Severities that a file holds one after the other where it holds more than one."""

_ALIASES = {"jpeg-compression": "jpeg", "elastic-transform": "elastic"}
"""Names of corruptions in files, with the names they have here where these differ."""


@dataclass(frozen=True, eq=False)
class CorruptedImages:
    """The file of one corruption.

    Parameters
    ----------
    images, labels : Path
        ``.npy`` files; there may be labels for all severities, or once for each.
    severities : int
        Each has as many images as there are samples; the lowest comes first.
    samples : int
    """

    images: Path
    labels: Path
    severities: int
    samples: int


@dataclass(frozen=True, eq=False)
class CorruptedSet:
    """Corrupted copies of the test samples of a data set, read on demand.

    Parameters
    ----------
    folder : Path
    files : mapping from str to CorruptedImages
        By name of the corruption, as `sensverify.corruptions.CORRUPTIONS` spells it.
    """

    folder: Path
    files: Mapping[str, CorruptedImages]

    @property
    def corruptions(self) -> dict[str, int]:
        """Number of severities of every corruption."""
        return {name: file.severities for name, file in self.files.items()}

    def read(
        self,
        corruption: str,
        severity: int = 1,
        *,
        indices: Sequence[int] | np.ndarray | None = None,
        labels: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Chosen samples, corrupted; of the images nothing else is read.

        Parameters
        ----------
        corruption : str
            A key of ``files``.
        severity : int
            From 1.
        indices : sequence of int, optional
            Places in the test part of the clean data set; all of them by default.
        labels : array, shape ``[indices]``, optional
            The clean samples' labels, which those in the file must equal.

        Returns
        -------
        (images, labels)
            ``[indices, channels, rows, columns]`` in [0, 1], float32, and int64.

        Raises
        ------
        UnknownName
            There is no such corruption.
        BadSetting
            There is no such severity.
        BadData, BadShape
            A file is damaged, an index is outside, or a label is another one than the clean
            sample's: these would be other samples, or in another order.
        """
        if corruption not in self.files:
            raise UnknownName(
                f"'{self.folder}' has no corruption '{corruption}'; it has {', '.join(self.files)}"
            )
        file = self.files[corruption]
        if isinstance(severity, bool) or severity not in range(1, file.severities + 1):
            raise BadSetting(
                f"'{file.images}' has severities from 1 to {file.severities}, got {severity}"
            )
        chosen = _checked(indices, file)
        offset = (severity - 1) * file.samples
        stored = _mapped(file.images)
        images = _channels_first(np.asarray(stored[offset + chosen]), file.images)
        found = _labels(file.labels)
        # Labels are there for every image, or once for every sample.
        found = found[chosen + (offset if len(found) > file.samples else 0)].astype(np.int64)
        if labels is not None:
            _compare(found, labels, chosen, file)
        return images.astype(np.float32) / np.float32(255), found


def find_corrupted(
    name_or_path: str | Path,
    *,
    data_dir: str | Path | None = None,
    samples: int | None = None,
) -> CorruptedSet:
    """A set of corrupted images by its name, or in a folder.

    Three layouts are known: ``NAME.npy`` of all severities one after the other (CIFAR-10-C) or of
    one, beside ``labels.npy``; or a folder for each corruption with ``test_images.npy`` and
    ``test_labels.npy`` (MNIST-C). Images are bytes, channels last or first; the channel axis of
    grey images may be missing.

    Parameters
    ----------
    name_or_path : str or Path
        ``cifar-10-c`` or ``mnist-c``, looked for where data sets are; or a folder.
    data_dir : str or Path, optional
        Folder searched before ``$SENSVERIFY_DATA`` and the user's cache.
    samples : int, optional
        Number of samples of the clean test part. Without it a file has five severities where its
        labels are five times the same, and one elsewhere.

    Returns
    -------
    CorruptedSet
        Of the files only the headers and the labels have been read.

    Raises
    ------
    UnknownName
        Neither a known name nor a folder.
    BadData
        The folder holds no such files, or one of them is damaged.
    """
    folder = _folder(name_or_path, data_dir)
    shared = folder / LABELS
    files: dict[str, CorruptedImages] = {}
    with reading(folder, BadData):
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    for entry in entries:
        if entry.is_dir() and (entry / _PART_IMAGES).is_file():
            files[_name(entry.name)] = _described(
                entry / _PART_IMAGES, entry / _PART_LABELS, samples
            )
        elif entry.suffix == ".npy" and entry.name != LABELS and shared.is_file():
            files[_name(entry.stem)] = _described(entry, shared, samples)
    if not files:
        raise BadData(
            f"'{folder}' holds no corrupted images: expected NAME.npy beside {LABELS}, or folders "
            f"with {_PART_IMAGES} and {_PART_LABELS}"
        )
    return CorruptedSet(folder, files)


def file_of(corruption: str) -> str:
    """Name of a corruption's file in the layout of CIFAR-10-C.

    Raises
    ------
    BadSetting
        A file of that name would be read back as another corruption, or as none.
    """
    there = {here: name for name, here in _ALIASES.items()}
    stem = there.get(corruption, corruption).replace("-", "_")
    file = f"{stem}.npy"
    if not stem or Path(file).name != file or file == LABELS or _name(stem) != corruption:
        raise BadSetting(
            f"no file can have the name of the corruption '{corruption}'",
            "register it under a name of letters, digits and dashes",
        )
    return file


def missing_corrupted(name: str, data_dir: str | Path | None = None) -> SensverifyError | None:
    """The error of a set by name that is not there, or is damaged as far as its headers tell."""
    try:
        find_corrupted(name, data_dir=data_dir)
    except SensverifyError as error:
        return error
    return None


def _folder(name_or_path: str | Path, data_dir: str | Path | None) -> Path:
    known = FOLDERS.get(str(name_or_path))
    if known is None:
        if Path(name_or_path).is_dir():
            return Path(name_or_path)
        raise UnknownName(
            f"'{name_or_path}' is no folder, and no set of corrupted images has that name; there "
            f"are {', '.join(FOLDERS)}"
        )
    found = find_folders(known, data_dir)
    if not found:
        raise not_found(str(name_or_path), f"the folder {known[0]}/", data_dir)
    return found[0]


def _name(stem: str) -> str:
    name = stem.replace("_", "-")
    return _ALIASES.get(name, name)


def _described(images: Path, labels: Path, samples: int | None) -> CorruptedImages:
    count, found = len(_mapped(images)), _labels(labels)
    if samples is None:
        samples = _samples(count, found)
    severities, rest = divmod(count, samples) if samples > 0 else (0, 1)
    if rest or not severities or len(found) not in (samples, count):
        raise BadData(
            f"'{images}' holds {count:,} images and '{labels}' {len(found):,} labels; expected "
            f"{max(samples, 0):,} of both, or that many for each severity"
        )
    return CorruptedImages(images, labels, severities, samples)


def _samples(count: int, labels: np.ndarray) -> int:
    """Number of different samples, each of which stands once for every severity."""
    if len(labels) != count:
        return len(labels)
    if count % _STACKED:
        return count
    parts = labels.reshape(_STACKED, -1)
    return parts.shape[1] if bool((parts == parts[0]).all()) else count


def _mapped(path: Path) -> np.ndarray:
    """The images in the file, not yet read."""
    with reading(path, BadData), path.open("rb") as stream:
        size = path.stat().st_size
        shape, fortran, dtype = read_npy_header(stream, str(path))
        offset = stream.tell()
    if dtype != np.uint8 or len(shape) not in (3, 4) or min(shape) < 1:
        raise BadData(
            f"'{path}' holds {dtype} of shape {shape}; expected images as bytes, "
            "[n, rows, columns, channels]"
        )
    if prod(shape) > size - offset:
        raise BadData(
            f"'{path}' is cut short: its header promises {prod(shape):,} bytes of images and "
            f"{size - offset:,} are there"
        )
    order: Literal["F", "C"] = "F" if fortran else "C"
    return np.memmap(path, np.uint8, mode="r", offset=offset, shape=shape, order=order)


def _labels(path: Path) -> np.ndarray:
    labels = read_npy(path, limit=_LABEL_LIMIT)
    flat = labels.reshape(-1)
    if flat.dtype.kind not in "iu" or len(flat) == 0 or len(flat) != len(labels) or flat.min() < 0:
        raise BadData(
            f"'{path}' holds {labels.dtype} of shape {labels.shape}; expected one class number "
            "from 0 for every image"
        )
    return flat


def _channels_first(images: np.ndarray, path: Path) -> np.ndarray:
    if images.ndim == 3:
        return images[:, np.newaxis]
    if images.shape[3] in (1, 3):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if images.shape[1] in (1, 3):
        return images
    raise BadData(f"'{path}' holds images of shape {images.shape[1:]}; expected 1 or 3 channels")


def _checked(indices: Sequence[int] | np.ndarray | None, file: CorruptedImages) -> np.ndarray:
    if indices is None:
        return np.arange(file.samples)
    chosen = np.asarray(indices)
    if chosen.ndim != 1 or len(chosen) == 0 or chosen.dtype.kind not in "iu":
        raise BadShape(
            f"samples are chosen by a list of whole numbers, got {chosen.dtype} of shape "
            f"{chosen.shape}"
        )
    chosen = chosen.astype(np.int64)
    outside = (chosen < 0) | (chosen >= file.samples)
    if outside.any():
        raise BadData(
            f"'{file.images}' has samples from 0 to {file.samples - 1}, asked for "
            f"{chosen[outside.argmax()]}"
        )
    return chosen


def _compare(found: np.ndarray, wanted: Any, chosen: np.ndarray, file: CorruptedImages) -> None:
    wanted = np.asarray(wanted)
    if wanted.shape != found.shape:
        raise BadShape(
            f"{len(found)} samples need as many labels to compare with, got shape {wanted.shape}"
        )
    same = found == wanted
    if not same.all():
        bad = int(same.argmin())
        raise BadData(
            f"'{file.images}': sample {chosen[bad]} has the label {found[bad]} in "
            f"'{file.labels.name}' and {wanted[bad]} in the clean data; these are other samples, "
            "or in another order"
        )
