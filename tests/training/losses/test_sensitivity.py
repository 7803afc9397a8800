"""The sensitivity term: closed forms, gradients, and volumes that no float holds."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sensverify.bounds import AlphaCrown, Crown, Ibp, LpDual, compute_bounds
from sensverify.core.box import Box
from sensverify.core.sensitivity import mean_volume, relative_log_volume
from sensverify.errors import BadSetting
from sensverify.training.losses.loss import Loss
from sensverify.training.losses.sensitivity import FORMS, relative_log_widths, sensitivity
from sensverify.training.losses.step import Step

METHODS = [LpDual(), Ibp(), Crown(), Crown(intermediate=Ibp())]


def linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def closed_widths(layer: nn.Linear, radius: float) -> Tensor:
    return 2 * radius * layer.weight.detach().abs().sum(1)


@pytest.mark.parametrize("bounds", METHODS, ids=repr)
def test_closed_forms_on_a_linear_function(make_step, bounds) -> None:
    layer = linear(torch.tensor([[1.0, -2.0], [0.5, 0.0], [3.0, 1.0]], dtype=torch.float64))
    step = make_step(layer, radius=0.25)
    wide = closed_widths(layer, 0.25)
    volume = float(wide.prod())
    expected = {
        "product": volume,
        "log": math.log(volume),
        "softplus": math.log1p(volume),
        "mean-width": float(wide.mean()),
    }
    for form, value in expected.items():
        assert sensitivity(step, form=form, bounds=bounds).item() == pytest.approx(value, rel=1e-9)


def test_the_product_is_the_evaluators_sense(make_step) -> None:
    step = make_step(samples=20)
    outer = compute_bounds(step.network, step.box, LpDual()).outer
    torch.testing.assert_close(sensitivity(step), mean_volume(outer))


def test_a_target_is_the_weight_at_which_it_is_the_barrier(make_step) -> None:
    step = make_step()
    outputs = step.outputs.shape[1]
    torch.testing.assert_close(sensitivity(step, target=0.3), 0.3**-outputs * sensitivity(step))
    shifted = sensitivity(step, form="log") - outputs * math.log(0.3)
    torch.testing.assert_close(sensitivity(step, form="log", target=0.3), shifted)


def test_one_weight_for_any_number_of_outputs(make_step) -> None:
    """With per_output, repeating every output changes nothing."""
    once = linear(torch.tensor([[1.0, -2.0], [0.5, 0.3]], dtype=torch.float64))
    thrice = linear(once.weight.detach().repeat(3, 1))
    for form in ("product", "log", "softplus"):
        values = [
            sensitivity(make_step(layer), form=form, per_output=True) for layer in (once, thrice)
        ]
        torch.testing.assert_close(*values)
    wide = closed_widths(once, 0.1)
    geometric = sensitivity(make_step(once), per_output=True)
    assert geometric.item() == pytest.approx(float(wide.prod().sqrt()))


# The gradient of the relative form takes the outputs' spread as a constant.
@pytest.mark.parametrize("form", [form for form in FORMS if form != "relative"])
@pytest.mark.parametrize("bounds", METHODS, ids=repr)
def test_gradients_by_finite_differences(make_step, form, bounds) -> None:
    step = make_step()
    module = step.module
    names, values = zip(*module.named_parameters(), strict=True)

    def value(*parameters: Tensor) -> Tensor:
        # Nothing of the step is kept: parameters change in place.
        with torch.no_grad():
            for name, parameter in zip(names, parameters, strict=True):
                module.get_parameter(name).copy_(parameter)
        fresh = make_step(module, network=step.network)
        return sensitivity(fresh, form=form, bounds=bounds, target=0.2)

    start = [v.detach().clone() for v in values]
    gradients = torch.autograd.grad(value(*start), list(module.parameters()))
    generator = torch.Generator().manual_seed(5)
    for _ in range(3):
        ways = [torch.randn(v.shape, generator=generator, dtype=v.dtype) for v in start]
        slope = sum(float((g * way).sum()) for g, way in zip(gradients, ways, strict=True))
        h = 1e-6
        ends = [
            float(value(*(v + s * h * way for v, way in zip(start, ways, strict=True))).detach())
            for s in (1, -1)
        ]
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("outputs", [3, 100])
def test_huge_and_tiny_volumes_stay_numbers(make_step, form, outputs) -> None:
    layer = linear(torch.ones(outputs, 2))
    network = make_step(layer).network
    for width, weight in product((1e-30, 1e-8, 0.36, 2.4, 1e3, 1e12), (1e-6, 1.0)):
        nn.init.constant_(layer.weight, width / 0.4)
        layer.zero_grad()
        step = make_step(layer, network=network)
        loss, values = Loss.parse(f"{weight}*sensitivity(form={form})")(step)
        loss.backward()
        assert bool(torch.isfinite(loss)), (width, weight)
        assert all(bool(torch.isfinite(value)) for value in values.values()), (width, weight)
        # The optimiser squares it.
        assert bool(torch.isfinite(layer.weight.grad.square()).all()), (width, weight)


@pytest.mark.parametrize("form", ["product", "log", "softplus"])
def test_a_volume_too_large_still_shrinks(make_step, form) -> None:
    layer = linear(torch.full((100, 2), 50.0))
    Loss.parse(f"1e-6*sensitivity(form={form})")(make_step(layer))[0].backward()
    assert bool((layer.weight.grad > 0).all())


def test_a_tiny_weight_is_not_cut_where_it_begins_to_matter(make_step) -> None:
    """20 outputs, lambda = 10^-20: a barrier at a width of 10, where the volume is e^46."""
    layer = linear(torch.full((20, 2), 10 / 0.4))
    loss = Loss.parse("1e-20*sensitivity")(make_step(layer))[0]
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1.0, rel=1e-4)
    # d(V)/d(w_ij) = V / w_j * 2 r.
    expected = torch.full_like(layer.weight, 0.2 / 10)
    torch.testing.assert_close(layer.weight.grad, expected, rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("form", FORMS)
def test_zero_widths_give_no_nan(make_step, form) -> None:
    weight = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 0.0]])
    for radius in (0.1, 0.0):
        layer = linear(weight)
        value = sensitivity(make_step(layer, radius=radius), form=form)
        value.backward()
        assert bool(torch.isfinite(value))
        assert bool(torch.isfinite(layer.weight.grad).all())


@pytest.mark.parametrize("bounds", METHODS, ids=repr)
def test_scaling_the_outputs_leaves_the_relative_form_alone(make_step, bounds) -> None:
    step = make_step(samples=30)
    outputs = step.outputs.detach()
    assert 0 < int((outputs.argmax(1) == step.y).sum()) < 30
    before = sensitivity(step, form="relative", bounds=bounds)
    with torch.no_grad():
        last = step.module[-1]
        last.weight.mul_(1000)
        last.bias.mul_(1000)
    after = sensitivity(make_step(step.module, samples=30), form="relative", bounds=bounds)
    torch.testing.assert_close(after, before)


def test_relative_log_widths_near_the_plain_definition_where_margins_are_large() -> None:
    outputs = torch.tensor([[9.0, -1.0, 0.0, 0.1]], dtype=torch.float64)
    box = Box(outputs - 0.1, outputs + 0.1)
    y = torch.tensor([0])
    logs = torch.log(box.upper - box.lower)
    found = relative_log_widths(logs, outputs, y).sum(1)
    plain = relative_log_volume(box, outputs, y)
    assert float((found - plain).abs()) < 0.2 * outputs.shape[1]


def test_the_relative_form_wants_margins_up_and_widths_down() -> None:
    others = torch.tensor([[-1.0, 0.0, 0.1]], dtype=torch.float64)
    label = torch.linspace(20, -20, 41, dtype=torch.float64)[:, None]
    outputs = torch.cat([label, others.expand(41, 3)], dim=1).requires_grad_()
    logs = torch.zeros_like(outputs).requires_grad_()
    found = relative_log_widths(logs, outputs, torch.zeros(41, dtype=torch.long))
    assert bool(torch.isfinite(found).all())
    in_outputs, in_logs = torch.autograd.grad(found.sum(), [outputs, logs])
    assert bool((in_outputs[:, 0] < 0).all())
    assert bool((in_outputs[:, 3] > 0).all())
    assert bool((in_logs > 0).all())


@pytest.mark.parametrize("bounds", METHODS, ids=repr)
def test_the_overlap_is_the_loss_at_the_worst_corner(make_step, bounds) -> None:
    step = make_step(samples=20)
    box = step.output_box(bounds)
    corner = torch.where(functional.one_hot(step.y, 4).bool(), box.lower, box.upper)
    expected = functional.cross_entropy(corner, step.y)
    found = sensitivity(step, form="overlap", bounds=bounds)
    torch.testing.assert_close(found, expected)
    assert found.item() >= functional.cross_entropy(step.outputs, step.y).item()
    still = sensitivity(make_step(samples=20, radius=0.0), form="overlap", bounds=bounds)
    torch.testing.assert_close(still, functional.cross_entropy(step.outputs, step.y))


def test_the_terms_of_one_loss_share_one_pass(make_step, monkeypatch) -> None:
    calls = []
    plain = LpDual.bound

    def counted(self: LpDual, *arguments: object, **options: object) -> object:
        calls.append(1)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(LpDual, "bound", counted)
    loss = Loss.parse("robust + sensitivity + sensitivity(form=log)")
    together, _ = loss(make_step(asked=loss.asks))
    assert len(calls) == 1
    apart = sum(Loss.parse(str(call))(make_step())[0] for _, call in loss.terms)
    torch.testing.assert_close(together, apart)


def test_a_step_keeps_float64_and_widens_half(make_step) -> None:
    step = make_step()
    assert sensitivity(step).dtype == torch.float64
    half = make_step(step.module.half())
    assert half.box.lower.dtype == torch.float32
    assert sensitivity(half).dtype == torch.float32


def test_what_cannot_be_is_refused(make_step) -> None:
    step = make_step()
    with pytest.raises(BadSetting, match="milp"):
        Loss.parse("cross-entropy + sensitivity(bounds=milp)")(step)
    with pytest.raises(BadSetting, match=r"cube.* product, log"):
        sensitivity(step, form="cube")
    for target in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(BadSetting, match="target is a width above 0"):
            sensitivity(step, target=target)
    with pytest.raises(BadSetting, match="`sigma`"):
        sensitivity(make_step(radius=None))


def test_any_differentiable_method_by_name(make_step) -> None:
    loss = Loss.parse("sensitivity(bounds=crown(intermediate=ibp), form=softplus)")
    expected = sensitivity(make_step(), bounds=Crown(intermediate=Ibp()), form="softplus")
    torch.testing.assert_close(loss(make_step())[0], expected)
    assert isinstance(Step.output_box(make_step(), AlphaCrown(steps=2)), Box)
