"""Measures of the decision boundary: the margin on training samples, and boundary thickness."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from sensverify.attacks import fgsm, pgd
from sensverify.bounds.tensors import flattened
from sensverify.classification.samples import check_finite
from sensverify.core.box import Box
from sensverify.core.sensitivity import margin
from sensverify.errors import BadSetting, NotMeasured
from sensverify.measures.given import RADIUS, TRAINING, radius_of, training_samples
from sensverify.measures.kept import kept
from sensverify.measures.passes import chunks, outputs_at
from sensverify.measures.subject import Measure, Reading, Subject

Function = Callable[[Tensor], Tensor]
"""From inputs ``[batch, *features]`` to outputs ``[batch, classes]``."""

Reach = Callable[[Function, Tensor, Tensor, Box], Tensor]
"""An attack: from a function, samples, labels and boxes to points in the boxes."""

ALPHA, BETA = 0.0, 0.75
"""The gaps of probability between which a point belongs to the boundary."""

POINTS = 128
"""Places on every segment that are looked at."""

PERCENTILE = 10.0
"""Of the margins on training samples: the margin of a network."""

_PGD_STEPS = 20


def margin_percentile(outputs: Tensor, percentile: float = PERCENTILE) -> float:
    """A percentile of the distance from the largest output to the next one over samples.

    Between two samples it is interpolated linearly. No label is looked at: a sample that is
    classified wrong has a margin above 0 too.

    Parameters
    ----------
    outputs : Tensor, shape ``[samples, 2 or more]``
    percentile : float
        From 0 to 100.
    """
    return float(np.percentile(margin(outputs.double()).cpu().numpy(), percentile))


@kept("train_x")
def training_margin(subject: Subject) -> float:
    """The 10th percentile of the margin on the training samples; at least 0."""
    return margin_percentile(outputs_at(subject, training_samples(subject)))


def _inverse_margin(subject: Subject) -> Reading:
    value = training_margin(subject)
    if not value > 0:
        raise NotMeasured("the 10th percentile of the margins is 0: the two largest outputs tie")
    return Reading(1 / value / value, samples=len(training_samples(subject)))


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
    """How much of the way from each sample to another point is near the boundary of two classes.

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
    subject: Subject,
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
    subject : Subject
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
    function = subject.classifier
    measured = partial(segment_thickness, function, alpha=alpha, beta=beta, points=points)
    radius = radius_of(subject).to(subject.x.device)
    found, right = [], 0
    for chunk in chunks(subject, len(subject.x)):
        x, y = subject.x[chunk], subject.y[chunk]
        with torch.no_grad():
            outputs = function(x)
        check_finite(outputs, chunk.start)
        correct = outputs.argmax(dim=1) == y
        if not bool(correct.any()):
            continue
        x, y = x[correct], y[correct]
        right += len(x)
        reached = reach(function, x, y, Box.around(x, radius, clip=subject.clip))
        with torch.no_grad():
            other = function(reached).argmax(dim=1)
            changed = (other != y).nonzero().squeeze(1)
            # Far fewer at once than are attacked: each has all the points of its segment.
            for part in chunks(subject, len(changed), points=points):
                at = changed[part]
                found.append(measured(x[at], reached[at], (y[at], other[at])))
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
        lambda subject: boundary_thickness(subject, reach),
        (RADIUS,),
        "units of x",
    )


MEASURES: dict[str, Measure] = {
    "inverse-margin": Measure(
        "1 / g^2, with g the 10th percentile of the margin between the two largest outputs on "
        "training samples",
        "Jiang et al. 2020, Fantastic generalization measures and where to find them",
        "decision boundary",
        _inverse_margin,
        (TRAINING,),
    ),
    "boundary-thickness-pgd": _thickness(f"PGD ({_PGD_STEPS} steps)", _by_pgd),
    "boundary-thickness-fgsm": _thickness("FGSM", fgsm),
}
"""By name."""
