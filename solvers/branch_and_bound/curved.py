"""Where the error of a relaxation comes from: the features that curved operators depend on.

The slope of a line says nothing of a feature along which a function has its extreme: where a
product or a wave is flat, its lines are flat, too, and only their distance tells that a cut pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sensverify.bounds.adjoint import adjoint
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.tensors import flattened
from sensverify.network import Network
from sensverify.network.operators import Operator, Product, Smooth, Windowed


def is_curved(network: Network) -> bool:
    """True where an operator may be flat between the ends of an interval."""
    operators = [node.operator for node in network.nodes]
    return any(
        isinstance(each, Product) or (isinstance(each, Smooth) and each.rising is None)
        for each in operators
    )


def traced_errors(layers: LayerBounds, seen: Mapping[int, Tensor]) -> Tensor:
    """The distance of all lines by feature and unit of its width, ``[boxes, features]``.

    Parameters
    ----------
    layers : LayerBounds
    seen : mapping from node to Tensor, shape ``[boxes, *shape]``
        Coefficients on the outputs of nonlinear nodes: how much of each distance counts. Each is
        traced back through the magnitudes of weights and slopes.
    """
    network, box = layers.network, layers.box
    pending: dict[int, Tensor] = {}
    for position in range(len(network.nodes) - 1, 0, -1):
        node, onward = network.nodes[position], pending.pop(position, None)
        if position in layers.relaxations and position in seen:
            (source,) = node.inputs
            parts = [_through(layers, position, seen[position].abs(), onward)]
        elif onward is None:
            continue
        else:
            shapes = tuple(network.nodes[source].shape for source in node.inputs)
            parts = adjoint(_magnitudes(node.operator), onward.unsqueeze(1), shapes)
            parts = [part.squeeze(1) for part in parts]
        for source, part in zip(node.inputs, parts, strict=True):
            pending[source] = pending[source] + part if source in pending else part
    return flattened(pending.get(0, torch.zeros_like(box.lower)))


def _through(layers: LayerBounds, position: int, weight: Tensor, onward: Tensor | None) -> Tensor:
    """Errors on what enters a nonlinear node, of its own lines and of those behind it."""
    lines = layers.relaxations[position]
    windowed = isinstance(layers.network.nodes[position].operator, Windowed)
    low, high = layers.pre_activations[position]
    width = high - low
    error = weight * _distance(lines, low / 2 + high / 2, windowed)
    steep = torch.maximum(lines.lower_slope.abs(), lines.upper_slope.abs()).squeeze(1)
    if windowed:
        error = error.unsqueeze(-1) / width.shape[-1]
        onward = None if onward is None else onward.unsqueeze(-1)
    moving = width > 0
    error = torch.where(moving, error / torch.where(moving, width, 1.0), 0.0)
    return error if onward is None else error + steep * onward


def _distance(lines: Relaxation, middle: Tensor, windowed: bool) -> Tensor:
    """Distance of both lines in the middle of the intervals, ``[boxes, *shape]``."""
    apart = ((lines.upper_slope - lines.lower_slope).squeeze(1)) * middle
    apart = apart.sum(dim=-1) if windowed else apart
    for sign, intercept in ((1, lines.upper_intercept), (-1, lines.lower_intercept)):
        if intercept is not None:
            apart = apart + sign * intercept.squeeze(1)
    return apart.clamp(min=0)


def _magnitudes(operator: Operator) -> Operator:
    changes: dict[str, Any] = {
        name: getattr(operator, name).abs()
        for name in ("weight", "scale")
        if getattr(operator, name, None) is not None
    }
    return replace(operator, **changes) if changes else operator
