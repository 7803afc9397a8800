"""Sharpness-aware minimisation: the gradient is taken at a worse point nearby.

A training step takes the gradient, calls ``perturb``, takes the gradient again, on the same
mini-batch and with `frozen_statistics`, calls ``restore``, and lets the optimiser step with the
second gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from sensverify.errors import BadSetting
from sensverify.registry.catalog import Catalog
from sensverify.registry.ranges import Above0, AtLeast0
from sensverify.registry.settings import Checked


class Sharpness(Protocol):
    """A step towards a worse point nearby, and back."""

    name: ClassVar[str]

    def perturb(self, module: nn.Module) -> None:
        """Add the ascent step to the parameters, from the gradients in ``.grad``."""
        ...

    def restore(self, module: nn.Module) -> None:
        """Give the parameters the values they had before, bit by bit."""
        ...


class _Ascent(Checked):
    """Keeps the parameters that are perturbed, and puts them back."""

    _kept: list[tuple[nn.Parameter, Tensor]]

    def restore(self, module: nn.Module) -> None:
        """Give the parameters the values they had before `perturb`, bit by bit."""
        with torch.no_grad():
            for parameter, before in self._kept:
                parameter.copy_(before)
        self._kept.clear()

    def _move(self, steps: list[tuple[nn.Parameter, Tensor]]) -> None:
        if self._kept:
            raise BadSetting("perturb was called twice; call restore between")
        with torch.no_grad():
            for parameter, step in steps:
                self._kept.append((parameter, parameter.detach().clone()))
                parameter.add_(step)


@dataclass(frozen=True, eq=False)
class Sam(_Ascent):
    """The ascent step ``rho g / ||g||``, the norm being that of the whole gradient g.

    Parameters
    ----------
    rho : float
        Euclidean length of the step.

    Notes
    -----
    Source: Foret et al. 2021, *Sharpness-aware minimization for efficiently improving
    generalization*, Eq. 2.
    """

    rho: Above0 = 0.05

    name: ClassVar[str] = "sam"
    _kept: list[tuple[nn.Parameter, Tensor]] = field(default_factory=list, init=False, repr=False)

    def perturb(self, module: nn.Module) -> None:
        """Add the step to every parameter that has a gradient.

        Nothing moves where the gradient is zero or not finite.
        """
        gradients = [
            (p, p.grad.detach())
            for p in module.parameters()
            if p.requires_grad and p.grad is not None
        ]
        share = _share(self.rho, [gradient for _, gradient in gradients])
        self._move([(p, share * gradient) for p, gradient in gradients] if share else [])


@dataclass(frozen=True, eq=False)
class Asam(_Ascent):
    """The ascent step ``rho T^2 g / ||T g||`` with ``T = |w| + eta`` for every weight w.

    It does not depend on scales that the network's function does not depend on: where layers are
    multiplied by factors that cancel (and eta is 0), the perturbed networks are equal too.

    Parameters
    ----------
    rho : float
        Length of the step after division by T.
    eta : float
        Keeps small weights moving.
    biases : bool
        Move biases too, with ``T = 1`` as in the authors' program. Biases are the parameters of
        at most one axis that are not called ``weight``.

    Notes
    -----
    Source: Kwon et al. 2021, *ASAM: adaptive sharpness-aware minimization for scale-invariant
    learning of deep neural networks*, Algorithm 1.
    """

    rho: Above0 = 0.5
    eta: AtLeast0 = 0.01
    biases: bool = False

    name: ClassVar[str] = "asam"
    _kept: list[tuple[nn.Parameter, Tensor]] = field(default_factory=list, init=False, repr=False)

    def perturb(self, module: nn.Module) -> None:
        """Add the step to every weight, and bias where asked, that has a gradient.

        Nothing moves where the gradient is zero or not finite.
        """
        scaled: list[tuple[nn.Parameter, Tensor, Tensor | float]] = []
        for name, parameter in module.named_parameters():
            if parameter.grad is None or (is_bias(name, parameter) and not self.biases):
                continue
            if not parameter.requires_grad:
                # Frozen, with a gradient from before.
                continue
            plain = is_bias(name, parameter)
            scale = 1.0 if plain else parameter.detach().abs() + self.eta
            scaled.append((parameter, scale * parameter.grad.detach(), scale))
        share = _share(self.rho, [gradient for _, gradient, _ in scaled])
        self._move([(p, share * scale * g) for p, g, scale in scaled] if share else [])


SHARPNESS: Catalog[Any] = Catalog(
    "sharpness",
    {kind.name: kind for kind in (Sam, Asam)},
    group="sensverify.sharpness",
    types=(Sharpness,),
    example="sam(rho=0.05)",
)
"""Steps around an optimiser, by name."""


def is_bias(name: str, parameter: Tensor) -> bool:
    """Whether a parameter has at most one axis and is not called ``weight``."""
    return parameter.ndim <= 1 and name.rpartition(".")[2] != "weight"


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """In here, a module in training mode normalises by the batch and updates no running statistics.

    For the second pass of a step: the mini-batch would be counted twice.
    """
    norms = [
        m
        for m in module.modules()
        if isinstance(m, _NormBase) and m.track_running_stats and m.training
    ]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _share(length: float, gradients: list[Tensor]) -> float:
    """The factor that makes a gradient that long; 0 where its norm is zero or not finite."""
    norms = [torch.linalg.vector_norm(g, dtype=torch.float64) for g in gradients]
    norm = float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0
    return length / norm if norm > 0 and isfinite(norm) and isfinite(length / norm) else 0.0
