"""LP-dual bounds: the feasible dual point of Wong & Kolter, the seed of sensitivity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sensverify.bounds.crown import LinearPass
from sensverify.bounds.relaxation import Slope


@dataclass(frozen=True)
class LpDual(LinearPass):
    """Bounds from one feasible point of the dual of the LP relaxation.

    The lower line of an unstable ReLU has the slope ``u / (u - l)`` of the upper one, so both ends
    of an output share their coefficients and cost one pass.

    Parameters
    ----------
    intermediate : method or None
        Where the bounds on hidden layers come from; None runs this same pass on every layer, as
        the source does.

    Notes
    -----
    Guarantee SOUND. Sources: Wong & Kolter 2018, *Provable defenses against adversarial examples
    via the convex outer adversarial polytope*, Algorithm 1; Wang et al., *Towards Robust Deep
    Neural Networks*, Eq. 7 (the sensitivity is the volume of this box). The same bounds are known
    as Fast-Lin.
    """

    name: ClassVar[str] = "lp-dual"
    slope = Slope.PARALLEL
