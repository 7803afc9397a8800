"""Data that questions are about: those that are asked for, or the sample beside the models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from sensverify.data import Dataset, Split, load_data, load_split, read_dataset
from sensverify.data.catalog import comes_in_parts, find_file
from sensverify.data.labels import are_other_numbers, are_positions, holds_labels
from sensverify.errors import BadData, BadSetting
from sensverify.models.loading import LoadedModel

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
