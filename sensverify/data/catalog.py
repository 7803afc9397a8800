"""The data sets that have a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sensverify.data.cifar import has_cifar, load_cifar, split_cifar
from sensverify.data.dataset import Dataset
from sensverify.data.facts import FACTS
from sensverify.data.files import read_dataset, read_split
from sensverify.data.images import has_idx_set, load_idx_set, split_idx_set
from sensverify.data.split import Split
from sensverify.data.tables import load_table, split_table, tables_installed
from sensverify.errors import UnknownName
from sensverify.registry.names import did_you_mean


@dataclass(frozen=True)
class CatalogEntry:
    """A named data set.

    Parameters
    ----------
    description : str
    available : callable
        Whether it is here; takes the folder that is searched first.
    load : callable
        What `load_data` gives.
    split : callable
        What `load_split` gives.
    """

    description: str
    available: Callable[[str | Path | None], bool]
    load: Callable[[str | Path | None], Dataset]
    split: Callable[[str | Path | None], Split]


def _table(name: str, description: str) -> CatalogEntry:
    return CatalogEntry(
        description,
        lambda data_dir: tables_installed(),
        partial(load_table, name),
        partial(split_table, name),
    )


def _images(name: str, description: str, *folders: str) -> CatalogEntry:
    return CatalogEntry(
        description,
        partial(has_idx_set, folders),
        partial(load_idx_set, name, folders),
        partial(split_idx_set, name, folders),
    )


DATA_SETS: dict[str, CatalogEntry] = {
    "breast-cancer": _table("breast-cancer", "569 tumours, 30 measurements, 2 classes"),
    "cifar-10": CatalogEntry(
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
"""Every named data set: tables come with scikit-learn, images are files in `search_places`."""


def load_data(name_or_path: str, *, data_dir: str | Path | None = None) -> Dataset:
    """A data set by its name, or from an ``.npz`` file.

    Parameters
    ----------
    name_or_path : str
        A key of `DATA_SETS`, or the path of a file that ends in ``.npz``.
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
    """
    entry = _entry(name_or_path)
    return read_dataset(name_or_path) if entry is None else entry.load(data_dir)


def load_split(name_or_path: str, *, data_dir: str | Path | None = None) -> Split:
    """The training and the test part of a data set, by its name or from an ``.npz`` file.

    Parameters
    ----------
    name_or_path : str
        A key of `DATA_SETS`, or the path of a file that ends in ``.npz``: with ``x_train``,
        ``y_train``, ``x_test`` and ``y_test``, or with ``x`` and ``y``, and maybe
        ``feature_range``.
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
    """
    entry = _entry(name_or_path)
    if entry is None:
        return read_split(name_or_path)
    facts = FACTS[name_or_path]
    split = entry.split(data_dir)
    # Of a file in a folder of that name that holds other classes, the names say nothing.
    labels = facts.labels if len(facts.labels) == split.classes else ()
    return replace(split, labels=labels, licence=facts.licence)


def _entry(name_or_path: str) -> CatalogEntry | None:
    """The entry of that name; None for the path of an ``.npz`` file."""
    if name_or_path in DATA_SETS or name_or_path.endswith(".npz"):
        return DATA_SETS.get(name_or_path)
    hint = did_you_mean(name_or_path, DATA_SETS)
    raise UnknownName(
        f"there is no data set '{name_or_path}'{hint}; there are {', '.join(DATA_SETS)}, or give a "
        "file that ends in .npz"
    )
