"""Files and folders of one's own: which there are, and how they are written as text."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sensverify.data.dataset import Dataset
from sensverify.data.delimited import dataset_of_csv
from sensverify.data.folders import (
    dataset_of_folder,
    has_train_and_test,
    image_files,
    split_of_folder,
)
from sensverify.data.npz import dataset_of_npy, dataset_of_npz, has_parts, split_of_npz
from sensverify.data.parquet import dataset_of_parquet
from sensverify.data.reading import Reading
from sensverify.data.split import Split, split_samples
from sensverify.errors import BadData
from sensverify.formats.arrays import SIZE_LIMIT

Reader = Callable[[Path, Reading, int], Dataset]


@dataclass(frozen=True)
class Kind:
    """A kind of file: what reads it, and the settings of `Reading` that say something about it.

    ``parts`` tells whether a file holds a training and a test part; None: no file of it does.
    """

    takes: tuple[str, ...]
    dataset: Reader
    split: Callable[[Path, Reading, int], Split] | None = None
    parts: Callable[[Path], bool] | None = None


FOLDER = Kind(("size",), dataset_of_folder, split_of_folder, has_train_and_test)
_TABLE = Kind(("label", "header"), dataset_of_csv)
KINDS = {
    ".npz": Kind(("x", "label", "nhwc"), dataset_of_npz, split_of_npz, has_parts),
    ".npy": Kind(("nhwc",), dataset_of_npy),
    ".csv": _TABLE,
    ".tsv": _TABLE,
    ".parquet": Kind(("label",), dataset_of_parquet),
}
"""Kinds of files by what their names end in."""

OFFERED = f"{', '.join(KINDS)}, or a folder of images"
"""What a message says of the kinds of files."""

_REFUSED = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".h5", ".mat", ".xlsx", ".json")
_SETTINGS = re.compile(r"(.+?)\(([^()]*)\)")


@dataclass(frozen=True)
class DataFile:
    """A file or a folder of samples, and how it is read."""

    path: Path
    reading: Reading = field(default_factory=Reading)

    @classmethod
    def find(cls, text: str) -> DataFile | None:
        """The file that a text names, such as ``mine.csv(label=species)``; None where it is none.

        Raises
        ------
        BadSetting
            The settings in parentheses are none of `Reading`.
        BadData
            It ends as files do that are never read.
        """
        if _is_one(text):
            return cls(Path(text))
        match = _SETTINGS.fullmatch(text)
        if match is not None and _is_one(match[1]):
            return cls(Path(match[1]), Reading.parse(match[2], text))
        path = Path(text)
        if path.suffix.lower() in _REFUSED or path.is_file():
            raise BadData(
                f"'{text}' is of a kind that is not read as data",
                f"keep the samples as {OFFERED}",
            )
        return None

    def __str__(self) -> str:
        words = {True: "yes", False: "no"}
        given = [
            name if name == "nhwc" else f"{name}={words.get(value, value)}"
            for name, value in self.reading.given.items()
        ]
        return f"{self.path}({', '.join(given)})" if given else str(self.path)

    @property
    def kind(self) -> Kind:
        """The kind of the file: by the end of its name; a folder is one of images."""
        known = KINDS.get(self.path.suffix.lower())
        return FOLDER if known is None or self.path.is_dir() else known

    @property
    def in_parts(self) -> bool:
        """True where it holds a training and a test part."""
        return self.kind.parts is not None and self.kind.parts(self.path)

    @property
    def files(self) -> list[Path]:
        """Every file that is read."""
        return image_files(self.path) if self.path.is_dir() else [self.path]

    def whole(self) -> DataFile:
        """The same by its whole path, so that it is found from anywhere."""
        return replace(self, path=self.path.resolve())

    def dataset(self, limit: int = SIZE_LIMIT) -> Dataset:
        """The samples, or those of the test part."""
        return self._finished(self._checked.dataset(self.path, self.reading, limit))

    def split(self, limit: int = SIZE_LIMIT) -> Split:
        """The parts; of a file without any, every fifth sample is one of the test part."""
        kind = self._checked
        if kind.split is None:
            return split_samples(self.dataset(limit))
        split = kind.split(self.path, self.reading, limit)
        return replace(split, train=self._finished(split.train), test=self._finished(split.test))

    def _finished(self, data: Dataset) -> Dataset:
        """Data with their settings in their name, so that it repeats the question."""
        data = replace(data, name=str(self))
        return data.channels_first() if self.reading.nhwc else data

    @property
    def _checked(self) -> Kind:
        kind = self.kind
        if kind is FOLDER and not self.path.is_dir():
            raise BadData(f"there is no folder '{self.path}'", f"give {OFFERED}")
        what = "a folder of images" if kind is FOLDER else f"a file that ends in {self.path.suffix}"
        self.reading.check(kind.takes, what)
        return kind


def _is_one(text: str) -> bool:
    path = Path(text)
    return path.suffix.lower() in KINDS or path.is_dir() or text.endswith(("/", os.sep))


def read_dataset(path: str | Path, *, name: str | None = None, limit: int = SIZE_LIMIT) -> Dataset:
    """The samples of a file or of a folder of images, with labels and ranges where it has them.

    Of an ``.npz`` file the arrays ``x``, ``y`` and ``feature_range``; where these are missing,
    those of other usual names (`sensverify.data.npz.SAMPLES`, `sensverify.data.npz.NUMBERS`), and
    the data's notes say so. Of data with a training and a test part the test samples. Numbers are
    taken as they are: nothing is rescaled but the pixels of images in folders. Integers become
    float32, float16 becomes float32, float32 and float64 stay.

    Raises
    ------
    BadData, BadShape, BadSetting, BackendMissing
        The file cannot be read, or what it holds does not fit together.
    """
    data = _file(path).dataset(limit)
    return data if name is None else replace(data, name=name)


def read_split(path: str | Path, *, limit: int = SIZE_LIMIT) -> Split:
    """The training and the test part of a file or of a folder of images.

    Of an ``.npz`` file ``x_train``, ``y_train``, ``x_test`` and ``y_test``, of a folder ``train``
    and ``test``; of others every fifth sample is a test sample. Where an ``.npz`` file holds
    ``feature_range``, that is taken instead of the range over the training samples.

    Raises
    ------
    BadData, BadShape, BadSetting, BackendMissing
        The file cannot be read, lacks an array, or what it holds does not fit together.
    """
    return _file(path).split(limit)


def _file(path: str | Path) -> DataFile:
    return DataFile.find(os.fspath(path)) or DataFile(Path(path))
