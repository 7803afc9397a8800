"""Samples: which of some data, with which labels, as classifiers are judged on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.tensors import flattened
from sensverify.core.digests import sha256_of_arrays
from sensverify.data import Dataset, Split, load_data, load_split, read_dataset
from sensverify.data.catalog import comes_in_parts, find_file
from sensverify.data.dataset import image_kind, narrowed
from sensverify.data.labels import are_other_numbers, are_positions, class_labels, holds_labels
from sensverify.data.split import even_order
from sensverify.errors import BadData, BadSetting, BadShape
from sensverify.models.loading import LoadedModel
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


Part = Literal["test", "train", "all"]
"""A part of some data: what they are tested on, what they are trained on, or both."""


class Source(NamedTuple):
    """The data that questions are about, their training part, and what their classes are called.

    ``part`` of them the data are; None where they have no parts.
    """

    data: Dataset
    train: Dataset | None = None
    classes: tuple[str, ...] = ()
    part: Part | None = None


def find_source(
    asked: Any,
    models: Sequence[LoadedModel],
    *,
    data_dir: Path | None = None,
    part: Part | None = None,
    beside: str = "sample beside the model",
    remedy: str = "give `data=NAME` or a file",
) -> Source:
    """The data that are asked for; where nobody asks for any, the sample beside the models.

    Parameters
    ----------
    asked : str, Path, object or None
        As `load_data` takes it.
    models : sequence of LoadedModel
    data_dir : Path, optional
    part : str, optional
        Default: the test part wherever there are parts, also of named sets that come without; all
        of a caller's own data set or file without parts, and of what has no labels to be split by.
    beside, remedy : str
        What the sample beside a model is called, and what to do where there is none.

    Raises
    ------
    SensverifyError
        There are no such data, or not that part of them; or nobody says which, or cards disagree
        about them.
    """
    named = next((model.class_names for model in models if model.class_names), ())
    if asked is None:
        if part not in (None, "test"):
            raise BadSetting("the samples beside a model are test samples", "give `data`")
        return Source(_beside(models, beside, remedy), classes=named)
    if part is None and not comes_in_parts(asked):
        data = _as_taken(models, load_data(asked, data_dir=data_dir))
        return Source(data, classes=data.classes or named)
    try:
        split = load_split(asked, data_dir=data_dir)
    except BadData:
        whole = load_data(asked, data_dir=data_dir)
        if part is not None or (whole.y is not None and holds_labels(whole.y)):
            raise
        file = find_file(asked)
        parted = file is not None and file.in_parts
        whole = _turned(models, whole)
        return Source(whole, classes=named, part="test" if parted else None)
    train = _as_taken(models, split.train)
    classes = train.classes or split.labels or named
    if part == "train":
        return Source(train, None, classes, part)
    if part == "all":
        whole = _together(load_data(asked, data_dir=data_dir), split)
        return Source(_as_taken(models, whole), None, classes, part)
    test = replace(_as_taken(models, split.test), feature_range=train.feature_range)
    return Source(test, train, classes, "test")


def _as_taken(models: Sequence[LoadedModel], data: Dataset) -> Dataset:
    """The data with the axes and the labels that the models have."""
    return _numbered_as(models, _turned(models, data))


def _turned(models: Sequence[LoadedModel], data: Dataset) -> Dataset:
    """Images with their channels last, where all of the models take them so."""
    shapes = {model.network.input_shape for model in models}
    return data.taken_by(*shapes) if len(shapes) == 1 else data


def _numbered_as(models: Sequence[LoadedModel], data: Dataset) -> Dataset:
    """The data with labels as the numbers of the models' outputs, by the names of the classes."""
    orders: dict[tuple[str, ...], str] = {}
    for model in models:
        names, outputs = model.class_names, prod(model.network.output_shape)
        # Where a card has nothing but numbers, names say more.
        if names and not (are_positions(names) and not set(data.classes) <= set(names)):
            orders.setdefault(names, model.name)
        elif outputs > 1 and len(data.classes) not in (0, outputs):
            raise BadData(
                f"data '{data.name}' has {len(data.classes)} classes by name, and '{model.name}' "
                f"has {outputs} outputs without names",
                f"give class numbers from 0 to {outputs - 1}, or samples of every class",
            )
    if data.classes and not orders and any(prod(m.network.output_shape) > 1 for m in models):
        guess = "the network does not name its classes: they are taken in this order"
        data = replace(data, notes=(*data.notes, guess))
    by_name = bool(data.classes) or any(map(are_other_numbers, orders))
    if by_name and len(orders) > 1:
        raise BadSetting(
            f"{' and '.join(orders.values())} have their classes in different orders, and data "
            f"'{data.name}' name them",
            "evaluate them one by one",
        )
    for names, whose in orders.items():
        data = data.named(names, f"'{whose}'")
    return data


def _together(loaded: Dataset, split: Split) -> Dataset:
    """All samples: in their own order where they are published in one, else training ones first."""
    if len(loaded) == len(split.train) + len(split.test):
        return loaded
    parts = split.train, split.test
    x, y = (np.concatenate([getattr(part, name) for part in parts]) for name in "xy")
    return replace(split.train, x=x, y=y)


def _beside(models: Sequence[LoadedModel], beside: str, remedy: str) -> Dataset:
    found = []
    for model in models:
        if model.card is None or model.sample is None:
            raise BadData(f"model '{model.name}' has no card that names its data", remedy)
        found.append((model.name, model.card, model.sample))
    first, card, sample = found[0]
    for other, its, _ in found[1:]:
        if its.sample_sha256 != card.sample_sha256:
            raise BadSetting(
                f"'{first}' and '{other}' have different samples beside them, and networks are "
                "compared on the same ones",
                "give `data`",
            )
    return read_dataset(sample, name=f"{card.data} ({beside})")


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
