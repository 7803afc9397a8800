"""Batch normalisation as a scale and a shift."""

from __future__ import annotations

from sensverify.network.graph import Network, Node
from sensverify.network.operators import BatchNorm, Scale
from sensverify.network.rewrites.editing import Edit, rewrite, wide


def batch_norm_to_scale(network: Network) -> Network:
    """Replace every `BatchNorm` by the `Scale` it is with fixed statistics.

    ``y = (x - mean) / sqrt(variance + epsilon) * weight + bias`` over the channels (axis 0).
    Only operators are applied to the parameters, so tensors keep their autograd history.
    """
    return rewrite(network, _rule)


def _rule(edit: Edit, node: Node) -> bool:
    norm = node.operator
    if not isinstance(norm, BatchNorm):
        return False
    scale = (wide(norm.variance) + norm.epsilon) ** -0.5
    if norm.weight is not None:
        scale = scale * wide(norm.weight)
    shift = -wide(norm.mean) * scale
    if norm.bias is not None:
        shift = shift + wide(norm.bias)
    channels = (node.shape[0], *(1 for _ in node.shape[1:]))
    operator = Scale(scale.reshape(channels), shift.reshape(channels))
    edit.put(node, operator, (edit.place(node),), node.shape)
    return True
