"""The operators that are known, and which kinds of methods know each: found out by asking them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cache
from math import prod
from typing import Any, Literal

import numpy as np

from sensverify.bounds import Crown, compute_bounds, make_method
from sensverify.certificates import StoredModel, certify_bounds
from sensverify.certificates.check.program import program_of
from sensverify.core.box import Box
from sensverify.errors import MissingRule
from sensverify.network import Network, NetworkBuilder
from sensverify.network import operators as op

_ONE, _TWO = np.ones(1), np.ones(2)

EXAMPLES: tuple[tuple[op.Operator, tuple[int, ...], int], ...] = (
    (op.Affine(np.ones((2, 2)), None), (2,), 1),
    (op.Conv(np.ones((1, 1, 1)), None, (1,), (0,), (1,), 1), (1, 2), 1),
    (op.ConvTranspose(np.ones((1, 1, 1)), None, (1,), (0,), (0,), (1,), 1), (1, 2), 1),
    (op.Scale(_TWO, None), (2,), 1),
    (op.Divide(_TWO), (2,), 1),
    (op.BatchNorm(None, None, _TWO, _TWO, 1e-5), (2,), 1),
    (op.Pad((1,), (0,), 0.0), (2,), 1),
    (op.Select(np.array([0, 1])), (2,), 1),
    (op.Permute((1, 0)), (1, 2), 1),
    (op.Reshape((1, 2)), (2,), 1),
    (op.Add(), (2,), 2),
    (op.Concat(0), (2,), 2),
    (op.Relu(), (2,), 1),
    (op.LeakyRelu(np.array(0.1)), (2,), 1),
    (op.Clip(-0.5, 0.25), (2,), 1),
    (op.Abs(), (2,), 1),
    (op.Sigmoid(), (2,), 1),
    (op.Tanh(), (2,), 1),
    (op.Atan(), (2,), 1),
    (op.Erf(), (2,), 1),
    (op.Softsign(), (2,), 1),
    (op.Softplus(), (2,), 1),
    (op.Elu(), (2,), 1),
    (op.Exp(), (2,), 1),
    (op.Log(), (2,), 1),
    (op.Sqrt(), (2,), 1),
    (op.Reciprocal(), (2,), 1),
    (op.Square(), (2,), 1),
    (op.Pow(3.0), (2,), 1),
    (op.Sin(), (2,), 1),
    (op.Cos(), (2,), 1),
    (op.Gelu(), (2,), 1),
    (op.TanhGelu(), (2,), 1),
    (op.Silu(), (2,), 1),
    (op.Mish(), (2,), 1),
    (op.HardSwish(), (2,), 1),
    (op.Sign(), (2,), 1),
    (op.Heaviside(), (2,), 1),
    (op.Floor(), (2,), 1),
    (op.Ceil(), (2,), 1),
    (op.Round(), (2,), 1),
    (op.Max(), (2, 2), 1),
    (op.Product(), (2, 2), 1),
    (op.Share(), (3, 2), 1),
    (op.Increment(op.Relu()), (2, 2), 1),
)
"""An operator of each kind, the shape of what it takes, and how many of these."""


@dataclass(frozen=True)
class Support:
    """The methods that know an operator.

    Parameters
    ----------
    intervals : bool
        ``ibp``.
    lines : bool
        ``crown`` and its relatives, and ``lp-dual``.
    splitting : bool
        ``branch-and-bound``, and ``exact`` through it.
    program : bool or "outer"
        ``milp``; ``exact`` goes through it where splitting does not do. Outer: a range that
        encloses the exact one, by lines on segments.
    certificate : bool
        Proofs that ``sensverify check`` checks.
    """

    intervals: bool
    lines: bool
    splitting: bool
    program: bool | Literal["outer"]
    certificate: bool

    @property
    def words(self) -> tuple[str, ...]:
        """``yes`` or ``no`` for each field, in order, or ``outer``."""
        return tuple(word_of(each) for each in astuple(self))


def word_of(known: bool | str) -> str:
    """One field of a `Support` as a word."""
    return known if isinstance(known, str) else "yes" if known else "no"


COMPOSITE: dict[str, type[op.Operator]] = {
    **dict.fromkeys(("LogSoftmax", "ReduceLogSum", "ReduceLogSumExp"), op.Exp),
    "Softmax": op.Share,
    **dict.fromkeys(("GRU", "LSTM"), op.Product),
    **dict.fromkeys(("ReduceL2", "ReduceSumSquare"), op.Square),
    **dict.fromkeys(
        (
            "GroupNormalization",
            "InstanceNormalization",
            "LayerNormalization",
            "RMSNormalization",
            "ReduceProd",
        ),
        op.Product,
    ),
    "RNN": op.Tanh,
}
"""ONNX operators that become several of a network's, and the one that fewest methods know."""

EVERY = Support(*[True] * 5)
"""That of an operator that every method knows."""


@cache
def operator_support() -> dict[type[op.Operator], Support]:
    """The support of every operator of a network."""
    return {
        type(operator): _support(_network(operator, shape, inputs))
        for operator, shape, inputs in EXAMPLES
    }


def onnx_operators() -> Iterator[tuple[str, type[op.Operator] | None, str]]:
    """Every operator of ONNX files that is known.

    Yields
    ------
    name : str
        Its type, behind its domain where that is not the standard one.
    operator : type or None
        Of a network, where it is lowered to just that, or to what no more methods know; None where
        it becomes operators that every method knows, but for a product of two values that depend
        on the input.
    note : str
        ``at the end`` of a classifier, where it is cut off; empty: anywhere.
    """
    from sensverify.formats.onnx import heads
    from sensverify.formats.onnx.activations import SIMPLE
    from sensverify.formats.onnx.call import HANDLERS

    ends = {".".join(filter(None, key)) for key in heads.STEPS} - set(heads.KEEPING)
    for name in sorted(HANDLERS.keys() | ends, key=lambda each: (each.count("."), each)):
        if name not in HANDLERS:
            yield name, None, "at the end"
        else:
            alone = type(SIMPLE[name]()) if name in SIMPLE else None
            yield name, COMPOSITE.get(name, alone), ""


def torch_operators() -> tuple[str, ...]:
    """Names of the operators of torch, as traces have them, that modules may use."""
    # Importing modules brings in every rule.
    from sensverify.formats.modules import refusals
    from sensverify.formats.modules.emitting import RULES

    known = (name for name, each in RULES.items() if each.__module__ != refusals.__name__)
    return tuple(sorted(known))


def _network(operator: op.Operator, shape: tuple[int, ...], inputs: int) -> Network:
    """The operator between affine maps and in front of a ReLU; behind a clip where it needs one."""
    rng, builder = np.random.default_rng(0), NetworkBuilder((2,))

    def dense(node: int, size: int) -> int:
        weight = rng.normal(size=(size, prod(builder.shape(node))))
        return builder.add(op.Affine(weight, rng.normal(size=size)), node)

    given = [builder.add(op.Reshape(shape), dense(0, prod(shape))) for _ in range(inputs)]
    if isinstance(operator, op.Smooth) and operator.branches != op.Smooth.branches:
        given = [builder.add(op.Clip(0.5, 2.0), node) for node in given]
    node = builder.add(operator, *given)
    node = builder.add(op.Reshape((prod(builder.shape(node)),)), node)
    return builder.build(dense(builder.add(op.Relu(), dense(node, 2)), 1))


def _support(network: Network) -> Support:
    jumps = any(isinstance(node.operator, op.Steps) for node in network.nodes)
    return Support(
        intervals=_bounds(network, "ibp"),
        lines=_bounds(network, "crown") and _bounds(network, "lp-dual"),
        # A jump that runs through a box is in each of its parts.
        splitting=not jumps and _bounds(network, "branch-and-bound", exact=True),
        program=_program(network),
        certificate=_certifies(network),
    )


def _box() -> Box:
    return Box(np.full((1, 2), -1.5), np.full((1, 2), 0.5))


def _program(network: Network) -> bool | Literal["outer"]:
    # Of one network, the ends may happen to be where envelopes meet their curves.
    curved = any(
        isinstance(node.operator, op.Smooth | op.Product | op.Share) for node in network.nodes
    )
    known = _bounds(network, "milp", exact=not curved)
    return "outer" if known and curved else known


def _bounds(network: Network, method: str, *, exact: bool = False) -> bool:
    try:
        found: Any = compute_bounds(network, _box(), make_method(method))
    except MissingRule:
        return False
    return not exact or bool(found.optimal.all())


def _certifies(network: Network) -> bool:
    box, rows = _box(), np.array([[[1.0], [-1.0]]])
    proof: Any = compute_bounds(network, box, Crown(), proof=True).certificate
    try:
        model = StoredModel(network, program_of(network), "", {})
        found = certify_bounds(model, box.lower, box.upper, rows, proof)
    except MissingRule:
        return False
    return bool(np.isfinite(found.lower).all())
