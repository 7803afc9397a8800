"""Samples, their labels and the range of every feature."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from sensverify.core.brief import count_of, span
from sensverify.data.labels import (
    are_other_numbers,
    holds_labels,
    is_text,
    mapping_text,
    numbers_of,
    one_column,
    sorted_names,
    words_of,
)
from sensverify.errors import BadData, BadShape
from sensverify.network.order import same_order

NHWC = "; of a file, 'FILE(nhwc)' does so"
"""The end of a remedy for images whose channels come last."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples as a network takes them.

    Parameters
    ----------
    name : str
        Name of the data in messages and reports.
    x : numpy array, shape ``[samples, *features]``, floating
        In the units the network was trained on.
    y : numpy array or None, shape ``[samples]`` or ``[samples, outputs]``
        Class numbers from 0, also as rows with a single 1; or targets of a regression. See
        `class_labels` and `holds_labels`. Names of classes become their positions in ``classes``.
    feature_range : numpy array or None, shape ``[*features]``
        Largest minus smallest value of each feature over the training part, in the units of x;
        a radius given as sigma is ``sigma * feature_range``.
    clip : (low, high) or None
        The range valid samples have by their nature, e.g. pixels. Information only: nothing is
        clipped to it unless someone asks.
    classes : tuple of str
        Names of the classes, in the order of the class numbers; empty where nobody says. Default,
        where y holds names: these names, sorted.
    notes : tuple of str
        Whatever was guessed when the data were read.
    images : bool
        Whether samples are known to be images ``[channels, rows, columns]``, not by their shape
        alone.

    Raises
    ------
    BadData
        There are no samples, a value is NaN or infinite, a range is negative, or a name is no
        class.
    BadShape
        Labels or ranges do not fit the samples.
    """

    name: str
    x: np.ndarray
    y: np.ndarray | None = None
    feature_range: np.ndarray | None = None
    clip: tuple[float, float] | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    images: bool = False

    def __post_init__(self) -> None:
        if self.y is not None and is_text(self.y):
            self._number_labels(one_column(self.y))
        x, y, spread = self.x, self.y, self.feature_range
        # No more than a batch axis: every sample is one number.
        if x.ndim < 1 or not np.issubdtype(x.dtype, np.floating):
            raise BadShape(
                f"data '{self.name}': x needs floating-point numbers of shape "
                f"[samples, features...], got {x.dtype} of shape {x.shape}"
            )
        if x.size == 0:
            raise BadData(f"data '{self.name}': x of shape {x.shape} holds no samples")
        finite = np.isfinite(x.reshape(len(x), -1)).all(axis=1)
        if not finite.all():
            raise BadData(f"data '{self.name}': sample {int(finite.argmin())} has NaN or infinity")
        if y is not None and (y.ndim not in (1, 2) or len(y) != len(x)):
            raise BadShape(
                f"data '{self.name}': y needs one label for each of the {len(x)} samples, "
                f"got shape {y.shape}"
            )
        if spread is not None and spread.shape != x.shape[1:]:
            raise BadShape(
                f"data '{self.name}': feature_range needs the shape {x.shape[1:]} of one sample, "
                f"got {spread.shape}"
            )
        if spread is not None and not (np.isfinite(spread) & (spread >= 0)).all():
            raise BadData(f"data '{self.name}': feature_range must be finite and at least 0")

    def _number_labels(self, y: np.ndarray) -> None:
        """Put class numbers in the place of names."""
        what = f"data '{self.name}'"
        if y.ndim != 1:
            raise BadShape(f"{what}: names of classes need one column, got shape {y.shape}")
        words = words_of(y, what)
        classes = self.classes or sorted_names(words)
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "y", numbers_of(words, classes, what, "the data"))

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        samples = f"{count_of(len(self), 'sample')} of shape {self.x.shape[1:]}, {self.x.dtype}"
        what = "no labels"
        if self.y is not None:
            what = f"targets of shape {self.y.shape[1:]}"
            if holds_labels(self.y):
                y = one_column(self.y)
                what = count_of(y.shape[1] if y.ndim > 1 else len(np.unique(y)), "class", "classes")
        return f"Dataset({self.name}: {samples}, values {span(self.x)}, {what})"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Whatever was guessed, and the class numbers of names."""
        return (*self.notes, *([mapping_text(self.classes)] if self.classes else []))

    def named(self, classes: tuple[str, ...], whose: str) -> Dataset:
        """The same samples, with labels as positions among the names of a network's classes.

        Labels without names stay as they are, unless the names are whole numbers other than their
        positions: then labels are these numbers, as the classes 3, 5 and 7 of scikit-learn are.

        Parameters
        ----------
        classes : tuple of str
            In the order of the network's outputs.
        whose : str
            Name of the network, for messages.

        Raises
        ------
        BadData
            A label's name is no class of the network.
        """
        y, what = self.y, f"data '{self.name}'"
        if y is None or classes == self.classes:
            return self
        if self.classes:
            words = [self.classes[number] for number in y.tolist()]
        elif are_other_numbers(classes) and y.ndim == 1 and holds_labels(y):
            words = [str(int(number)) for number in y.tolist()]
        else:
            return self
        return replace(self, y=numbers_of(words, classes, what, whose), classes=classes)

    def channels_first(self) -> Dataset:
        """Images ``[rows, columns, channels]`` as ``[channels, rows, columns]``.

        Raises
        ------
        BadShape
            Samples do not have three axes.
        """
        if self.x.ndim != 4:
            raise BadShape(
                f"data '{self.name}': samples of shape {self.x.shape[1:]} are no images with "
                "their channels last",
                "leave `nhwc` out",
            )
        spread = self.feature_range
        x = np.ascontiguousarray(np.moveaxis(self.x, -1, 1))
        turned = None if spread is None else np.moveaxis(spread, -1, 0)
        return replace(self, x=x, feature_range=turned, images=True)

    def taken_by(self, input_shape: tuple[int, ...]) -> Dataset:
        """Images with their channels last, where a network takes them so; others as they are."""
        channels, *pixels = given = self.x.shape[1:]
        if not self.images or same_order(input_shape, given) or input_shape != (*pixels, channels):
            return self
        spread = self.feature_range
        return replace(
            self,
            x=np.ascontiguousarray(np.moveaxis(self.x, 1, -1)),
            feature_range=None if spread is None else np.moveaxis(spread, 0, -1),
            images=False,
            notes=(*self.notes, "images have their channels last, as the network takes them"),
        )

    def select(self, start: int | None, stop: int | None) -> Dataset:
        """The samples ``start`` (counted from 0) up to but without ``stop``.

        Raises
        ------
        BadData
            The range is empty or reaches outside of the data.
        """
        first, last = check_range(start, stop, len(self), f"data '{self.name}'")
        y = None if self.y is None else self.y[first:last]
        return replace(self, x=self.x[first:last], y=y)

    def shaped(self, input_shape: tuple[int, ...]) -> Dataset:
        """The same numbers, in row-major order, in the shape a network takes.

        Raises
        ------
        BadShape
            A sample does not hold as many numbers as the network takes, or has its axes in another
            order, as an image with its channels first where the network takes them last.
        """
        if self.x.shape[1:] == input_shape:
            return self
        check_fits(self, input_shape, "the network")
        spread = self.feature_range
        return replace(
            self,
            x=self.x.reshape(len(self), *input_shape),
            feature_range=None if spread is None else spread.reshape(input_shape),
        )


def check_fits(data: Dataset, input_shape: tuple[int, ...], receiver: str) -> None:
    """Refuse data that a network cannot take.

    Parameters
    ----------
    data : Dataset
    input_shape : tuple of int
        Shape of the network's input.
    receiver : str
        Name of the network, for the message.

    Raises
    ------
    BadShape
        A sample holds more or fewer numbers, or has its axes in another order.
    """
    given = data.x.shape[1:]
    if prod(given) != prod(input_shape):
        kinds, remedy = (image_kind(given), image_kind(input_shape)), "give data of that shape"
        if len(given) == 1 and given[0] == prod(input_shape) + 1:
            remedy = "drop the column that is no feature"
            if data.y is None:
                remedy += ", or, where it holds the labels, say which: 'FILE(label=NAME)', or "
                remedy += "'FILE(label=last)' for the last one"
        if all(kinds) and {given[0], input_shape[0]} == {1, 3}:
            remedy = "convert the images, or take a network that was trained on such"
        raise BadShape(
            f"data '{data.name}' has {kinds[0] or f'samples of shape {given}'}, but {receiver} "
            f"takes {kinds[1] or f'inputs of shape {input_shape}'}",
            remedy,
        )
    check_order(input_shape, given, receiver, f"data '{data.name}'")


def image_kind(shape: tuple[int, ...]) -> str:
    """The kind of image that a sample of some shape is, in words; empty where it is none."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        return ""
    return f"{'grey' if shape[0] == 1 else 'RGB'} images of {shape[1]} x {shape[2]}"


def check_order(
    input_shape: tuple[int, ...], sample_shape: tuple[int, ...], receiver: str, origin: str
) -> None:
    """Refuse samples whose numbers a network would take in another order.

    Axes of length 1, and samples that are one long row on either side, leave no doubt about it.

    Parameters
    ----------
    input_shape, sample_shape : tuple of int
        Shape of a network's input, and of a sample.
    receiver, origin : str
        Names of the network and of the data, for the message.

    Raises
    ------
    BadShape
        As channels first given to a network that takes them last.
    """
    if same_order(input_shape, sample_shape):
        return
    remedy = "give samples of that shape"
    axes = [length for length in sample_shape if length > 1]
    if sorted(axes) == sorted(length for length in input_shape if length > 1):
        remedy = "move the axes of the samples"
        if len(sample_shape) == len(input_shape):
            remedy += f": {_transposition(sample_shape, input_shape)}"
            if len(sample_shape) == 3 and input_shape == (sample_shape[-1], *sample_shape[:-1]):
                remedy += NHWC
    raise BadShape(
        f"{receiver} takes inputs of shape {input_shape}, and {origin} has them in the shape "
        f"{sample_shape}: as many numbers in another order",
        remedy,
    )


def check_channels_first(shape: tuple[int, ...], receiver: str) -> None:
    """Refuse images whose channels come last, where a network is made for the data's shape.

    Nothing but the shape tells: one, three or four channels last, and more rows and columns.

    Parameters
    ----------
    shape : tuple of int
        Shape of a sample.
    receiver : str
        Name of the network, for the message.

    Raises
    ------
    BadShape
    """
    if len(shape) != 3 or shape[2] not in (1, 3, 4) or min(shape[:2]) <= 4:
        return
    rows, columns, channels = shape
    raise BadShape(
        f"{receiver} takes images of shape [channels, rows, columns], and samples of shape {shape} "
        f"look like {rows} x {columns} images with their {channels} channels last",
        f"move the axes of the samples: {_transposition(shape, (channels, rows, columns))}{NHWC}",
    )


def _transposition(sample_shape: tuple[int, ...], input_shape: tuple[int, ...]) -> str:
    """Numpy expression that reorders the axes of samples; axes of one length keep their order."""
    left = list(range(len(sample_shape)))
    order = [0]
    for length in input_shape:
        axis = next(axis for axis in left if sample_shape[axis] == length)
        left.remove(axis)
        order.append(axis + 1)
    return f"x.transpose({', '.join(map(str, order))})"


def check_range(start: int | None, stop: int | None, count: int, what: str) -> tuple[int, int]:
    """The range with its open ends filled in.

    Raises
    ------
    BadData
        The range is empty or reaches outside of ``0:count``.
    """
    first = 0 if start is None else start
    last = count if stop is None else stop
    if not 0 <= first < last <= count:
        raise BadData(
            f"samples {first}:{last} are out of range: {what} has {count} samples, "
            f"so give A:B with 0 <= A < B <= {count}"
        )
    return first, last


def narrowed(data: Dataset, part: str = "") -> np.ndarray:
    """The samples in float32.

    Parameters
    ----------
    data : Dataset
    part : str
        Which part of the data it is, and a space, for the message.

    Raises
    ------
    BadData
        A value does not fit.
    """
    with np.errstate(over="ignore"):
        x = data.x.astype(np.float32, copy=False)
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        raise BadData(
            f"data '{data.name}': {part}sample {int(finite.argmin())} has a value that does not "
            "fit float32, up to 3.4e38"
        )
    return x


def value_range(x: np.ndarray) -> np.ndarray:
    """Largest minus smallest value of every feature of ``[samples, *features]``, float64."""
    return x.max(axis=0).astype(np.float64) - x.min(axis=0)
