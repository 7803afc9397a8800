"""Robust cross-entropy: closed forms, the authors' own program, and the way to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sensverify.bounds import Crown, Ibp, LpDual
from sensverify.classification.margins import robust_cross_entropy
from sensverify.errors import BadSetting
from sensverify.training.losses.robust import certified, robust

METHODS = [LpDual(), Ibp(), Crown(intermediate=Ibp())]


def plain(step) -> Tensor:
    return functional.cross_entropy(step.outputs, step.y)


@pytest.mark.parametrize("bounds", METHODS, ids=repr)
def test_closed_form_on_a_linear_function(make_step, bounds) -> None:
    layer = nn.Linear(3, 4).double()
    step = make_step(layer, radius=0.2)
    rows = layer.weight[step.y].unsqueeze(1) - layer.weight
    outputs = step.outputs
    margins = outputs.gather(1, step.y[:, None]) - outputs - 0.2 * rows.abs().sum(2)
    # The row of the label itself is the 1 of log(1 + ...).
    expected = torch.logsumexp(-margins, dim=1).mean()
    torch.testing.assert_close(robust(step, bounds=bounds), expected)


@pytest.mark.parametrize("bounds", METHODS, ids=repr)
def test_radius_zero_is_cross_entropy_and_more_radius_is_more_loss(make_step, bounds) -> None:
    values = [float(robust(make_step(radius=r), bounds=bounds).detach()) for r in (0, 0.05, 0.1)]
    assert values[0] == pytest.approx(float(plain(make_step()).detach()))
    assert values == sorted(values)


def test_no_input_in_the_box_has_more(make_step) -> None:
    step = make_step()
    share = torch.rand(200, *step.x.shape, dtype=torch.float64)
    points = torch.lerp(step.box.lower, step.box.upper, share).flatten(0, 1)
    labels = step.y.repeat(200)
    worst = functional.cross_entropy(step.module(points), labels, reduction="none")
    worst = worst.reshape(200, -1).amax(0)
    for bounds in METHODS:
        assert bool((worst <= robust_cross_entropy(step.margins(bounds))).all())


@pytest.mark.parametrize("term", [robust, certified])
def test_gradients_by_finite_differences(make_step, term) -> None:
    module = make_step().module
    weights = list(module.parameters())

    def value() -> Tensor:
        return term(make_step(module, ramp=0.7))

    gradients = torch.autograd.grad(value(), weights)
    ways = [torch.randn_like(w) for w in weights]
    slope = sum(float((g * way).sum()) for g, way in zip(gradients, ways, strict=True))
    ends = []
    for h in (1e-6, -2e-6):
        with torch.no_grad():
            for weight, way in zip(weights, ways, strict=True):
                weight.add_(h * way)
        ends.append(float(value().detach()))
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-8)


def test_certified_begins_as_cross_entropy_and_ends_with_its_share(make_step) -> None:
    torch.testing.assert_close(certified(make_step(ramp=0.0)), plain(make_step()))
    end = make_step(ramp=1.0)
    hard = robust_cross_entropy(end.margins(Ibp())).mean()
    torch.testing.assert_close(certified(end, kappa=0.25), 0.25 * plain(end) + 0.75 * hard)
    half = make_step(ramp=0.5)
    hard = robust_cross_entropy(half.margins(Ibp())).mean()
    torch.testing.assert_close(certified(half, kappa=0.5), 0.75 * plain(half) + 0.25 * hard)


def test_beta_leads_from_crown_ibp_to_intervals(make_step, monkeypatch) -> None:
    half = make_step(ramp=0.5)
    tight, loose = half.margins(Crown(intermediate=Ibp())), half.margins(Ibp())
    mixed = robust_cross_entropy(0.5 * tight + 0.5 * loose).mean()
    torch.testing.assert_close(
        certified(half, kappa=0.0, beta=1.0), 0.5 * plain(half) + 0.5 * mixed
    )
    # At the end the dearer bounds are not asked for.
    monkeypatch.setattr(Crown, "bound", None)
    certified(make_step(ramp=1.0), beta=1.0)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_are_shares(make_step, share) -> None:
    for name in ("kappa", "beta"):
        with pytest.raises(BadSetting, match=f"{name} .*0 to 1"):
            certified(make_step(), **{name: share})
