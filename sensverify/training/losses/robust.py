"""Cross-entropy that no input in the box can exceed."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor
from torch.nn import functional

from sensverify.bounds import Crown, Ibp, LpDual
from sensverify.bounds.method import Method
from sensverify.classification.margins import robust_cross_entropy
from sensverify.errors import BadSetting
from sensverify.registry.ranges import Range
from sensverify.training.losses.step import Step

Share = Annotated[float, Range(0, 1)]
_LP_DUAL, _IBP = LpDual(), Ibp()


def robust(step: Step, *, bounds: Method = _LP_DUAL) -> Tensor:
    """Mean upper bound on the cross-entropy over the box, from lower bounds on the margins.

    ``log(1 + sum_j exp(-margin_j))`` in nats over all classes j but the label. It wants a radius
    that grows from small values: see the ramp of the settings.

    Parameters
    ----------
    step : Step
    bounds : Method
        Where the margins come from; ``lp-dual`` at the source.

    Notes
    -----
    Source: Wong and Kolter 2018, *Provable defenses against adversarial examples via the convex
    outer adversarial polytope*, Theorem 2.
    """
    return robust_cross_entropy(step.margins(bounds)).mean()


def certified(
    step: Step,
    *,
    bounds: Method = _IBP,
    kappa: Share = 0.5,
    beta: Share = 0.0,
) -> Tensor:
    """Cross-entropy that gives way to its upper bound over the box while the radius grows.

    ``k * CE + (1 - k) * robust CE`` with k going from 1 to kappa in step with the radius. With
    beta = 1 it is CROWN-IBP: the margins begin as those of CROWN with interval bounds on the
    layers, which are tight where the radius is small, and end as those of intervals, which are
    cheap.

    Parameters
    ----------
    step : Step
    bounds : Method
        Where the margins come from at the end.
    kappa : float
        Share of the plain cross-entropy at the end, 0 to 1.
    beta : float
        Share of the margins by ``crown(intermediate=ibp)`` in the beginning, 0 to 1; it goes to
        0 in step with the radius.

    Raises
    ------
    BadSetting
        A share is not from 0 to 1.

    Notes
    -----
    A convex combination of two lower bounds is one. Source: Gowal et al. 2018, *On the
    effectiveness of interval bound propagation*, Section 3; Zhang et al. 2020, *Towards stable and
    efficient training of verifiably robust neural networks*, Eq. 12.
    """
    for name, share in (("kappa", kappa), ("beta", beta)):
        if not 0 <= share <= 1:
            raise BadSetting(f"certified: {name} is a share from 0 to 1, got {share}")
    plain = 1 - step.ramp * (1 - kappa)
    early = beta * (1 - step.ramp)
    margins = step.margins(bounds)
    if early:
        margins = early * step.margins(Crown(intermediate=_IBP)) + (1 - early) * margins
    own = functional.cross_entropy(step.outputs, step.y)
    return plain * own + (1 - plain) * robust_cross_entropy(margins).mean()
