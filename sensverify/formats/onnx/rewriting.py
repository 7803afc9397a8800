"""Agreement of a simplified network with the plain one, from one nonlinear node to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sensverify.errors import RuntimeDisagrees
from sensverify.formats.onnx.samples import MOST, WORK, multiplications, sample_points
from sensverify.network import Network, Node
from sensverify.network.operators import Nonlinear
from sensverify.network.running import FLOAT64, Running, apply, known

_REMEDY = "load it with `simplified=False`, and please report it"


def check_rewritten(plain: Network, simplified: Network) -> None:
    """Compare a network with its simplification, from one nonlinear node to the next.

    Raises
    ------
    RuntimeDisagrees
        They differ by more than the rounding of float64 explains.
    """
    work = sum(multiplications(node) for node in plain.nodes)
    count = 1 if work > WORK // MOST else MOST // 2
    points = np.stack(list(sample_points(count, plain.input_shape, FLOAT64, np.float64)))
    entered = list(_nonlinear_values(plain, points, None))
    if [type(n.operator) for n in _nonlinear_nodes(plain)] != [
        type(n.operator) for n in _nonlinear_nodes(simplified)
    ]:
        raise RuntimeDisagrees(
            "simplifying the network changed its nonlinear nodes",
            _REMEDY,
        )
    simplified_values = iter(
        _nonlinear_values(simplified, points, [value for _, _, value in entered[:-1]])
    )
    for (node, expected, _), (_, found, _) in zip(entered, simplified_values, strict=True):
        value, error = (side.reshape(-1) for side in expected)
        other, also = (side.reshape(-1) for side in found)
        with np.errstate(all="ignore"):
            margin = 4 * (error + also) + 2.0**-50 * abs(value)
            wrong = np.isfinite(margin) & ~(abs(value - other) <= margin)
        if wrong.any():
            entry = int(np.argmax(wrong))
            raise RuntimeDisagrees(
                f"simplifying the network changed what enters node '{node.name}' from "
                f"{value[entry]:g} to {other[entry]:g}",
                _REMEDY,
            )


def _nonlinear_nodes(network: Network) -> list[Node]:
    return [node for node in network.nodes if isinstance(node.operator, Nonlinear)]


def _nonlinear_values(
    network: Network, points: np.ndarray, outputs: Sequence[np.ndarray] | None
) -> Iterator[tuple[Node, Running, np.ndarray]]:
    """Input and output values of every nonlinear node, then the output of the network.

    Where ``outputs`` is given, its values take the place of the nodes' outputs.
    """
    values = {0: known(points)}
    last = {source: p for p, node in enumerate(network.nodes) for source in node.inputs}
    number = 0
    for place, node in enumerate(network.nodes[1:], start=1):
        inputs = [values[i] for i in node.inputs]
        result = apply(node.operator, inputs, FLOAT64)
        if isinstance(node.operator, Nonlinear):
            value = result.value if outputs is None else outputs[number].reshape(result.value.shape)
            yield node, inputs[0], value
            result, number = known(value), number + 1
        values[place] = result
        for source in set(node.inputs):
            if last[source] == place:
                del values[source]
    yield network.nodes[-1], values[len(network.nodes) - 1], points
