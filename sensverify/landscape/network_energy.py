"""The energy of a network's weights: a loss on samples, and a penalty on weights and biases."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from sensverify.bounds.tensors import flattened
from sensverify.errors import BadData, BadSetting
from sensverify.landscape.activations import ENTRYWISE, ODD, check_smooth, kinked
from sensverify.landscape.energy import FunctionEnergy
from sensverify.landscape.layered import LayeredLoss
from sensverify.landscape.layout import Layout
from sensverify.landscape.symmetry import symmetry_of
from sensverify.training.losses.loss import Loss
from sensverify.training.losses.step import Step

SMOOTH_TERMS = ("cross-entropy", "jacobian", "l2")
"""Terms of losses that have no kinks of their own."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples that a loss is taken on.

    Parameters
    ----------
    x : numpy array, shape ``[samples, *features]``
    y : numpy array, shape ``[samples]``
        Class numbers.

    Raises
    ------
    BadData
        A number is NaN or infinite, there are no samples, or all are of one class.
    """

    x: np.ndarray
    y: np.ndarray

    def __post_init__(self) -> None:
        if len(self.x) == 0 or len(self.x) != len(self.y):
            raise BadData(
                f"an energy needs samples with a label each, got {len(self.x)} samples and "
                f"{len(self.y)} labels"
            )
        if not bool(np.isfinite(self.x).all()):
            raise BadData("an energy needs finite samples, and these hold NaN or infinity")
        if len(np.unique(self.y)) < 2:
            raise BadData(
                f"all {len(self.y)} samples are of class {int(self.y[0])}: the energy falls for "
                "ever as the weights grow, or says nothing of the samples",
                "give samples of at least two classes",
            )


class NetworkEnergy(FunctionEnergy):
    """``loss(weights) + l2 * |weights|^2`` on fixed samples, in float64.

    Parameters
    ----------
    module : torch.nn.Module
        The architecture; its parameters in their order are the flat vector. It is copied.
    samples : Samples
    loss : str or Loss
        Terms of the catalog, without chance: the same weights have one energy.
    l2 : float
        Weight of the sum of the squares of all weights and biases.
    kinks : bool
        Whether activations and terms with kinks are taken as they are.
    make : callable, optional
        Gives a freshly initialised module for a seed; where starts come from. Default: the
        module's own layers are initialised anew.
    scale : float
        Starts are the initial weights times this.

    Raises
    ------
    BadSetting
        The penalty is negative or no number, a kink is not allowed, or the loss has chance in it.
    BadData
        See `Samples`.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from torch import nn
    >>> xor = Samples(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0]))
    >>> module = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
    >>> energy = NetworkEnergy(module, xor, l2=0.01)
    >>> energy.size, energy.symmetry.order  # two neurons to exchange, and two signs to turn
    (12, 8)
    >>> round(float(energy.value(torch.zeros(1, 12, dtype=torch.float64))), 4)  # log(2)
    0.6931
    """

    def __init__(
        self,
        module: nn.Module,
        samples: Samples,
        *,
        loss: str | Loss = "cross-entropy",
        l2: float = 0.001,
        kinks: bool = False,
        make: Callable[[int], nn.Module] | None = None,
        scale: float = 1.0,
    ) -> None:
        if not 0 <= l2 < float("inf"):
            raise BadSetting(f"`l2` needs a number of at least 0, got {l2}")
        if not 0 < scale < float("inf"):
            raise BadSetting(f"`scale` needs a number above 0, got {scale}")
        loss = Loss.parse(loss) if isinstance(loss, str) else loss
        _check_loss(loss, kinks=kinks)
        if not kinks:
            check_smooth(module)
        prepared = deepcopy(module).double().eval()
        self.layout = Layout.of(prepared)
        self._inner = _LossModule(prepared, loss, self.layout)
        self._make, self._scale, self.l2 = make, scale, l2
        self.samples, self.loss = samples, loss
        self._x = torch.as_tensor(samples.x, dtype=torch.float64)
        self._y = torch.as_tensor(np.asarray(samples.y, dtype=np.int64))
        if not self.layout.size:
            raise BadSetting("the model has no parameters that are trained")
        free = symmetry_of(prepared, self.layout, ENTRYWISE, ODD)
        jumps = bool(kinked(module) or _kinked_terms(loss))
        super().__init__(self._energy, self.layout.size, symmetry=free, kinked=jumps)
        plain = str(loss) == "cross-entropy" and not loss.own
        self._layered = LayeredLoss.of(prepared, self.layout, self._x, self._y) if plain else None
        self._check_certain()

    def value(self, points: Tensor) -> Tensor:
        """See `Energy.value`."""
        if self._layered is None:
            return super().value(points)
        return self._layered.value(self._checked(points)) + self.l2 * points.square().sum(dim=1)

    def gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """See `Energy.gradient`."""
        if self._layered is None:
            return super().gradient(points)
        losses, gradients = self._layered.gradient(self._checked(points))
        penalties = self.l2 * points.square().sum(dim=1)
        return losses + penalties, gradients.add_(points, alpha=2 * self.l2)

    def product(self, points: Tensor, directions: Tensor) -> Tensor:
        """See `Energy.product`."""
        if self._layered is None:
            return super().product(points, directions)
        found = self._layered.product(self._checked(points), directions)
        return found.add_(directions, alpha=2 * self.l2)

    def hessian(self, point: Tensor) -> Tensor:
        """See `Energy.hessian`."""
        if self._layered is None:
            return super().hessian(point)
        self._checked(point[None])
        found = self._layered.hessian(point)
        found.diagonal().add_(2 * self.l2)
        return found

    @property
    def closed_form(self) -> bool:
        """Whether derivatives are those of `LayeredLoss`, and not found by transforming."""
        return self._layered is not None

    @property
    def module(self) -> nn.Module:
        """The architecture, in float64, with the weights that it came with."""
        return self._inner.module

    def with_weights(self, weights: Any) -> nn.Module:
        """A copy of the architecture with the weights of a flat vector, in float64."""
        found = deepcopy(self.module)
        parts = self.layout.parts(torch.as_tensor(weights, dtype=torch.float64))
        with torch.no_grad():
            for name, parameter in found.named_parameters():
                if name in parts:
                    parameter.copy_(parts[name])
        return found

    def starts(self, count: int, generator: torch.Generator) -> Tensor:
        """Freshly initialised weights ``[count, size]``, times the scale."""
        found = []
        for _ in range(count):
            seed = int(torch.randint(2**62, (1,), generator=generator))
            parameters = dict(self._initialised(seed).named_parameters())
            found.append(self.layout.flat({n: parameters[n].detach() for n in self.layout.names}))
        return self._scale * torch.stack(found).double()

    def _initialised(self, seed: int) -> nn.Module:
        if self._make is not None:
            return self._make(seed)
        module = deepcopy(self.module)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for layer in module.modules():
                reset = getattr(layer, "reset_parameters", None)
                if callable(reset):
                    reset()
        return module

    def _energy(self, weights: Tensor) -> Tensor:
        parts = {f"module.{name}": part for name, part in self.layout.parts(weights).items()}
        loss = functional_call(self._inner, parts, (self._x, self._y))
        return loss + self.l2 * (weights @ weights)

    def _check_certain(self) -> None:
        (weights,) = self.starts(1, torch.Generator().manual_seed(0))
        with torch.no_grad():
            # A term that draws goes on in the same stream: two calls in a row tell.
            first, second = float(self._energy(weights)), float(self._energy(weights))
        if first != second:
            raise BadSetting(
                f"the loss '{self.loss}' has chance in it: the same weights gave {first:.9g} and "
                f"{second:.9g}",
                "take terms without random draws",
            )

    @cached_property
    def inputs(self) -> Tensor:
        """The samples, ``[samples, *features]``."""
        return self._x


@dataclass(eq=False)
class _Fixed(Step):
    """A step of a module that is in evaluation mode, with whatever weights it is called with."""

    layout: Layout = field(default_factory=Layout)

    @property
    def trained(self) -> list[Tensor]:
        """See `Step.trained`; weights that the module is called with may need no gradient."""
        parameters = dict(self.module.named_parameters())
        return [parameters[name] for name in self.layout.names]

    def evaluated(self, x: Tensor) -> Tensor:
        """See `Step.evaluated`."""
        return flattened(self.module(x))


class _LossModule(nn.Module):
    """A module whose output is the loss, so that `functional_call` reaches all parameters."""

    def __init__(self, module: nn.Module, loss: Loss, layout: Layout) -> None:
        super().__init__()
        self.module, self._loss, self._layout = module, loss, layout
        self._generator = torch.Generator()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """A scalar."""
        step = _Fixed(
            module=self.module,
            network=None,  # type: ignore[arg-type]
            x=x,
            y=y,
            progress=1.0,
            generator=self._generator,
            layout=self._layout,
        )
        return self._loss(step)[0]


def _kinked_terms(loss: Loss) -> list[str]:
    return [call.name for _, call in loss.terms if call.name not in SMOOTH_TERMS]


def _check_loss(loss: Loss, *, kinks: bool) -> None:
    if loss.operators or loss.perturbs:
        raise BadSetting(
            f"the loss '{loss}' has bounds, spectral norms or attacks in it, which have kinks and "
            "no second derivatives",
            f"take {', '.join(SMOOTH_TERMS)}; a penalty on all weights and biases is `l2`",
        )
    others = _kinked_terms(loss)
    if others and not kinks:
        raise BadSetting(
            f"the loss term '{others[0]}' is not known to be smooth",
            f"known are {', '.join(SMOOTH_TERMS)}; allow kinks with `kinks`",
        )
