"""Activations that take the place of ReLU in an architecture, and whether layers are smooth."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Annotated

from torch import Tensor, nn

from sensverify.errors import BadSetting
from sensverify.registry.catalog import Catalog
from sensverify.registry.ranges import Range

ODD: tuple[type[nn.Module], ...] = (nn.Tanh, nn.Identity, nn.Softsign, nn.Tanhshrink)
"""Activations with ``f(-x) = -f(x)``."""


class SmoothSoftplus(nn.Module):
    """``log(1 + exp(beta x)) / beta``, everywhere.

    torch's own is cut off to x at some place, which leaves a step in its derivative there.
    """

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        # As cut off where the rest is below what float64 tells apart.
        return nn.functional.softplus(x, self.beta, 40.0)

    def extra_repr(self) -> str:
        return f"beta={self.beta:g}"


ENTRYWISE: tuple[type[nn.Module], ...] = (
    *(SmoothSoftplus, nn.Softplus, nn.GELU, nn.ReLU, nn.Sigmoid, nn.SiLU, nn.ELU, nn.Mish),
    *(nn.LeakyReLU, nn.Hardtanh, nn.ReLU6, nn.SELU, nn.LogSigmoid, nn.Flatten, *ODD),
)
"""Layers that act on every entry alone, or flatten: neurons before them can change places."""


def tanh() -> nn.Module:
    """Hyperbolic tangent."""
    return nn.Tanh()


def softplus(*, beta: Annotated[float, Range(0, 1e12, above=True)] = 10.0) -> nn.Module:
    """``log(1 + exp(beta x)) / beta``: ReLU but for about 1/beta around 0."""
    return SmoothSoftplus(beta)


def gelu() -> nn.Module:
    """Gaussian error linear unit, with the exact distribution function."""
    return nn.GELU()


def sigmoid() -> nn.Module:
    """Logistic function."""
    return nn.Sigmoid()


def silu() -> nn.Module:
    """``x * sigmoid(x)``."""
    return nn.SiLU()


def relu() -> nn.Module:
    """``max(x, 0)``, which has a kink at 0."""
    return nn.ReLU()


ACTIVATIONS: Catalog[Callable[..., nn.Module]] = Catalog(
    "activation",
    {
        "tanh": tanh,
        "softplus": softplus,
        "gelu": gelu,
        "sigmoid": sigmoid,
        "silu": silu,
        "relu": relu,
    },
    example="softplus(beta=10)",
)
"""Activations by name."""

_SMOOTH = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.Flatten, nn.Identity, nn.Tanh, nn.GELU, nn.Sigmoid),
    *(nn.SiLU, nn.Mish, nn.AvgPool2d, nn.Softsign, nn.Tanhshrink, nn.LogSigmoid, nn.Unflatten),
    *(nn.Softplus, SmoothSoftplus),
)


def with_activation(module: nn.Module, activation: str) -> nn.Module:
    """A copy of a module in which every ReLU is another activation.

    Raises
    ------
    UnknownName, BadSetting
        There is no such activation, or its setting does not fit.
    """
    found = deepcopy(module)
    made = ACTIVATIONS.make(activation)
    if isinstance(found, nn.ReLU):
        return made
    for parent in list(found.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, deepcopy(made))
    return found


def kinked(module: nn.Module) -> tuple[str, ...]:
    """The kinds of a module's layers that are not known to be smooth; empty where all are.

    A layer of somebody else's class is smooth where it says so by a true attribute ``smooth``.
    """
    leaves = (each for each in module.modules() if next(each.children(), None) is None)
    found = {
        type(each).__name__
        for each in leaves
        if not isinstance(each, _SMOOTH) and not getattr(each, "smooth", False)
    }
    return tuple(sorted(found - {"Standardise"}))


def check_smooth(module: nn.Module) -> None:
    """Refuse kinks, with `BadSetting`."""
    if found := kinked(module):
        raise BadSetting(
            f"the energy is not smooth: the model has {', '.join(found)}, so that descent ends at "
            "kinks, where no gradient is 0",
            "search with `activation` softplus(beta=10), tanh or gelu, or allow kinks with `kinks`",
        )
