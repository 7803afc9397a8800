"""A loss: weighted terms, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sensverify.errors import BadSetting, UnknownName
from sensverify.registry.calls import Call, parse_sum, show_sum
from sensverify.registry.names import did_you_mean
from sensverify.training.ranges import LARGEST, Range
from sensverify.training.step import Step
from sensverify.training.terms import TERMS, Term

_WEIGHTS = Range(-LARGEST)


@dataclass(frozen=True)
class Loss:
    """A weighted sum of terms; ``str`` gives the text that `Loss.parse` reads.

    Parameters
    ----------
    terms : tuple of (weight, Call)
        Names and options as in `TERMS`.

    Raises
    ------
    UnknownName, BadSetting
        There is no such term, it has no such option, or a number or a method cannot be used.
    """

    terms: tuple[tuple[float, Call], ...]

    def __post_init__(self) -> None:
        for weight, call in self.terms:
            if weight not in _WEIGHTS:
                raise BadSetting(f"the weight of '{call}' is a number {_WEIGHTS}, got {weight}")
        _ = self._resolved

    @classmethod
    def parse(cls, text: str) -> Loss:
        """The loss written as ``cross-entropy + 0.02*sensitivity(form=log)``."""
        return cls(parse_sum(text))

    def __str__(self) -> str:
        return show_sum(self.terms)

    @cached_property
    def _resolved(self) -> tuple[tuple[float, Term, dict[str, Any]], ...]:
        found = ((weight, find_term(call.name), call) for weight, call in self.terms)
        return tuple((weight, term, term.options(call)) for weight, term, call in found)

    @property
    def asks(self) -> frozenset[str]:
        """What its terms want bounds of; see `Step`."""
        return frozenset().union(*(term.asks for _, term, _ in self._resolved))

    @property
    def perturbs(self) -> bool:
        """Whether a term needs a radius."""
        return any(term.perturbs for _, term, _ in self._resolved)

    @property
    def names(self) -> tuple[str, ...]:
        """What the values of its terms are called; a term that comes twice is counted.

        ``sensitivity``, ``sensitivity 2``.
        """
        calls = [call.name for _, call in self.terms]
        before = [calls[:k].count(name) for k, name in enumerate(calls)]
        return tuple(f"{n} {k + 1}" if k else n for n, k in zip(calls, before, strict=True))

    def __call__(self, step: Step) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss with gradients, and the value of every term, unweighted and detached.

        The values go by `names`.

        Raises
        ------
        BadSetting
            Nothing that is trained plays a part in it.
        """
        total = torch.zeros((), device=step.x.device)
        values: dict[str, Tensor] = {}
        for name, (weight, term, options) in zip(self.names, self._resolved, strict=True):
            value = term.function(step, **options)
            total = total + weight * value
            values[name] = value.detach()
        if torch.is_grad_enabled() and not total.requires_grad:
            raise BadSetting(
                f"the loss '{self}' does not depend on any parameter of the model that is trained; "
                "add a term that does, such as cross-entropy"
            )
        return total, values


def find_term(name: str) -> Term:
    """The term of that name.

    Raises
    ------
    UnknownName
        There is none.
    """
    if name not in TERMS:
        hint = did_you_mean(name, TERMS)
        raise UnknownName(f"there is no loss term '{name}'{hint}; there are {', '.join(TERMS)}")
    return TERMS[name]
