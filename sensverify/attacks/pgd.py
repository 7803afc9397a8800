"""Projected gradient ascent on the loss."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from sensverify.attacks.ascent import (
    AttackLoss,
    Function,
    check,
    divergence,
    find_loss,
    into,
    random_point,
    value_and_gradient,
)
from sensverify.box import Box
from sensverify.errors import BadSetting

_REACH = 2.5
"""Half-widths of the box that all steps together can cover (Madry et al. 2018)."""


def pgd(
    function: Function,
    x: Tensor,
    y: Tensor,
    box: Box,
    *,
    steps: int = 40,
    step_size: float | Tensor | None = None,
    random_start: bool = True,
    restarts: int = 1,
    generator: torch.Generator | None = None,
    loss: str | AttackLoss = "cross-entropy",
) -> Tensor:
    """Steps along the sign of the gradient, back into the box after each; the worst point met.

    Parameters
    ----------
    function : callable
        From inputs ``[batch, *features]`` to outputs ``[batch, *outputs]``, each sample by itself.
    x : Tensor, shape ``[batch, *features]``
    y : integer Tensor, shape ``[batch]``
    box : Box of tensors like x
        Where the points may lie; every feature has its own radius, and may be clipped.
    steps : int
    step_size : float or Tensor broadcastable to x, optional
        In the units of the features. Default: 2.5 half-widths of the box over the number of
        steps, for every feature its own.
    random_start : bool
        Begin at uniformly drawn points of the box instead of x.
    restarts : int
        How many times in all. Of several starts, the first is x: where the box is small against the
        function's bends, that alone is often stronger than a random start.
    generator : torch.Generator, optional
        For the starts.
    loss : str or callable
        ``cross-entropy``, ``margin``, ``kl`` (divergence from the outputs at x; it has no gradient
        at x, so it needs a random start), or a function of outputs and labels that gives
        ``[batch]``.

    Returns
    -------
    Tensor like x, detached, inside of the box. For every sample, of all points that were met, x
    among them: one where the label is not the largest output if there is any (``kl`` looks at no
    label), and among these the one with the largest loss.

    Raises
    ------
    BadShape, BadBox, BadSetting
        The arguments do not fit together.

    Notes
    -----
    Source: Madry et al. 2018, *Towards deep learning models resistant to adversarial attacks*.
    ``kl``: Zhang et al. 2019, *Theoretically principled trade-off between robustness and accuracy*.
    """
    check(x, y, box)
    if steps < 1 or restarts < 1:
        raise BadSetting(f"pgd needs steps and restarts of at least 1, got {steps} and {restarts}")
    if loss == "kl" and not random_start:
        raise BadSetting("pgd: the loss kl has no gradient at x; it needs random_start")
    stride = _REACH / steps * box.radius if step_size is None else step_size
    with torch.no_grad():
        clean = function(x).flatten(1)
    raised = partial(_from, clean) if loss == "kl" else find_loss(loss)
    worst = _Worst(x.detach(), y, labelled=loss != "kl")
    worst.see(worst.points, clean, raised(clean, y))
    for start in range(restarts if random_start else 1):
        plain = not random_start or (start == 0 and restarts > 1 and loss != "kl")
        point = x.detach() if plain else random_point(box, generator)
        for _ in range(steps):
            outputs, values, gradient = value_and_gradient(function, point, y, raised)
            worst.see(point, outputs, values)
            point = into(point + stride * gradient.sign(), box)
        with torch.no_grad():
            outputs = function(point).flatten(1)
            worst.see(point, outputs, raised(outputs, y))
    return worst.points


def _from(clean: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
    return divergence(clean, outputs)


class _Worst:
    """The worst point of every sample so far."""

    def __init__(self, points: Tensor, y: Tensor, *, labelled: bool) -> None:
        self.points = points
        self._y = y
        self._labelled = labelled
        self._values = torch.full(y.shape, -torch.inf, dtype=points.dtype, device=points.device)
        self._wrong = torch.zeros_like(y, dtype=torch.bool)

    def see(self, points: Tensor, outputs: Tensor, values: Tensor) -> None:
        """Keep these points where they are worse than what was seen."""
        wrong = self._wrong
        if self._labelled:
            wrong = outputs.argmax(dim=1) != self._y
        worse = (wrong & ~self._wrong) | ((wrong == self._wrong) & (values > self._values))
        self.points = torch.where(worse.reshape(-1, *(1,) * (points.ndim - 1)), points, self.points)
        self._values = torch.where(worse, values.to(self._values.dtype), self._values)
        self._wrong = torch.where(worse, wrong, self._wrong)
