"""The list of terms: readable, complete, and every term a usable loss."""

from __future__ import annotations

from typing import Annotated, get_origin

import pytest
import torch
from torch import nn

from sensverify.bounds.method import Method
from sensverify.registry.calls import Call, parse_call
from sensverify.registry.hints import fit
from sensverify.training.losses import TERMS
from sensverify.training.losses.loss import Loss


@pytest.mark.parametrize("name", TERMS)
def test_entries_are_readable(name: str) -> None:
    term = TERMS[name]
    assert 20 < len(term.summary) < 120
    assert term.summary[0].isupper()
    assert "\n" not in term.summary
    assert term.source
    for setting in TERMS.settings(term).values():
        default = setting.default
        assert default is None or isinstance(default, bool | int | float | str | Method)
        assert fit(setting.hint, default) == default
        if not isinstance(default, bool) and isinstance(default, int | float):
            assert get_origin(setting.hint) is Annotated


def test_names_are_in_order() -> None:
    assert list(TERMS) == sorted(TERMS)


@pytest.mark.parametrize("name", TERMS)
def test_defaults_can_be_written_out(name: str) -> None:
    defaults = {each.name: each.default for each in TERMS.settings(TERMS[name]).values()}
    settings = {
        key: Call(value.name)
        if isinstance(value, Method)
        else Call(value)
        if isinstance(value, str)
        else value
        for key, value in defaults.items()
    }
    assert TERMS.fitted(parse_call(str(Call(name, settings)))) == defaults


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", TERMS)
def test_every_term_is_a_finite_scalar_with_gradients(make_step, name: str, dtype) -> None:
    module = make_step().module.to(dtype)
    total, values = Loss.parse(name)(make_step(module, ramp=0.5))
    assert total.shape == ()
    assert total.dtype == dtype
    assert bool(torch.isfinite(total))
    assert list(values) == [name]
    total.backward()
    grads = [p.grad for p in module.parameters() if p.grad is not None]
    assert any(bool((g != 0).any()) for g in grads)
    assert all(bool(torch.isfinite(g).all()) for g in grads)


class Normed(nn.Sequential):
    """Its first layer's input is normalised; statistics change in every training pass."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(3, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Dropout(0.1),
            nn.Linear(8, 8),
            nn.ReLU(),
            nn.BatchNorm1d(8),
            nn.Linear(8, 3),
        )


@pytest.mark.parametrize("name", TERMS)
def test_every_term_beside_others_on_batch_norm_and_dropout(make_step, name: str) -> None:
    """Passes that update the statistics come between bounds of them and the gradients."""
    module = Normed().train()
    step = make_step(module, samples=16)
    Loss.parse(f"sensitivity(form=relative) + {name} + adversarial(attack=fast) + mixup")(step)[
        0
    ].backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in module.parameters())
    assert module.training


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if term.perturbs])
def test_draws_come_from_the_steps_generator(make_step, name: str) -> None:
    torch.manual_seed(0)
    once = Loss.parse(name)(make_step(samples=8))[0]
    torch.manual_seed(1)
    torch.testing.assert_close(Loss.parse(name)(make_step(samples=8))[0], once, rtol=0, atol=0)
