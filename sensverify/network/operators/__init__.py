"""The operators a network is made of.

Importers lower every model to these, and every method has one rule for each. Shapes never include
the batch axis. Parameters are numpy arrays (a network read from a file) or torch tensors (a live
``torch.nn.Module``); nothing here looks inside of them.

Affine maps: `affine`. Nonlinear functions of one number: linear between kinks, `piecewise`; curved
to one side between inflections, `smooth`. Nonlinear functions of several numbers: `several`.

A nonlinear function of one number declares facts (`PiecewiseLinear`, `Smooth`), and intervals,
relaxations, rounding, counts of unstable neurons and mixed-integer programs follow from these. So
an operator of one's own is a class with its facts; a rule registered for it goes first.
"""

from sensverify.network.operators.affine import (
    Add,
    Affine,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Divide,
    Input,
    Pad,
    Permute,
    Reshape,
    Scale,
    Select,
)
from sensverify.network.operators.base import (
    Elementwise,
    Linear,
    Nonlinear,
    Operator,
    PiecewiseLinear,
    Smooth,
    Values,
)
from sensverify.network.operators.piecewise import Abs, Clip, LeakyRelu, Relu
from sensverify.network.operators.several import Increment, Max, Product, Windowed
from sensverify.network.operators.smooth import (
    Exp,
    Log,
    Reciprocal,
    Sigmoid,
    Sqrt,
    Square,
    Tanh,
)

__all__ = [
    "Abs",
    "Add",
    "Affine",
    "BatchNorm",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Divide",
    "Elementwise",
    "Exp",
    "Increment",
    "Input",
    "LeakyRelu",
    "Linear",
    "Log",
    "Max",
    "Nonlinear",
    "Operator",
    "Pad",
    "Permute",
    "PiecewiseLinear",
    "Product",
    "Reciprocal",
    "Relu",
    "Reshape",
    "Scale",
    "Select",
    "Sigmoid",
    "Smooth",
    "Sqrt",
    "Square",
    "Tanh",
    "Values",
    "Windowed",
]
