"""A loss: weighted terms, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.registry.calls import Call, parse_call, parse_sum, show_sum
from sensverify.registry.names import name_of
from sensverify.registry.ranges import Range
from sensverify.training.losses import TERMS, Term
from sensverify.training.losses.entry import check_differentiable
from sensverify.training.losses.step import LARGEST, Step

_WEIGHTS = Range(-LARGEST, LARGEST)


@dataclass(frozen=True)
class Loss:
    """A weighted sum of terms; ``str`` gives the text that `Loss.parse` reads.

    Parameters
    ----------
    terms : tuple of (weight, Call)
        Names and settings as in `TERMS`.
    own : mapping from str to Term
        Terms of the caller's, by the names they have in this loss; see `Loss.of`.

    Raises
    ------
    UnknownName, BadSetting
        There is no such term, it has no such setting, or a number or a method cannot be used.
    """

    terms: tuple[tuple[float, Call], ...]
    own: Mapping[str, Term] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for weight, call in self.terms:
            if weight not in _WEIGHTS:
                raise BadSetting(f"the weight of '{call}' is a number {_WEIGHTS}, got {weight}")
        _ = self._resolved

    @classmethod
    def parse(cls, text: str) -> Loss:
        """The loss written as ``cross-entropy + 0.02*sensitivity(form=log)``."""
        return cls(parse_sum(text))

    @classmethod
    def of(cls, *terms: tuple[float, str | Call | Term | Callable[..., Tensor]]) -> Loss:
        """The loss of weights and terms: ``Loss.of((1, "cross-entropy"), (0.1, my_function))``.

        A term is a call such as ``"sensitivity(form=log)"``, a function of a `Step`, or a `Term`.
        """
        own: dict[str, Term] = {}
        found = []
        for weight, each in terms:
            if isinstance(each, str | Call):
                call = parse_call(each) if isinstance(each, str) else each
            else:
                term = TERMS.find(each)
                call = Call(name_of(term.function))
                own[call.name] = term
            found.append((float(weight), call))
        return cls(tuple(found), own)

    def __str__(self) -> str:
        return show_sum(self.terms)

    @cached_property
    def _resolved(self) -> tuple[tuple[float, Term, dict[str, Any]], ...]:
        found = []
        for weight, call in self.terms:
            term = self.own.get(call.name) or TERMS[call.name]
            settings = TERMS.fitted(call, term)
            check_differentiable(f"'{call}'", settings)
            found.append((weight, term, settings))
        return tuple(found)

    @property
    def asks(self) -> frozenset[str]:
        """Bounds that its terms ask for; see `Step`."""
        return frozenset().union(*(term.asks for _, term, _ in self._resolved))

    @property
    def perturbs(self) -> bool:
        """Whether a term needs a radius."""
        return any(term.perturbs for _, term, _ in self._resolved)

    @property
    def operators(self) -> bool:
        """Whether a term needs bounds, or looks at the operators of the network otherwise."""
        return any(term.operators or term.asks for _, term, _ in self._resolved)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the values of its terms; a term that comes twice is counted.

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
        for name, (weight, term, settings) in zip(self.names, self._resolved, strict=True):
            value = term.function(step, **settings)
            total = total + weight * value
            values[name] = value.detach()
        if torch.is_grad_enabled() and not total.requires_grad:
            raise BadSetting(
                f"the loss '{self}' does not depend on any parameter of the model that is trained",
                "add a term that does, such as cross-entropy",
            )
        return total, values
