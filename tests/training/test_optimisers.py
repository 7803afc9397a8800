"""Optimisers by name."""

from __future__ import annotations

import pytest
import torch

from sensverify.errors import BadSetting, UnknownName
from sensverify.training.optimisers import OPTIMISERS


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
