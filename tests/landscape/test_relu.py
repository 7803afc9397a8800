"""From softplus to ReLU: where a known kink is the end, which ends pass, and who stops it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sensverify.landscape import FunctionEnergy, LandscapeRequest, ReluEnd, Settings
from sensverify.landscape.relu import Continuation, continue_to_relu
from sensverify.landscape.rows import from_plain, to_plain
from sensverify.landscape.search import from_starts
from sensverify.runs.watch import Watch

SETTINGS = Continuation(last=1e4, steps=100, gradients=20)
BETA = 10.0


def bowl(point: Tensor) -> Tensor:
    return 0.5 * (point[1] - 1).square()


def kink(point: Tensor) -> Tensor:
    """Twice as steep to the right of 0 as to the left: the minimum is the kink at (0, 1)."""
    return 2 * torch.relu(point[0]) + torch.relu(-point[0]) + bowl(point)


RELU = FunctionEnergy(kink, 2)


def smooth(beta: float) -> FunctionEnergy:
    def function(point: Tensor) -> Tensor:
        right, left = (functional.softplus(each, beta) for each in (point[0], -point[0]))
        return 2 * right + left + bowl(point)

    return FunctionEnergy(function, 2)


def ends(
    settings: Continuation, *, relu: Any = RELU, watch: Watch | None = None
) -> tuple[ReluEnd, ...]:
    # The minimum of softplus(10), where the slopes 2 s(10 x) and s(-10 x) are equal; and another.
    minima = torch.tensor([[-0.1 * torch.log(torch.tensor(2.0)), 1.0], [0.3, 0.5]])
    return continue_to_relu(
        smooth,
        relu,
        minima.double(),
        BETA,
        settings,
        torch.Generator().manual_seed(0),
        watch=watch,
    )


def test_a_kink_is_stationary_though_no_gradient_is_zero() -> None:
    for end in ends(SETTINGS):
        assert end.weights == pytest.approx([0, 1], abs=1e-3)
        assert end.energy == pytest.approx(0, abs=1e-3)
        assert end.passed
        assert end.stationarity <= SETTINGS.tolerance
        # Of the piece on one side.
        assert end.gradient_norm >= 1


def test_by_the_one_gradient_the_same_ends_are_kept_and_marked() -> None:
    settings = replace(SETTINGS, convention="autodiff")
    for end in ends(settings):
        assert end.weights == pytest.approx([0, 1], abs=1e-3)
        assert not end.passed
        assert settings.judged_by(end) == end.gradient_norm
        assert end.stationarity != end.gradient_norm


def test_an_end_beside_the_kink_is_kept_and_marked() -> None:
    first, second = ends(replace(SETTINGS, last=BETA, steps=1, polish=0))
    assert not first.passed
    assert not second.passed
    assert second.stationarity == pytest.approx(second.gradient_norm, rel=1e-3)


def test_steps_along_the_shortest_combination_go_down() -> None:
    plain, polished = (replace(SETTINGS, last=BETA, steps=1, polish=n) for n in (0, 30))
    for before, after in zip(ends(plain), ends(polished), strict=True):
        assert after.energy < before.energy
    assert ends(polished)[1].passed


def test_a_search_with_kinks_keeps_its_ends_and_says_how_stationary_each_is() -> None:
    starts = torch.tensor([[0.4, 0.2], [-1.0, 3.0]], dtype=torch.float64)
    settings = Settings(relu=replace(SETTINGS, polish=30))
    found = from_starts(FunctionEnergy(kink, 2, kinked=True), starts, settings)
    assert not found.lost
    for point in found.points:
        assert point.weights == pytest.approx([0, 1], abs=1e-3)
        assert point.relu is not None
        assert point.stationary is point.relu.passed is True
        assert (point.kind, np.isnan(point.spectrum).all()) == ("minimum", True)
        assert np.isnan(point.log_volume)
    plain = json.loads(json.dumps(to_plain(found)))
    for point, again in zip(found.points, from_plain(plain).points, strict=True):
        assert vars(again.relu).keys() == vars(point.relu).keys()
        assert again.relu.stationarity == point.relu.stationarity  # type: ignore[union-attr]
    strict = replace(settings, relu=replace(settings.relu, tolerance=1e-30, polish=0))
    marked = from_starts(FunctionEnergy(kink, 2, kinked=True), starts, strict)
    assert [point.stationary for point in marked.points] == [False, False]
    # Without the word of the energy, nothing that ends there is a minimum.
    assert from_starts(FunctionEnergy(kink, 2), starts, settings).lost == {"not converged": 2}


def test_minima_between_kinks_are_minima_as_any() -> None:
    def function(point: Tensor) -> Tensor:
        return (point - 1).square().sum() + torch.relu(point - 5).sum()

    apart = FunctionEnergy(function, 2, kinked=True)
    (point,) = from_starts(apart, torch.zeros(1, 2, dtype=torch.float64), Settings()).points
    assert (point.stationary, point.relu) == (True, None)
    assert point.spectrum == pytest.approx([2, 2])


def test_networks_know_whether_they_have_kinks() -> None:
    asked = LandscapeRequest(data="iris", model="mlp-3", activation="relu", kinks=True)
    assert asked.energy().kinked
    assert not replace(asked, activation="tanh").energy().kinked


class Stopping:
    """Stops a watch at one of the calls of many points: there gradients are combined."""

    def __init__(self, watch: Watch, after: int) -> None:
        self._energy, self._watch, self._after = FunctionEnergy(kink, 2), watch, after
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._energy, name)

    def gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        if len(points) == SETTINGS.gradients:
            self.calls += 1
            if self.calls == self._after:
                self._watch.stop()
        return self._energy.gradient(points)


@pytest.mark.parametrize("after", [1, 3])
def test_polishing_ends_with_the_watch(after: int) -> None:
    watch = Watch()
    energy = Stopping(watch, after)
    settings = replace(SETTINGS, last=BETA, steps=1, polish=1000, tolerance=1e-30)
    found = ends(settings, relu=energy, watch=watch)
    assert len(found) == 1
    assert energy.calls == after
