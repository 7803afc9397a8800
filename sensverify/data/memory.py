"""Data in a caller's memory: arrays, tensors, tables, a pair of these, batches of a loader."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.data.dataset import Dataset, one_column
from sensverify.data.files import floating
from sensverify.data.split import Split
from sensverify.errors import BadData, BadSetting

NAME = "given samples"
"""Name of data that have no other, in messages and reports."""


def given_data(x: Any, y: Any = None) -> Any:
    """Samples and their labels as a `Dataset`; what has its own labels or a name stays as it is.

    Parameters
    ----------
    x : array, tensor, table, pair, loader, str, Path, Dataset, Split or callable
        ``[samples, *features]``, also a table of pandas; a pair ``(x, y)``; what gives batches
        ``(x, y)``, as a ``DataLoader`` or a data set of torch does; or what `load_data` takes.
        Integers become float32, as those of files do.
    y : array, tensor or column, optional
        ``[samples]`` or ``[samples, classes]``, beside samples without labels.

    Returns
    -------
    Dataset, or x where it is a str, a Dataset, a Split or a function

    Raises
    ------
    BadSetting
        Labels are given twice.
    BadData, BadShape
        What is given holds no numbers, or no samples.
    """
    whole = isinstance(x, str | Path | Dataset | Split) or callable(x)
    pair = isinstance(x, tuple) and len(x) == 2
    if y is not None and (whole or pair or _gives_batches(x)):
        raise BadSetting("labels are given twice: the data have their own", "leave `y` out")
    if whole:
        return str(x) if isinstance(x, Path) else x
    if pair:
        x, y = x
    elif _gives_batches(x):
        x, y = _together(x)
    samples = floating(_numbers(x, "samples"))
    return Dataset(NAME, samples, None if y is None else one_column(_numbers(y, "labels")))


def data_beside(data: Any, x: Any, y: Any) -> Any:
    """The data of a question: those that its setting ``data`` names, or samples beside it.

    Raises
    ------
    BadSetting
        There are both, or labels without samples.
    """
    if x is None:
        if y is not None:
            raise BadSetting("there are labels `y` without samples", "give the samples `x`, too")
        return data
    if data is not None:
        raise BadSetting("samples are given twice", "give them as `x` or as `data`, not both")
    return given_data(x, y)


def _gives_batches(x: Any) -> bool:
    """True for what is no array, and is gone through batch by batch, or sample by sample."""
    if hasattr(x, "dtype") or hasattr(x, "__array__") or isinstance(x, list | tuple):
        return False
    return isinstance(x, Iterable) or hasattr(x, "__getitem__")


def _together(batches: Iterable[Any]) -> tuple[Any, Any]:
    """All samples and labels of a loader."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise BadData(
                f"a loader gives pairs of samples and labels, got {type(batch).__name__}",
                "give the samples and labels as arrays",
            )
        x, y = (_numbers(part, "a batch") for part in batch)
        # A data set gives one sample, and its label as one number.
        found.append((x, y) if y.ndim else (x[None], y[None]))
    if not found:
        raise BadData("the loader gives no batch, so there are no samples")
    samples, labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return samples, labels


def _numbers(values: Any, what: str) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    try:
        found = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise BadData(f"{what} are no array of numbers: {error}") from None
    if found.dtype.kind not in "biuf":
        raise BadData(
            f"{what} need numbers, got {found.dtype} of shape {found.shape}",
            "encode texts and categories as numbers first",
        )
    return found
