"""Inner boxes: the values that a method has attained, through `compute_bounds`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.bounds import compute_bounds
from sensverify.bounds.method import Method
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Enclosure, Guarantee, Status
from sensverify.errors import BadBox, BadShape, UnsoundResult
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine
from sensverify.runs.watch import Watch


def network() -> Network:
    builder = NetworkBuilder((2,))
    return builder.build(builder.add(Affine(np.eye(2)), builder.input))


@dataclass(frozen=True)
class Fake(Method):
    """Says what it is told, for every objective of every sample."""

    outer: tuple[float, float]
    inner: tuple[float, float] | None
    optimal: bool | None = None

    name: ClassVar[str] = "fake"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        ones = box.lower.new_ones(box.batch, objectives.shape[1])
        points = box.lower.unsqueeze(1).expand(-1, objectives.shape[1], -1)
        inner = None if self.inner is None else Box(*(end * ones for end in self.inner))
        known = {} if inner is None else {"witness_lower": points, "witness_upper": points + 1}
        optimal = None if self.optimal is None else (ones > 0) == self.optimal
        low, high = (end * ones for end in self.outer)
        return Enclosure(low, high, inner=inner, optimal=optimal, **known)


def bounds(
    outer: tuple[float, float],
    inner: tuple[float, float] | None,
    *,
    optimal: bool | None = None,
    dtype: Any = np.float64,
    **more: Any,
) -> Bounds:
    ends = np.ones((3, 2), dtype=dtype)
    return compute_bounds(network(), Box(-ends, ends), Fake(outer, inner, optimal), **more)


def test_an_inner_box_inside_is_left_alone() -> None:
    found = bounds((-1.0, 1.0), (-0.5, 0.5), optimal=False)
    assert found.inner is not None
    assert float(found.outer.lower[0, 0]) == -1
    assert float(found.inner.lower[0, 0]) == -0.5
    assert found.witness_lower.shape == (3, 2, 2)
    assert found.status(0) is Status.BOUNDED


@pytest.mark.parametrize(("dtype", "by"), [(np.float32, 1e-6), (np.float64, 2e-15)])
def test_rounding_that_crosses_the_boxes_widens_the_outer_one(dtype: Any, by: float) -> None:
    found = bounds((-1.0, 1.0), (-1.0 - by, 1.0 + by), dtype=dtype)
    assert found.inner is not None
    assert torch.equal(found.outer.lower, found.inner.lower)
    assert torch.equal(found.outer.upper, found.inner.upper)
    assert float(found.outer.upper[0, 0]) > 1


@pytest.mark.parametrize(
    "inner", [(-1.1, 0.0), (0.0, 1.1), (-5.0, -4.0), (4.0, 5.0), (-1.0 - 1e-13, 0.0)]
)
def test_an_attained_value_that_breaks_the_bounds_is_refused(inner: tuple[float, float]) -> None:
    with pytest.raises(UnsoundResult, match="an input it found itself breaks"):
        bounds((-1.0, 1.0), inner)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_number_is_attained(bad: float) -> None:
    with pytest.raises(BadBox):
        bounds((-1.0, 1.0), (-bad, bad))


def test_chunks_are_joined_with_all_that_is_known() -> None:
    whole = bounds((-1.0, 1.0), (-0.5, 0.5), optimal=True)
    parts = bounds((-1.0, 1.0), (-0.5, 0.5), optimal=True, memory_budget=1)
    for name in ("lower", "upper"):
        assert torch.equal(getattr(whole.outer, name), getattr(parts.outer, name))
        assert torch.equal(getattr(whole.inner, name), getattr(parts.inner, name))
    assert torch.equal(whole.witness_lower, parts.witness_lower)
    assert torch.equal(whole.witness_upper, parts.witness_upper)
    assert torch.equal(whole.optimal, parts.optimal)
    assert parts.status(2) is Status.OPTIMAL
    assert bounds((-1.0, 1.0), None, memory_budget=1).inner is None


def test_an_inner_box_of_another_shape_is_refused() -> None:
    found = bounds((-1.0, 1.0), None)
    wide = Box(np.zeros((3, 5)), np.ones((3, 5)))
    with pytest.raises(BadShape, match="beside an outer box"):
        Bounds(found.outer, found.guarantee, found.provenance, inner=wide)


@dataclass(frozen=True)
class Listening(Fake):
    """An anytime method that says so to its watch."""

    anytime: ClassVar[bool] = True

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        if watch is not None:
            watch.say("here")
        return super().bound(network, box, objectives)


def test_only_methods_that_can_be_stopped_get_the_watch() -> None:
    heard: list[str] = []
    watch, box = Watch(listener=heard.append), Box(-np.ones((1, 2)), np.ones((1, 2)))
    compute_bounds(network(), box, Fake((-1.0, 1.0), None), watch=watch)
    assert heard == []
    compute_bounds(network(), box, Listening((-1.0, 1.0), None), watch=watch)
    assert heard == ["here"]
    compute_bounds(network(), box, Listening((-1.0, 1.0), None))
    assert heard == ["here"]
