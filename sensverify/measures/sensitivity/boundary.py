"""Boundary thickness: how far an attack goes through where two classes are nearly as likely."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sensverify.attacks import fgsm, pgd
from sensverify.bounds.forward import check_finite
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.errors import BadSetting, NotMeasured
from sensverify.measures.measure import RADIUS, Measure, MeasuredClassifier, Reading

Function = Callable[[Tensor], Tensor]
"""From inputs ``[batch, *features]`` to outputs ``[batch, classes]``."""

Reach = Callable[[Function, Tensor, Tensor, Box], Tensor]
"""An attack: from a function, samples, labels and boxes to points in the boxes."""

ALPHA, BETA = 0.0, 0.75
"""The gaps of probability between which a point belongs to the boundary."""

POINTS = 128
"""Places on every segment that are looked at."""

_PGD_STEPS = 20


def segment_thickness(
    function: Function,
    x: Tensor,
    reached: Tensor,
    classes: tuple[Tensor, Tensor],
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    points: int = POINTS,
) -> Tensor:
    """Length of the way from each sample to another point that is near the boundary of two classes.

    The distance of x to the other point, times the share of the segment between them where the
    probability of the first class minus that of the second lies between alpha and beta.

    Parameters
    ----------
    function : callable
        From inputs to logits.
    x, reached : Tensor, shape ``[batch, *features]``
    classes : (Tensor, Tensor), shapes ``[batch]``, int64
        The first and the second class of every sample.
    alpha, beta : float
        -1 <= alpha < beta <= 1; neither belongs to the interval.
    points : int
        Middles of so many equal parts of the segment are looked at: a boundary is placed to half a
        part of that.

    Returns
    -------
    Tensor, shape ``[batch]``, float64
        In units of x.

    Raises
    ------
    BadSetting
        The interval is empty or there are no points.

    Notes
    -----
    Source: Yang et al. 2020, *Boundary thickness and robustness in learning models*, Definition 1.
    """
    if not -1 <= alpha < beta <= 1 or points < 1:
        raise BadSetting(
            "boundary thickness: needs -1 <= alpha < beta <= 1 and at least 1 point, got alpha "
            f"{alpha}, beta {beta} and {points} points"
        )
    shares = (torch.arange(points, dtype=torch.float64) + 0.5).to(x) / points
    ways = torch.lerp(
        x.unsqueeze(1), reached.unsqueeze(1), shares.reshape(1, points, *(1,) * (x.ndim - 1))
    )
    outputs = function(ways.flatten(0, 1))
    chances = torch.softmax(outputs.double(), dim=1).unflatten(0, (len(x), points))
    first, second = (
        chances.gather(2, chosen.reshape(-1, 1, 1).expand(-1, points, 1)).squeeze(2)
        for chosen in classes
    )
    gap = first - second
    near = ((alpha < gap) & (gap < beta)).double().mean(dim=1)
    return near * flattened((reached - x).double()).norm(dim=1)


def boundary_thickness(
    measured: MeasuredClassifier,
    reach: Reach,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    points: int = POINTS,
) -> Reading:
    """Mean `segment_thickness` from test samples to where an attack takes them.

    The classes are those predicted at both ends. So it is a mean over the samples that are
    classified right and that the attack makes another class of: of others there is no second class.

    Parameters
    ----------
    measured : MeasuredClassifier
        Its test samples, radius and clip range say where the attack may go.
    reach : callable
        The attack.
    alpha, beta, points
        See `segment_thickness`.

    Raises
    ------
    NotMeasured
        There is no such sample, or time is up.
    """
    function = measured.classifier
    thickness = partial(segment_thickness, function, alpha=alpha, beta=beta, points=points)
    radius = measured.require_radius()
    found, right = [], 0
    for chunk in measured.parts(len(measured.x)):
        x, y = measured.x[chunk], measured.y[chunk]
        with torch.no_grad():
            outputs = function(x)
        check_finite(outputs, chunk.start)
        correct = outputs.argmax(dim=1) == y
        if not bool(correct.any()):
            continue
        x, y = x[correct], y[correct]
        right += len(x)
        reached = reach(function, x, y, Box.around(x, radius, clip=measured.clip))
        with torch.no_grad():
            other = function(reached).argmax(dim=1)
            changed = (other != y).nonzero().squeeze(1)
            # Far fewer at once than are attacked: each has all the points of its segment.
            for part in measured.parts(len(changed), points=points):
                at = changed[part]
                found.append(thickness(x[at], reached[at], (y[at], other[at])))
    values = torch.cat(found) if found else torch.empty(0)
    if not len(values):
        raise NotMeasured(
            f"the attack changes the class of none of the {right} samples that are classified "
            "right",
            "try a larger radius",
        )
    note = f"over the {len(values)} of {right} samples classified right that the attack changes"
    return Reading(float(values.mean()), samples=len(values), note=note)


def _by_pgd(function: Function, x: Tensor, y: Tensor, box: Box) -> Tensor:
    # Without a random start: the same in every chunk and on every device.
    return pgd(function, x, y, box, steps=_PGD_STEPS, random_start=False)


def _thickness(attack: str, reach: Reach) -> Measure:
    return Measure(
        f"mean distance (L2) from a test sample to where {attack} takes it, times the share of the "
        "way where the probability of the one class is above that of the other by less than .75; "
        "over samples that are classified right and that the attack changes",
        "Yang et al. 2020, Boundary thickness and robustness in learning models",
        "decision boundary",
        lambda measured: boundary_thickness(measured, reach),
        (RADIUS,),
        "units of x",
    )


MEASURES: dict[str, Measure] = {
    "boundary-thickness-pgd": _thickness(f"PGD ({_PGD_STEPS} steps)", _by_pgd),
    "boundary-thickness-fgsm": _thickness("FGSM", fgsm),
}
"""By name."""
