"""The direction of least curvature at many points, without whole Hessians."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sensverify.landscape.energy import Energy


def lowest_mode(
    energy: Energy,
    points: Tensor,
    guess: Tensor,
    *,
    steps: int,
    tolerance: float = 1e-3,
    inverse: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """The lowest eigenvalue of each Hessian and its direction, by LOBPCG with blocks of one.

    Every step takes the best direction in the span of the one before, its residual, and the last
    change: one product with the Hessian.

    Parameters
    ----------
    energy : Energy
    points, guess : Tensor, shape ``[batch, size]``
        Where, and directions to begin with.
    steps : int
    tolerance : float
        Length of the residual at which it ends, in shares of the eigenvalue.
    inverse : callable, optional
        Symmetric and positive: what is known of the inverse Hessians, times vectors
        ``[batch, size]``. With it the residuals turn into directions that matter. Default: nothing.

    Returns
    -------
    curvatures : Tensor, shape ``[batch]``
        Rayleigh quotients, which are never below the lowest eigenvalue.
    directions : Tensor, shape ``[batch, size]``
        Of length 1.
    """
    direction = _unit(guess)
    image = energy.product(points, direction)
    change = torch.zeros_like(direction)
    change_image = torch.zeros_like(direction)
    curvature = (direction * image).sum(dim=1)
    for _ in range(min(steps, 10 * (points.shape[1] - 1))):
        residual = image - curvature[:, None] * direction
        if bool((residual.norm(dim=1) <= tolerance * curvature.abs()).all()):
            break
        if inverse is not None:
            residual = inverse(residual)
        residual = _unit(residual - (residual * direction).sum(dim=1, keepdim=True) * direction)
        basis = torch.stack([direction, residual, change], dim=1)
        images = torch.stack([image, energy.product(points, residual), change_image], dim=1)
        shares = _lowest_in(basis, images)
        # What of the best direction is new.
        change = torch.einsum("bk,bkn->bn", shares[:, 1:], basis[:, 1:])
        change_image = torch.einsum("bk,bkn->bn", shares[:, 1:], images[:, 1:])
        direction = shares[:, :1] * direction + change
        image = shares[:, :1] * image + change_image
        length = direction.norm(dim=1, keepdim=True).clamp_min(1e-300)
        direction, image = direction / length, image / length
        size = change.norm(dim=1, keepdim=True).clamp_min(1e-300)
        change, change_image = change / size, change_image / size
        curvature = (direction * image).sum(dim=1)
    return curvature, direction


def _lowest_in(basis: Tensor, images: Tensor) -> Tensor:
    """Shares ``[batch, k]`` of the basis: of the unit vector of least curvature in its span."""
    gram = basis @ basis.transpose(1, 2)
    matrix = basis @ images.transpose(1, 2)
    matrix = (matrix + matrix.transpose(1, 2)) / 2
    values, vectors = torch.linalg.eigh(gram)
    # Directions of the span that are nearly none are left out.
    kept = values > 1e-10 * values[:, -1:]
    scaled = vectors * torch.where(kept, values.clamp_min(1e-300).rsqrt(), 0.0)[:, None, :]
    small = scaled.transpose(1, 2) @ matrix @ scaled
    # Left out directions get a curvature above all others.
    large = small.abs().sum(dim=(1, 2)) + 1.0
    small = small + torch.diag_embed(torch.where(kept, 0.0, large[:, None]))
    lowest = torch.linalg.eigh(small)[1][:, :, 0]
    return (scaled @ lowest[:, :, None])[:, :, 0]


def _unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-300)
