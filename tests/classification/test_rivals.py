"""Classes that keep their places: losses, proofs and changes agree with counting."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensverify.attacks.ascent import margin_loss
from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.classification.margins import changes, proven, refuted, with_margins
from sensverify.classification.rivals import Rivals
from sensverify.core.box import Box
from sensverify.network import NetworkBuilder
from tests.classification.test_margins import box_around, network


def drawn(seed: int, classes: int = 5, samples: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    # Some of them equal.
    outputs = torch.randint(-4, 5, (samples, classes), generator=generator).float()
    return outputs, torch.randint(0, classes, (samples,), generator=generator)


def some_rivals(labels: torch.Tensor, classes: int, seed: int) -> Rivals:
    against = torch.rand(len(labels), classes, generator=torch.Generator().manual_seed(seed)) < 0.5
    against[torch.arange(len(labels)), labels] = False
    return Rivals(labels, against)


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_loss_is_above_0_where_a_place_is_lost(seed: int, places: int) -> None:
    outputs, labels = drawn(seed)
    lost = Rivals.of(labels, 5, places).loss(outputs) > 0
    for row, label, found in zip(outputs.numpy(), labels.tolist(), lost.tolist(), strict=True):
        assert found == ((row > row[label]).sum() >= places)
    some = some_rivals(labels, 5, seed)
    for row, against, found in zip(
        outputs.numpy(), some.against.numpy(), (some.loss(outputs) > 0).tolist(), strict=True
    ):
        assert found == (against.any() and row[against].max() > row[~against].max())


@given(st.integers(0, 10_000))
def test_of_all_others_and_one_place_it_is_the_margin(seed: int) -> None:
    outputs, labels = drawn(seed)
    outputs.requires_grad_()
    gradients = []
    for loss in (Rivals.of(labels, 5).loss, margin_loss):
        values = loss(outputs, labels)
        gradients.append((values, *torch.autograd.grad(values.sum(), outputs)))
    for one, other in zip(*gradients, strict=True):
        assert torch.equal(one, other)
    assert torch.equal(Rivals.of(labels, 5).kept(outputs), outputs.argmax(dim=1) == labels)


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_a_kept_place_is_not_lost(seed: int, places: int) -> None:
    outputs, labels = drawn(seed)
    for rivals in (Rivals.of(labels, 5, places), some_rivals(labels, 5, seed)):
        assert not (rivals.kept(outputs) & (rivals.loss(outputs) > 0)).any()
        margins = with_margins(labels, 5, torch.float32)[:, 5:] @ outputs.unsqueeze(-1)
        certain = rivals.certain(margins.squeeze(-1) > 0)
        assert not (certain & (rivals.loss(outputs) > 0)).any()
        assert not (certain & ~rivals.kept(outputs)).any()


@settings(max_examples=30)
@given(st.integers(0, 500), st.sampled_from([0.01, 0.1, 0.5]), st.integers(0, 4))
def test_what_is_proven_is_lost_at_no_point(seed: int, radius: float, kind: int) -> None:
    net = network(seed, (4, 12, 5))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 4, generator=generator)
    labels = forward_pass(net, x).argmax(dim=1)
    labels[:2] = (labels[:2] + 1) % 5
    rivals = some_rivals(labels, 5, seed) if kind == 0 else Rivals.of(labels, 5, kind)
    box = box_around(x, radius)
    bounds = compute_bounds(net, box, Crown(), with_margins(labels, 5, torch.float32))
    sure = proven(net, box, bounds, rivals, method=Crown())
    found, points = refuted(net, box, x, rivals, seed=seed)
    assert not (sure & found).any()
    outputs = forward_pass(net, points.double())
    assert (rivals.loss(outputs) > 0)[found].all()
    corners = torch.randint(0, 2, (64, 8, 4), generator=generator) * 2 - 1
    for each in corners:
        lost = rivals.loss(forward_pass(net, (x + radius * each).double())) > 1e-6
        assert not (lost & sure).any()


def test_an_allowed_class_that_is_larger_still_is_no_change() -> None:
    """Outputs (0, 1, 2) at the point, of class 0: taken for 2, whatever 1 does."""
    net = NetworkBuilder((3,)).build(0)
    point, labels = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([0])
    for against, changed in (([0, 1, 0], False), ([0, 0, 1], True), ([0, 0, 0], False)):
        rivals = Rivals(labels, torch.tensor([against], dtype=torch.bool))
        assert changes(net, point, rivals).tolist() == [changed]
        assert refuted(net, Box(point, point), point, rivals, seed=0)[0].tolist() == [changed]


def test_places_are_counted() -> None:
    net = NetworkBuilder((3,)).build(0)
    point, labels = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([0])
    found = [changes(net, point, Rivals.of(labels, 3, places)).tolist() for places in (1, 2)]
    assert found == [[True], [True]]
    assert changes(net, point, Rivals.of(torch.tensor([1]), 3, 2)).tolist() == [False]
    assert Rivals.of(labels, 3).beside.tolist() == [[True, True]]
