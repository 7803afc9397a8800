"""The front door: what is refused, what is judged again, and when it stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from sensverify.attacks import Fgsm, Pgd, Square, run_attack
from sensverify.attacks.ascent import margin_loss
from sensverify.core.box import Box
from sensverify.errors import (
    BadBox,
    BadData,
    BadSetting,
    BadShape,
    NotMeasured,
    Unbounded,
    UnsoundResult,
)
from sensverify.runs.watch import Watch
from tests.attacks.victims import IN_A_BOX, QUICK, quick, whole_range


@dataclass(frozen=True)
class Wild:
    """Gives the same values for every feature of every point."""

    name: ClassVar[str] = "wild"
    nearest: ClassVar[bool] = False
    gradients: ClassVar[bool] = True
    source: ClassVar[str] = "a test"

    value: float = 100.0
    samples: int | None = None

    def points(self, function, x, y, box, *, generator):
        return torch.full_like(x[: self.samples], self.value)


def test_what_does_not_fit_is_refused(bent) -> None:
    net, x, y = bent
    box = Box.around(x, 0.1)
    wild = Fgsm()
    with pytest.raises(BadShape, match="as many labels"):
        run_attack(net, x, y[:-1], box, wild)
    with pytest.raises(BadShape, match="whole numbers"):
        run_attack(net, x, y.double(), box, wild)
    with pytest.raises(BadData, match="sample 2 has the label -1"):
        run_attack(net, x, torch.where(torch.arange(30) == 2, -1, y), box, wild)
    with pytest.raises(BadData, match=r"sample 7 .* 3; .* 3 outputs"):
        run_attack(net, x, torch.where(torch.arange(30) == 7, 3, y), box, wild)
    with pytest.raises(BadData, match="no samples"):
        run_attack(net, x[:0], y[:0], box[:0], wild)
    bad = x.clone()
    bad[4, 1] = torch.nan
    with pytest.raises(BadData, match="sample 4 holds NaN"):
        run_attack(net, bad, y, box, wild)
    with pytest.raises(BadShape, match="shape and dtype of the samples"):
        run_attack(net, x.float(), y, box, wild)
    with pytest.raises(BadBox, match="outside of their boxes"):
        run_attack(net, x + 1, y, box, wild)
    with pytest.raises(BadSetting, match="chunk, got 0"):
        run_attack(net, x, y, box, wild, chunk=0)
    with pytest.raises(BadShape, match="two outputs"):
        run_attack(lambda points: net(points)[:, :1], x, y, box, wild)
    with pytest.raises(BadShape, match="each of 30 inputs"):
        run_attack(lambda points: net(points).sum(dim=0), x, y, box, wild)


@pytest.mark.parametrize("value", [100.0, -100.0])
def test_points_come_back_into_the_box(bent, value) -> None:
    net, x, y = bent
    box = Box.around(x, 0.3, clip=(0.0, 1.0))
    found = run_attack(net, x, y, box, Wild(value))
    assert bool(box.contains(found.points).all())
    end = box.upper if value > 0 else box.lower
    assert torch.equal(found.points[found.found], end[found.found])


def test_points_that_are_none_are_refused(bent) -> None:
    net, x, y = bent
    box = Box.around(x, 0.3)
    for value in (torch.nan, torch.inf):
        with pytest.raises(Unbounded, match=r"wild .* sample 1 "):
            run_attack(net, x, y, box, Wild(value))
    with pytest.raises(UnsoundResult, match=r"wild .*\(1, 4\)"):
        run_attack(net, x, y, box, Wild(samples=1))


def test_a_point_that_is_no_worse_is_not_taken(bent) -> None:
    net, x, _ = bent
    y = net(x).argmax(dim=1)

    class Kind(Wild):
        def points(self, function, x, y, box, *, generator):
            # Where the label wins by more.
            return Fgsm().points(lambda p: -function(p), x, y, box, generator=generator)

    found = run_attack(net, x, y, Box.around(x, 0.01), Kind())
    assert torch.equal(found.points, x)
    assert not bool(found.broken.any())


@pytest.mark.parametrize("name", QUICK)
def test_a_sample_that_keeps_its_label_is_left_at_the_worst_point_of_its_box(bent, name) -> None:
    """Or where it was, by an attack that looks for the nearest point with another label."""
    net, x, _ = bent
    y = net(x).argmax(dim=1)
    found = run_attack(net, x, y, Box.around(x, 0.02), quick(name))
    kept = ~found.broken
    assert int(kept.sum()) > 20
    before = margin_loss(net(x).detach(), y)
    if quick(name).nearest:
        assert torch.equal(found.points[kept], x[kept])
    else:
        after = margin_loss(found.outputs, y)
        assert bool((after[kept] >= before[kept]).all())
        assert int((after[kept] > before[kept]).sum()) > 10


@pytest.mark.parametrize("name", QUICK)
def test_a_network_without_finite_outputs_is_named_with_its_sample(bent, name) -> None:
    net, x, y = bent

    def broken(points):
        return torch.where(points[:, :1] == x[17, 0], torch.nan, 1.0) * net(points)

    with pytest.raises(Unbounded, match="sample 17 "):
        run_attack(broken, x, y, whole_range(x), quick(name), chunk=4)


@pytest.mark.parametrize("name", IN_A_BOX)
def test_outputs_that_are_not_finite_beside_the_sample_are_no_robustness(name) -> None:
    """Whatever the largest of outputs that are no numbers is called."""
    plane = nn.Linear(2, 2).double()
    x = torch.full((3, 2), 0.5, dtype=torch.float64)

    def function(points):
        wide = 1.0 + (plane(points) - plane(x[:1])).detach()
        outputs = nn.functional.one_hot(y[: len(points)], 2) * 5.0 + points * wide * 1e-3
        away = (points - 0.5).abs().amax(dim=1, keepdim=True) > 1e-4
        return torch.where(away, torch.nan, outputs)

    for label in (0, 1):
        y = torch.full((3,), label)
        with pytest.raises(Unbounded, match="sample 0 at a point"):
            run_attack(function, x, y, Box.around(x, 0.1), quick(name))


def test_time_that_is_up_leaves_no_partial_claim(bent) -> None:
    net, x, y = bent
    box = Box.around(x, 0.1)
    with pytest.raises(NotMeasured, match=r"fgsm .* 0 of 30 "):
        run_attack(net, x, y, box, Fgsm(), watch=Watch(0))
    watch = Watch()

    def stop(done: int, total: int) -> None:
        if done == 20:
            watch.stop()

    with pytest.raises(NotMeasured, match=r"pgd .* 20 of 30 "):
        run_attack(net, x, y, box, Pgd(steps=2), chunk=10, watch=watch, progress=stop)


def test_a_long_chunk_is_stopped_within(bent) -> None:
    net, x, y = bent
    watch, calls = Watch(), []

    def counted(points):
        calls.append(len(points))
        if len(calls) == 5:
            watch.stop()
        return net(points)

    with pytest.raises(NotMeasured, match=r"square .* 0 of 30"):
        run_attack(counted, x, y, Box.around(x, 1e-6), Square(queries=10**6), watch=watch)
    assert len(calls) == 5


def test_functions_without_gradients_are_told_what_to_do(bent) -> None:
    net, x, y = bent
    box = Box.around(x, 0.1)
    with pytest.raises(BadSetting, match="surrogate"):
        run_attack(lambda points: net(points).detach(), x, y, box, Fgsm())
    run_attack(lambda points: net(points).detach(), x, y, box, quick("square"))


def test_outputs_of_any_shape_are_classes_in_a_row(bent) -> None:
    net, x, y = bent
    box = Box.around(x, 0.1)
    flat = run_attack(net, x, y, box, Fgsm())
    deep = run_attack(lambda points: net(points)[:, :, None, None], x, y, box, Fgsm())
    assert torch.equal(deep.points, flat.points)
