"""Margins and boundary thickness against closed forms."""

from __future__ import annotations

from dataclasses import replace
from math import atanh, sqrt

import pytest
import torch
from torch import Tensor, nn

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.core.box import Box
from sensverify.errors import BadSetting, NotMeasured, Unbounded
from sensverify.measures import margins
from sensverify.measures.margins import margin_percentile
from sensverify.measures.measure import MeasuredClassifier
from sensverify.measures.sensitivity import boundary
from sensverify.measures.sensitivity.boundary import boundary_thickness, segment_thickness
from sensverify.runs.watch import Watch

MEASURES = {**margins.MEASURES, **boundary.MEASURES}

SLOPES = torch.tensor([0.5, -2.0, 1.0, 0.0])
"""Of the linear function z: the outputs are z and -z, and tanh(z) the gap of the probabilities."""


def two_classes(factor: float = 1.0) -> nn.Linear:
    module = nn.Linear(4, 2)
    with torch.no_grad():
        module.weight.copy_(factor * torch.stack([SLOPES, -SLOPES]))
        module.bias.copy_(factor * torch.tensor([0.1, -0.1]))
    return module


def measured_of(module: nn.Module, *, samples: int = 60, radius: float = 0.4) -> MeasuredClassifier:
    x = torch.randn(samples, 4, generator=torch.Generator().manual_seed(2)) / 2
    with torch.no_grad():
        y = module(x).argmax(dim=1)
    network = prepare(sv.from_module(module, (4,)))
    return MeasuredClassifier(network, x, y, train_x=x, radius=torch.full((4,), radius))


def take(name: str, measured: MeasuredClassifier) -> float:
    return MEASURES[name].take(measured).value


@pytest.mark.parametrize("attack", ["pgd", "fgsm"])
@pytest.mark.parametrize("radius", [0.1, 0.4, 1.5])
def test_of_a_linear_function_thickness_has_a_closed_form(attack: str, radius: float) -> None:
    """The way to the corner passes values of z from z(x) to z(x) - r |a|_1."""
    module = two_classes()
    measured = measured_of(module, radius=radius)
    with torch.no_grad():
        z = module(measured.x)[:, 0].abs()
    fall = radius * float(SLOPES.abs().sum())
    changed = z < fall
    # A feature without slope does not move.
    distance = radius * sqrt(3)
    expected = distance * z[changed].clamp(max=atanh(0.75)) / fall
    found = MEASURES[f"boundary-thickness-{attack}"].take(measured)
    assert found.samples == int(changed.sum())
    assert found.value == pytest.approx(float(expected.mean()), abs=distance / 128)
    assert f"{int(changed.sum())} of 60 samples" in found.note


def test_more_points_come_closer() -> None:
    module = two_classes()
    x = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    reached = torch.tensor([[-1.0, 0.0, 0.0, 0.0]])
    classes = torch.tensor([0]), torch.tensor([1])
    # z falls from .6 to -.4: tanh(z) lies between 0 and .5 where z lies in (0, atanh .5).
    expected = 2 * atanh(0.5)
    for points in (10, 100, 10_000):
        found = segment_thickness(module, x, reached, classes, beta=0.5, points=points)
        assert float(found) == pytest.approx(expected, abs=2 / points)


def test_intervals_add_up() -> None:
    module = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    reached, classes = x.flip(0), (torch.arange(20) % 3, (torch.arange(20) + 1) % 3)

    def between(alpha: float, beta: float) -> Tensor:
        with torch.no_grad():
            return segment_thickness(module, x, reached, classes, alpha=alpha, beta=beta)

    torch.testing.assert_close(between(-1, 1), (x - reached).norm(dim=1).double())
    parts = between(-1, -0.01) + between(-0.01, 0.1) + between(0.1, 1)
    torch.testing.assert_close(parts, between(-1, 1))
    # The other way round the gap has the other sign.
    turned = segment_thickness(module, reached, x, classes[::-1], alpha=-0.75, beta=0.0)
    torch.testing.assert_close(turned.detach(), between(0, 0.75))


def test_a_steeper_boundary_is_thinner() -> None:
    values = [take("boundary-thickness-pgd", measured_of(two_classes(f))) for f in (1, 3, 10)]
    assert values[0] > values[1] > values[2] > 0


def test_only_samples_that_change_from_right_to_wrong_count() -> None:
    module = two_classes()
    measured = measured_of(module)
    found = MEASURES["boundary-thickness-fgsm"].take(measured)
    wrong = replace(measured, y=torch.where(torch.arange(60) < 30, 1 - measured.y, measured.y))
    half = replace(measured, x=measured.x[30:], y=measured.y[30:])
    assert take("boundary-thickness-fgsm", wrong) == pytest.approx(
        take("boundary-thickness-fgsm", half)
    )
    assert take("boundary-thickness-fgsm", half) != found.value
    with pytest.raises(NotMeasured, match="none of the 0 samples"):
        take("boundary-thickness-fgsm", replace(measured, y=1 - measured.y))
    with pytest.raises(NotMeasured, match=r"none of the 60 samples.*larger radius"):
        take("boundary-thickness-pgd", replace(measured, radius=torch.zeros(4)))


def test_chunks_and_order_change_nothing() -> None:
    measured = measured_of(two_classes(), samples=20)
    for name in MEASURES:
        whole = take(name, measured)
        assert take(name, replace(measured, memory_budget=1)) == pytest.approx(whole, rel=1e-6)
        back = replace(
            measured, x=measured.x.flip(0), y=measured.y.flip(0), train_x=measured.x.flip(0)
        )
        assert take(name, back) == pytest.approx(whole, rel=1e-6)
        assert take(name, measured) == whole


def test_many_samples_are_attacked_at_once() -> None:
    """Not only as many as have room with all the points of their segments."""
    measured = measured_of(two_classes())
    sizes: list[int] = []

    def reach(function: object, x: Tensor, y: Tensor, box: Box) -> Tensor:
        sizes.append(len(x))
        return box.upper

    boundary_thickness(replace(measured, y=two_classes()(measured.x).argmax(dim=1)), reach)
    assert sizes == [len(measured.x)]


def test_points_keep_to_the_clip_range() -> None:
    measured = measured_of(two_classes())
    measured = replace(measured, x=measured.x.clamp(-0.5, 0.5), clip=(-0.5, 0.5))
    seen: list[Tensor] = []

    def reach(function: object, x: Tensor, y: Tensor, box: Box) -> Tensor:
        seen.extend([box.lower.min(), -box.upper.max()])
        return box.upper

    with torch.no_grad():
        y = two_classes()(measured.x).argmax(dim=1)
    boundary_thickness(replace(measured, y=y), reach)
    assert min(map(float, seen)) >= -0.5


def test_the_percentile_is_numpy_s_linear_one() -> None:
    outputs = torch.stack([torch.arange(1.0, 12.0), torch.zeros(11), -torch.ones(11)], dim=1)
    assert margin_percentile(outputs) == 2.0
    assert margin_percentile(outputs[:10]) == pytest.approx(1.9)
    assert margin_percentile(outputs, 50.0) == 6.0
    # No label is looked at, and the order of the outputs does not matter.
    assert margin_percentile(outputs.flip(1)) == 2.0


@pytest.mark.parametrize("factor", [1e-3, 4.0, 1e3])
def test_a_factor_on_the_outputs_is_its_inverse_square(factor: float) -> None:
    before = take("inverse-margin", measured_of(two_classes()))
    after = take("inverse-margin", measured_of(two_classes(factor)))
    assert after == pytest.approx(before * factor**-2, rel=1e-4)


def test_the_inverse_margin_by_hand() -> None:
    module = two_classes()
    measured = measured_of(module)
    with torch.no_grad():
        margins = 2 * module(measured.x)[:, 0].double().abs()
    g = float(margins.quantile(0.1))
    found = MEASURES["inverse-margin"].take(measured)
    assert found.value == pytest.approx(g**-2)
    assert found.samples == 60


def test_a_tie_has_no_inverse_margin() -> None:
    with pytest.raises(NotMeasured, match="tie"):
        take("inverse-margin", measured_of(two_classes(0.0)))


def test_what_is_missing_or_broken_is_said() -> None:
    measured = measured_of(two_classes())
    with pytest.raises(NotMeasured, match="training part"):
        take("inverse-margin", replace(measured, train_x=None))
    with pytest.raises(NotMeasured, match="no radius"):
        take("boundary-thickness-pgd", replace(measured, radius=None))
    for name in MEASURES:
        with pytest.raises(NotMeasured, match="time was up after 0 of 60"):
            take(name, replace(measured_of(two_classes()), watch=Watch(0.0)))
    x, classes = measured.x[:1], (measured.y[:1], measured.y[:1])
    for alpha, beta, points in ((0.5, 0.5, 9), (-2.0, 0.5, 9), (0.0, torch.nan, 9), (0.0, 0.5, 0)):
        with pytest.raises(BadSetting, match="alpha < beta"):
            segment_thickness(two_classes(), x, x, classes, alpha=alpha, beta=beta, points=points)
    with pytest.raises(Unbounded, match="outputs at sample"):
        take("inverse-margin", replace(measured_of(two_classes(1e38)), train_x=1e3 * measured.x))
