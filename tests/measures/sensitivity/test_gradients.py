"""Norms of gradients against closed forms and against one sample at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from sensverify.errors import NotMeasured
from sensverify.measures.complexity.weights import converted
from sensverify.measures.sensitivity.gradients import (
    MEASURES,
    input_gradient,
    input_gradient_norms,
    weight_gradient,
    weight_gradient_norms,
)
from sensverify.runs.watch import Watch
from tests.measures.classifiers import convolutional, logistic, measured_of, mlp

NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "relu": (mlp(), (4,)),
    "tanh": (mlp(nn.Tanh), (4,)),
    "convolutional": (convolutional(), (1, 8, 8)),
}


def test_the_gradients_of_a_logistic_regression_in_closed_form() -> None:
    """In the input ``W^T (p - e_y)``, in the weights ``(p - e_y)(x, 1)^T``."""
    module = logistic()
    measured = measured_of(module)
    for x, y, in_weights in (
        (measured.x, measured.y, False),
        (measured.train_x, measured.train_y, True),
    ):
        assert x is not None
        assert y is not None
        rest = module(x.double()).detach().softmax(1) - functional.one_hot(y, 3)
        if in_weights:
            expected = rest.norm(dim=1) * (1 + x.double().square().sum(1)).sqrt()
            norms, reading = weight_gradient_norms(measured, x, y), weight_gradient(measured)
        else:
            expected = (rest @ module.weight.detach()).norm(dim=1)
            norms, reading = input_gradient_norms(measured, x, y), input_gradient(measured)
        torch.testing.assert_close(norms, expected, rtol=1e-9, atol=1e-12)
        assert reading.value == pytest.approx(float(expected.mean()), rel=1e-9)
        assert reading.samples == 12
        assert reading.error is None


@pytest.mark.parametrize("name", NETWORKS)
def test_samples_together_are_samples_one_at_a_time(name: str) -> None:
    module, shape = NETWORKS[name]
    measured = measured_of(module, shape)
    in_weights, in_inputs = [], []
    for sample, label in zip(measured.x.double(), measured.y, strict=True):
        point = sample[None].clone().requires_grad_()
        loss = functional.cross_entropy(module(point), label[None])
        gradients = torch.autograd.grad(loss, [point, *module.parameters()])
        in_inputs.append(gradients[0].norm())
        in_weights.append(torch.cat([g.flatten() for g in gradients[1:]]).norm())
    torch.testing.assert_close(
        weight_gradient_norms(measured, measured.x, measured.y), torch.stack(in_weights)
    )
    torch.testing.assert_close(
        input_gradient_norms(measured, measured.x, measured.y), torch.stack(in_inputs)
    )


def test_it_is_the_mean_of_norms_and_not_the_norm_of_the_mean() -> None:
    """Two samples with opposite gradients: the mean's norm is zero."""
    module = logistic(1, 2)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    x, y = torch.ones(2, 1), torch.tensor([0, 1])
    measured = measured_of(module, (1,), x=x, y=y, train_x=x, train_y=y)
    # (1/2, -1/2) times (x, 1): four halves.
    assert weight_gradient(measured).value == pytest.approx(1.0, rel=1e-12)
    assert input_gradient(measured).value == 0.0


def test_a_confident_sample_still_has_its_small_gradient() -> None:
    """Where a probability is 1 in float32, the gradient is small, and not zero."""
    module = logistic(1, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[30.0], [0.0]]))
        module.bias.zero_()
    x, y = torch.ones(1, 1), torch.tensor([0])
    measured = measured_of(module, (1,), x=x, y=y)
    assert input_gradient(measured).value == pytest.approx(30 / (1 + 2.718281828459045**30))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", NETWORKS)
def test_chunks_and_gradient_state_change_nothing(name: str, measure: str) -> None:
    module, shape = NETWORKS[name]
    measured = measured_of(module, shape, samples=20)
    live = converted(measured.network, torch.float32).map_arrays(
        lambda values: values.requires_grad_(values.dtype.is_floating_point)
    )
    before = torch.random.get_rng_state()
    reading = MEASURES[measure].take(measured)
    small = MEASURES[measure].take(replace(measured, memory_budget=1))
    assert small.value == pytest.approx(reading.value, rel=1e-12)
    with torch.no_grad():
        assert MEASURES[measure].take(replace(measured, network=live)) == reading
    assert all(values.grad is None for _, values in live.arrays())
    assert not measured.x.requires_grad
    assert torch.equal(torch.random.get_rng_state(), before)


def test_inputs_are_test_samples_and_weights_see_training_samples() -> None:
    measured = measured_of(mlp())
    other = replace(measured, train_x=None, train_y=None)
    assert input_gradient(other) == input_gradient(measured)
    with pytest.raises(NotMeasured, match="training part"):
        MEASURES["weight-gradient"].take(other)
    moved = replace(measured, x=2 * measured.x)
    assert weight_gradient(moved) == weight_gradient(measured)
    assert input_gradient(moved) != input_gradient(measured)


@pytest.mark.parametrize("measure", MEASURES)
def test_no_time_no_number(measure: str) -> None:
    with pytest.raises(NotMeasured, match="time was up"):
        MEASURES[measure].take(replace(measured_of(mlp()), watch=Watch(0.0)))
