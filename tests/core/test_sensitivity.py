"""The figures of sensitivity: hand-computed, scale laws, and far outside of a double's range."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sensverify.core import sensitivity as s
from sensverify.core.box import Box
from sensverify.errors import BadShape


def box(*rows: list[float], dtype: torch.dtype = torch.float64) -> Box:
    wide = torch.tensor(rows, dtype=dtype)
    return Box(-wide / 2, wide / 2)


def test_two_boxes_by_hand() -> None:
    boxes = box([2.0, 3.0], [1.0, 4.0])
    assert s.widths(boxes).tolist() == [[2, 3], [1, 4]]
    assert s.volume(boxes).tolist() == [6, 4]
    assert s.log_volume(boxes).tolist() == pytest.approx([math.log(6), math.log(4)])
    assert float(s.mean_volume(boxes)) == pytest.approx(5)
    assert float(s.log_mean_volume(boxes)) == pytest.approx(math.log(5))
    assert s.width_shares(boxes).tolist() == [pytest.approx([0.4, 0.6]), pytest.approx([0.2, 0.8])]


def test_a_width_of_zero() -> None:
    boxes = box([0.0, 3.0], [0.0, 0.0])
    assert s.log_volume(boxes).tolist() == [-math.inf, -math.inf]
    assert s.volume(boxes).tolist() == [0, 0]
    assert s.width_shares(boxes).tolist() == [[0, 1], [0, 0]]
    assert float(s.log_mean_volume(boxes)) == -math.inf
    figures = s.Sensitivity.of(boxes)
    assert figures.mean_volume == 0.0


def test_logarithms_hold_what_products_do_not() -> None:
    huge, tiny = box([1e30] * 20, dtype=torch.float32), box([1e-30] * 20, dtype=torch.float32)
    assert float(s.volume(huge)) == math.inf
    assert float(s.volume(tiny)) == 0
    assert float(s.log_volume(huge)) == pytest.approx(600 * math.log(10), rel=1e-6)
    assert float(s.log_volume(tiny)) == pytest.approx(-600 * math.log(10), rel=1e-6)
    both = Box(torch.cat([huge.lower, tiny.lower]), torch.cat([huge.upper, tiny.upper]))
    mean = s.log_mean_volume(both)
    assert mean.dtype == torch.float64
    assert float(mean) == pytest.approx(600 * math.log(10) - math.log(2), rel=1e-6)
    assert s.Sensitivity.of(both).mean_volume is None


def test_numbers_a_double_holds() -> None:
    assert s.finite_volume(math.log(5)) == pytest.approx(5)
    assert s.finite_volume(-math.inf) == 0.0
    assert s.finite_volume(710.0) is None
    assert s.finite_volume(-800.0) is None
    assert s.finite_volume(math.nan) is None
    assert s.finite_volume(math.inf) is None


def test_margins() -> None:
    outputs = torch.tensor([[1.0, 4.0, 2.5], [3.0, 0.0, 1.0]])
    assert s.margin(outputs).tolist() == [1.5, 2]
    assert s.margin(outputs, torch.tensor([0, 0])).tolist() == [-3, 2]
    with pytest.raises(BadShape, match="2 or more"):
        s.margin(torch.zeros(3, 1))
    with pytest.raises(BadShape, match=r"\(3,\)"):
        s.margin(torch.zeros(3))


@given(st.floats(1e-3, 1e3))
def test_the_relative_volume_does_not_see_the_scale_of_the_logits(factor: float) -> None:
    boxes, outputs = box([1.0, 2.0, 0.5]), torch.tensor([[0.5, 2.0, 1.0]], dtype=torch.float64)
    scaled = Box(factor * boxes.lower, factor * boxes.upper)
    plain = float(s.relative_log_volume(boxes, outputs))
    assert float(s.relative_log_volume(scaled, factor * outputs)) == pytest.approx(plain, abs=1e-9)
    assert plain == pytest.approx(0.0)
    lost = s.relative_log_volume(boxes, outputs, torch.tensor([0]))
    assert math.isnan(float(lost))


def test_figures_are_differentiable() -> None:
    lower = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    wide = torch.tensor([[1.0, 2.0, 4.0]] * 2, dtype=torch.float64)
    s.log_volume(Box(lower, lower + wide)).sum().backward()
    radius = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
    s.log_mean_volume(Box(-radius, radius)).backward()
    assert lower.grad is not None
    assert radius.grad is not None
    # Moving a box changes no volume; the derivative of log(2 r) is 1 / r, shared by two samples.
    assert lower.grad.abs().max() == 0
    torch.testing.assert_close(radius.grad, torch.full_like(radius, 0.5))


def test_the_summary_takes_numpy_too() -> None:
    boxes = box([2.0, 3.0], [1.0, 4.0])
    arrays = Box(boxes.lower.numpy().astype(np.float32), boxes.upper.numpy().astype(np.float32))
    for figures in (s.Sensitivity.of(boxes), s.Sensitivity.of(arrays)):
        assert figures.mean_volume == pytest.approx(5)
        assert figures.widths.dtype == torch.float64
        assert figures.shares[0].tolist() == pytest.approx([0.4, 0.6])
        assert figures.log_volume.tolist() == pytest.approx([math.log(6), math.log(4)])


def test_mean_volume_has_a_gradient_at_a_zero_width():
    upper = torch.tensor([[0.0, 1.0], [2.0, 3.0]], requires_grad=True)
    s.mean_volume(Box(torch.zeros(2, 2), upper)).backward()
    assert upper.grad.tolist() == [[0.5, 0.0], [1.5, 1.0]]


def test_gradients_are_zero_where_a_width_is_zero() -> None:
    upper = torch.tensor([[1.0, 0.0], [2.0, 3.0]], dtype=torch.float64, requires_grad=True)
    box = Box(torch.zeros(2, 2, dtype=torch.float64), upper)
    for figure in (s.log_mean_volume(box), s.log_volume(box)[1], s.mean_volume(box)):
        (gradient,) = torch.autograd.grad(figure, upper)
        assert bool(torch.isfinite(gradient).all())
        assert gradient[1].tolist() != [0.0, 0.0]


def test_numpy_boxes_are_welcome() -> None:
    box = Box(np.zeros((1, 2)), np.full((1, 2), 2.0))
    assert float(s.log_volume(box)[0]) == pytest.approx(2 * math.log(2))
    assert float(s.mean_volume(box)) == pytest.approx(4.0)
