"""Samples and boxes of networks with several inputs: an array for each, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sensverify.core.box import to_numpy
from sensverify.data.dataset import Dataset
from sensverify.data.labels import listed, one_column
from sensverify.data.npz import array_names, floating
from sensverify.data.objects import NAME
from sensverify.errors import BadData
from sensverify.formats.arrays import read_npz
from sensverify.network.signature import Signature

ENDS = ("lower", "upper")
"""Names of the arrays of a file of boxes; of each input, behind its name and a point."""


def is_named(data: Any) -> bool:
    """Whether data are arrays by name, one for each input."""
    return isinstance(data, Mapping) and not {"train", "test"} <= data.keys()


def named_data(data: Any, signature: Signature | None) -> Any:
    """Samples with an array for each input as one data set; anything else stays as it is.

    Parameters
    ----------
    data : object
        A mapping of arrays by the names of inputs, maybe with labels ``y``; or the path of an
        ``.npz`` file that holds such arrays.
    signature : Signature or None
        Of the network; None where it has one input and one output.

    Raises
    ------
    BadData, BadShape
        An input has no array, or one that does not fit it.
    """
    if is_named(data):
        if signature is None:
            raise BadData(
                f"samples are given by the names {listed(sorted(map(str, data)))}, and the network "
                "has one input",
                "give the samples alone",
            )
        arrays = {str(name): np.asarray(to_numpy(values)) for name, values in data.items()}
        return _dataset(NAME, arrays, signature)
    if signature is None or not isinstance(data, str | Path) or Path(data).suffix != ".npz":
        return data
    held, names = array_names(data), [port.name for port in signature.inputs]
    if not held or (not held.intersection(names) and "x" in held):
        # No such file, which reading says; or all inputs in one array.
        return data
    beside = () if "y" in names else ("y",)
    return _dataset(str(data), read_npz(data, required=names, optional=beside), signature)


def read_box(path: str, signature: Signature | None) -> dict[str, np.ndarray]:
    """The arrays ``lower``, ``upper`` and maybe ``y`` of a file of boxes.

    Of several inputs they may be ``NAME.lower`` and ``NAME.upper`` for each.

    Raises
    ------
    BadData, BadShape
        The file cannot be used, or lacks an end.
    """
    held = array_names(path)
    if signature is None or not held or held.issuperset(ENDS):
        return read_npz(path, required=ENDS, optional=("y",))
    names = [f"{port.name}.{end}" for port in signature.inputs for end in ENDS]
    arrays = read_npz(path, required=names, optional=("y",))
    found = {key: value for key, value in arrays.items() if key == "y"}
    for end in ENDS:
        own = {port.name: arrays[f"{port.name}.{end}"] for port in signature.inputs}
        found[end] = signature.joined(own, what=f"'{path}' ({end})")
    return found


def _dataset(name: str, arrays: Mapping[str, np.ndarray], signature: Signature) -> Dataset:
    x = signature.joined(arrays, what=f"'{name}'")
    # An input of that name is none.
    own = any(port.name == "y" for port in signature.inputs)
    labels = None if own else arrays.get("y")
    return Dataset(name, floating(x), None if labels is None else one_column(labels))
