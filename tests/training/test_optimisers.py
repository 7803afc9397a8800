"""Optimisers and schedules by name."""

from __future__ import annotations

import pytest
import torch

from sensverify.errors import BadSetting, UnknownName
from sensverify.training.optimisers import OPTIMISERS, SCHEDULES


def weights() -> list[torch.Tensor]:
    return [torch.ones(2, requires_grad=True)]


def test_options_reach_the_optimiser() -> None:
    group = OPTIMISERS.make(
        "sgd(lr=0.3, momentum=0.9, nesterov=true, weight_decay=0.1)", weights()
    ).param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"]) == (0.3, 0.9, True)
    assert group["weight_decay"] == 0.1
    group = OPTIMISERS.make("adam(lr=2, beta1=0.5, eps=1e-3)", weights()).param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (2, (0.5, 0.999), 1e-3)
    assert isinstance(OPTIMISERS.make("adamw", weights()), torch.optim.AdamW)


@pytest.mark.parametrize(
    "text",
    [
        "adam(lr=0)",
        "adam(lr=-1)",
        "adam(lr=big)",
        "adam(lr=true)",
        "adam(beta1=1.5)",
        "sgd(nesterov=1)",
        "sgd(nesterov=true)",
        "sgd(beta1=0.9)",
        "adam(weight_decay=-1)",
    ],
)
def test_options_that_cannot_be(text: str) -> None:
    with pytest.raises(BadSetting, match=text.split("(")[0]):
        OPTIMISERS.make(text, weights())


def test_names_that_are_not_there() -> None:
    with pytest.raises(UnknownName, match="adam, adamw, sgd"):
        OPTIMISERS.make("lion", weights())
    with pytest.raises(UnknownName, match="constant, cosine, one-cycle, step"):
        SCHEDULES.make("exponential")


def test_schedules() -> None:
    assert {SCHEDULES.make("constant")(p) for p in (0.0, 0.5, 1.0)} == {1.0}
    cosine = SCHEDULES.make("cosine")
    assert [cosine(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1, 0.5, 0])
    cycle = SCHEDULES.make("one-cycle(warmup=0.4)")
    assert [cycle(p) for p in (0.0, 0.4, 1.0)] == pytest.approx([0.04, 1, 4e-6])
    steps = SCHEDULES.make("step(every=0.1, factor=0.5)")
    assert [steps(k / 10) for k in range(10)] == pytest.approx([0.5**k for k in range(10)])


@pytest.mark.parametrize("text", ["constant", "cosine", "one-cycle", "one-cycle(warmup=1)", "step"])
def test_a_share_of_the_rate_is_a_share(text: str) -> None:
    schedule = SCHEDULES.make(text)
    assert all(0 < schedule(k / 1000) <= 1 for k in range(1000))


@pytest.mark.parametrize(
    "text", ["one-cycle(warmup=0)", "step(every=2)", "step(factor=0)", "cosine(a=1)"]
)
def test_schedules_that_cannot_be(text: str) -> None:
    with pytest.raises(BadSetting):
        SCHEDULES.make(text)
