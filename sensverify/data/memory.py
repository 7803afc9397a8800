"""Data in a caller's memory: arrays, tensors, tables, a pair of these, batches of a loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sensverify.data.columns import find_label
from sensverify.data.dataset import Dataset
from sensverify.data.named import is_named
from sensverify.data.objects import NAME, OFFERED, adopt
from sensverify.data.split import Split
from sensverify.errors import BadData, BadSetting


def given_data(x: Any, y: Any = None) -> Any:
    """Samples and their labels as a `Dataset`; what has its own labels or a name stays as it is.

    Parameters
    ----------
    x : array, tensor, table, pair, loader, str, Path, Dataset, Split or callable
        As `load_data` takes it, or an iterator of batches ``(x, y)``; of a network with several
        inputs a mapping with an array for each. Integers become float32, as those of files do.
    y : array, tensor or column, optional
        ``[samples]``, also names of classes, or ``[samples, classes]``; beside samples alone.

    Returns
    -------
    Dataset or Split; or x where it is a str, a mapping, a Dataset, a Split or a function

    Raises
    ------
    BadSetting
        Labels are given twice.
    BadData, BadShape
        What is given holds no numbers, or no samples.
    """
    if is_named(x):
        return x if y is None else {**x, "y": y}
    whole = isinstance(x, str | Path | Dataset | Split) or callable(x)
    alone = isinstance(x, list) or hasattr(x, "__array__")
    if y is not None and not alone:
        raise BadSetting("labels are given twice: the data have their own", "leave `y` out")
    if y is not None and hasattr(x, "columns"):
        names = [str(each) for each in x.columns]
        place = find_label(names, None, f"data '{NAME}'")
        if place is not None:
            raise BadSetting(
                f"labels are given twice: as `y`, and as column '{names[place]}' of the samples",
                "leave `y` out, or drop that column",
            )
    if whole:
        return str(x) if isinstance(x, Path) else x
    found = adopt(x if y is None else (x, y), NAME)
    if found is None:
        raise BadData(f"{type(x).__name__} holds no samples", f"give {OFFERED}")
    return found


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
