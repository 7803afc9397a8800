"""The data sets that have a name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sensverify.data.dataset import Dataset
from sensverify.data.files import read_dataset
from sensverify.data.images import has_idx_set, load_idx_set
from sensverify.data.tables import load_table, tables_installed
from sensverify.errors import UnknownName

Loader = Callable[[str | Path | None], Dataset]


@dataclass(frozen=True)
class CatalogEntry:
    """A named data set: what it is, whether it is here, and the function that loads it."""

    description: str
    available: Callable[[str | Path | None], bool]
    load: Loader


def _table(name: str, description: str) -> CatalogEntry:
    return CatalogEntry(description, lambda data_dir: tables_installed(), partial(load_table, name))


def _images(name: str, description: str, *folders: str) -> CatalogEntry:
    return CatalogEntry(
        description, partial(has_idx_set, folders), partial(load_idx_set, name, folders)
    )


DATA_SETS: dict[str, CatalogEntry] = {
    "breast-cancer": _table("breast-cancer", "569 tumours, 30 measurements, 2 classes"),
    "digits": _table("digits", "1,797 images of 8 x 8, 10 classes"),
    "fashion-mnist": _images(
        "fashion-mnist",
        "test images of clothes, 28 x 28, 10 classes",
        "fashion_mnist",
        "fashion-mnist",
    ),
    "iris": _table("iris", "150 flowers, 4 lengths, 3 classes"),
    "mnist": _images("mnist", "10,000 test images of 28 x 28, 10 classes", "mnist"),
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

    Raises
    ------
    UnknownName
        Neither a known name nor an ``.npz`` file.
    BadData, BadShape, BackendMissing
        The data cannot be found or cannot be used.
    """
    entry = DATA_SETS.get(name_or_path)
    if entry is not None:
        return entry.load(data_dir)
    if name_or_path.endswith(".npz"):
        return read_dataset(name_or_path)
    close = difflib.get_close_matches(name_or_path, DATA_SETS, n=1)
    hint = f" (did you mean '{close[0]}'?)" if close else ""
    raise UnknownName(
        f"there is no data set '{name_or_path}'{hint}; there are {', '.join(DATA_SETS)}, or give a "
        "file that ends in .npz"
    )
