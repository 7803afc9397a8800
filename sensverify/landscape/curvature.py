"""Whole Hessians, and steps that are as long in every direction as its curvature says."""

from __future__ import annotations

import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.landscape.energy import DENSE, Energy

_FLOOR = 1e-5
"""Share of the largest curvature: softer directions are taken as this stiff."""


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
    Tensor, shape ``[size, size]``, float32
        Symmetric and positive; where the Hessian is not finite, that of no curvature at all.
    """
    check_dense(energy)
    # In single precision: what a search is led by need not be exact.
    return turned_inverse(energy.hessian(point).float(), _FLOOR)


def turned_inverse(matrix: Tensor, floor: float) -> Tensor:
    """The inverse of a symmetric matrix with all its eigenvalues made positive.

    Parameters
    ----------
    matrix : Tensor, shape ``[size, size]``
    floor : float
        Share of the largest eigenvalue: smaller ones are taken for as large as this.

    Returns
    -------
    Tensor, shape ``[size, size]``
        Symmetric and positive; where the matrix is not finite, the unit matrix.
    """
    if not bool(torch.isfinite(matrix).all()):
        return torch.eye(len(matrix), dtype=matrix.dtype)
    values, vectors = torch.linalg.eigh(matrix)
    sizes = values.abs()
    sizes = sizes.clamp_min(max(floor * float(sizes.max()), 1e-30))
    scaled = vectors * sizes.rsqrt()
    return scaled @ scaled.T
