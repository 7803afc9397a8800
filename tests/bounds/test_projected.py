"""LP-dual by random projections: near its bounds the more there are, and never called proven."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sensverify.bounds import Crown, LpDual, ProjectedLpDual, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.core.results import Guarantee
from sensverify.errors import BadSetting, MissingRule
from sensverify.formats.modules import from_module
from sensverify.models import load
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Max, Reshape
from sensverify.training.losses.step import Step
from tests.contracts.networks import dense, numbers


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.inner, self.outer = (nn.Conv2d(6, 6, 3, padding=1) for _ in range(2))
        self.head = nn.Linear(6 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.enter(x))
        x = torch.relu(self.outer(torch.tanh(self.inner(x))) + x)
        result: Tensor = self.head(x.flatten(1))
        return result


def question(batch: int = 3) -> tuple[Residual, Network, Box]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Residual().double().eval()
        x = torch.rand(batch, 1, 8, 8, dtype=torch.float64)
    return module, from_module(module, (1, 8, 8)), Box(x - 0.1, x + 0.1)


def widths(network: Network, box: Box, method: LpDual | ProjectedLpDual) -> Tensor:
    with torch.no_grad():
        outer = compute_bounds(network, box, method).outer
    return outer.upper - outer.lower


def error(projections: int) -> float:
    """Root mean square of the relative difference from LP-dual's widths."""
    _, network, box = question()
    exact = widths(network, box, LpDual())
    found = [widths(network, box, ProjectedLpDual(projections, seed)) for seed in range(4)]
    return float((torch.stack(found) / exact - 1).square().mean().sqrt())


def test_more_projections_come_nearer_to_lp_dual() -> None:
    """A median of n magnitudes is off by about pi / 2 / sqrt(n) of the norm."""
    few, more, many = error(25), error(400), error(6400)
    assert many < 0.4 * more < 0.4 * 0.4 * few
    assert many < 0.05


def test_the_middle_of_the_bounds_is_that_of_lp_dual_in_the_limit() -> None:
    _, network, box = question()
    with torch.no_grad():
        exact = compute_bounds(network, box, LpDual()).outer
        found = compute_bounds(network, box, ProjectedLpDual(3000)).outer
    size = (exact.upper - exact.lower).mean()
    assert float((found.center - exact.center).abs().max()) < 0.05 * size


def test_nothing_about_it_is_proven() -> None:
    _, network, box = question()
    assert compute_bounds(network, box, ProjectedLpDual(5)).guarantee is Guarantee.PROBABILISTIC
    with pytest.raises(BadSetting):
        compute_bounds(network, box, ProjectedLpDual(5), proof=True)
    with pytest.raises(BadSetting, match="intermediate"):
        Crown(intermediate=ProjectedLpDual(5))  # type: ignore[arg-type]


def test_a_box_of_radius_zero_is_the_forward_pass() -> None:
    _, network, box = question()
    point = box.center
    outer = compute_bounds(network, Box(point, point), ProjectedLpDual(5)).outer
    expected = forward_pass(network, point)
    for end in (outer.lower, outer.upper):
        torch.testing.assert_close(end.detach(), expected.detach(), rtol=1e-9, atol=1e-9)


def test_the_same_question_gets_the_same_projections_and_any_other_does_not() -> None:
    module, network, box = question()
    first = widths(network, box, ProjectedLpDual(9))
    assert torch.equal(first, widths(network, box, ProjectedLpDual(9)))
    assert not torch.equal(first, widths(network, box, ProjectedLpDual(9, seed=1)))
    with torch.no_grad():
        module.head.bias.add_(1.0)
    # What moves all outputs alike changes no width but by other projections.
    moved = widths(from_module(module, (1, 8, 8)), box, ProjectedLpDual(9))
    assert float((moved / first - 1).abs().max()) > 1e-3


def test_gradients_follow_the_projections() -> None:
    module, network, box = question()
    outer = compute_bounds(network, box, ProjectedLpDual(2000)).outer
    exact = compute_bounds(network, box, LpDual()).outer
    found, wanted = (
        torch.autograd.grad((end.upper - end.lower).sum(), list(module.parameters()))
        for end in (outer, exact)
    )
    flat, aim = (torch.cat([g.flatten() for g in each]) for each in (found, wanted))
    assert float(torch.nn.functional.cosine_similarity(flat, aim, dim=0)) > 0.7


def test_a_training_step_takes_it() -> None:
    module, network, box = question()
    step = Step(module, network, box.center, torch.tensor([0, 1, 2]), torch.full((1, 8, 8), 0.1))
    margins = step.margins(ProjectedLpDual(20))
    assert margins.shape == (3, 3)
    margins.sum().backward()
    assert all(
        bool(torch.isfinite(p.grad).all()) for p in module.parameters() if p.grad is not None
    )


def test_what_has_no_parallel_lines_is_refused_by_name() -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((4,))
    node = builder.add(Reshape((3, 2)), builder.add(dense(rng, 6, 4), builder.input))
    network = builder.build(builder.add(dense(rng, 2, 3), builder.add(Max(), node)))
    x = torch.from_numpy(numbers(rng, 2, 4))
    with pytest.raises(MissingRule, match="Max"):
        compute_bounds(network, Box(x - 1, x + 1), ProjectedLpDual(5))


def test_a_shipped_model_in_single_precision() -> None:
    box = Box(np.full((2, 4), 4.9, np.float32), np.full((2, 4), 5.1, np.float32))
    found = compute_bounds(load("iris"), box, ProjectedLpDual(200)).outer
    exact = compute_bounds(load("iris"), box, LpDual()).outer
    ratio = (found.upper - found.lower) / (exact.upper - exact.lower)
    assert bool(((ratio > 0.5) & (ratio < 2)).all())
