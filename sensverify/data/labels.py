"""Labels: class numbers of any type, rows with a single 1, and names of classes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import numpy as np

from sensverify.errors import BadData
from sensverify.registry.names import did_you_mean

_SHOWN = 10
"""Names that a text lists at most."""


def is_text(y: np.ndarray) -> bool:
    """True where labels are words, or objects of Python's that may be words."""
    return y.dtype.kind in "USTO"


def words_of(y: np.ndarray, what: str) -> list[str]:
    """Labels as text, without blanks around them.

    Raises
    ------
    BadData
        One of them is no text, or is empty.
    """
    # numpy makes no check of what a file says are code points.
    if y.dtype.kind == "U" and y.dtype.itemsize:
        codes = np.ascontiguousarray(y).view(np.dtype("u4").newbyteorder(y.dtype.byteorder))
        if codes.size and codes.max() > sys.maxunicode:
            raise _no_unicode(what)
    try:
        found = [each.decode("utf-8") if isinstance(each, bytes) else each for each in y.tolist()]
        for word in {each for each in found if isinstance(each, str)}:
            word.encode("utf-8")
    except UnicodeError:
        raise _no_unicode(what) from None
    for place, each in enumerate(found):
        if not isinstance(each, str):
            raise BadData(
                f"{what}: the label of sample {place} is {each!r} among others that are text",
                "give all labels as text, or all as class numbers",
            )
        if not each.strip():
            raise BadData(f"{what}: the label of sample {place} is empty", "name its class")
    return [each.strip() for each in found]


def _no_unicode(what: str) -> BadData:
    return BadData(f"{what}: labels hold text that is no Unicode", "write the names as UTF-8")


def sorted_names(words: Iterable[str]) -> tuple[str, ...]:
    """The names among labels, each once, in alphabetical order."""
    return tuple(sorted(set(words)))


def numbers_of(words: Sequence[str], classes: Sequence[str], what: str, whose: str) -> np.ndarray:
    """Labels as positions among the names of classes, int64.

    Parameters
    ----------
    words : sequence of str
    classes : sequence of str
    what, whose : str
        Name of the labels' source, and of who has those classes, for messages.

    Raises
    ------
    BadData
        There is no such class, or two of them have one name.
    """
    place_of = {name: place for place, name in enumerate(classes)}
    if len(place_of) < len(classes):
        twice = next(name for name in classes if list(classes).count(name) > 1)
        raise BadData(f"{what}: {whose} has two classes named '{twice}', so names tell nothing")
    for sample, word in enumerate(words):
        if word not in place_of:
            raise BadData(
                f"{what}: the label '{word}' of sample {sample} is no class of {whose}"
                f"{did_you_mean(word, classes)}",
                f"its classes are {listed(classes)}",
            )
    return np.array([place_of[word] for word in words], dtype=np.int64)


def mapping_text(classes: Sequence[str]) -> str:
    """The class number of every name, in words."""
    return "labels by name: " + listed(
        [f"{name} = {number}" for number, name in enumerate(classes)]
    )


def listed(names: Sequence[str]) -> str:
    """Names with commas between them; of many the first ones."""
    more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def are_positions(classes: Sequence[str]) -> bool:
    """True where the names of classes are their own positions, and so say nothing."""
    return list(classes) == [str(place) for place in range(len(classes))]


def are_other_numbers(classes: Sequence[str]) -> bool:
    """True where all names of classes are whole numbers, and not their own positions."""
    if not classes or not all(name.removeprefix("-").isdecimal() for name in classes):
        return False
    return [int(name) for name in classes] != list(range(len(classes)))


def one_column(labels: np.ndarray) -> np.ndarray:
    """Labels without axes of length 1 behind the first, as ``[samples, 1]`` has one."""
    while labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    return labels


def one_hot(y: np.ndarray) -> bool:
    """True where every row of an array ``[samples, classes]`` has a single 1 among zeros."""
    if y.ndim != 2 or y.shape[1] < 2:
        return False
    return bool((((y == 0) | (y == 1)).all(axis=1) & ((y == 1).sum(axis=1) == 1)).all())


def holds_labels(y: np.ndarray) -> bool:
    """True where y can be class labels: whole numbers, or rows with a single 1.

    Otherwise they are targets of a regression.
    """
    y = one_column(y)
    if y.ndim > 1:
        return one_hot(y)
    return y.dtype.kind in "biu" or bool((np.isfinite(y) & (y == np.round(y))).all())


def class_labels(y: np.ndarray, outputs: int, what: str) -> np.ndarray:
    """Labels as int64 class numbers, checked against the number of outputs.

    Parameters
    ----------
    y : numpy array, shape ``[samples]`` or ``[samples, outputs]``
        Class numbers, of any type that holds whole numbers; or rows with a single 1.
    outputs : int
    what : str
        Name of their source, for the message.

    Raises
    ------
    BadData
        A label is not a whole number from 0 to ``outputs - 1``.
    """
    y = one_column(y)
    if y.ndim > 1:
        if y.shape[1] != outputs or not one_hot(y):
            raise BadData(
                f"{what}: y of shape {y.shape} holds no labels for {outputs} outputs; expected one "
                f"whole number from 0 to {outputs - 1} for each sample, or {outputs} numbers that "
                "are 0 but for a single 1"
            )
        return y.argmax(axis=1).astype(np.int64)
    bad = first_outside(y, outputs)
    if bad is not None:
        raise BadData(
            f"{what}: label {y[bad]} of sample {bad} is no class of this network; expected whole "
            f"numbers from 0 to {outputs - 1}{_label_hint(y, outputs)}"
        )
    return y.astype(np.int64)


def first_outside(y: np.ndarray, count: int) -> int | None:
    """Position of the first label that is no whole number from 0 to ``count - 1``, else None."""
    whole = np.isfinite(y) & (y == np.round(y)) & (y >= 0) & (y < count)
    return None if whole.all() else int(whole.argmin())


def _label_hint(y: np.ndarray, outputs: int) -> str:
    """Hint for a message: a numbering of classes that numbers out of range look like."""
    found = set(np.unique(y).tolist())
    if found <= {-1, 1}:
        return "; of labels -1 and 1, write 0 for -1"
    if found == set(range(1, outputs + 1)):
        return "; they seem to be counted from 1"
    return ""
