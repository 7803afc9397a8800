"""Functions of numpy under the names that torch gives them.

Operators write their values with either: ``value(x, torch)`` of a tensor, ``value(x, NUMPY)`` of an
array, in double precision.
"""

from __future__ import annotations

from math import erf
from types import SimpleNamespace

import numpy as np

NUMPY = SimpleNamespace(
    abs=np.abs,
    clip=np.clip,
    cos=np.cos,
    erf=np.vectorize(erf, otypes=[np.float64]),
    exp=np.exp,
    expm1=np.expm1,
    finfo=np.finfo,
    log=np.log,
    log1p=np.log1p,
    maximum=np.maximum,
    minimum=np.minimum,
    reciprocal=np.reciprocal,
    relu=lambda x: np.maximum(x, 0),
    sigmoid=lambda x: 0.5 * np.tanh(0.5 * x) + 0.5,
    sin=np.sin,
    sqrt=np.sqrt,
    tanh=np.tanh,
    where=np.where,
)
"""``torch`` has all of these, too."""
