"""Proven bounds on how far a neural network's outputs move when its inputs do.

Names are loaded when they are first used: importing this package imports neither numpy nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensverify.bounds import (
        AlphaCrown,
        Crown,
        Decider,
        Ibp,
        Lirpa,
        LpDual,
        Method,
        compute_bounds,
        decider_names,
        evaluate,
        make_decider,
        make_method,
        method_names,
    )
    from sensverify.box import Box
    from sensverify.data import Dataset, load_data
    from sensverify.errors import SensverifyError
    from sensverify.formats.modules import from_module
    from sensverify.formats.onnx import load_onnx
    from sensverify.models import load
    from sensverify.network import Network, NetworkBuilder, simplify
    from sensverify.provenance import Provenance
    from sensverify.queries import Decision, Query, Verdict
    from sensverify.results import Bounds, Guarantee, Status
    from sensverify.sensitivity import (
        Sensitivity,
        log_volume,
        mean_volume,
        relative_log_volume,
        volume,
        width_shares,
        widths,
    )
    from sensverify.watch import Watch

__version__ = "0.1.0"

__all__ = [
    "AlphaCrown",
    "Bounds",
    "Box",
    "Crown",
    "Dataset",
    "Decider",
    "Decision",
    "Guarantee",
    "Ibp",
    "Lirpa",
    "LpDual",
    "Method",
    "Network",
    "NetworkBuilder",
    "Provenance",
    "Query",
    "Sensitivity",
    "SensverifyError",
    "Status",
    "Verdict",
    "Watch",
    "compute_bounds",
    "decider_names",
    "evaluate",
    "from_module",
    "load",
    "load_data",
    "load_onnx",
    "log_volume",
    "make_decider",
    "make_method",
    "mean_volume",
    "method_names",
    "relative_log_volume",
    "simplify",
    "volume",
    "width_shares",
    "widths",
]

_HOMES = {
    "AlphaCrown": "sensverify.bounds",
    "Bounds": "sensverify.results",
    "Box": "sensverify.box",
    "Crown": "sensverify.bounds",
    "Dataset": "sensverify.data",
    "Decider": "sensverify.bounds",
    "Decision": "sensverify.queries",
    "Guarantee": "sensverify.results",
    "Ibp": "sensverify.bounds",
    "Lirpa": "sensverify.bounds",
    "LpDual": "sensverify.bounds",
    "Method": "sensverify.bounds",
    "Network": "sensverify.network",
    "NetworkBuilder": "sensverify.network",
    "Provenance": "sensverify.provenance",
    "Query": "sensverify.queries",
    "Sensitivity": "sensverify.sensitivity",
    "SensverifyError": "sensverify.errors",
    "Status": "sensverify.results",
    "Verdict": "sensverify.queries",
    "Watch": "sensverify.watch",
    "compute_bounds": "sensverify.bounds",
    "decider_names": "sensverify.bounds",
    "evaluate": "sensverify.bounds",
    "from_module": "sensverify.formats.modules",
    "load": "sensverify.models",
    "load_data": "sensverify.data",
    "load_onnx": "sensverify.formats.onnx",
    "log_volume": "sensverify.sensitivity",
    "make_decider": "sensverify.bounds",
    "make_method": "sensverify.bounds",
    "mean_volume": "sensverify.sensitivity",
    "method_names": "sensverify.bounds",
    "relative_log_volume": "sensverify.sensitivity",
    "simplify": "sensverify.network",
    "volume": "sensverify.sensitivity",
    "width_shares": "sensverify.sensitivity",
    "widths": "sensverify.sensitivity",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sensverify' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
