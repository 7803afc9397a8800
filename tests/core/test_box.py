"""Boxes: what they refuse, and that nothing is lost by rounding."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sensverify.core.box import Box, scaled_up, to_numpy
from sensverify.errors import BadBox, BadShape

finite = st.floats(-(2.0**100), 2.0**100, width=32)
KINDS = [np.asarray, torch.tensor]


@pytest.mark.parametrize("kind", KINDS, ids=["numpy", "torch"])
def test_ends_must_be_ordered_and_finite(kind) -> None:
    for low, high in (
        (np.nan, 1.0),
        (0.0, np.nan),
        (0.0, np.inf),
        (-np.inf, 0.0),
        (np.inf, np.inf),
    ):
        with pytest.raises(BadBox, match="finite"):
            Box(kind([[low]]), kind([[high]]))
    with pytest.raises(BadBox, match=r"lower 2 above upper 1 at index \(0, 1\)"):
        Box(kind([[0.0, 2.0]]), kind([[0.0, 1.0]]))
    assert Box(kind([[1.0]]), kind([[1.0]])).batch == 1


@pytest.mark.parametrize("kind", KINDS, ids=["numpy", "torch"])
def test_shapes_and_dtypes_must_agree(kind) -> None:
    with pytest.raises(BadShape, match=r"\(1, 1\).*\(1, 2\)"):
        Box(kind([[0.0]]), kind([[1.0, 1.0]]))
    with pytest.raises(BadShape, match="batch axis"):
        Box(kind(0.0), kind(1.0))
    with pytest.raises(BadBox, match="floating"):
        Box(kind([[0]]), kind([[1]]))


def test_dtypes_do_not_mix() -> None:
    with pytest.raises(BadBox, match=r"float32.*float64"):
        Box(np.zeros((1, 1), dtype=np.float32), np.ones((1, 1)))


@pytest.mark.parametrize("kind", KINDS, ids=["numpy", "torch"])
def test_around_a_centre_and_cut_to_a_range(kind) -> None:
    center = kind([[0.5, 1.0]])
    box = Box.around(center, kind([0.25, 0.5]), clip=(0.0, 1.0))
    assert box.lower.tolist() == [[0.25, 0.5]]
    assert box.upper.tolist() == [[0.75, 1.0]]
    assert Box.around(center, 0.0).widths.tolist() == [[0.0, 0.0]]
    each = Box.around(center, kind([[0.5, 0.0]]))
    assert each.radius.tolist() == [[0.5, 0.0]]


@pytest.mark.parametrize("radius", [-1.0, np.nan, np.inf, np.array([0.1, -0.1])], ids=str)
def test_a_radius_is_finite_and_not_negative(radius: float | np.ndarray) -> None:
    with pytest.raises(BadBox, match="radius"):
        Box.around(np.zeros((1, 2)), radius)


@pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 1, 2)])
def test_a_radius_must_fit_and_not_make_the_samples_larger(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadShape, match="radius of shape"):
        Box.around(np.zeros((1, 2)), np.ones(shape))


def test_samples_outside_of_the_clip_range_are_refused() -> None:
    with pytest.raises(BadBox, match=r"outside the clip range.*1\.5"):
        Box.around(np.array([[1.5]]), 0.1, clip=(0, 1))
    with pytest.raises(BadBox, match="outside"):
        Box.around(np.array([[np.nan]]), 0.1, clip=(0, 1))
    with pytest.raises(BadBox, match="low <= high"):
        Box.around(np.array([[0.5]]), 0.1, clip=(1, 0))
    with pytest.raises(BadBox, match="low <= high"):
        Box.around(np.array([[0.5]]), 0.1, clip=(float("nan"), 1))


@given(finite, st.floats(0, 1e30), st.sampled_from([np.float32, np.float64]))
def test_the_stored_box_contains_the_exact_one(center: float, radius: float, dtype: type) -> None:
    middle = np.array([[center]], dtype=dtype)
    box = Box.around(middle, radius)
    exact = Fraction(float(middle[0, 0])), Fraction(radius)
    assert Fraction(float(box.lower[0, 0])) <= exact[0] - exact[1]
    assert Fraction(float(box.upper[0, 0])) >= exact[0] + exact[1]
    assert box.lower.dtype == dtype
    # And it is the smallest such box: one step inward does not contain it.
    inner = np.nextafter(box.lower, np.inf), np.nextafter(box.upper, -np.inf)
    assert Fraction(float(inner[0][0, 0])) > exact[0] - exact[1]
    assert Fraction(float(inner[1][0, 0])) < exact[0] + exact[1]


@given(hnp.arrays(np.float64, (2, 3), elements=finite))
def test_center_and_radius_of_a_point_are_exact(point: np.ndarray) -> None:
    box = Box(point, point)
    assert (box.center == point).all()
    assert (box.radius == 0).all()
    assert box.shape == (3,)


def test_the_largest_numbers_do_not_overflow_center_and_radius() -> None:
    most = np.array([[np.finfo(np.float64).max]])
    box = Box(-most, most)
    assert box.center.tolist() == [[0.0]]
    assert box.radius.tolist() == most.tolist()


def test_selecting_boxes_and_points_inside() -> None:
    box = Box(np.zeros((3, 2)), np.ones((3, 2)))
    assert box[1:].batch == 2
    assert box[np.array([True, False, False])].batch == 1
    points = np.array([[0.5, 1.5], [np.nan, 0.0], [1.0, -1e-9]])
    assert box.contains(points).tolist() == [[True, False], [False, True], [True, False]]
    assert box.contains(points, tolerance=1e-8)[2].all()


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(BadBox, match="numpy arrays or torch tensors"):
        Box([0.0], [1.0])
    with pytest.raises(BadBox, match="floating-point"):
        Box.around(np.zeros((1, 2), dtype=np.int64), 0.1)


@given(
    st.floats(0, 1e6), st.lists(st.floats(0, 1e300, allow_subnormal=True), min_size=1, max_size=5)
)
def test_a_scaled_radius_is_never_below_the_exact_product(
    factor: float, values: list[float]
) -> None:
    for value, product in zip(values, scaled_up(factor, np.array(values)), strict=True):
        exact = Fraction(factor) * Fraction(value)
        if np.isfinite(product):
            assert Fraction(float(product)) >= exact
            if 1e-200 < exact < 1e200:
                assert Fraction(float(np.nextafter(product, -np.inf))) < exact


@pytest.mark.parametrize("radius", [0.1, 0.7, 1e-9, 0.0])
@pytest.mark.parametrize("tensors", [False, True])
def test_boxes_are_rounded_outward_and_so_is_their_clip_range(radius: float, tensors: bool) -> None:
    x = np.random.default_rng(1).uniform(0.2, 0.6, (1, 300)).astype(np.float32)
    box = Box.around(torch.from_numpy(x) if tensors else x, radius, clip=(0.1, 0.7))
    for low, middle, high in zip(
        *(to_numpy(v)[0].tolist() for v in (box.lower, x, box.upper)), strict=True
    ):
        least, most = Fraction(middle) - Fraction(radius), Fraction(middle) + Fraction(radius)
        least, most = max(least, Fraction(0.1)), min(most, Fraction(0.7))
        assert Fraction(low) <= least <= Fraction(float(np.nextafter(np.float32(low), 1)))
        assert Fraction(high) >= most >= Fraction(float(np.nextafter(np.float32(high), -1)))


def test_boxes_of_tensors_are_differentiable() -> None:
    x, radius = (
        torch.tensor([[0.3, 0.6]], requires_grad=True),
        torch.tensor(0.2, requires_grad=True),
    )
    box = Box.around(x, radius, clip=(0, 0.7))
    (2 * box.upper + 3 * box.lower).sum().backward()
    assert x.grad is not None
    assert radius.grad is not None
    assert x.grad.tolist() == [[5, 3]]
    assert radius.grad.item() == 2 - 3 - 3


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda x: Box([0.0], [1.0]), BadBox, "got list and list"),
        (lambda x: Box(x, torch.from_numpy(x)), BadBox, "both numpy, or both torch"),
        (lambda x: Box.around([[0.0]], 1.0), BadBox, "got list; with numpy"),
        (lambda x: Box.around(x.astype(int), 1.0), BadBox, "got ndarray of int64"),
        (lambda x: Box.around(x, "wide"), BadBox, "a radius is a number"),
        (lambda x: Box.around(x, None), BadBox, "a radius"),
        (lambda x: Box.around(x, 0.1, clip=1), BadBox, "clip needs two numbers"),
        (lambda x: Box.around(x, 0.1, clip=("a", "b")), BadBox, "clip needs two numbers"),
        (lambda x: Box.around(np.float64(1), 0.1), BadShape, "batch axis"),
    ],
)
def test_misuse_is_answered(
    make: Callable[[np.ndarray], Box], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make(np.zeros((2, 3)))


def test_radius_and_samples_may_be_of_two_kinds() -> None:
    x, radius = np.zeros((2, 3), dtype=np.float32), np.full(3, 0.5)
    for box in (
        Box.around(x, torch.from_numpy(radius)),
        Box.around(torch.from_numpy(x), radius),
        Box.around(torch.from_numpy(x), np.float64(0.5)),
        Box.around(x, [0.5, 0.5, 0.5]),
    ):
        assert to_numpy(box.upper).tolist() == [[0.5] * 3] * 2
