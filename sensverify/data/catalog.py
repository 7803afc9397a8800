"""Data sets by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from sensverify.data import files, objects
from sensverify.data.cifar import load_cifar, missing_cifar, split_cifar
from sensverify.data.dataset import Dataset
from sensverify.data.facts import FACTS
from sensverify.data.files import DataFile
from sensverify.data.images import load_idx_set, missing_idx_set, split_idx_set
from sensverify.data.reading import Reading
from sensverify.data.split import LICENCE_UNKNOWN, Split, split_samples
from sensverify.data.tables import load_table, missing_table, split_table
from sensverify.errors import BadData, SensverifyError, UnknownName
from sensverify.registry.catalog import Catalog
from sensverify.registry.names import name_of, summary_of

Folder = str | Path | None


@dataclass(frozen=True)
class DataSet:
    """A named data set.

    Parameters
    ----------
    summary : str
        One sentence without a full stop.
    missing : callable
        The error that says why it is not there and what to do, or None where it is; takes the
        folder that is searched first.
    load : callable
        The `Dataset` that `load_data` gives.
    split : callable
        The `Split` that `load_split` gives.
    labels : tuple of str
        Names of the classes, in order.
    licence : str
        Authors and licence.
    """

    summary: str
    missing: Callable[[Folder], SensverifyError | None]
    load: Callable[[Folder], Dataset]
    split: Callable[[Folder], Split]
    labels: tuple[str, ...] = ()
    licence: str = LICENCE_UNKNOWN

    def available(self, data_dir: Folder = None) -> bool:
        """True where it can be loaded, as far as can be told without reading it."""
        return self.missing(data_dir) is None


def _table(name: str, summary: str) -> DataSet:
    return DataSet(
        summary,
        partial(missing_table, name),
        partial(load_table, name),
        partial(split_table, name),
    )


def _images(name: str, summary: str, *folders: str) -> DataSet:
    return DataSet(
        summary,
        partial(missing_idx_set, name, folders),
        partial(load_idx_set, name, folders),
        partial(split_idx_set, name, folders),
    )


_OWN = {
    "breast-cancer": _table("breast-cancer", "569 tumours, 30 measurements, 2 classes"),
    "cifar-10": DataSet(
        "60,000 colour images of 32 x 32, 10 classes", missing_cifar, load_cifar, split_cifar
    ),
    "digits": _table("digits", "1,797 images of 8 x 8, 10 classes"),
    "fashion-mnist": _images(
        "fashion-mnist",
        "70,000 images of clothes, 28 x 28, 10 classes",
        "fashion_mnist",
        "fashion-mnist",
    ),
    "iris": _table("iris", "150 flowers, 4 lengths, 3 classes"),
    "mnist": _images("mnist", "70,000 images of digits, 28 x 28, 10 classes", "mnist"),
    "wine": _table("wine", "178 wines, 13 measurements, 3 classes"),
}


def _adapt(name: str, found: Any) -> DataSet | None:
    """A function may take the folder that is searched first, as ``data_dir``."""
    return found if isinstance(found, DataSet) else _adapted(name, found, Reading())


def _adapted(name: str, found: Any, reading: Reading) -> DataSet | None:
    whole = objects.adopt(found, name, reading)
    if whole is None and not callable(found):
        return None

    def made(data_dir: Folder) -> Dataset | Split:
        values = whole
        if values is None:
            takes = "data_dir" in signature(found).parameters
            values = found(data_dir=data_dir) if takes else found()
            values = objects.adopt(values, name, reading)
        if values is None:
            raise BadData(
                f"the data set '{name}' gives none that can be read", f"return {objects.OFFERED}"
            )
        return values

    def load(data_dir: Folder) -> Dataset:
        data = made(data_dir)
        return data.test if isinstance(data, Split) else data

    def split(data_dir: Folder) -> Split:
        data = made(data_dir)
        return data if isinstance(data, Split) else split_samples(data)

    summary = summary_of(found) if callable(found) else repr(whole)
    return DataSet(summary, lambda data_dir: None, load, split)


DATA_SETS: Catalog[DataSet] = Catalog(
    "data set",
    {
        name: replace(each, labels=FACTS[name].labels, licence=FACTS[name].licence)
        for name, each in _OWN.items()
    },
    group="sensverify.data",
    adapt=_adapt,
    takes=objects.OFFERED,
    plain=True,
)
"""Every named data set: tables come with scikit-learn, images are files in `search_places`."""


def load_data(
    data: Any,
    *,
    data_dir: str | Path | None = None,
    label: str | None = None,
    nhwc: bool = False,
) -> Dataset:
    """A data set by its name, from a file or a folder of images, or from an object.

    Parameters
    ----------
    data : str, Path or object
        A key of `DATA_SETS`; a file that ends in ``.npz``, ``.npy``, ``.csv``, ``.tsv`` or
        ``.parquet``, or a folder of images, also with settings of `Reading`, as in
        ``mine.csv(label=species)``; an array, a tensor, a pair ``(x, y)``, a DataFrame, a torch
        ``Dataset`` or ``DataLoader``, a ``Dataset`` of Hugging Face; or a `Dataset`, a `Split`, or
        a function that returns one.
    data_dir : str or Path, optional
        Folder searched before ``$SENSVERIFY_DATA`` and the user's cache.
    label : str, optional
        The column or array of labels; ``last`` is the last column. Default: the one that is called
        label, target, class or y.
    nhwc : bool
        Images come with their channels last, and are turned around.

    Returns
    -------
    Dataset
        Of data with a training and a test part the test part, of others everything. Its ``notes``
        say what was guessed, its ``classes`` what the classes are called.

    Raises
    ------
    UnknownName
        Neither a known name nor a file.
    BadData, BadShape, BadSetting, BackendMissing
        The data cannot be found or cannot be used.

    Examples
    --------
    >>> import sensverify as sv
    >>> data = sv.load_data("iris")
    >>> data.x.shape, data.y.shape, data.feature_range.round(1).tolist()
    ((150, 4), (150,), [3.6, 2.4, 5.9, 2.4])
    """
    return _entry(data, Reading(label=label, nhwc=nhwc)).load(data_dir)


def load_split(
    data: Any,
    *,
    data_dir: str | Path | None = None,
    label: str | None = None,
    nhwc: bool = False,
) -> Split:
    """The training and the test part of a data set, of a file, or of an object.

    Parameters
    ----------
    data : str, Path or object
        As of `load_data`. An ``.npz`` file may hold ``x_train``, ``y_train``, ``x_test`` and
        ``y_test``, a folder of images ``train`` and ``test``.
    data_dir, label, nhwc
        As of `load_data`.

    Returns
    -------
    Split
        Samples are float32. Images come in their own parts and order. Of sets without parts every
        fifth sample is a test sample, and the training samples come in an even order (see
        `split_samples`).

    Raises
    ------
    UnknownName
        Neither a known name nor a file.
    BadData, BadShape, BadSetting, BackendMissing
        The data cannot be found or cannot be used.

    Examples
    --------
    >>> import sensverify as sv
    >>> split = sv.load_split("iris")
    >>> len(split.train), len(split.test), split.classes
    (120, 30, 3)
    """
    entry = _entry(data, Reading(label=label, nhwc=nhwc))
    split = entry.split(data_dir)
    if not entry.labels:
        return split
    # Of a file in a folder of that name that holds other classes, the names say nothing.
    labels = entry.labels if len(entry.labels) == split.classes else ()
    return replace(split, labels=labels, licence=entry.licence)


def find_file(data: Any) -> DataFile | None:
    """The file or folder that some data are read from; None of data by name, and of objects.

    Raises
    ------
    BadData, BadSetting
        As of `DataFile.find`.
    """
    if not isinstance(data, str | os.PathLike) or data in DATA_SETS:
        return None
    return DataFile.find(os.fspath(data))


def comes_in_parts(data: Any) -> bool:
    """True where data have a training and a test part, or are made in both by name or function.

    Other data are one whole: samples of the caller's own, which nobody asked to be divided.
    """
    found = find_file(data)
    if found is not None:
        return found.in_parts
    if isinstance(data, Mapping):
        return "train" in data and "test" in data
    return isinstance(data, str | Split) or callable(data)


def _entry(data: Any, reading: Reading) -> DataSet:
    """The entry of a name, of a file, or of the caller's data."""
    if isinstance(data, str) and data in DATA_SETS:
        reading.check((), f"the data set '{data}'")
        return DATA_SETS[data]
    file = find_file(data)
    if file is not None:
        if reading != Reading():
            file = replace(file, reading=replace(file.reading, **reading.given))
        load, split = file.dataset, file.split
        return DataSet(str(file), lambda _: None, lambda _: load(), lambda _: split())
    if isinstance(data, str | os.PathLike):
        error = DATA_SETS.unknown(os.fspath(data))
        raise UnknownName(error.problem, f"{error.remedy}, or give a file: {files.OFFERED}")
    if isinstance(data, DataSet):
        return data
    return _adapted(_name(data), data, reading) or DATA_SETS.find(data)


def _name(data: Any) -> str:
    """The name of the caller's data; arrays have none, and a column of a table may be called so."""
    if callable(data):
        return name_of(data)
    arrays = hasattr(data, "__array__") and not hasattr(data, "columns")
    if arrays or isinstance(data, tuple | list):
        return objects.NAME
    return name_of(type(data))
