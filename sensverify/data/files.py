"""A data set from an ``.npz`` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sensverify.data.dataset import Dataset
from sensverify.formats.arrays import SIZE_LIMIT, read_npz


def read_dataset(path: str | Path, *, name: str | None = None, limit: int = SIZE_LIMIT) -> Dataset:
    """The samples ``x`` of an ``.npz`` file, with ``y`` and ``feature_range`` where it has them.

    Numbers are taken as they are: nothing is rescaled. Integers become float32, float16 becomes
    float32, float32 and float64 stay.

    Raises
    ------
    BadData, BadShape
        The file cannot be read, or what it holds does not fit together.
    """
    arrays = read_npz(path, required=("x",), optional=("y", "feature_range"), limit=limit)
    y = arrays.get("y")
    if y is not None and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    spread = arrays.get("feature_range")
    return Dataset(
        name=name or str(path),
        x=floating(arrays["x"]),
        y=y,
        feature_range=None if spread is None else spread.astype(np.float64),
    )


def floating(values: np.ndarray) -> np.ndarray:
    """Native float64 for what is float64 or longer, else native float32."""
    wide = values.dtype.kind == "f" and values.dtype.itemsize >= 8
    return values.astype(np.float64 if wide else np.float32)
