"""The size of the box that contains every output, as a penalty."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Annotated, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds import LpDual
from sensverify.bounds.method import Method
from sensverify.classification.margins import robust_cross_entropy
from sensverify.core.box import Box
from sensverify.core.sensitivity import margin, widths
from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.training.losses.step import LARGEST, Step

FLOOR = 1e-12
"""Widths below count as this much in logarithms: log(0) has no gradient, 1e-30 too steep a one."""

_LP_DUAL = LpDual()

Form = Literal["product", "log", "softplus", "mean-width", "relative", "overlap"]
FORMS: tuple[Form, ...] = get_args(Form)

_LARGEST_LOG = 70.0
"""Point from which the exponential goes on as its tangent; float32 ends at 88, and the tangents of
a whole mini-batch are summed."""

_STEEPEST = 1e13
"""Largest gradient of the loss in a log-volume. Optimisers square gradients: 1e13 times the 1e5 or
so of the layers below still has a square in float32, and an infinite one stops Adam for good."""


def sensitivity(
    step: Step,
    *,
    form: Form = "product",
    bounds: Method = _LP_DUAL,
    target: Annotated[float, Range(1 / LARGEST, LARGEST)] = 1.0,
    per_output: bool = False,
) -> Tensor:
    """Penalty on the volume of the box that contains every output, mean over the samples.

    With the width w_j of output j over the box of inputs, in units of the target,
    ``log V = sum_j log w_j``:

    ``product``
        V itself, the seed's S. With the weight lambda it is a barrier: it matters where the
        geometric mean of the widths of m outputs comes near ``lambda^(-1/m)``, 4 for 1e-6 and 10
        outputs, and hardly below. The same weight means something else for another m; a target t
        and the weight 1 are ``lambda = t^-m``, put where it does not underflow.
    ``log``
        log V. It has no lower bound: with a weight that matters, the outputs collapse to a
        constant, and with them the accuracy.
    ``softplus``
        ``log(1 + V)``: as log where V is large, as product where it is small; it does not pay to
        collapse.
    ``mean-width``
        The mean of the widths over the samples and outputs.
    ``relative``
        softplus with every width in units of the sample's margin (see `relative_log_widths`):
        scaling all outputs changes nothing.
    ``overlap``
        Cross-entropy at the worst corner of the box, ``log(1 + sum_j exp(upper_j - lower_y))``
        over all outputs j but the label y: how far the other intervals reach into the label's, and
        near zero once they are clear of it. At least the cross-entropy of any input in the box.

    Parameters
    ----------
    step : Step
    form : str
        ``product``, ``log``, ``softplus``, ``mean-width``, ``relative`` or ``overlap``.
    bounds : Method
        Where the box comes from; ``lp-dual`` in the seed.
    target : float
        Unit of the widths, in the units of the outputs (``relative``: a share of the margin;
        ``overlap`` has none).
    per_output : bool
        Take the mean of the log-widths instead of their sum, so that the volume becomes the
        geometric mean of the widths and a weight means the same for any number of outputs.

    Raises
    ------
    BadSetting
        There is no such form, or the target is not above 0.

    Notes
    -----
    Nothing overflows: volumes are computed from log-widths, in which widths below 1e-12 count as
    1e-12. The product continues above e^70 as its tangent, and the gradient of the *weighted* loss
    in a sample's log-volume is cut at 1e13, where the penalty already outweighs everything else.

    Source: Wang et al., Section 5, Eq. 7 (``product``); the other forms keep its purpose and not
    its scale.
    """
    if form not in FORMS:
        raise BadSetting(f"sensitivity has no form {form}; it has {', '.join(FORMS)}")
    if not 0 < target < inf:
        raise BadSetting(f"sensitivity: target is a width above 0, got {target}")
    box = step.output_box(bounds)
    if form == "overlap":
        return robust_cross_entropy(_gaps(box, step.y)).mean()
    wide = widths(box) / target
    if form == "mean-width":
        return wide.mean()
    logs = wide.clamp(min=FLOOR).log()
    if form == "relative":
        # In evaluation mode, as the bounds are: scaling then changes both alike.
        with torch.autocast(step.x.device.type, enabled=False):
            outputs = step.evaluated(step.x.to(wide.dtype))
        logs = relative_log_widths(logs, outputs, step.y)
    size = logs.mean(dim=1) if per_output else logs.sum(dim=1)
    return _OF_LOG_VOLUME[form](size).mean()


def relative_log_widths(logs: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
    """Logarithms of widths in units of the margin, ``[batch, outputs]``.

    The margin of the label to the largest other output is negative on misclassified samples, where
    it has no logarithm. ``s log(1 + exp(margin / s))`` takes its place, s being the standard
    deviation of the sample's outputs: near the margin where that is large, above 0 everywhere,
    and multiplied by c with the outputs, so that the result does not change with their scale.
    In gradients s is a constant: else it would pay to lower an output of the label that is far
    below the others even further.

    Parameters
    ----------
    logs, outputs : Tensor, shape ``[batch, outputs]``
    labels : integer Tensor, shape ``[batch]``
    """
    spread = outputs.detach().std(dim=1, correction=0).clamp(min=FLOOR)
    soft = functional.softplus(margin(outputs, labels) / spread).log() + spread.log()
    return logs - soft.unsqueeze(1)


def _gaps(box: Box, labels: Tensor) -> Tensor:
    """From the label's lower end to every other upper end, ``[batch, outputs - 1]``."""
    label = labels.unsqueeze(1)
    others = torch.arange(box.lower.shape[1], device=labels.device) != label
    gaps = box.lower.gather(1, label) - box.upper
    return gaps[others].reshape(len(labels), -1)


def _product(log_volume: Tensor) -> Tensor:
    if log_volume.requires_grad:
        # What comes down here holds the term's weight: the cut is on the weighted gradient, so it
        # is right for a tiny weight too.
        log_volume = log_volume.clone()
        log_volume.register_hook(lambda gradient: gradient.clamp(-_STEEPEST, _STEEPEST))
    beyond = (log_volume - _LARGEST_LOG).clamp(min=0)
    return log_volume.clamp(max=_LARGEST_LOG).exp() * (1 + beyond)


def _log(log_volume: Tensor) -> Tensor:
    return log_volume


_OF_LOG_VOLUME: dict[str, Callable[[Tensor], Tensor]] = {
    "product": _product,
    "log": _log,
    "softplus": functional.softplus,
    "relative": functional.softplus,
}
"""Penalties by form, of a log-volume ``[batch]``."""
