"""Boxes around samples, and how far a point lies in their units."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sensverify.classification.perturbation import Perturbation

UNIT = np.array([1.0, 0.3, 0.0, 7.0])
POINTS = st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=4)


def perturbation(clip: tuple[float, float] | None = None) -> Perturbation:
    return Perturbation(UNIT, clip)


@given(POINTS, st.floats(0, 3))
def test_a_box_holds_the_exact_one_and_little_more(values: list[float], radius: float) -> None:
    x = torch.tensor([values], dtype=torch.float32)
    box = perturbation().float32_box(x, radius)
    assert box.lower.dtype == torch.float32
    for place, unit in enumerate(UNIT):
        center = Fraction(float(x[0, place]))
        reach = Fraction(float(np.float64(radius) * unit))
        lower, upper = (Fraction(float(end[0, place])) for end in (box.lower, box.upper))
        assert lower <= center - reach
        assert center + reach <= upper
        assert upper - lower <= 2 * reach + Fraction(1, 10**5)


@given(POINTS, st.floats(0, 2), st.floats(0, 2))
def test_boxes_are_nested(values: list[float], one: float, other: float) -> None:
    x = torch.tensor([values], dtype=torch.float32)
    small, large = (perturbation().float32_box(x, radius) for radius in sorted((one, other)))
    assert bool(large.contains(small.lower).all() & large.contains(small.upper).all())


@given(POINTS, POINTS)
def test_a_point_lies_in_the_box_of_its_reach(values: list[float], moved: list[float]) -> None:
    moved[2] = values[2]
    x, point = (torch.tensor([each], dtype=torch.float32) for each in (values, moved))
    reach = float(perturbation().reaches(x, point)[0])
    assert bool(perturbation().float32_box(x, reach).contains(point).all())
    if reach > 0:
        # And in none that is smaller by more than roundings.
        moved_by = (point.double() - x.double()).abs().numpy()
        shares = moved_by[0, [0, 1, 3]] / UNIT[[0, 1, 3]]
        assert reach <= float(shares.max()) * (1 + 1e-12)


def test_a_feature_that_cannot_move_is_out_of_reach() -> None:
    x = torch.zeros(1, 4)
    point = torch.tensor([[0.0, 0.0, 0.1, 0.0]])
    assert perturbation().reaches(x, point).tolist() == [float("inf")]
    assert perturbation().reaches(x, x).tolist() == [0.0]


def test_the_whole_range_leaves_such_a_feature_where_it_is() -> None:
    x = torch.full((2, 4), 0.25)
    box = perturbation((0.0, 1.0)).whole_range(x)
    assert box.lower[0].tolist() == [0.0, 0.0, 0.25, 0.0]
    assert box.upper[1].tolist() == [1.0, 1.0, 0.25, 1.0]


@given(st.lists(POINTS, min_size=2, max_size=3), st.lists(st.floats(0, 3), min_size=3, max_size=3))
def test_samples_may_have_a_radius_each(values: list[list[float]], radii: list[float]) -> None:
    x, scales = np.array(values, dtype=np.float32), np.array(radii[: len(values)])
    for moved in (perturbation((-2.0, 2.0)), Perturbation(np.ones(()))):
        together = moved.box(x, scales)
        for place, scale in enumerate(scales.tolist()):
            alone = moved.box(x[place : place + 1], scale)
            assert np.array_equal(together.lower[place], alone.lower[0])
            assert np.array_equal(together.upper[place], alone.upper[0])
