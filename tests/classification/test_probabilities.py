"""Probabilities over a box of logits: contained, attained at corners, exact."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensverify.classification.probabilities import probability_box
from sensverify.core.box import Box
from sensverify.formats.onnx import Head

numbers = st.floats(-40, 40)


@st.composite
def boxes(draw):
    count = draw(st.integers(2, 4))
    ends = [sorted((draw(numbers), draw(numbers))) for _ in range(count)]
    return Box(np.array([[low for low, _ in ends]]), np.array([[high for _, high in ends]]))


@pytest.mark.parametrize("function", ["softmax", "sigmoid", "shares", None])
@given(box=boxes())
def test_ends_are_those_of_the_corners(function, box):
    head = Head((), function)
    corners = product(*zip(box.lower[0], box.upper[0], strict=True))
    values = np.concatenate([head.probabilities(np.array([corner])) for corner in corners])
    found = probability_box(box, function)
    assert (found.lower[0] <= values.min(axis=0)).all()
    assert (found.upper[0] >= values.max(axis=0)).all()
    np.testing.assert_allclose(found.lower[0], values.min(axis=0), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.upper[0], values.max(axis=0), rtol=1e-9, atol=1e-12)


def test_huge_logits_neither_overflow_nor_lose_the_bound():
    box = Box(np.array([[-1e4, 0.0, 800.0]]), np.array([[1e4, 0.0, 801.0]]))
    found = probability_box(box)
    assert np.isfinite(found.lower).all()
    assert (found.lower[0, 0], found.upper[0, 0]) == (0.0, 1.0)
    assert (found.lower <= found.upper).all()
    # The second one is exp(-800) at most, which is no 0.
    assert 0.0 < found.upper[0, 1] < 1e-200
