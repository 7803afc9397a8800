"""Samples: which of some data, with which labels, as classifiers are judged on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.tensors import flattened
from sensverify.core.digests import sha256_of_arrays
from sensverify.data import Dataset
from sensverify.data.dataset import image_kind, narrowed
from sensverify.data.labels import class_labels, holds_labels
from sensverify.data.split import even_order
from sensverify.errors import BadData, BadShape
from sensverify.network import Network

_PIXELS = 16
"""Fewer features are hardly an image."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples, their labels, and where in some data they are from.

    Parameters
    ----------
    name : str
        Of the data.
    x : numpy array, shape ``[samples, *shape]``, floating
    y : numpy array or None, shape ``[samples]``, int64
        The labels, where there are any.
    places : numpy array, shape ``[samples]``
        Their numbers in the part of the data that they are taken from, from 0.
    available : int
        How many that part has.
    feature_range : numpy array or None, shape ``[*shape]``
        Over the training samples.
    clip : (low, high) or None
        The range that the data have by their nature.
    note : str or None
        What was guessed of the data, what their classes are called, and what is to be said of
        labels that are none.
    classes : tuple of str
        What they are called; empty where nobody says.
    chosen : str
        In words, which samples these are; empty where nobody says.
    train : Samples or None
        Training samples beside them.
    """

    name: str
    x: np.ndarray
    y: np.ndarray | None
    places: np.ndarray
    available: int
    feature_range: np.ndarray | None = None
    clip: tuple[float, float] | None = None
    note: str | None = None
    classes: tuple[str, ...] = ()
    chosen: str = ""
    train: Samples | None = None

    @classmethod
    def of(
        cls,
        data: Dataset,
        outputs: int,
        *,
        part: str = "data",
        needed_by: str = "",
        shape: tuple[int, ...] | None = None,
    ) -> Samples:
        """All samples of some data, with the labels of `find_labels`.

        Parameters
        ----------
        data : Dataset
        outputs : int
            Of the network.
        part, needed_by : str
            Which part of the data it is, and who cannot do without labels, for messages.
        shape : tuple of int, optional
            Of a sample, in float32; default: samples stay as they are.

        Raises
        ------
        BadData
            As of `find_labels`; or a value does not fit float32.
        """
        y, left_out = find_labels(data.y, outputs, f"{part} '{data.name}'", needed_by=needed_by)
        note = "; ".join(filter(None, (*data.remarks, left_out, _units(data.x)))) or None
        x, ranges = data.x, data.feature_range
        if shape is not None:
            x = narrowed(data).reshape(len(data), *shape)
            ranges = None if ranges is None else ranges.reshape(shape)
        places = np.arange(len(data))
        return cls(data.name, x, y, places, len(data), ranges, data.clip, note)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, chosen: slice | np.ndarray) -> Samples:
        """Some of the samples."""
        y = None if self.y is None else self.y[chosen]
        return replace(self, x=self.x[chosen], y=y, places=self.places[chosen])

    @property
    def labels(self) -> np.ndarray:
        """The labels of samples that have some, ``[samples]``, int64."""
        assert self.y is not None, "whoever needs labels has asked for them"
        return self.y

    def tensors(
        self, device: torch.device | str = "cpu", shape: tuple[int, ...] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The samples, in some shape each, and their labels on a device."""
        x = self.x if shape is None else self.x.reshape(len(self), *shape)
        made = [
            torch.from_numpy(np.ascontiguousarray(each)).to(device) for each in (x, self.labels)
        ]
        return made[0], made[1]

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """``(channels, rows, columns)`` where a sample is a grey or an RGB image, else None."""
        shape = self.x.shape[1:]
        return shape if len(shape) == 3 and image_kind(shape) else None

    @property
    def only_class(self) -> int | None:
        """The label that all samples have, where that is so."""
        first = int(self.labels[0])
        return first if (self.labels == first).all() else None

    def every_class(self, names: Sequence[str], outputs: int) -> tuple[str, ...]:
        """Names of the classes, of each of which there is a sample.

        Parameters
        ----------
        names : sequence of str
            As many as there are outputs; others are not theirs, and numbers stand for them.
        outputs : int
            Of the network.

        Raises
        ------
        BadData
            A class has no sample.
        """
        there = set(self.labels.tolist())
        classes = tuple(names) if len(names) == outputs else tuple(map(str, range(outputs)))
        absent = [name for label, name in enumerate(classes) if label not in there]
        if absent:
            raise BadData(
                f"`per_class` is about every class, and of class {', '.join(absent[:5])} there is "
                f"no sample among the {len(self)}",
                "give more samples, or leave `per_class` out",
            )
        return classes

    @property
    def digest(self) -> str:
        """SHA-256 of the samples and their labels."""
        return sha256_of_arrays(self.x, self.y)


def _units(x: np.ndarray) -> str:
    """A warning about pixels that nobody has divided by 255; empty where there are none."""
    low, high = float(x.min()), float(x.max())
    pixels = prod(x.shape[1:]) >= _PIXELS and low >= 0 and 1 < high <= 255
    if not pixels or not (x == np.rint(x)).all():
        return ""
    return f"samples are whole numbers from {low:g} to {high:g}, and radii are in these units"


def find_labels(
    y: np.ndarray | None, outputs: int, what: str, *, needed_by: str = ""
) -> tuple[np.ndarray | None, str | None]:
    """The labels of some data as class numbers, and what to say of a y that holds none.

    Parameters
    ----------
    y : numpy array or None
    outputs : int
        Of the network.
    what : str
        Name of their source, for messages.
    needed_by : str
        Who cannot do without, for messages; nobody: what holds no labels is left out.

    Raises
    ------
    BadData
        A label is no class of the network; or there are none where they are needed.
    """
    if needed_by and y is None:
        raise BadData(
            f"{what} has no labels y, and {needed_by} needs them", "add the array y to the file"
        )
    # With one output there is nothing to be the largest of: y is the target of a regression.
    if y is None or (outputs < 2 and not needed_by):
        return None, None
    if not needed_by and not holds_labels(y):
        kind = f"{y.dtype} of shape {y.shape}"
        return None, f"y of {what} ({kind}) holds targets and no labels; it is left out"
    return class_labels(y, outputs, what), None


def spread(count: int, wanted: int) -> np.ndarray:
    """Places that are even everywhere; those of fewer samples are among those of more.

    In steps of the golden section, as plain equal steps may fall in with classes that take turns.
    """
    return np.sort(even_order(count)[:wanted])


def labelled_samples(network: Network, x: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Samples in float32 and labels in int64 on their device, as a classifier takes them.

    Parameters
    ----------
    network : Network
    x : array or tensor, shape ``[samples, *network.input_shape]``
    y : array or tensor of whole numbers, shape ``[samples]``

    Raises
    ------
    BadShape
        The shapes do not fit, the network has fewer than two outputs, or labels are no integers.
    BadData
        There are no samples, a sample is not finite, or a label is no class.
    """
    x = torch.as_tensor(x).detach().float()
    y = torch.as_tensor(y).detach().to(x.device)
    classes = prod(network.output_shape)
    if classes < 2:
        raise BadShape(f"classes are told apart by two or more outputs; the network has {classes}")
    if tuple(x.shape[1:]) != network.input_shape or y.shape != x.shape[:1]:
        raise BadShape(
            f"the network takes samples of shape {network.input_shape} with one label each; got x "
            f"of shape {tuple(x.shape)} and y of shape {tuple(y.shape)}"
        )
    if y.dtype.is_floating_point or y.dtype.is_complex or y.dtype == torch.bool:
        raise BadShape(f"labels are whole numbers from 0, got {y.dtype}")
    if len(x) == 0:
        raise BadData("there are no samples to measure anything on")
    finite = torch.isfinite(flattened(x)).all(dim=1)
    if not bool(finite.all()):
        raise BadData(f"sample {int((~finite).nonzero()[0])} holds NaN or infinity")
    outside = (y < 0) | (y >= classes)
    if bool(outside.any()):
        first = int(outside.nonzero()[0])
        raise BadData(
            f"sample {first} has the label {int(y[first])}; the network's {classes} outputs are "
            f"the classes 0 to {classes - 1}"
        )
    return x, y.long()
