"""The operators a network is made of.

Importers lower every model to these, and every method has one rule for each. Shapes never include
the batch axis. Parameters are numpy arrays (a network read from a file) or torch tensors (a live
``torch.nn.Module``); nothing here looks inside of them.

Affine maps: `affine`. Nonlinear functions of one number: linear between kinks, `piecewise`; curved
to one side between inflections, `smooth`, `elementary` and `gates`; constant between jumps,
`steps`. Nonlinear functions of several numbers: `several`.

A nonlinear function of one number declares facts (`PiecewiseLinear`, `Smooth`, `Steps`), and
intervals, relaxations, rounding, counts of unstable neurons and mixed-integer programs follow from
these. So an operator of one's own is a class with its facts; a rule registered for it goes first.
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
    Periodic,
    PiecewiseLinear,
    Smooth,
    Steps,
    Values,
)
from sensverify.network.operators.elementary import (
    Cos,
    Exp,
    Log,
    Pow,
    Reciprocal,
    Sin,
    Sqrt,
    Square,
)
from sensverify.network.operators.gates import Gelu, HardSwish, Mish, Silu, TanhGelu
from sensverify.network.operators.piecewise import Abs, Clip, LeakyRelu, Relu
from sensverify.network.operators.several import Increment, Max, Product, Share, Windowed
from sensverify.network.operators.smooth import (
    Atan,
    Elu,
    Erf,
    Sigmoid,
    Softplus,
    Softsign,
    Tanh,
)
from sensverify.network.operators.steps import Ceil, Floor, Heaviside, Round, Sign

__all__ = [
    "Abs",
    "Add",
    "Affine",
    "Atan",
    "BatchNorm",
    "Ceil",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Cos",
    "Divide",
    "Elementwise",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSwish",
    "Heaviside",
    "Increment",
    "Input",
    "LeakyRelu",
    "Linear",
    "Log",
    "Max",
    "Mish",
    "Nonlinear",
    "Operator",
    "Pad",
    "Periodic",
    "Permute",
    "PiecewiseLinear",
    "Pow",
    "Product",
    "Reciprocal",
    "Relu",
    "Reshape",
    "Round",
    "Scale",
    "Select",
    "Share",
    "Sigmoid",
    "Sign",
    "Silu",
    "Sin",
    "Smooth",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Square",
    "Steps",
    "Tanh",
    "TanhGelu",
    "Values",
    "Windowed",
]
