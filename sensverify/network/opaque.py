"""An operator that stands for a whole function: it can be called, and nothing else is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensverify.network.operators import Operator
from sensverify.network.shapes import Shape, output_shape

REMEDY = (
    "end the network before it with `output`, or export it with operators that have one, which "
    "'sensverify list operators' shows; 'sensverify evaluate' attacks, corrupts and calibrates any "
    "network, and leaves out what needs bounds"
)
"""What to do about an operator without a counterpart."""


@dataclass(frozen=True, eq=False)
class Opaque(Operator):
    """A function of which nothing is known but its values, and maybe its gradients.

    A network of this one operator is run as any other; no method bounds it.

    Parameters
    ----------
    function : callable
        From a batch ``[batch, *inputs]`` to ``[batch, *shape]``, each sample by itself: of tensors
        where it has gradients, else of numpy arrays.
    shape : tuple of int
        Of its outputs.
    reason : str
        Why its operators are not those of a network.
    gradients : bool
    parameters : int
        Numbers in its weights.
    entries : int
        Numbers that it holds for one sample meanwhile.
    """

    function: Callable[[Any], Any]
    shape: Shape
    reason: str
    gradients: bool
    parameters: int = 0
    entries: int = 0


@output_shape.register
def _(operator: Opaque, x: Shape) -> Shape:
    return operator.shape
