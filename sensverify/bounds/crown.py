"""CROWN: the backward pass with the lower line that cuts off the smaller area."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from torch import Tensor

from sensverify.bounds.ibp import Interval, entries_of
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.method import PreActivationBounds
from sensverify.bounds.proofs import layer_proof
from sensverify.bounds.relaxation import Slope
from sensverify.bounds.unstable import count_unstable
from sensverify.core.box import Box
from sensverify.core.proof import OwnLines
from sensverify.core.results import Enclosure, Guarantee
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.runs.watch import Watch


@dataclass(frozen=True)
class LinearPass(PreActivationBounds):
    """A method that is the backward pass alone, with lines of its own choice."""

    intermediate: PreActivationBounds | None = None

    guarantee: ClassVar[Guarantee] = Guarantee.SOUND
    anytime: ClassVar[bool] = True
    sets = (InputSet,)
    proves_sets = True

    @property
    @abstractmethod
    def slope(self) -> Slope:
        """The lines of the pass, which prove its bounds on layers."""

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        return linear_bounds(layer_bounds(network, box, self, watch), objectives)

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """The bounds with the slopes behind them."""
        layers = layer_bounds(network, box, self, watch, proof=True)
        return proven_bounds(layers, objectives, self.intermediate)

    def proof_entries(self, network: Network, rows: int) -> int:
        """Numbers of a proof for each sample: two bounds and two slopes an entry, twice over."""
        return 8 * entries_of(network)

    def pre_activations(
        self, network: Network, box: Box, *, watch: Watch | None = None
    ) -> dict[int, Interval]:
        """Bounds on the input of every nonlinear node, keyed by the node."""
        return layer_bounds(network, box, self, watch).pre_activations

    def proven_pre_activations(
        self, network: Network, box: Box, *, watch: Watch | None = None
    ) -> tuple[dict[int, Interval], OwnLines | None]:
        layers = layer_bounds(network, box, self, watch, proof=True)
        return layers.pre_activations, layers.own


@dataclass(frozen=True)
class Crown(LinearPass):
    """Linear bounds by backward substitution with adaptive slopes.

    Stopped by a watch, interval arithmetic goes on from the layers that are bounded by then; see
    `LayerBounds`.

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

    name: ClassVar[str] = "crown"
    slope = Slope.ADAPTIVE


class LinearMethod(Protocol):
    """A method as the backward pass knows it: its lines, and its hidden bounds."""

    @property
    def slope(self) -> Slope: ...

    @property
    def intermediate(self) -> PreActivationBounds | None: ...


def layer_bounds(
    network: Network,
    box: Box,
    method: LinearMethod,
    watch: Watch | None = None,
    *,
    proof: bool = False,
) -> LayerBounds:
    """Bounds and relaxations of every layer, from the pass itself or from another method.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    box : Box of tensors, shape ``[batch, *input_shape]``
    method : LinearMethod
    watch : Watch, optional
    proof : bool
        Whether slopes are kept that prove bounds of the other method and that it searched for.
    """
    watch = watch or Watch()
    known, own, other = None, None, method.intermediate
    if other is not None and proof:
        known, own = other.proven_pre_activations(network, box, watch=watch)
    elif other is not None:
        stops = {"watch": watch} if other.anytime else {}
        known = other.pre_activations(network, box, **stops)
    return LayerBounds(network, box, method.slope, watch, own=own).fill(known)


def linear_bounds(layers: LayerBounds, objectives: Tensor) -> Enclosure:
    """Bound objectives by the backward pass; the slopes are all that tells methods apart."""
    lower, upper = layers.objective_bounds(objectives)
    unstable = count_unstable(layers.network, layers.pre_activations, layers.box.batch)
    return Enclosure(lower, upper, unstable=unstable, stopped=layers.cut_short)


def proven_bounds(
    layers: LayerBounds, objectives: Tensor, intermediate: PreActivationBounds | None
) -> Enclosure:
    """As `linear_bounds`, with the slopes behind them as certificate."""
    found = linear_bounds(layers, objectives)
    return replace(found, certificate=layer_proof(layers, intermediate).proof())
