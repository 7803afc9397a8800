"""Convolutional layers seen through windows: many small fully connected networks.

A neuron of a convolutional layer depends on a window of every earlier layer only, and all
positions of the layer share the weights between their windows. So the backward pass from a whole
layer is the pass from one position of a small fully connected network, batched over positions as
over samples: its matrices are small and dense, stay in the processor's cache, and replace
transposed convolutions of thousands of nearly empty images.

`window_network` fills the small network with the layer's parameters, differentiably. `Windows`
and `RelaxationWindows` cut bounds and relaxations to the windows of a plan; entries outside of
the image are zero there, which removes their coefficients.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.tensors import flattened
from sensverify.bounds.window_plan import WindowPlan
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Conv, Elementwise, Pad, Scale, Select
from sensverify.network.shapes import Shape


def window_network(
    network: Network, plan: WindowPlan, device: torch.device
) -> tuple[Network, dict[int, int]]:
    """The small network that every position shares.

    Returns
    -------
    network : Network
        Its parameters are cut from the large network's, differentiably.
    places : dict from the large network's nodes to the small one's
        Of the nodes whose relaxations must be gathered, and of nodes in ``plan.outside``, whose
        relaxation is the mask of what lies inside.
    """
    builder = NetworkBuilder((plan.index[plan.order[0]].shape[1],))
    made = {plan.order[0]: builder.input}
    places: dict[int, int] = {}
    cuts = {key: torch.from_numpy(cut).to(device) for key, cut in plan.cuts.items()}
    for position in plan.order[1:]:
        node = network.nodes[position]
        sources = [
            builder.add(Select(cuts[position, i]), made[i]) if (position, i) in cuts else made[i]
            for i in node.inputs
        ]
        operator = node.operator
        if isinstance(operator, Conv):
            made[position] = builder.add(_window_matrix(operator, plan.taps[position]), *sources)
        elif isinstance(operator, Scale):
            repeat = plan.index[position].shape[1] // node.shape[0]
            made[position] = builder.add(_window_scale(operator, repeat, node.shape), *sources)
        elif isinstance(operator, Pad):
            made[position] = sources[0]
        else:
            made[position] = builder.add(operator, *sources)
        if isinstance(operator, Elementwise):
            places[position] = made[position]
        elif position in plan.outside:
            made[position] = builder.add(Scale(), made[position])
            places[position] = made[position]
    return builder.build(made[plan.order[-1]]), places


def _window_matrix(operator: Conv, taps: np.ndarray) -> Affine:
    weight = operator.weight
    padded = torch.cat([weight.flatten(), weight.new_zeros(1)])
    matrix = padded[torch.from_numpy(taps).to(weight.device)]
    if operator.bias is None:
        return Affine(matrix)
    return Affine(matrix, operator.bias.repeat_interleave(len(taps) // len(operator.bias)))


def _window_scale(operator: Scale, repeat: int, shape: Shape) -> Scale:
    def spread(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        ones = (1,) * (len(shape) - 1)
        column = values.expand(shape[0], *ones) if values.ndim == len(shape) else values.flatten()
        return column.flatten().expand(shape[0]).repeat_interleave(repeat)

    return Scale(spread(operator.scale), spread(operator.shift))


class Windows:
    """Values of one layer arranged so that windows of it are cheap to cut.

    Parameters
    ----------
    values : Tensor, shape ``[batch, ...]``
        Bounds, slopes or intercepts of a layer; flattened behind the batch axis.
    """

    def __init__(self, values: Tensor) -> None:
        flat = flattened(values)
        # Batch last: a window is then a choice of rows, and its gradient a sum of rows.
        self._rows = torch.cat([flat.T, flat.new_zeros(1, len(flat))])

    def cut(self, index: Tensor) -> Tensor:
        """Windows ``[positions * batch, window]`` for an index ``[positions, window]``."""
        rows = self._rows.index_select(0, index.flatten())
        # Contiguous, or everything computed from it inherits a layout that matrix products copy.
        cut = rows.view(*index.shape, -1).transpose(1, 2).contiguous()
        return cut.view(-1, index.shape[1])

    def at(self, samples: Tensor, index: Tensor) -> Tensor:
        """One window of each of some samples: ``[items, window]``, for ``[items]`` and that."""
        # Chosen by one index, which is faster than by two.
        places = index * self._rows.shape[1] + samples.unsqueeze(1)
        return self._rows.flatten().index_select(0, places.flatten()).view(index.shape)


class RelaxationWindows:
    """A layer's relaxation, cut to windows on demand."""

    def __init__(self, relaxation: Relaxation) -> None:
        self._lower_slope = Windows(relaxation.lower_slope)
        self._upper_slope = (
            self._lower_slope if relaxation.parallel else Windows(relaxation.upper_slope)
        )
        intercepts = (relaxation.lower_intercept, relaxation.upper_intercept)
        mirror = relaxation.mirror
        self._intercepts = [
            None if i is None else Windows(i) for i in (*intercepts, *(mirror or ()))
        ]

    def cut(self, index: Tensor) -> Relaxation:
        """The relaxation of ``positions * batch`` small layers; zero outside of the image."""
        return self._cut(lambda windows: windows.cut(index))

    def at(self, samples: Tensor, index: Tensor) -> Relaxation:
        """The relaxation of one small layer of each of some samples, as `Windows.at`."""
        return self._cut(lambda windows: windows.at(samples, index))

    def _cut(self, cut: Callable[[Windows], Tensor]) -> Relaxation:
        lower = cut(self._lower_slope).unsqueeze(1)
        upper = lower
        if self._upper_slope is not self._lower_slope:
            upper = cut(self._upper_slope).unsqueeze(1)
        low, high, *mirror = (None if i is None else cut(i).unsqueeze(1) for i in self._intercepts)
        return Relaxation(lower, upper, low, high, (mirror[0], mirror[1]) if mirror else None)
