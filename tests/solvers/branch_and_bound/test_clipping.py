"""What is cut off a box is above the thresholds; what may matter stays."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensverify.solvers.branch_and_bound.clipping import clip
from sensverify.solvers.branch_and_bound.tightening import Tightened, nothing_tightened
from tests.solvers.branch_and_bound.cases import points_in

GROUPS = {
    "one": ((0,),),
    "alone": ((0,), (1,), (2,)),
    "together": ((0, 1, 2),),
    "both": ((0, 2), (1,)),
}


def box(*widths: float) -> tuple[Tensor, Tensor]:
    upper = torch.tensor([widths], dtype=torch.float64)
    return torch.zeros_like(upper), upper


def cut(
    lower: Tensor, upper: Tensor, slope: list[float], least: float, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    coefficients = torch.tensor([[slope]], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    return clip(
        lower,
        upper,
        coefficients,
        least * one,
        threshold * one,
        ((0,),),
        one > 0,
        nothing_tightened(1, ((0,),), lower),
    )


def test_a_line_cuts_each_feature_where_it_reaches_the_threshold() -> None:
    """``2 x - y`` on the unit square is least, -1, at (0, 1); up to -.5 reach x <= .25, y >= .5."""
    lower, upper, kept = cut(*box(1, 1), [2.0, -1.0], -1.0, -0.5)
    torch.testing.assert_close(lower, torch.tensor([[0, 0.5]]).double(), atol=1e-8, rtol=0)
    torch.testing.assert_close(upper, torch.tensor([[0.25, 1]]).double(), atol=1e-8, rtol=0)
    assert bool(kept)
    assert bool((lower <= torch.tensor([0, 0.5])).all() & (upper >= torch.tensor([0.25, 1])).all())


@pytest.mark.parametrize("slope", [0.0, -0.0, 1e-300, float("nan")])
def test_a_feature_that_a_line_hardly_depends_on_is_not_cut(slope: float) -> None:
    lower, upper, kept = cut(*box(1, 1), [slope, 1.0], -1.0, 0.0)
    assert float(lower[0, 0]) == 0
    assert float(upper[0, 0]) == 1
    assert bool(kept)


@pytest.mark.parametrize("least", [float("nan"), -float("inf")])
def test_without_a_bound_nothing_is_cut(least: float) -> None:
    lower, upper, kept = cut(*box(1, 2), [1.0, -1.0], least, 0.0)
    assert torch.equal(lower, box(1, 2)[0])
    assert torch.equal(upper, box(1, 2)[1])
    assert bool(kept)


def test_a_point_stays_a_point() -> None:
    point = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    lower, upper, kept = cut(point, point, [1.0, -1.0], 1.0, 1.0)
    assert torch.equal(lower, point)
    assert torch.equal(upper, point)
    assert bool(kept)


@given(
    st.integers(0, 2**31),
    st.sampled_from(sorted(GROUPS)),
    st.booleans(),
    st.sampled_from([1e-6, 1.0, 1e6]),
)
@settings(max_examples=150)
def test_every_point_that_may_matter_stays(
    seed: int, name: str, tightened: bool, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    groups, boxes, features = GROUPS[name], 5, 3
    count = sum(map(len, groups))
    center, width = scale * normal(boxes, features), scale * normal(boxes, features).abs()
    width[normal(boxes, features) > 1] = 0
    lower, upper = center - width, center + width
    slopes = normal(boxes, count, features) * (normal(boxes, count, features) < 1)
    constants = scale * normal(boxes, count)

    def least(lines: Tensor, shift: Tensor) -> Tensor:
        ends = torch.minimum(lines * lower[:, None], lines * upper[:, None])
        return ends.sum(2) + shift

    low = least(slopes, constants)
    thresholds = low + scale * normal(boxes, count)
    open_rows = low < thresholds
    for group in groups:
        open_rows[:, list(group)] = open_rows[:, list(group)].all(1, keepdim=True)
    more = nothing_tightened(boxes, groups, lower)
    extra_slopes, extra = normal(boxes, len(groups), features), scale * normal(boxes, len(groups))
    if tightened:
        more = Tightened(extra_slopes, least(extra_slopes, extra), more.weights)
    new_lower, new_upper, kept = clip(
        lower, upper, slopes, low, thresholds, groups, open_rows, more
    )
    assert bool((new_lower >= lower).all() & (new_upper <= upper).all())
    assert bool((new_lower <= new_upper).all())
    assert not bool((kept & ~open_rows).any())
    points = points_in(lower, upper, 200, seed=seed)
    values = torch.einsum("brf,pbf->pbr", slopes, points) + constants
    above = torch.einsum("bgf,pbf->pbg", extra_slopes, points) + extra
    inside = ((points >= new_lower) & (points <= new_upper)).all(2)
    for place, group in enumerate(groups):
        rows = list(group)
        matters = (values[..., rows] <= thresholds[:, rows]).all(2) & open_rows[:, rows].all(1)
        if tightened:
            matters &= above[..., place] <= 0
        assert bool((~matters | inside).all())
        assert bool((~matters.any(0) | kept[:, rows].all(1)).all())
