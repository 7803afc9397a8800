"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from sensverify.data.cifar import has_cifar, load_cifar, split_cifar
from sensverify.data.dataset import Dataset
from sensverify.data.facts import FACTS
from sensverify.data.files import read_dataset, read_split
from sensverify.data.images import has_idx_set, load_idx_set, split_idx_set
from sensverify.data.split import LICENCE_UNKNOWN, Split, split_samples
from sensverify.data.tables import load_table, split_table, tables_installed
from sensverify.errors import BadData, UnknownName
from sensverify.registry.catalog import Catalog
from sensverify.registry.names import summary_of

Folder = str | Path | None


@dataclass(frozen=True)
class DataSet:
    """A named data set.

    Parameters
    ----------
    summary : str
        One sentence without a full stop.
    available : callable
        True where its files are there; takes the folder that is searched first.
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
    available: Callable[[Folder], bool]
    load: Callable[[Folder], Dataset]
    split: Callable[[Folder], Split]
    labels: tuple[str, ...] = ()
    licence: str = LICENCE_UNKNOWN


def _table(name: str, summary: str) -> DataSet:
    return DataSet(
        summary,
        lambda data_dir: tables_installed(),
        partial(load_table, name),
        partial(split_table, name),
    )


def _images(name: str, summary: str, *folders: str) -> DataSet:
    return DataSet(
        summary,
        partial(has_idx_set, folders),
        partial(load_idx_set, name, folders),
        partial(split_idx_set, name, folders),
    )


_OWN = {
    "breast-cancer": _table("breast-cancer", "569 tumours, 30 measurements, 2 classes"),
    "cifar-10": DataSet(
        "60,000 colour images of 32 x 32, 10 classes", has_cifar, load_cifar, split_cifar
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
    if isinstance(found, DataSet):
        return found
    if not isinstance(found, Dataset | Split) and not callable(found):
        return None

    def made(data_dir: Folder) -> Dataset | Split:
        values = found
        if not isinstance(values, Dataset | Split):
            takes = "data_dir" in signature(found).parameters
            values = found(data_dir=data_dir) if takes else found()
        if not isinstance(values, Dataset | Split):
            raise BadData(f"the data set '{name}' is {values!r}", "return a `Dataset` or a `Split`")
        return values

    def load(data_dir: Folder) -> Dataset:
        data = made(data_dir)
        return data.test if isinstance(data, Split) else data

    def split(data_dir: Folder) -> Split:
        data = made(data_dir)
        return data if isinstance(data, Split) else split_samples(data)

    summary = summary_of(found) if callable(found) else repr(found)
    return DataSet(summary, lambda data_dir: True, load, split)


DATA_SETS: Catalog[DataSet] = Catalog(
    "data set",
    {
        name: replace(each, labels=FACTS[name].labels, licence=FACTS[name].licence)
        for name, each in _OWN.items()
    },
    group="sensverify.data",
    adapt=_adapt,
    takes="a `Dataset`, a `Split`, or a function that returns one",
    plain=True,
)
"""Every named data set: tables come with scikit-learn, images are files in `search_places`."""


def load_data(data: Any, *, data_dir: str | Path | None = None) -> Dataset:
    """A data set by its name, or from an ``.npz`` file.

    Parameters
    ----------
    data : str, Dataset, Split or callable
        A key of `DATA_SETS`, or the path of a file that ends in ``.npz``; or the caller's own, of a
        `Dataset` every fifth sample being a test sample.
    data_dir : str or Path, optional
        Folder searched before ``$SENSVERIFY_DATA`` and the user's cache.

    Returns
    -------
    Dataset
        Of images the test part; of tables, which have no parts of their own, everything.

    Raises
    ------
    UnknownName
        Neither a known name nor an ``.npz`` file.
    BadData, BadShape, BackendMissing
        The data cannot be found or cannot be used.

    Examples
    --------
    >>> import sensverify as sv
    >>> data = sv.load_data("iris")
    >>> data.x.shape, data.y.shape, data.feature_range.round(1).tolist()
    ((150, 4), (150,), [3.6, 2.4, 5.9, 2.4])
    """
    entry = _entry(data)
    return read_dataset(data) if entry is None else entry.load(data_dir)


def load_split(data: Any, *, data_dir: str | Path | None = None) -> Split:
    """The training and the test part of a data set, by its name or from an ``.npz`` file.

    Parameters
    ----------
    data : str, Dataset, Split or callable
        A key of `DATA_SETS`, or the path of a file that ends in ``.npz``: with ``x_train``,
        ``y_train``, ``x_test`` and ``y_test``, or with ``x`` and ``y``, and maybe
        ``feature_range``; or the caller's own.
    data_dir : str or Path, optional
        Folder searched before ``$SENSVERIFY_DATA`` and the user's cache.

    Returns
    -------
    Split
        Samples are float32. Images come in their own parts and order. Of sets without parts every
        fifth sample is a test sample, and the training samples come in an even order (see
        `split_samples`).

    Raises
    ------
    UnknownName
        Neither a known name nor an ``.npz`` file.
    BadData, BadShape, BackendMissing
        The data cannot be found or cannot be used.

    Examples
    --------
    >>> import sensverify as sv
    >>> split = sv.load_split("iris")
    >>> len(split.train), len(split.test), split.classes
    (120, 30, 3)
    """
    entry = _entry(data)
    if entry is None:
        return read_split(data)
    split = entry.split(data_dir)
    if not entry.labels:
        return split
    # Of a file in a folder of that name that holds other classes, the names say nothing.
    labels = entry.labels if len(entry.labels) == split.classes else ()
    return replace(split, labels=labels, licence=entry.licence)


def _entry(data: Any) -> DataSet | None:
    """The entry of a name or of the caller's data; None for the path of an ``.npz`` file."""
    if not isinstance(data, str) or data in DATA_SETS:
        return DATA_SETS.find(data)
    if data.endswith(".npz"):
        return None
    error = DATA_SETS.unknown(data)
    raise UnknownName(error.problem, f"{error.remedy}, or give a file that ends in .npz")
