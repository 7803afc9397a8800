"""Functions of numpy under the names that torch gives them.

Operators write their values with either: ``value(x, torch)`` of a tensor, ``value(x, NUMPY)`` of an
array, in double precision.
"""

from __future__ import annotations

from math import erf, erfc
from types import SimpleNamespace

import numpy as np

NUMPY = SimpleNamespace(
    abs=np.abs,
    acos=np.arccos,
    asin=np.arcsin,
    atan=np.arctan,
    ceil=np.ceil,
    clip=np.clip,
    cos=np.cos,
    erf=np.vectorize(erf, otypes=[np.float64]),
    erfc=np.vectorize(erfc, otypes=[np.float64]),
    exp=np.exp,
    expm1=np.expm1,
    finfo=np.finfo,
    floor=np.floor,
    full_like=np.full_like,
    log=np.log,
    log1p=np.log1p,
    maximum=np.maximum,
    minimum=np.minimum,
    ones_like=np.ones_like,
    pow=np.power,
    reciprocal=np.reciprocal,
    relu=lambda x: np.maximum(x, 0),
    round=np.round,
    sigmoid=lambda x: 0.5 * np.tanh(0.5 * x) + 0.5,
    sign=np.sign,
    sin=np.sin,
    sqrt=np.sqrt,
    tanh=np.tanh,
    where=np.where,
    zeros_like=np.zeros_like,
)
"""``torch`` has all of these, too."""
