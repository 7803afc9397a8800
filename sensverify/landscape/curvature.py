"""Whole Hessians, and steps that are as long in every direction as its curvature says."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.landscape.energy import DENSE, Energy
from sensverify.landscape.minimise import Lbfgs, Minimised, gradient_of, minimise
from sensverify.runs.watch import Watch

_FLOOR = 1e-5
"""Share of the largest curvature: softer directions are taken as this stiff."""
_ROUNDS = 15
_EVALUATIONS = 150


def check_dense(energy: Energy) -> None:
    """Refuse an energy whose Hessian is too large to be held.

    Raises
    ------
    BadSetting
        It has more than `DENSE` weights.
    """
    if energy.size > DENSE:
        raise BadSetting(
            f"curvatures need a whole Hessian, which {energy.size:,} weights are too many for; at "
            f"most {DENSE:,} can be",
            "take a smaller architecture",
        )


def newton_like(energy: Energy, point: Tensor) -> Tensor:
    """The inverse of the Hessian at a point with all curvatures made positive.

    Times a gradient it is Newton's step where curvatures are positive, and goes down where they are
    negative. Near the point, an iteration that steps by it meets curvatures of about 1 and -1.

    Parameters
    ----------
    energy : Energy
    point : Tensor, shape ``[size]``

    Returns
    -------
    Tensor, shape ``[size, size]``
        Symmetric and positive; where the Hessian is not finite, that of no curvature at all.
    """
    check_dense(energy)
    matrix = energy.hessian(point)
    if not bool(torch.isfinite(matrix).all()):
        return torch.eye(energy.size, dtype=point.dtype)
    values, vectors = torch.linalg.eigh(matrix)
    sizes = values.abs()
    sizes = sizes.clamp_min(max(_FLOOR * float(sizes.max()), 1e-300))
    scaled = vectors * sizes.rsqrt()
    return scaled @ scaled.T


def settle(
    energy: Energy, point: Tensor, settings: Lbfgs, *, watch: Watch | None = None
) -> Minimised:
    """Descend where curvatures differ so widely that L-BFGS alone does not end.

    Some descents one after the other, each with a whole Hessian from where it begins.

    Parameters
    ----------
    energy : Energy
    point : Tensor, shape ``[size]``
    settings : Lbfgs
        Its ``steps`` are not looked at.
    watch : Watch, optional
        When it is over, the point is given as it is.
    """
    part = replace(settings, steps=_EVALUATIONS)
    evaluations = 0
    for _ in range(_ROUNDS):
        known = newton_like(energy, point)
        found = minimise(
            gradient_of(energy),
            point[None],
            part,
            inverse=lambda vectors, _, known=known: vectors @ known,  # type: ignore[misc]
            watch=watch,
        )
        # A whole Hessian costs as much as some three gradients a weight.
        evaluations += found.evaluations + 3 * energy.size
        ended = bool(found.converged[0] | found.diverged[0]) or torch.equal(found.points[0], point)
        point = found.points[0]
        if ended or (watch is not None and watch.over):
            break
    return replace(found, evaluations=evaluations)
