"""Names of classes meet those of a network."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.data import Dataset
from sensverify.data.labels import are_other_numbers, are_positions
from sensverify.data.split import make_split
from sensverify.errors import BadData, BadShape

X = np.zeros((4, 2))
WORDS = np.array(["b", "a", "b", "c"])


def test_the_order_is_that_of_the_network() -> None:
    data = Dataset("d", X, WORDS)
    assert data.y is not None
    assert (data.y.tolist(), data.classes) == ([1, 0, 1, 2], ("a", "b", "c"))
    named = data.named(("c", "b", "z", "a"), "'net'")
    assert named.y is not None
    assert (named.y.tolist(), named.classes) == ([1, 3, 1, 0], ("c", "b", "z", "a"))
    assert "c = 0, b = 1, z = 2, a = 3" in named.remarks[-1]
    assert named.select(3, 4).classes == named.classes


def test_names_that_the_network_lacks_are_refused() -> None:
    data = Dataset("d", X, WORDS)
    with pytest.raises(BadData, match=r"label 'c' of sample 3 is no class of 'net'.*a, b, C"):
        data.named(("a", "b", "C"), "'net'")
    with pytest.raises(BadData, match="two classes named 'a'"):
        data.named(("a", "b", "c", "a"), "'net'")
    with pytest.raises(BadData, match="label 'c' of sample 3"):
        Dataset("d", X, WORDS, classes=("a", "b"))


def test_numbers_are_names_where_a_network_has_other_numbers() -> None:
    data = Dataset("d", X, np.array([5.0, 3, 5, 7]))
    named = data.named(("3", "5", "7"), "'net'")
    assert named.y is not None
    assert (named.y.tolist(), named.classes) == ([1, 0, 1, 2], ("3", "5", "7"))
    with pytest.raises(BadData, match="label '7' of sample 3 is no class"):
        data.named(("3", "5"), "'net'")
    assert data.named(("0", "1"), "'net'") is data
    assert data.named(("u", "v"), "'net'") is data
    assert (are_positions(("0", "1")), are_positions(("1", "0"))) == (True, False)
    assert (are_other_numbers(("1", "0")), are_other_numbers(())) == (True, False)


def test_parts_have_the_classes_of_both() -> None:
    train = Dataset("d", X, WORDS)
    split = make_split(train, Dataset("d", X[:1], np.array(["d"])))
    assert (split.classes, split.labels) == (4, ("a", "b", "c", "d"))
    assert split.test.y is not None
    assert split.test.y.tolist() == [3]
    assert "no training sample has the label 3" in split.rule


@pytest.mark.parametrize("y", [np.array([WORDS, WORDS]).T, np.array(["a", 1, "b", "c"], object)])
def test_labels_that_are_no_names(y: np.ndarray) -> None:
    with pytest.raises((BadData, BadShape), match=r"one column|among others"):
        Dataset("d", X, y)
