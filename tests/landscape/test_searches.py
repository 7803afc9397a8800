"""The parts of a search on small energies: descent, hops, the lowest direction, climbs, paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.landscape import FunctionEnergy, Search, Settings, explore
from sensverify.landscape.basin_hopping import Hopping, hop
from sensverify.landscape.curvature import newton_like
from sensverify.landscape.lowest_mode import lowest_mode
from sensverify.landscape.minimise import Lbfgs, gradient_of, minimise
from sensverify.landscape.newton import Newton, polish
from sensverify.landscape.paths import Descent, descend
from sensverify.landscape.saddles import Climb, climb
from sensverify.landscape.search import from_climbs, from_starts
from tests.landscape.energies import MUELLER_BROWN, WELLS


def quadratic(curvatures: Tensor) -> FunctionEnergy:
    return FunctionEnergy(lambda point: 0.5 * (curvatures * point.square()).sum(), len(curvatures))


STIFF = quadratic(torch.logspace(-2, 2, 30, dtype=torch.float64))


def draws(count: int, size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=generator, dtype=torch.float64)


def test_descent_ends_at_the_minimum_of_a_stiff_bowl() -> None:
    found = minimise(gradient_of(STIFF), draws(5, 30), Lbfgs(tolerance=1e-8))
    assert bool(found.converged.all())
    assert float(found.points.abs().max()) < 1e-4
    assert found.evaluations < 5 * 1000


def test_starts_do_not_change_each_other() -> None:
    starts = draws(4, 2, 3)
    together = minimise(gradient_of(MUELLER_BROWN), starts, Lbfgs(longest=0.1))
    for place, start in enumerate(starts):
        alone = minimise(gradient_of(MUELLER_BROWN), start[None], Lbfgs(longest=0.1))
        torch.testing.assert_close(alone.points[0], together.points[place], atol=1e-6, rtol=0)


def test_energies_fall_at_every_step_of_a_descent() -> None:
    seen: list[float] = []

    def gradient(points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return WELLS.gradient(points)

    start = torch.tensor([[1.9, -0.1]], dtype=torch.float64)
    for steps in range(1, 15):
        seen.append(float(minimise(gradient, start, Lbfgs(steps=steps)).values[0]))
    assert (np.diff(seen) <= 1e-13).all()
    assert seen[-1] < 1e-3


def test_what_runs_away_is_said() -> None:
    falling = FunctionEnergy(lambda point: -point.pow(3).sum(), 1)
    found = minimise(
        gradient_of(falling), torch.ones(1, 1, dtype=torch.float64), Lbfgs(longest=1e7)
    )
    assert bool(found.diverged[0])
    assert not bool(found.converged[0])
    lost = from_starts(
        falling, torch.ones(2, 1, dtype=torch.float64), Settings(descent=Lbfgs(longest=1e7))
    )
    assert lost.lost == {"diverged": 2}
    assert not lost.points


def test_nan_is_no_minimum() -> None:
    broken = FunctionEnergy(lambda point: (point * torch.nan).sum(), 2)
    found = minimise(gradient_of(broken), draws(3, 2), Lbfgs())
    assert bool(found.diverged.all())


def test_newton_ends_at_the_index_it_is_asked_for() -> None:
    saddle = polish(WELLS, torch.tensor([0.1, 0.95], dtype=torch.float64), index=1)
    assert saddle.converged
    assert saddle.negative == 1
    torch.testing.assert_close(saddle.point.abs(), torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(saddle.lowest.abs(), torch.tensor([1.0, 0.0], dtype=torch.float64))
    minimum = polish(WELLS, torch.tensor([0.1, 0.95], dtype=torch.float64))
    assert minimum.converged
    assert minimum.negative == 0


def test_flat_directions_are_counted_and_not_walked_along() -> None:
    trough = FunctionEnergy(lambda point: (point[0] + point[1] - 1).square(), 2)
    found = polish(trough, torch.tensor([3.0, 1.0], dtype=torch.float64))
    assert found.converged
    assert (found.negative, found.zero) == (0, 1)
    torch.testing.assert_close(found.point, torch.tensor([1.5, -0.5], dtype=torch.float64))


def test_the_lowest_direction_is_that_of_the_whole_hessian() -> None:
    draw = draws(20, 20)
    matrix = draw + draw.T
    energy = FunctionEnergy(lambda point: 0.5 * point @ matrix @ point, 20)
    values, vectors = torch.linalg.eigh(matrix)
    points = draws(3, 20, 1)
    curvatures, directions = lowest_mode(energy, points, draws(3, 20, 2), steps=60, tolerance=1e-8)
    torch.testing.assert_close(curvatures, values[0].expand(3))
    torch.testing.assert_close((directions @ vectors[:, 0]).abs(), torch.ones(3).double())


def test_a_climb_ends_at_a_saddle() -> None:
    starts = torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    ways = torch.tensor([[-1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    found = climb(WELLS, starts, ways, Climb(longest=0.1))
    assert bool(found.converged.all())
    wanted = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found.points, wanted, atol=1e-3, rtol=0)


def test_a_bowl_has_no_saddle() -> None:
    bowl = quadratic(torch.tensor([1.0, 2.0], dtype=torch.float64))
    zero = torch.zeros(2, 2, dtype=torch.float64)
    found = from_climbs(bowl, zero, Settings(), torch.Generator().manual_seed(0))
    assert not found.points
    assert sum(found.lost.values()) == 2


def test_a_path_is_the_steepest_descent() -> None:
    """From (0, 1) along x of ``(x^2 - 1)^2 + (y^2 - 1)^2`` it stays on the line y = 1."""
    saddle = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    ways = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    found = descend(WELLS, saddle, ways, Descent())
    assert bool(found.converged.all())
    wanted = torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(found.points, wanted, atol=1e-5, rtol=0)
    for path in found.paths:
        x = path.lengths[1:-1]
        np.testing.assert_allclose(path.energies[1:-1], (x**2 - 1) ** 2, atol=1e-9)


def test_a_curved_path_is_that_of_many_small_steps() -> None:
    """Of a bowl that is 50 times as steep one way as the other."""
    bowl = quadratic(torch.tensor([1.0, 50.0], dtype=torch.float64))
    start = torch.tensor([[1.0, 0.2]], dtype=torch.float64)
    found = descend(bowl, start, -start, Descent(leave=1e-9, longest=0.02, near=0.05))
    at = start[0].numpy().copy()
    length, by_length = 0.0, [(0.0, 0.5 + 25 * 0.04)]
    for _ in range(40_000):
        move = -1e-4 * np.array([1.0, 50.0]) * at
        at, length = at + move, length + float(np.linalg.norm(move))
        by_length.append((length, 0.5 * at[0] ** 2 + 25 * at[1] ** 2))
    lengths, energies = np.array(by_length).T
    path = found.paths[0]
    known = path.lengths[:-1]
    np.testing.assert_allclose(path.energies[:-1], np.interp(known, lengths, energies), atol=0.03)


def test_hops_leave_a_minimum_and_the_temperature_decides() -> None:
    start = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    settings = Hopping(hops=12, step=1.0, temperature=0.1)
    generator = torch.Generator().manual_seed(0)
    found = hop(WELLS, start, settings, Lbfgs(longest=0.2), generator)
    places = {tuple(point) for point in found.points.round().tolist()}
    assert len(places) > 1
    assert places <= {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    assert found.accepted > 0


def test_walks_of_a_search_find_what_no_start_did() -> None:
    settings = Settings(
        search=Search(starts=1, walks=1, rounds=0),
        hopping=Hopping(hops=12, step=1.0, temperature=0.1),
        descent=Lbfgs(longest=0.2),
    )
    found = explore(WELLS, settings)
    origins = [point.origin for point in found.points.values()]
    assert origins[0] == "start"
    assert set(origins[1:]) == {"hop"}
    # Each of the twelve hops ended at a minimum of the four.
    assert sum(found.seen.values()) == 13
    for point in found.minima:
        assert np.abs(point.weights) == pytest.approx([1, 1])
    assert explore(WELLS, replace(settings, search=Search(starts=1, rounds=0))).seen.total() == 1


def test_steps_grow_where_all_hops_are_taken() -> None:
    start = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    settings = Hopping(hops=4, step=0.01, temperature=1.0, control=2)
    found = hop(WELLS, start, settings, Lbfgs(), torch.Generator().manual_seed(0))
    assert found.accepted == 1
    assert float(found.steps[0]) == pytest.approx(0.01 * 1.2**2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Lbfgs(tolerance=0),
        lambda: Lbfgs(steps=0),
        lambda: Newton(zero=2),
        lambda: Hopping(step=0),
        lambda: Hopping(temperature=-1),
        lambda: Climb(tolerance=float("nan")),
        lambda: Climb(modes=0),
        lambda: Climb(fresh=0),
        lambda: Descent(stages=1),
        lambda: Descent(near=-1),
        lambda: Search(batch=0),
        lambda: Search(rounds=-1),
        lambda: Settings.of({"search": {"start": 3}}),
        lambda: Settings.of({"search": 3}),
        lambda: Settings.of({"relu": {"convention": "mine"}}),
        lambda: FunctionEnergy(lambda point: point.sum(), 0),
    ],
)
def test_settings_that_cannot_be_are_refused(make: object) -> None:
    with pytest.raises(BadSetting):
        make()  # type: ignore[operator]


def test_settings_are_read_as_they_are_written() -> None:
    settings = Settings(climb=Climb(steps=7), path=Descent(last=Lbfgs(longest=0.7)))
    assert Settings.of(settings.as_dict()) == settings


def turned(curvatures: Tensor, *, well: bool = False) -> tuple[FunctionEnergy, Tensor]:
    """A bowl, or a double well along the first direction, in turned axes (the columns)."""
    size = len(curvatures)
    axes = torch.linalg.qr(draws(size, size, 5))[0]

    def function(point: Tensor) -> Tensor:
        along = axes.T @ point
        bowl = 0.5 * (curvatures * along.square()).sum()
        return bowl + (along[0] ** 4 - along[0].square() if well else 0.0)

    return FunctionEnergy(function, size), axes


def test_steps_of_a_whole_hessian_end_where_others_do_not() -> None:
    energy, axes = turned(torch.logspace(-3, 2, 12, dtype=torch.float64))
    inverse = newton_like(energy, torch.zeros(12, dtype=torch.float64)).double()
    plain = Lbfgs(tolerance=1e-9, steps=8, longest=1e4)
    starts = draws(3, 12)
    assert not bool(minimise(gradient_of(energy), starts, plain).converged.any())
    found = minimise(
        gradient_of(energy), starts, plain, inverse=lambda vectors, _: vectors @ inverse
    )
    assert bool(found.converged.all())
    known = axes[:, 3] * 10 ** (3 - 15 / 11)
    torch.testing.assert_close(inverse @ axes[:, 3], known, rtol=0.05, atol=0)


def test_negative_curvatures_are_turned_and_soft_ones_held_back() -> None:
    energy, axes = turned(torch.tensor([-2.0, 4.0, 1e-9], dtype=torch.float64))
    inverse = newton_like(energy, torch.ones(3, dtype=torch.float64)).double()
    wanted = torch.diag(torch.tensor([0.5, 0.25, 1 / 4e-5], dtype=torch.float64))
    torch.testing.assert_close(axes.T @ inverse @ axes, wanted, rtol=1e-5, atol=1e-2)


def test_without_finite_curvatures_steps_are_those_of_the_gradient() -> None:
    broken = FunctionEnergy(lambda point: (point * torch.nan).square().sum(), 2)
    found = newton_like(broken, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(found, torch.eye(2))


def test_a_hessian_that_cannot_be_held_is_refused() -> None:
    large = FunctionEnergy(lambda point: point.square().sum(), 4001)
    with pytest.raises(BadSetting, match="4,001 weights are too many"):
        newton_like(large, torch.zeros(4001, dtype=torch.float64))


def test_the_lowest_direction_is_found_sooner_with_a_whole_hessian() -> None:
    curvatures = torch.logspace(-5, 1, 40, dtype=torch.float64)
    curvatures[0] = -1e-3
    energy, axes = turned(curvatures)
    points, guess = draws(2, 40, 1), draws(2, 40, 2)
    inverse = newton_like(energy, points[0]).double()
    steps = {"steps": 25, "tolerance": 1e-6}
    slow, _ = lowest_mode(energy, points, guess, **steps)  # type: ignore[arg-type]
    fast, ways = lowest_mode(
        energy,
        points,
        guess,
        inverse=lambda vectors: vectors @ inverse,
        **steps,  # type: ignore[arg-type]
    )
    assert float(slow.min()) > 0
    torch.testing.assert_close(fast, curvatures[:1].expand(2), rtol=1e-6, atol=0)
    torch.testing.assert_close((ways @ axes[:, 0]).abs(), torch.ones(2).double())


def test_a_climb_ends_among_curvatures_far_apart() -> None:
    curvatures = torch.logspace(-4, 2, 30, dtype=torch.float64)
    energy, axes = turned(curvatures, well=True)
    start = 0.3 * axes[:, 0] + 0.3 * axes[:, 20] + axes[:, 3]
    found = climb(energy, start[None], -axes[:, :1].T, Climb(tolerance=1e-7, steps=40))
    assert bool(found.converged[0])
    assert float(found.points.norm()) < 1e-3
    assert float(found.curvatures[0]) == pytest.approx(1e-4 - 2, rel=1e-3)


def test_climbs_in_groups_end_where_those_together_do(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = torch.tensor([[0.9, 1.0], [-1.0, 0.9]], dtype=torch.float64)
    ways = torch.tensor([[-1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    settings = Climb(longest=0.1, tolerance=1e-6)
    together = climb(WELLS, starts, ways, settings)
    monkeypatch.setattr("sensverify.landscape.saddles._HELD", 4)
    alone = climb(WELLS, starts, ways, settings)
    assert bool(alone.converged.all())
    torch.testing.assert_close(alone.points, together.points, atol=1e-4, rtol=0)
    assert alone.evaluations > 0


def test_short_steps_to_a_saddle_take_the_hessian_as_it_is() -> None:
    energy, axes = turned(torch.logspace(-4, 2, 10, dtype=torch.float64), well=True)
    found = polish(energy, 1e-3 * axes[:, 0] + 1e-2 * axes[:, 4], index=1)
    assert found.converged
    assert (found.negative, found.zero) == (1, 0)
    assert float(found.point.norm()) < 1e-6


def test_starts_that_plain_descent_leaves_half_way_are_settled() -> None:
    energy, _ = turned(torch.logspace(-5, 2, 20, dtype=torch.float64))
    settings = Settings(descent=Lbfgs(steps=10))
    starts = 3 * draws(2, 20)
    before = minimise(gradient_of(energy), starts, settings.descent)
    assert float(before.norms.min()) > 1e3 * settings.descent.tolerance
    found = from_starts(energy, starts, settings)
    assert not found.lost
    assert len(found.points) == 2
    assert all(float(np.abs(point.weights).max()) < 1e-3 for point in found.points)
