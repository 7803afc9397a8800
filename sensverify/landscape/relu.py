"""ReLU networks: minima of a smooth activation, continued to ReLU, and how stationary the ends are.

The energy of a ReLU network has kinks, and descent ends at them: there no gradient is 0, and the
gradient that automatic differentiation gives says nothing. What can be said is the length of the
shortest convex combination of gradients near the point (Burke, Lewis and Overton 2005, *A robust
gradient sampling algorithm for nonsmooth, nonconvex optimization*): 0 at a stationary point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sensverify.errors import BackendFailure, BadSetting
from sensverify.landscape.energy import Energy
from sensverify.landscape.minimise import Lbfgs, gradient_of, minimise
from sensverify.landscape.points import ReluEnd
from sensverify.runs.watch import Watch

Smooth = Callable[[float], Energy]
"""The energy with softplus(beta) in the place of ReLU."""


@dataclass(frozen=True)
class Continuation:
    """Settings of the way from softplus to ReLU.

    Parameters
    ----------
    factor : float
        By which beta grows from one minimisation to the next.
    last : float
        The largest beta.
    steps : int
        Evaluations of each minimisation, at most.
    polish : int
        Steps along the shortest combination of gradients, with ReLU itself.
    gradients : int
        How many are combined.
    radius : float
        How far from the point they are taken, in shares of the larger of 1 and its length.
    tolerance : float
        Of the length of the shortest combination: points above it are marked.
    convention : "shortest" or "autodiff"
        What decides whether a point passes: the shortest combination, or the one gradient that
        automatic differentiation gives, as Wang et al. take it, with whose convention descent goes
        along ReLU itself from the end of the continuation.
    """

    factor: float = 4.0
    last: float = 1e5
    steps: int = 400
    polish: int = 5
    gradients: int = 100
    radius: float = 1e-5
    tolerance: float = 1e-3
    convention: str = "shortest"

    def __post_init__(self) -> None:
        if not (self.factor > 1 and self.last > 0 and self.radius > 0 and self.tolerance > 0):
            raise BadSetting(
                "the way to ReLU needs a `factor` above 1, and `last`, `radius` and `tolerance` "
                f"above 0, got {self}"
            )
        if self.steps < 1 or self.polish < 0 or self.gradients < 1:
            raise BadSetting(f"the way to ReLU needs at least one step and gradient, got {self}")
        if self.convention not in ("shortest", "autodiff"):
            raise BadSetting(f"`convention` is 'shortest' or 'autodiff', got {self.convention!r}")

    def judged_by(self, end: ReluEnd) -> float:
        """The length that decides whether an end is stationary."""
        return end.stationarity if self.convention == "shortest" else end.gradient_norm


def continue_to_relu(
    smooth: Smooth,
    relu: Energy,
    minima: Tensor,
    beta: float,
    settings: Continuation,
    generator: torch.Generator,
    *,
    watch: Watch | None = None,
) -> tuple[ReluEnd, ...]:
    """Follow minima of softplus(beta) as beta grows, and judge where they end.

    Parameters
    ----------
    smooth : callable
        Gives the energy of a beta.
    relu : Energy
        With ReLU.
    minima : Tensor, shape ``[batch, size]``
        Of ``smooth(beta)``.
    beta : float
    settings : Continuation
    generator : torch.Generator
        For the points where gradients are taken.
    watch : Watch, optional
        When it is over, only the ends that are judged by then are given.

    Returns
    -------
    tuple of ReluEnd
        One for each minimum, in their order; those that are not stationary are marked.

    Examples
    --------
    The minimum of ``relu(x - 1) + relu(1 - x)`` is a kink, where no gradient is 0:

    >>> import torch
    >>> from torch.nn.functional import relu, softplus
    >>> from sensverify.landscape import FunctionEnergy
    >>> def smooth(beta):
    ...     def function(x):
    ...         return (softplus(x - 1, beta) + softplus(1 - x, beta)).sum()
    ...     return FunctionEnergy(function, 1)
    >>> (end,) = continue_to_relu(
    ...     smooth,
    ...     FunctionEnergy(lambda x: (relu(x - 1) + relu(1 - x)).sum(), 1),
    ...     torch.ones(1, 1, dtype=torch.float64),
    ...     10.0,
    ...     Continuation(),
    ...     torch.Generator().manual_seed(0),
    ... )
    >>> (end.passed, round(end.energy, 3), end.stationarity < 1e-6)
    (True, 0.0, True)
    """
    watch = watch or Watch()
    points = minima
    descent = Lbfgs(tolerance=1e-6, steps=settings.steps, longest=0.2)
    while beta < settings.last:
        beta = min(beta * settings.factor, settings.last)
        points = minimise(gradient_of(smooth(beta)), points, descent, watch=watch).points
    # With ReLU itself a descent stops where no step is lower.
    points = minimise(gradient_of(relu), points, descent, watch=watch).points
    ends: list[ReluEnd] = []
    for point in points:
        if watch.over:
            break
        ends.append(judged(relu, point, settings, generator, watch))
    return tuple(ends)


def judged(
    energy: Energy,
    point: Tensor,
    settings: Continuation,
    generator: torch.Generator,
    watch: Watch,
) -> ReluEnd:
    """The end of a descent on an energy with kinks, and how stationary it is.

    Parameters
    ----------
    energy : Energy
        With kinks.
    point : Tensor, shape ``[size]``
        Where the descent ended; steps along the shortest combination go on from there.
    settings : Continuation
    generator : torch.Generator
        For the points where gradients are taken.
    watch : Watch
        When it is over, no further step is taken.
    """
    own, shortest = _gradients(energy, point, settings, generator)
    value = float(energy.value(point[None])[0])
    for _ in range(settings.polish if settings.convention == "shortest" else 0):
        if float(shortest.norm()) <= settings.tolerance or watch.over:
            break
        lower = _lower(energy, point, value, shortest, settings)
        if lower is None:
            break
        point, value = lower
        own, shortest = _gradients(energy, point, settings, generator)
    end = ReluEnd(
        weights=point.numpy().copy(),
        energy=value,
        gradient_norm=float(own.norm()),
        stationarity=float(shortest.norm()),
        radius=_radius(point, settings),
        gradients=settings.gradients,
        passed=False,
    )
    return replace(end, passed=settings.judged_by(end) <= settings.tolerance)


def _radius(point: Tensor, settings: Continuation) -> float:
    return settings.radius * max(1.0, float(point.norm()))


def _gradients(
    energy: Energy, point: Tensor, settings: Continuation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The gradient at the point, and the shortest convex combination of those around it."""
    draws = torch.randn(settings.gradients - 1, len(point), generator=generator, dtype=point.dtype)
    draws /= draws.norm(dim=1, keepdim=True).clamp_min(1e-300)
    around = torch.cat([point[None], point + _radius(point, settings) * draws])
    gradients = energy.gradient(around)[1]
    return gradients[0], shortest_combination(gradients)


def _lower(
    energy: Energy, point: Tensor, value: float, shortest: Tensor, settings: Continuation
) -> tuple[Tensor, float] | None:
    """A lower point against the shortest combination; None where there is none."""
    unit = shortest / shortest.norm()
    steps = 4 * _radius(point, settings) * 2.0 ** torch.arange(10, -10, -1, dtype=point.dtype)
    values = energy.value(point - steps[:, None] * unit)
    best = int(values.argmin())
    if not float(values[best]) < value - 1e-14 * max(1.0, abs(value)):
        return None
    return point - steps[best] * unit, float(values[best])


def shortest_combination(gradients: Tensor) -> Tensor:
    """The shortest vector in the convex hull of vectors.

    ``min |sum_i c_i g_i|`` over ``c >= 0, sum c = 1``, as a least-squares problem with non-negative
    unknowns (Lawson and Hanson): ``min |G^T c|^2 + (sum(c) - 1)^2`` gives the same up to a scale.

    Parameters
    ----------
    gradients : Tensor, shape ``[count, size]``

    Returns
    -------
    Tensor, shape ``[size]``

    Raises
    ------
    BackendFailure
        The solver did not end.

    Examples
    --------
    >>> import torch
    >>> gradients = torch.tensor([[1.0, 2.0], [1.0, -2.0], [3.0, 0.0]], dtype=torch.float64)
    >>> (shortest_combination(gradients).round(decimals=6) + 0.0).tolist()
    [1.0, 0.0]
    """
    from scipy.optimize import nnls

    matrix = gradients.numpy()
    # The size of the vectors decides how well the two parts are balanced.
    scale = float(np.linalg.norm(matrix, axis=1).max())
    if not np.isfinite(scale) or scale == 0:
        return gradients[0]
    # Fewer unknowns than equations: the triangle of a QR factorisation has the same lengths.
    triangle = np.linalg.qr((matrix / scale).T, mode="r")
    system = np.vstack([triangle, np.ones(len(matrix))])
    target = np.zeros(len(system))
    target[-1] = 1.0
    try:
        shares, _ = nnls(system, target, maxiter=50 * len(matrix))
    except RuntimeError as error:
        raise BackendFailure(
            f"the shortest combination of gradients was not found: {error}"
        ) from None
    if not shares.sum() > 0:
        raise BackendFailure("the shortest combination of gradients was not found")
    return torch.from_numpy((shares / shares.sum()) @ matrix)
