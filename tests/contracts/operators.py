"""Every operator that a network can hold, in its forms, each in small networks of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, prod

import numpy as np

from sensverify.network import Network, NetworkBuilder, operators
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Atan,
    BatchNorm,
    Ceil,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Cos,
    Divide,
    Elu,
    Erf,
    Exp,
    Floor,
    Gelu,
    HardSwish,
    Heaviside,
    Increment,
    LeakyRelu,
    Log,
    Max,
    Mish,
    Operator,
    Pad,
    Permute,
    Pow,
    Product,
    Reciprocal,
    Relu,
    Reshape,
    Round,
    Scale,
    Select,
    Share,
    Sigmoid,
    Sign,
    Silu,
    Sin,
    Softplus,
    Softsign,
    Sqrt,
    Square,
    Tanh,
    TanhGelu,
    affine,
    base,
    elementary,
    gates,
    piecewise,
    several,
    smooth,
    steps,
)
from tests.contracts.networks import dense, numbers

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Form:
    """A form of an operator.

    Parameters
    ----------
    operator : type
    shape : tuple of int
        Of what enters it.
    make : callable
        The operator with numbers of a generator.
    inputs : int
        How many values of that shape it takes.
    least : float
        Where this is finite, the magnitudes of the values enter it, and so much more.
    """

    operator: type[Operator]
    shape: tuple[int, ...]
    make: Callable[[Rng], Operator]
    inputs: int = 1
    least: float = -inf

    def add(self, builder: NetworkBuilder, operator: Operator, *nodes: int) -> int:
        """The operator behind nodes."""
        if self.least > -inf:
            shift = Scale(None, np.array(self.least))
            nodes = tuple(builder.add(shift, builder.add(Abs(), node)) for node in nodes)
        return builder.add(operator, *nodes)


def _positive(rng: Rng, *shape: int) -> np.ndarray:
    return 0.5 + np.abs(numbers(rng, *shape))


FORMS: dict[str, Form] = {
    "affine": Form(Affine, (3,), lambda rng: Affine(numbers(rng, 4, 3), numbers(rng, 4))),
    "affine of rows": Form(Affine, (2, 2), lambda rng: Affine(numbers(rng, 3, 2), None)),
    "strided groups": Form(
        Conv,
        (2, 4),
        lambda rng: Conv(numbers(rng, 2, 1, 3), numbers(rng, 2), (2,), (2,), (1,), 2),
    ),
    "dilated kernel": Form(
        Conv,
        (1, 3, 3),
        lambda rng: Conv(numbers(rng, 2, 1, 2, 2), None, (1, 2), (1, 0), (2, 1)),
    ),
    "kernel of three axes": Form(
        Conv,
        (1, 2, 2, 1),
        lambda rng: Conv(
            numbers(rng, 1, 1, 2, 1, 1), numbers(rng, 1), (1, 1, 1), (0, 1, 0), (1, 1, 1)
        ),
    ),
    "transposed groups": Form(
        ConvTranspose,
        (2, 2),
        lambda rng: ConvTranspose(
            numbers(rng, 2, 1, 3), numbers(rng, 2), (2,), (1,), (1,), (1,), 2
        ),
    ),
    "transposed kernel": Form(
        ConvTranspose,
        (1, 2, 2),
        lambda rng: ConvTranspose(numbers(rng, 1, 2, 2, 2), None, (1, 2), (0, 1), (0, 1), (2, 1)),
    ),
    "scale": Form(Scale, (2, 2), lambda rng: Scale(numbers(rng, 2, 1), numbers(rng, 2))),
    "shift": Form(Scale, (3,), lambda rng: Scale(None, numbers(rng, 3))),
    "division": Form(Divide, (2, 2), lambda rng: Divide(-_positive(rng, 2, 1))),
    "normalisation": Form(
        BatchNorm,
        (2, 2),
        lambda rng: BatchNorm(
            numbers(rng, 2), numbers(rng, 2), numbers(rng, 2), _positive(rng, 2), 1e-3
        ),
    ),
    "plain normalisation": Form(
        BatchNorm,
        (3,),
        lambda rng: BatchNorm(None, None, numbers(rng, 3), _positive(rng, 3), 1e-3),
    ),
    "pad": Form(Pad, (1, 2, 2), lambda rng: Pad((0, 1, 0), (0, 0, 2), 0.75)),
    "selection": Form(Select, (4,), lambda rng: Select(np.array([[2, 0, 0], [1, 2, 2]]))),
    "permutation": Form(Permute, (2, 1, 2), lambda rng: Permute((2, 0, 1))),
    "reshape": Form(Reshape, (2, 2), lambda rng: Reshape((4, 1))),
    "sum": Form(Add, (3,), lambda rng: Add(), inputs=3),
    "concatenation": Form(Concat, (2, 2), lambda rng: Concat(1), inputs=2),
    "relu": Form(Relu, (4,), lambda rng: Relu()),
    "leaky relu": Form(LeakyRelu, (4,), lambda rng: LeakyRelu(np.array(0.25))),
    "falling relu": Form(LeakyRelu, (3,), lambda rng: LeakyRelu(np.array(-0.5))),
    "relu of channels": Form(
        LeakyRelu, (3, 2), lambda rng: LeakyRelu(np.array([[0.1], [1.5], [-2.0]]))
    ),
    "clip": Form(Clip, (4,), lambda rng: Clip(-0.5, 0.25)),
    "clip below": Form(Clip, (4,), lambda rng: Clip(0.25, inf)),
    "clip above": Form(Clip, (4,), lambda rng: Clip(-inf, -0.25)),
    "clip to a number": Form(Clip, (3,), lambda rng: Clip(0.25, 0.25)),
    "absolute value": Form(Abs, (4,), lambda rng: Abs()),
    "sigmoid": Form(Sigmoid, (4,), lambda rng: Sigmoid()),
    "tanh": Form(Tanh, (4,), lambda rng: Tanh()),
    "exponential": Form(Exp, (4,), lambda rng: Exp()),
    "logarithm": Form(Log, (4,), lambda rng: Log(), least=0.25),
    "root": Form(Sqrt, (4,), lambda rng: Sqrt(), least=0.0625),
    "reciprocal": Form(Reciprocal, (4,), lambda rng: Reciprocal(), least=0.25),
    "square": Form(Square, (4,), lambda rng: Square()),
    "cube": Form(Pow, (4,), lambda rng: Pow(3.0)),
    "fourth power": Form(Pow, (4,), lambda rng: Pow(4.0)),
    "fractional power": Form(Pow, (4,), lambda rng: Pow(1.5), least=0.0625),
    "falling power": Form(Pow, (4,), lambda rng: Pow(-2.0), least=0.5),
    "sine": Form(Sin, (4,), lambda rng: Sin()),
    "cosine": Form(Cos, (4,), lambda rng: Cos()),
    "arc tangent": Form(Atan, (4,), lambda rng: Atan()),
    "error function": Form(Erf, (4,), lambda rng: Erf()),
    "softsign": Form(Softsign, (4,), lambda rng: Softsign()),
    "softplus": Form(Softplus, (4,), lambda rng: Softplus(2.0)),
    "elu": Form(Elu, (4,), lambda rng: Elu()),
    "elu with a kink": Form(Elu, (4,), lambda rng: Elu(0.5)),
    "steep elu": Form(Elu, (4,), lambda rng: Elu(1.75)),
    "falling elu": Form(Elu, (4,), lambda rng: Elu(-0.5, 2.0)),
    "gelu": Form(Gelu, (4,), lambda rng: Gelu()),
    "gelu by tanh": Form(TanhGelu, (4,), lambda rng: TanhGelu()),
    "silu": Form(Silu, (4,), lambda rng: Silu()),
    "mish": Form(Mish, (4,), lambda rng: Mish()),
    "hard swish": Form(HardSwish, (4,), lambda rng: HardSwish()),
    "sign": Form(Sign, (3,), lambda rng: Sign()),
    "heaviside": Form(Heaviside, (3,), lambda rng: Heaviside(0.5)),
    "floor": Form(Floor, (3,), lambda rng: Floor()),
    "ceiling": Form(Ceil, (3,), lambda rng: Ceil()),
    "rounding": Form(Round, (3,), lambda rng: Round()),
    "maximum": Form(Max, (2, 3), lambda rng: Max()),
    "maximum of one": Form(Max, (3, 1), lambda rng: Max()),
    "product": Form(Product, (2, 2), lambda rng: Product()),
    "share": Form(Share, (2, 3), lambda rng: Share()),
    "share beside one": Form(Share, (4, 1), lambda rng: Share()),
    "increment": Form(Increment, (3, 2), lambda rng: Increment(Relu())),
    "increment of channels": Form(
        Increment,
        (2, 1, 2),
        lambda rng: Increment(LeakyRelu(np.array([[0.25], [-1.5]]))),
    ),
    "increment of a clip": Form(Increment, (2, 2), lambda rng: Increment(Clip(-0.5, 0.25))),
    "increment of a magnitude": Form(Increment, (2, 2), lambda rng: Increment(Abs())),
    "increment of a sigmoid": Form(Increment, (3, 2), lambda rng: Increment(Sigmoid())),
    "increment of a tanh": Form(Increment, (3, 2), lambda rng: Increment(Tanh())),
}
"""Every operator in the forms that rules tell apart. A test compares this with `concrete`."""


def concrete() -> list[type[Operator]]:
    """Every operator that a node of a network can have but its input, in the order of the files."""
    files = (affine, piecewise, smooth, elementary, gates, steps, several)
    kinds = [
        kind
        for file in files
        for kind in vars(file).values()
        if isinstance(kind, type)
        and issubclass(kind, Operator)
        and kind.__module__ == file.__name__
    ]
    missing = {kind for kind in vars(operators).values() if isinstance(kind, type)} - {*kinds}
    assert all(kind.__module__ == base.__name__ for kind in missing)
    bases = {above for kind in kinds for above in kind.__bases__}
    return [kind for kind in kinds if kind not in bases | {operators.Input}]


def _flat(builder: NetworkBuilder, node: int) -> int:
    return builder.add(Reshape((prod(builder.shape(node)),)), node)


def _inside(form: Form, rng: Rng) -> Network:
    """Affine maps before it, one for each of its inputs, a ReLU and an affine map after."""
    builder = NetworkBuilder((2,))
    entering = []
    for _ in range(form.inputs):
        node = builder.add(dense(rng, prod(form.shape), 2, gain=2.0), builder.input)
        entering.append(builder.add(Reshape(form.shape), node))
    node = _flat(builder, form.add(builder, form.make(rng), *entering))
    node = builder.add(Relu(), builder.add(dense(rng, 2, builder.shape(node)[0]), node))
    return builder.build(builder.add(dense(rng, 1, 2), node))


def _alone(form: Form, rng: Rng) -> Network:
    """Nothing else; what takes several inputs takes the network's as all of them."""
    builder = NetworkBuilder(form.shape)
    return builder.build(form.add(builder, form.make(rng), *[builder.input] * form.inputs))


def _beside(form: Form, rng: Rng) -> Network:
    """Behind a ReLU that is read again beside it."""
    builder = NetworkBuilder((2,))
    hidden = builder.add(dense(rng, prod(form.shape), 2, gain=2.0), builder.input)
    read = builder.add(Relu(), hidden)
    given = builder.add(
        Reshape(form.shape), builder.add(Scale(np.array(1.0), np.array(-0.4375)), read)
    )
    node = _flat(builder, form.add(builder, form.make(rng), *[given] * form.inputs))
    node = builder.add(Concat(0), node, read)
    return builder.build(builder.add(dense(rng, 2, builder.shape(node)[0]), node))


PLACES: dict[str, Callable[[Form, Rng], Network]] = {
    "inside": _inside,
    "alone": _alone,
    "beside": _beside,
}
"""Where an operator can stand in a network."""
