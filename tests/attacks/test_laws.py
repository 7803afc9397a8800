"""Laws that every attack obeys, whatever the function, the box and the samples beside."""

from __future__ import annotations

import pytest
import torch

from sensverify.attacks import ATTACKS, SampleGenerator, run_attack
from sensverify.attacks.worst_points import misclassified
from sensverify.core.box import Box
from sensverify.errors import BadShape
from tests.attacks.victims import IN_A_BOX, QUICK, quick, whole_range
from tests.pairwise import pairwise

RADIUS = torch.tensor([0.2, 0.0, 0.5, 0.1], dtype=torch.float64)

every_attack = pytest.mark.parametrize("name", QUICK)
every_attack_in_a_box = pytest.mark.parametrize("name", IN_A_BOX)


def box_for(name, x, radius, clip=(0.0, 1.0)) -> Box:
    return whole_range(x) if ATTACKS[name].nearest else Box.around(x, radius, clip=clip)


def test_every_attack_is_tested() -> None:
    assert set(QUICK) == set(ATTACKS)


@every_attack_in_a_box
@pytest.mark.parametrize("victim", ["bent", "images"])
def test_radius_zero_changes_nothing(name, victim, request) -> None:
    """Another tool's accuracy changes at radius 0 (torchattacks, issues 124 and 172)."""
    function, x, y = request.getfixturevalue(victim)
    found = run_attack(function, x, y, Box(x, x), quick(name))
    assert torch.equal(found.points, x)
    assert torch.equal(found.broken, function(x).argmax(dim=1) != y)
    assert not bool(found.found.any())
    assert not bool(found.l2.any() | found.linf.any())


@pairwise(name=list(QUICK), clip=[None, (0.0, 1.0)], dtype=[torch.float32, torch.float64])
def test_every_point_is_inside_and_says_what_it_does(bent, name, clip, dtype) -> None:
    net, x, y = bent
    net, x = net.to(dtype), x.to(dtype)
    box = box_for(name, x, RADIUS.to(dtype), clip)
    found = run_attack(net, x, y, box, quick(name))
    assert found.points.dtype == dtype
    assert bool(box.contains(found.points).all())
    with torch.no_grad():
        torch.testing.assert_close(found.outputs, net(found.points))
    moved = found.points.double() - x.double()
    assert torch.equal(found.linf, moved.abs().amax(dim=1))
    torch.testing.assert_close(found.l2, moved.square().sum(dim=1).sqrt())
    clean = net(x).argmax(dim=1) != y
    assert torch.equal(found.broken, misclassified(found.outputs, y))
    assert torch.equal(found.broken, clean | found.found)
    assert not bool((clean & found.found).any())
    assert torch.equal(found.points[clean], x[clean])
    assert not any(values.requires_grad for values in (found.points, found.outputs))


@every_attack
def test_a_box_that_is_large_enough_breaks_something(bent, name) -> None:
    net, x, y = bent
    assert int(run_attack(net, x, y, box_for(name, x, 1.0), quick(name)).found.sum()) > 5


@every_attack
@pytest.mark.parametrize("victim", ["bent", "images"])
def test_neither_chunks_nor_neighbours_change_what_a_sample_gets(name, victim, request) -> None:
    function, x, y = request.getfixturevalue(victim)
    box = box_for(name, x, 0.15)
    whole = run_attack(function, x, y, box, quick(name), seed=3)
    seen: list[tuple[int, int]] = []
    parts = run_attack(
        function, x, y, box, quick(name), seed=3, chunk=7, progress=lambda *n: seen.append(n)
    )
    torch.testing.assert_close(parts.points, whole.points)
    assert torch.equal(parts.broken, whole.broken)
    assert seen == [(n, len(x)) for n in (*range(7, len(x), 7), len(x))]
    # Samples before and behind that are wrong by themselves are not attacked at all.
    others = y.clone()
    others[::3] = (function(x).argmax(dim=1)[::3] + 1) % 3
    kept = others == y
    beside = run_attack(function, x, others, box, quick(name), seed=3)
    torch.testing.assert_close(beside.points[kept], whole.points[kept])


@every_attack
def test_a_sample_draws_the_same_wherever_it_is_met(bent, name) -> None:
    net, x, y = bent
    box = box_for(name, x, RADIUS)
    whole = run_attack(net, x, y, box, quick(name), seed=4)
    chosen = torch.arange(len(x) - 1, 0, -3)
    some = run_attack(net, x[chosen], y[chosen], box[chosen], quick(name), seed=4, places=chosen)
    torch.testing.assert_close(some.points, whole.points[chosen])


@pytest.mark.parametrize("places", [torch.arange(2), torch.zeros(3), torch.ones(3, dtype=bool)])
def test_places_are_as_many_whole_numbers(bent, places) -> None:
    net, x, y = (part[:3] if isinstance(part, torch.Tensor) else part for part in bent)
    with pytest.raises(BadShape, match="places of 3 samples"):
        run_attack(net, x, y, box_for("pgd", x, 0.1), quick("pgd"), places=places)


@every_attack
def test_the_order_of_the_samples_does_not_matter(bent, name) -> None:
    """Every sample keeps the numbers that it draws."""
    net, x, y = bent
    places = torch.arange(len(x))
    there, back = (
        quick(name).points(
            net,
            x[order],
            y[order],
            box_for(name, x[order], RADIUS),
            generator=SampleGenerator.seeded(4, order),
        )
        for order in (places, places.flip(0))
    )
    torch.testing.assert_close(back.flip(0), there)


@every_attack
def test_a_function_may_answer_in_another_precision(bent, name) -> None:
    net, x, y = bent
    found = run_attack(
        lambda points: net(points.double()),
        x.float(),
        y,
        box_for(name, x.float(), 0.1),
        quick(name),
    )
    assert found.points.dtype == torch.float32
    assert found.outputs.dtype == torch.float64


@pytest.mark.parametrize("name", ["pgd", "apgd-ce", "apgd-dlr", "square"])
def test_the_seed_is_what_draws_follow(bent, name) -> None:
    net, x, y = bent

    def asked(seed: int) -> torch.Tensor:
        points: list[torch.Tensor] = []

        def function(inputs):
            points.append(inputs.detach())
            return net(inputs)

        run_attack(function, x, y, Box.around(x, 0.1), quick(name), seed=seed)
        return torch.cat(points)

    assert torch.equal(asked(0), asked(0))
    assert not torch.equal(asked(0), asked(1))


@every_attack
def test_no_traces_are_left(bent, name) -> None:
    """Also where foolbox leaves gradients: its backward pass goes through to the weights."""
    net, x, y = bent
    before, x = x.clone(), x.requires_grad_()
    state = torch.random.get_rng_state()
    with torch.no_grad():
        run_attack(net, x, y, box_for(name, before, 0.1), quick(name))
    assert x.grad is None
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(x.detach(), before)


@every_attack
def test_a_surrogate_that_is_the_network_is_the_white_box(bent, name) -> None:
    net, x, y = bent
    box = box_for(name, x, 0.15)
    white = run_attack(net, x, y, box, quick(name))
    black = run_attack(net, x, y, box, quick(name), surrogate=net)
    assert torch.equal(white.points, black.points)
    assert torch.equal(white.outputs, black.outputs)


@pytest.mark.parametrize("name", sorted(set(QUICK) - {"worst"}))
def test_gradients_are_those_of_the_surrogate_and_the_network_judges(bent, name) -> None:
    net, x, y = bent
    attack, box = quick(name), box_for(name, x, 0.3)

    def gradient_free(points):
        assert not torch.is_grad_enabled()
        return net(points.detach())

    def backwards(points):
        return -net(points)

    found = run_attack(gradient_free, x, y, box, attack, surrogate=backwards)
    assert torch.equal(found.broken, misclassified(net(found.points).detach(), y))
    right = (net(x).argmax(dim=1) == y).nonzero().squeeze(1)
    followed = backwards if attack.gradients else gradient_free
    draws = SampleGenerator.seeded(0, right)
    with torch.set_grad_enabled(attack.gradients):
        points = attack.points(followed, x[right], y[right], box[right], generator=draws)
    wrong = misclassified(net(points).detach(), y[right])
    assert torch.equal(found.found[right], wrong)
    assert torch.equal(found.points[right[wrong]], points[wrong])


@every_attack_in_a_box
def test_units_do_not_matter(bent, name) -> None:
    """A radius on [-1, 1] is half of it on [0, 1], for the network rescaled."""
    net, x, y = bent
    narrow = run_attack(net, x, y, Box.around(x, 0.125, clip=(0.0, 1.0)), quick(name))
    x_wide = 2 * x - 1
    wide = run_attack(
        lambda points: net((points + 1) / 2),
        x_wide,
        y,
        Box.around(x_wide, 0.25, clip=(-1.0, 1.0)),
        quick(name),
    )
    torch.testing.assert_close((wide.points + 1) / 2, narrow.points)
    assert torch.equal(wide.broken, narrow.broken)


def test_the_nearest_point_is_twice_as_far_in_units_half_as_long(bent) -> None:
    net, x, y = bent
    narrow = run_attack(net, x, y, whole_range(x), quick("cw"))
    half = (x + 1) / 2
    box = Box(torch.full_like(x, 0.5), torch.ones_like(x))
    # The weight of the margin against the squared distance has to follow.
    attack = type(quick("cw"))(steps=20, searches=4, initial_weight=1.0 / 4)
    wide = run_attack(lambda points: net(2 * points - 1), half, y, box, attack)
    torch.testing.assert_close(2 * wide.l2, narrow.l2, rtol=1e-3, atol=0.0)
