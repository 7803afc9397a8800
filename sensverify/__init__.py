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
    from sensverify.core.box import Box
    from sensverify.core.provenance import Provenance
    from sensverify.core.queries import Decision, Query, Verdict
    from sensverify.core.results import Bounds, Guarantee, Status
    from sensverify.core.sensitivity import (
        Sensitivity,
        log_volume,
        mean_volume,
        relative_log_volume,
        volume,
        width_shares,
        widths,
    )
    from sensverify.data import Dataset, load_data
    from sensverify.errors import SensverifyError
    from sensverify.formats.modules import from_module
    from sensverify.formats.onnx import load_onnx
    from sensverify.models import load
    from sensverify.network import Network, NetworkBuilder, simplify
    from sensverify.runs.watch import Watch

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
    "Bounds": "sensverify.core.results",
    "Box": "sensverify.core.box",
    "Crown": "sensverify.bounds",
    "Dataset": "sensverify.data",
    "Decider": "sensverify.bounds",
    "Decision": "sensverify.core.queries",
    "Guarantee": "sensverify.core.results",
    "Ibp": "sensverify.bounds",
    "Lirpa": "sensverify.bounds",
    "LpDual": "sensverify.bounds",
    "Method": "sensverify.bounds",
    "Network": "sensverify.network",
    "NetworkBuilder": "sensverify.network",
    "Provenance": "sensverify.core.provenance",
    "Query": "sensverify.core.queries",
    "Sensitivity": "sensverify.core.sensitivity",
    "SensverifyError": "sensverify.errors",
    "Status": "sensverify.core.results",
    "Verdict": "sensverify.core.queries",
    "Watch": "sensverify.runs.watch",
    "compute_bounds": "sensverify.bounds",
    "decider_names": "sensverify.bounds",
    "evaluate": "sensverify.bounds",
    "from_module": "sensverify.formats.modules",
    "load": "sensverify.models",
    "load_data": "sensverify.data",
    "load_onnx": "sensverify.formats.onnx",
    "log_volume": "sensverify.core.sensitivity",
    "make_decider": "sensverify.bounds",
    "make_method": "sensverify.bounds",
    "mean_volume": "sensverify.core.sensitivity",
    "method_names": "sensverify.bounds",
    "relative_log_volume": "sensverify.core.sensitivity",
    "simplify": "sensverify.network",
    "volume": "sensverify.core.sensitivity",
    "width_shares": "sensverify.core.sensitivity",
    "widths": "sensverify.core.sensitivity",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sensverify' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
