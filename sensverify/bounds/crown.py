"""CROWN: the backward pass with the lower line that cuts off the smaller area."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from sensverify.bounds.ibp import Interval, count_unstable, entries_of
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.method import PreActivationBounds, check_intermediate
from sensverify.bounds.proofs import layer_proof
from sensverify.bounds.relaxation import Slope
from sensverify.box import Box
from sensverify.network import Network
from sensverify.results import Enclosure, Guarantee
from sensverify.watch import Watch


@dataclass(frozen=True)
class Crown:
    """Linear bounds by backward substitution with adaptive slopes.

    Parameters
    ----------
    intermediate : method or None
        Where the bounds on hidden layers come from; None runs this same pass on every layer,
        ``Ibp()`` gives CROWN-IBP.

    Notes
    -----
    Guarantee SOUND. Source: Zhang et al. 2018, *Efficient neural network robustness
    certification with general activation functions*, Section 3.2.
    """

    intermediate: PreActivationBounds | None = None

    name: ClassVar[str] = "crown"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    slope: ClassVar[Slope] = Slope.ADAPTIVE
    """The lines that prove its bounds on layers."""

    def __post_init__(self) -> None:
        check_intermediate(self.name, self.intermediate)

    def bound(self, network: Network, box: Box, objectives: Tensor) -> Enclosure:
        return linear_bounds(network, box, objectives, self.slope, self.intermediate)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """The bounds with the slopes behind them. A watch is ignored."""
        return proven_bounds(network, box, objectives, self.slope, self.intermediate)

    def proof_entries(self, network: Network, rows: int) -> int:
        """Numbers of a proof for each sample: two bounds and two slopes an entry, twice over."""
        return 8 * entries_of(network)

    def pre_activations(self, network: Network, box: Box) -> dict[int, Interval]:
        """Bounds on the input of every nonlinear node, keyed by the node."""
        return layer_bounds(network, box, self.slope, self.intermediate).pre_activations


def layer_bounds(
    network: Network, box: Box, slope: Slope, intermediate: PreActivationBounds | None
) -> LayerBounds:
    """Bounds and relaxations of every layer, from the pass itself or from another method."""
    known = None if intermediate is None else intermediate.pre_activations(network, box)
    return LayerBounds(network, box, slope).fill(known)


def linear_bounds(
    network: Network,
    box: Box,
    objectives: Tensor,
    slope: Slope,
    intermediate: PreActivationBounds | None,
) -> Enclosure:
    """Bound objectives by the backward pass; the slopes are all that tells methods apart."""
    return _enclosure(layer_bounds(network, box, slope, intermediate), objectives)


def proven_bounds(
    network: Network,
    box: Box,
    objectives: Tensor,
    slope: Slope,
    intermediate: PreActivationBounds | None,
) -> Enclosure:
    """As `linear_bounds`, with the slopes behind them as certificate."""
    layers = layer_bounds(network, box, slope, intermediate)
    found = _enclosure(layers, objectives)
    return replace(found, certificate=layer_proof(layers, intermediate).proof())


def _enclosure(layers: LayerBounds, objectives: Tensor) -> Enclosure:
    lower, upper = layers.objective_bounds(objectives)
    unstable = count_unstable(layers.network, layers.pre_activations, layers.box.batch)
    return Enclosure(lower, upper, unstable=unstable)
