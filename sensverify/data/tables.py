"""The small data sets that come with scikit-learn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from sensverify.data.dataset import Dataset, value_range
from sensverify.data.split import Split, split_samples
from sensverify.errors import BackendMissing, missing

_LOADERS = {
    "iris": "load_iris",
    "digits": "load_digits",
    "breast-cancer": "load_breast_cancer",
    "wine": "load_wine",
}


def missing_table(name: str, data_dir: str | Path | None = None) -> BackendMissing | None:
    """The error of a set without scikit-learn, which is not imported to find out."""
    if importlib.util.find_spec("sklearn") is not None:
        return None
    return missing("scikit-learn", "data", f"data set '{name}'")


def load_table(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Every sample of the set, in its published order.

    Iris, breast cancer and wine keep their units. Digits are pixels divided by 16, in [0, 1], of
    shape ``[1, 8, 8]``. These sets have no training part of their own, so ``feature_range`` is
    taken over all samples, as seed 001, section 4.2, does for Iris.

    Raises
    ------
    BackendMissing
        scikit-learn is not installed.
    """
    error = missing_table(name)
    if error is not None:
        raise error
    from sklearn import datasets

    bunch = getattr(datasets, _LOADERS[name])()
    x, y = np.asarray(bunch.data, dtype=np.float64), np.asarray(bunch.target, dtype=np.int64)
    clip = None
    if name == "digits":
        x, clip = (x / 16).reshape(-1, 1, 8, 8), (0.0, 1.0)
    return Dataset(name, x.astype(np.float32), y, value_range(x), clip)


def split_table(name: str, data_dir: str | Path | None = None) -> Split:
    """The samples of `load_table` in two parts, with the feature range of the training part.

    Raises
    ------
    BackendMissing
        scikit-learn is not installed.
    """
    return split_samples(load_table(name, data_dir))
