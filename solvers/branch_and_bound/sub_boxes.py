"""Linear bounds on many sub-boxes at once."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from sensverify.bounds.backward import backward_lines
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Slope
from sensverify.bounds.signs import Signs, skips_known
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.network import Network
from sensverify.network.operators import Affine, Relu, Reshape, Scale
from sensverify.solvers.branch_and_bound.curved import is_curved, traced_errors

_ERROR_WEIGHT = 0.002
"""Weight of the relaxation's error beside the line's own slope when a feature to split is chosen.
On ACAS Xu ranges .02 left a fifth to a half of the gap that 0 or 1 left after the same time."""


@dataclass(frozen=True, eq=False)
class LinesBelow:
    """Lines below every row on every sub-box, and what is known of the neurons there.

    Parameters
    ----------
    coefficients : Tensor, shape ``[boxes, rows, features]``
    least : Tensor, shape ``[boxes, rows]``
        Smallest value of each line on its sub-box: a lower bound of the row; minus infinity where
        it overflowed.
    most : Tensor or None, shape ``[boxes, rows]``
        Upper bounds of the rows, where they were asked for; infinite where one overflowed.
    layers : LayerBounds
    seen : dict from node to Tensor ``[boxes, rows, *shape]``
        Coefficients on the outputs of nonlinear nodes.
    """

    coefficients: Tensor
    least: Tensor
    most: Tensor | None
    layers: LayerBounds
    seen: dict[int, Tensor]

    @property
    def signs(self) -> Signs:
        """Signs of the neurons that are stable on the sub-boxes, and so on all of their parts.

        Only of layers that take less time for it: in others, keeping signs did not pay.
        """
        signs = self.layers.signs()
        return {p: signs[p] for p in signs if skips_known(self.layers.network, p, signs)}

    def split_scores(self, row: Tensor) -> Tensor:
        """The weight of each feature in one row of each sub-box, ``[boxes, features]``.

        The line's own change across the feature, plus a share of the relaxations' error that goes
        back to it: the error of each unstable neuron, as the row weighs it, traced back through
        the magnitudes of the weights.
        """
        network, box = self.layers.network, self.layers.box
        places = torch.arange(len(row), device=row.device)
        slope = self.coefficients[places, row].abs()
        width = flattened(box.upper - box.lower)
        if is_curved(network):
            seen = {p: values[places, row] for p, values in self.seen.items()}
            return (slope + traced_errors(self.layers, seen)) * width
        return (slope + _ERROR_WEIGHT * self._errors(network, places, row)) * width

    def _errors(self, network: Network, places: Tensor, row: Tensor) -> Tensor | float:
        """Relaxation error by input feature and unit of width; 0 where it was not found to help."""
        if not _is_chain(network):
            return 0.0
        traced: Tensor | None = None
        for position in range(len(network.nodes) - 1, 0, -1):
            operator = network.nodes[position].operator
            if isinstance(operator, Relu):
                chord = flattened(self.layers.relaxations[position].upper_slope)
                weight = flattened(self.seen[position][places, row]).abs()
                error = 2 * weight * chord * (1 - chord)
                traced = error if traced is None else traced * chord + error
            elif traced is not None and isinstance(operator, Affine):
                traced = traced @ operator.weight.abs()
            elif traced is not None and isinstance(operator, Scale) and operator.scale is not None:
                scale = operator.scale.abs().expand(network.nodes[position].shape)
                traced = traced * scale.flatten()
        return 0.0 if traced is None else traced


def lines_below(
    network: Network, box: Box, rows: Tensor, signs: Signs | None, *, above: bool = False
) -> LinesBelow:
    """CROWN on every sub-box, for all rows at once.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    box : Box of tensors, shape ``[boxes, *input_shape]``
    rows : Tensor, shape ``[boxes or 1, rows, outputs]``
    signs : Signs or None
        Neurons known to be stable on boxes around these.
    above : bool
        Whether upper bounds of the rows are wanted, too.
    """
    count = rows.shape[1]
    if above:
        rows = torch.cat([rows, -rows], dim=1)
    layers = LayerBounds(network, box, Slope.ADAPTIVE).fill(signs=signs)
    objectives = rows.reshape(*rows.shape[:2], *network.output_shape)
    coefficients, constants, seen = backward_lines(network, objectives, layers.relaxations)
    coefficients = flattened(coefficients.expand(box.batch, *coefficients.shape[1:]), 2)
    seen = {p: values.expand(box.batch, *values.shape[1:]) for p, values in seen.items()}
    lower, upper = flattened(box.lower).unsqueeze(2), flattened(box.upper).unsqueeze(2)
    # Through centre and radius, for the precision of thin boxes.
    middle = (coefficients @ (lower / 2 + upper / 2)).squeeze(2)
    spread = (coefficients.abs() @ (upper / 2 - lower / 2)).squeeze(2)
    least = _proven(middle - spread + constants)
    if not above:
        return LinesBelow(coefficients, least, None, layers, seen)
    seen = {p: values[:, :count] for p, values in seen.items()}
    return LinesBelow(coefficients[:, :count], least[:, :count], -least[:, count:], layers, seen)


def root_bounds(layers: LayerBounds, rows: Tensor) -> Tensor:
    """CROWN's lower bounds of the rows on whole boxes, ``[boxes, rows]``."""
    lower, _ = layers.objective_bounds(rows)
    return _proven(lower)


def _proven(bounds: Tensor) -> Tensor:
    """Minus infinity where a number has overflowed on the way: that proves nothing."""
    return bounds.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)


def _is_chain(network: Network) -> bool:
    """True where the network is fully connected, with ReLUs: one vector after the other."""
    return all(
        len(node.inputs) == 1
        and isinstance(node.operator, Affine | Relu | Scale | Reshape)
        and (not isinstance(node.operator, Affine) or prod(node.shape[:-1]) == 1)
        for node in network.nodes[1:]
    )
