"""Bounds on a network's outputs over boxes of inputs, all by `compute_bounds`."""

from sensverify.bounds.alpha_crown import AlphaCrown
from sensverify.bounds.compute import compute_bounds
from sensverify.bounds.crown import Crown
from sensverify.bounds.forward import forward_pass
from sensverify.bounds.ibp import Ibp
from sensverify.bounds.lirpa import Lirpa
from sensverify.bounds.lp_dual import LpDual
from sensverify.bounds.method import (
    Decider,
    Method,
    ProvingMethod,
    decider_names,
    make_decider,
    make_method,
    method_names,
    proving_names,
)
from sensverify.bounds.projected import ProjectedLpDual
from sensverify.bounds.relaxation import Slope

__all__ = [
    "AlphaCrown",
    "Crown",
    "Decider",
    "Ibp",
    "Lirpa",
    "LpDual",
    "Method",
    "ProjectedLpDual",
    "ProvingMethod",
    "Slope",
    "compute_bounds",
    "decider_names",
    "forward_pass",
    "make_decider",
    "make_method",
    "method_names",
    "proving_names",
]
