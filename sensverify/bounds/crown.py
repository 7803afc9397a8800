"""CROWN: the backward pass with the lower line that cuts off the smaller area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sensverify.bounds.ibp import Interval, count_unstable
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.method import PreActivationBounds, check_intermediate
from sensverify.bounds.relaxation import Slope
from sensverify.box import Box
from sensverify.network import Network
from sensverify.results import Enclosure, Guarantee


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

    def __post_init__(self) -> None:
        check_intermediate(self.name, self.intermediate)

    def bound(self, network: Network, box: Box, objectives: Tensor) -> Enclosure:
        return linear_bounds(network, box, objectives, Slope.ADAPTIVE, self.intermediate)

    def pre_activations(self, network: Network, box: Box) -> dict[int, Interval]:
        """Bounds on the input of every nonlinear node, keyed by the node."""
        return layer_bounds(network, box, Slope.ADAPTIVE, self.intermediate).pre_activations


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
    layers = layer_bounds(network, box, slope, intermediate)
    lower, upper = layers.objective_bounds(objectives)
    unstable = count_unstable(network, layers.pre_activations, box.batch)
    return Enclosure(lower, upper, unstable=unstable)
