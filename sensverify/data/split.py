"""A data set in its training and its test part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd

import numpy as np

from sensverify.data.dataset import Dataset, narrowed, value_range
from sensverify.data.labels import class_labels, first_outside, one_column, sorted_names
from sensverify.errors import BadData, BadShape

TEST_EVERY = 5
"""Step between the test samples of a set without parts of its own."""

LICENCE_UNKNOWN = "of the data's owner"


@dataclass(frozen=True, eq=False)
class Split:
    """Samples to train on and samples to test on.

    Parameters
    ----------
    train, test : Dataset
        With labels, of one sample shape; ``feature_range`` of both is that of the training part.
    classes : int
    labels : tuple of str
        Names of the classes, in order; empty where they are not known.
    licence : str
        Authors and licence of the data.
    rule : str
        Description of how the parts were made, and of anything odd about them.
    """

    train: Dataset
    test: Dataset
    classes: int
    labels: tuple[str, ...] = ()
    licence: str = LICENCE_UNKNOWN
    rule: str = ""

    def __repr__(self) -> str:
        return (
            f"Split({self.train.name}: {len(self.train)} training and {len(self.test)} test "
            f"samples of shape {self.train.x.shape[1:]}, {self.classes} classes)"
        )


def make_split(
    train: Dataset,
    test: Dataset,
    *,
    feature_range: np.ndarray | None = None,
    rule: str = "",
) -> Split:
    """The two parts, checked, with the feature range of the training part.

    Parameters
    ----------
    train, test : Dataset
    feature_range : numpy array, optional
        In place of the one taken over the training samples.
    rule : str

    Raises
    ------
    BadShape
        The samples of the parts differ in shape.
    BadData
        A part has no labels, they are not class numbers from 0, or a value is beyond float32.
    """
    train, test = _alike_named(train, test)
    if train.x.shape[1:] != test.x.shape[1:]:
        raise BadShape(
            f"data '{train.name}': training samples have shape {train.x.shape[1:]}, test samples "
            f"{test.x.shape[1:]}"
        )
    labels = [_class_numbers(part, what) for part, what in ((train, "training"), (test, "test"))]
    rows = [one_column(part.y) for part in (train, test) if part.y is not None]
    columns = {y.shape[1] for y in rows if y.ndim > 1}
    if len(columns) > 1:
        raise BadData(
            f"data '{train.name}': the labels of the training and of the test part have "
            f"{' and '.join(map(str, sorted(columns)))} columns; expected one for each class"
        )
    # A column of a class without a sample is a class, too.
    classes = max(1 + max(int(y.max()) for y in labels), *columns, len(train.classes))
    samples = len(train) + len(test)
    if not 2 <= classes <= samples:
        raise BadData(
            f"data '{train.name}': labels go up to {classes - 1} over {samples} samples; expected "
            "class numbers from 0, of at least two classes"
        )
    if feature_range is None:
        feature_range = value_range(train.x)
    first, second = (
        replace(part, x=narrowed(part, f"{what} "), y=y, feature_range=feature_range)
        for part, what, y in zip((train, test), ("training", "test"), labels, strict=True)
    )
    missing = set(range(classes)) - set(labels[0].tolist())
    if missing:
        named = ", ".join(map(str, sorted(missing)[:3])) + (", ..." if len(missing) > 3 else "")
        note = f"no training sample has the label {named} (labels are counted from 0)"
        rule = f"{rule}; {note}" if rule else note
    rule = "; ".join(filter(None, (rule, *train.remarks)))
    return Split(first, second, classes, train.classes, rule=rule)


def _alike_named(train: Dataset, test: Dataset) -> tuple[Dataset, Dataset]:
    """The two parts with the same names of classes, those of either."""
    if train.classes == test.classes:
        return train, test
    if not (train.classes and test.classes):
        raise BadData(
            f"data '{train.name}': the labels of one part are names, those of the other numbers",
            "give names, or numbers, in both",
        )
    names = sorted_names((*train.classes, *test.classes))
    whose = "either part"
    return train.named(names, whose), test.named(names, whose)


def split_samples(data: Dataset, *, feature_range: np.ndarray | None = None) -> Split:
    """The parts of a set that has none of its own: every fifth sample is a test sample.

    Test samples keep their order. Training samples are spread, always in the same way, so that
    the first and the last of them are like the rest also where the set is sorted by class.

    Parameters
    ----------
    data : Dataset
    feature_range : numpy array, optional
        In place of the one taken over the training samples.

    Raises
    ------
    BadData, BadShape
        There are fewer than five samples, or the reasons of `make_split`.
    """
    if len(data) < TEST_EVERY:
        raise BadData(
            f"data '{data.name}' has {len(data)} samples; at least {TEST_EVERY} are needed to "
            "train on some and test on others"
        )
    test = np.arange(len(data)) % TEST_EVERY == TEST_EVERY - 1
    chosen = np.flatnonzero(~test)
    chosen = chosen[even_order(len(chosen))]
    parts = (
        replace(data, x=data.x[part], y=None if data.y is None else data.y[part])
        for part in (chosen, test)
    )
    rule = "every fifth sample is a test sample"
    return make_split(*parts, feature_range=feature_range, rule=rule)


def _class_numbers(part: Dataset, what: str) -> np.ndarray:
    y = part.y
    if y is None:
        raise BadData(f"data '{part.name}': the {what} samples have no labels y")
    y = one_column(y)
    if y.ndim > 1:
        return class_labels(y, y.shape[1], f"data '{part.name}', {what} part")
    bad = first_outside(y, 2**31)
    if bad is not None:
        raise BadData(
            f"data '{part.name}': label {y[bad]} of {what} sample {bad} is no class number; "
            "expected whole numbers from 0"
        )
    return y.astype(np.int64)


def even_order(count: int) -> np.ndarray:
    """All numbers below ``count`` in steps of the golden section: any stretch of them is even.

    Arithmetic, not a random generator, whose stream a new version of numpy may change.
    """
    step = max(1, round(0.6180339887498949 * count))
    while gcd(step, count) > 1:
        step += 1
    return np.arange(count) * step % count
