"""Largest and smallest eigenvalues of symmetric matrices that are known by their products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.errors import BadSetting

Product = Callable[[Tensor], Tensor]
"""Takes one vector for each matrix, ``[batch, n]``, to the matrices' products with them."""


@dataclass(frozen=True, eq=False)
class Extremes:
    """Estimates of the ends of spectra.

    Parameters
    ----------
    largest, smallest : Tensor, ``[batch]``
        Within the spectrum, but for rounding: the largest eigenvalue is at least ``largest``.
    error : Tensor, ``[batch]``
        An eigenvalue is no further from ``largest`` than this: the length of the residual.
    steps : int
        Products that were taken.
    """

    largest: Tensor
    smallest: Tensor
    error: Tensor
    steps: int


def extreme_eigenvalues(
    product: Product,
    start: Tensor,
    *,
    accuracy: float,
    steps: int,
    over: Callable[[], bool] = lambda: False,
) -> Extremes:
    """Lanczos iteration on several symmetric matrices at once.

    Parameters
    ----------
    product : callable
        Matrices times vectors, both ``[batch, n]``; no row of its result depends on another one of
        its argument.
    start : Tensor, shape ``[batch, n]``, floating
        Random, so that no eigenvector is orthogonal to it.
    accuracy : float
        Goes on until the error is at most this share of the eigenvalue that is largest in
        magnitude, in every matrix.
    steps : int
        At most so many; at least 1.
    over : callable
        Asked after every step; True ends the iteration.

    Returns
    -------
    Extremes

    Raises
    ------
    BadSetting
        There are no steps.

    Notes
    -----
    Only the last two vectors are kept, however many steps there are. Without orthogonalisation
    against the older ones, rounding shows as copies of eigenvalues that were found before, which
    leave the ends of the spectrum where they are. Source: Lanczos 1950; Paige 1976, *Error
    analysis of the Lanczos algorithm for tridiagonalizing a symmetric matrix*.
    """
    if steps < 1:
        raise BadSetting(f"Lanczos iteration needs at least 1 step, got {steps}")
    vector, before = _normalised(start), torch.zeros_like(start)
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    found = torch.zeros(3, len(start), dtype=start.dtype, device=start.device)
    done = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    length = torch.zeros_like(found[0])
    for _ in range(min(steps, start.shape[1])):
        rest = product(vector) - length[:, None] * before
        diagonal.append((rest * vector).sum(1))
        rest = rest - diagonal[-1][:, None] * vector
        length = rest.norm(dim=1)
        ends = _ends(diagonal, beside, length)
        # What is done stays: behind an invariant subspace there is nothing but rounding.
        found = torch.where(done, found, ends)
        scale = torch.maximum(ends[0].abs(), ends[1].abs())
        # Written so that a NaN ends it.
        done |= ~(ends[2] > accuracy * scale)
        if bool(done.all()) or over():
            break
        beside.append(length)
        vector, before = _normalised(rest), vector
    return Extremes(found[0], found[1], found[2], len(diagonal))


def _ends(diagonal: list[Tensor], beside: list[Tensor], length: Tensor) -> Tensor:
    """Largest and smallest eigenvalue of the tridiagonal matrices, and the largest one's error."""
    small = torch.diag_embed(torch.stack(diagonal, dim=1))
    if beside:
        above = torch.diag_embed(torch.stack(beside, dim=1), offset=1)
        small = small + above + above.mT
    if not bool(torch.isfinite(small).all()):
        return torch.full_like(small[:, 0, 0], torch.nan).expand(3, -1)
    values, vectors = torch.linalg.eigh(small)
    return torch.stack([values[:, -1], values[:, 0], length * vectors[:, -1, -1].abs()])


def _normalised(vectors: Tensor) -> Tensor:
    norms = vectors.norm(dim=1, keepdim=True)
    return torch.where(norms > 0, vectors / norms, torch.zeros_like(vectors))
