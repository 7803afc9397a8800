"""Division as a scale."""

from __future__ import annotations

from sensverify.network.graph import Network, Node
from sensverify.network.operators import Divide, Scale
from sensverify.network.rewrites.editing import Edit, rewrite, wide


def divide_to_scale(network: Network) -> Network:
    """Replace every `Divide` by the `Scale` with the reciprocals.

    Which rounds once more than a division does, far below a bound's own rounding.
    """
    return rewrite(network, _rule)


def _rule(edit: Edit, node: Node) -> bool:
    if not isinstance(node.operator, Divide):
        return False
    scale = Scale(1.0 / wide(node.operator.divisor))
    edit.put(node, scale, (edit.place(node),), node.shape)
    return True
