"""SAM and ASAM: lengths, invariance, what moves and what comes back."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sensverify.errors import BadSetting, UnknownName
from sensverify.training.sharpness import (
    SHARPNESS,
    Asam,
    Sam,
    Sharpness,
    frozen_statistics,
    is_bias,
)


@pytest.fixture
def net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double()


X = torch.rand(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 3


def with_gradients(module: nn.Module) -> nn.Module:
    module.zero_grad()
    functional.cross_entropy(module(X.to(next(module.parameters()).dtype)), Y).backward()
    return module


def steps(sharpness: Sharpness, module: nn.Module) -> dict[str, Tensor]:
    """What it adds to every parameter."""
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    sharpness.perturb(module)
    after = {name: p.detach() - before[name] for name, p in module.named_parameters()}
    sharpness.restore(module)
    return after


def flat(values: dict[str, Tensor]) -> Tensor:
    return torch.cat([v.flatten() for v in values.values()])


def gradient(module: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in module.parameters()])


@pytest.mark.parametrize("rho", [0.05, 2.0])
def test_sams_step_is_rho_along_the_gradient(net, rho) -> None:
    step = flat(steps(Sam(rho), with_gradients(net)))
    assert step.norm().item() == pytest.approx(rho, rel=1e-12)
    torch.testing.assert_close(step, rho * functional.normalize(gradient(net), dim=0))


def test_asams_step_is_rho_in_units_of_the_weights(net) -> None:
    sharpness = Asam(rho=0.5, eta=0.01)
    found = steps(sharpness, with_gradients(net))
    scaled = [
        found[name] / (p.detach().abs() + 0.01) for name, p in net.named_parameters() if p.ndim > 1
    ]
    whole = torch.cat([s.flatten() for s in scaled])
    assert whole.norm().item() == pytest.approx(0.5, rel=1e-12)
    # Of all steps of that length, it is the one that climbs most: along T g.
    wanted = torch.cat(
        [((p.abs() + 0.01) * p.grad).flatten() for p in net.parameters() if p.ndim > 1]
    )
    torch.testing.assert_close(whole, 0.5 * functional.normalize(wanted.detach(), dim=0))


def test_asam_leaves_biases_alone_unless_asked(net) -> None:
    found = steps(Asam(), with_gradients(net))
    assert not found["0.bias"].any()
    assert not found["2.bias"].any()
    assert found["0.weight"].any()
    asked = steps(Asam(biases=True), net)
    grads = {name: p.grad for name, p in net.named_parameters()}
    # Not in units of their size: all biases by one factor of the gradient.
    factor = (asked["2.bias"] / grads["2.bias"])[0]
    for name in ("0.bias", "2.bias"):
        torch.testing.assert_close(asked[name], factor * grads[name])


def test_asam_sees_no_scale_that_the_function_does_not_see(net) -> None:
    """Factors of neurons that cancel between two layers; SAM's perturbed networks differ."""
    factors = torch.logspace(-2, 2, 8, dtype=torch.float64)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight.mul_(factors[:, None])
        other[0].bias.mul_(factors)
        other[2].weight.div_(factors)
    torch.testing.assert_close(other(X), net(X))
    results = {}
    for sharpness in (Asam(eta=0.0), Sam(0.5)):
        outputs = []
        for module in (net, other):
            with_gradients(module)
            sharpness.perturb(module)
            outputs.append(module(X).detach())
            sharpness.restore(module)
        results[sharpness.name] = torch.allclose(*outputs, rtol=1e-9)
    assert results == {"asam": True, "sam": False}


@pytest.mark.parametrize("sharpness", [Sam(3.0), Asam(3.0), Asam(3.0, biases=True)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_restore_gives_the_same_bits_back(net, sharpness, dtype) -> None:
    net = net.to(dtype)
    before = {name: v.clone() for name, v in net.state_dict().items()}
    for _ in range(2):
        with_gradients(net)
        sharpness.perturb(net)
        assert not torch.equal(net[0].weight, before["0.weight"])
        sharpness.restore(net)
        assert all(torch.equal(v, before[name]) for name, v in net.state_dict().items())
    sharpness.restore(net)
    assert torch.equal(net[0].weight, before["0.weight"])


@pytest.mark.parametrize("sharpness", [Sam(), Asam()], ids=repr)
@pytest.mark.parametrize("value", [0.0, math.inf, math.nan, None])
def test_without_a_usable_gradient_nothing_moves(net, sharpness, value) -> None:
    for parameter in net.parameters():
        parameter.grad = None if value is None else torch.full_like(parameter, value)
    found = flat(steps(sharpness, net))
    assert bool((found == 0).all())


@pytest.mark.parametrize("sharpness", [Sam(), Asam()], ids=repr)
def test_frozen_parameters_and_gradients_stay(net, sharpness) -> None:
    net[0].weight.requires_grad_(False)
    with_gradients(net)
    grads = gradient(nn.ModuleList([net[2]])).clone()
    found = steps(sharpness, net)
    assert not found["0.weight"].any()
    assert torch.equal(gradient(nn.ModuleList([net[2]])), grads)


@pytest.mark.parametrize("sharpness", [Sam(), Asam()], ids=repr)
def test_a_scaled_gradient_changes_nothing(net, sharpness) -> None:
    """Mixed precision scales the loss."""
    once = flat(steps(sharpness, with_gradients(net)))
    for parameter in net.parameters():
        parameter.grad *= 65536
    torch.testing.assert_close(flat(steps(sharpness, net)), once)


def test_twice_without_restore_is_refused(net) -> None:
    sharpness = Sam()
    sharpness.perturb(with_gradients(net))
    with pytest.raises(BadSetting, match="call restore between"):
        sharpness.perturb(net)


def test_names_of_biases() -> None:
    block = nn.ModuleDict({"linear": nn.Linear(2, 2), "norm": nn.BatchNorm1d(2)})
    found = [name for name, p in block.named_parameters() if is_bias(name, p)]
    assert found == ["linear.bias", "norm.bias"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sam", {"rho": 0.05}),
        ("sam(rho=0.2)", {"rho": 0.2}),
        ("asam", {"rho": 0.5, "eta": 0.01, "biases": False}),
        ("asam(rho=1, eta=0, biases=true)", {"rho": 1, "eta": 0, "biases": True}),
    ],
)
def test_from_text(text, expected) -> None:
    found = SHARPNESS.make(text)
    assert found.name == text.partition("(")[0]
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adam", "'adam'.* sam, asam"),
        ("sam(eta=1)", "'eta'.* rho"),
        ("sam(rho=0)", "rho .*above 0.* 0"),
        ("sam(rho=true)", "rho "),
        ("asam(rho=big)", "rho .*big"),
        ("asam(eta=-1)", "eta .*0.*-1"),
        ("asam(biases=1)", "biases .*true"),
    ],
)
def test_what_cannot_be_is_refused(text, message) -> None:
    with pytest.raises((BadSetting, UnknownName), match=message):
        SHARPNESS.make(text)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_frozen_statistics_count_a_batch_once(momentum) -> None:
    module = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, momentum=momentum)).double()
    outputs = module(X)
    before = {name: v.clone() for name, v in module.state_dict().items()}
    with frozen_statistics(module):
        # Normalised by the batch all the same, with gradients.
        again = module(X)
        torch.testing.assert_close(again, outputs)
        again.sum().backward()
    assert all(torch.equal(v, before[name]) for name, v in module.state_dict().items())
    module(X)
    assert int(module[1].num_batches_tracked) == 2


def test_statistics_thaw_after_an_error_and_absent_ones_stay_absent() -> None:
    module = nn.ModuleList([nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False)])
    with pytest.raises(RuntimeError, match="stop"), frozen_statistics(module):
        raise RuntimeError("stop")
    assert [m.track_running_stats for m in module] == [True, False]
