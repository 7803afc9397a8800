"""LP-dual bounds: the feasible dual point of Wong & Kolter, the seed of sensitivity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sensverify.bounds.crown import layer_bounds, linear_bounds, proven_bounds
from sensverify.bounds.ibp import Interval, entries_of
from sensverify.bounds.method import PreActivationBounds, check_intermediate
from sensverify.bounds.relaxation import Slope
from sensverify.core.box import Box
from sensverify.core.results import Enclosure, Guarantee
from sensverify.network import Network
from sensverify.runs.watch import Watch


@dataclass(frozen=True)
class LpDual(PreActivationBounds):
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

    intermediate: PreActivationBounds | None = None

    name: ClassVar[str] = "lp-dual"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    slope = Slope.PARALLEL
    """The lines that prove its bounds on layers."""
    anytime: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_intermediate(self.name, self.intermediate)

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        return linear_bounds(layer_bounds(network, box, self, watch), objectives)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """The bounds with the slopes behind them."""
        layers = layer_bounds(network, box, self, watch)
        return proven_bounds(layers, objectives, self.intermediate)

    def proof_entries(self, network: Network, rows: int) -> int:
        """Numbers of a proof for each sample: two bounds and two slopes an entry, twice over."""
        return 8 * entries_of(network)

    def pre_activations(
        self, network: Network, box: Box, *, watch: Watch | None = None
    ) -> dict[int, Interval]:
        """Bounds on the input of every nonlinear node, keyed by the node."""
        return layer_bounds(network, box, self, watch).pre_activations
