"""Proven bounds on how far a neural network's outputs move when its inputs do.

Names are loaded when they are first used: importing this package imports neither numpy nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sensverify.core.shown import shown_by

if TYPE_CHECKING:
    from sensverify.attacks import AttackResult
    from sensverify.attacks import run_attack as attack
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
        forward_pass,
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
    from sensverify.core.sets import (
        Ball,
        Constrained,
        InputSet,
        Patch,
        Varied,
        bias_field,
        brightness,
        contrast,
    )
    from sensverify.data import Dataset, Split, load_data, load_split
    from sensverify.errors import SensverifyError
    from sensverify.evaluation import EvaluateRequest, Evaluation, evaluate
    from sensverify.formats.modules import from_module
    from sensverify.formats.onnx import load_onnx
    from sensverify.models import load
    from sensverify.network import Network, NetworkBuilder, simplify
    from sensverify.runs.watch import Watch
    from sensverify.training import TrainResult, TrainSettings, train
    from sensverify.verification import (
        CertifiedAccuracy,
        VerifyReport,
        VerifyRequest,
        certified_accuracy,
        certify,
        export_milp,
        verify,
    )

__version__ = "0.1.0"

__all__ = [
    "AlphaCrown",
    "AttackResult",
    "Ball",
    "Bounds",
    "Box",
    "CertifiedAccuracy",
    "Constrained",
    "Crown",
    "Dataset",
    "Decider",
    "Decision",
    "EvaluateRequest",
    "Evaluation",
    "Guarantee",
    "Ibp",
    "InputSet",
    "Lirpa",
    "LpDual",
    "Method",
    "Network",
    "NetworkBuilder",
    "Patch",
    "Provenance",
    "Query",
    "Sensitivity",
    "SensverifyError",
    "Split",
    "Status",
    "TrainResult",
    "TrainSettings",
    "Varied",
    "Verdict",
    "VerifyReport",
    "VerifyRequest",
    "Watch",
    "attack",
    "bias_field",
    "brightness",
    "certified_accuracy",
    "certify",
    "compute_bounds",
    "contrast",
    "decider_names",
    "evaluate",
    "export_milp",
    "forward_pass",
    "from_module",
    "load",
    "load_data",
    "load_onnx",
    "load_split",
    "log_volume",
    "make_decider",
    "make_method",
    "mean_volume",
    "method_names",
    "relative_log_volume",
    "simplify",
    "train",
    "verify",
    "volume",
    "width_shares",
    "widths",
]

shown_by(
    {
        "BenchmarkReport": "sensverify.report.results:BENCHMARK",
        "Calibration": "sensverify.report.results:CALIBRATION",
        "CriticalRadiusReport": "sensverify.report.results:CRITICAL_RADIUS",
        "DiffReport": "sensverify.report.results:DIFFERENCES",
        "Evaluation": "sensverify.report.results:EVALUATION",
        "TrainResult": "sensverify.report.results:TRAINING",
        "VerifyReport": "sensverify.report.results:VERIFICATION",
    }
)

_HOMES = {
    "AlphaCrown": "sensverify.bounds",
    "AttackResult": "sensverify.attacks",
    "Ball": "sensverify.core.sets",
    "Bounds": "sensverify.core.results",
    "Box": "sensverify.core.box",
    "CertifiedAccuracy": "sensverify.verification",
    "Constrained": "sensverify.core.sets",
    "Crown": "sensverify.bounds",
    "Dataset": "sensverify.data",
    "Decider": "sensverify.bounds",
    "Decision": "sensverify.core.queries",
    "EvaluateRequest": "sensverify.evaluation",
    "Evaluation": "sensverify.evaluation",
    "Guarantee": "sensverify.core.results",
    "Ibp": "sensverify.bounds",
    "InputSet": "sensverify.core.sets",
    "Lirpa": "sensverify.bounds",
    "LpDual": "sensverify.bounds",
    "Method": "sensverify.bounds",
    "Network": "sensverify.network",
    "NetworkBuilder": "sensverify.network",
    "Patch": "sensverify.core.sets",
    "Provenance": "sensverify.core.provenance",
    "Query": "sensverify.core.queries",
    "Sensitivity": "sensverify.core.sensitivity",
    "SensverifyError": "sensverify.errors",
    "Split": "sensverify.data",
    "Status": "sensverify.core.results",
    "TrainResult": "sensverify.training",
    "TrainSettings": "sensverify.training",
    "Varied": "sensverify.core.sets",
    "Verdict": "sensverify.core.queries",
    "VerifyReport": "sensverify.verification",
    "VerifyRequest": "sensverify.verification",
    "Watch": "sensverify.runs.watch",
    "attack": "sensverify.attacks:run_attack",
    "bias_field": "sensverify.core.sets",
    "brightness": "sensverify.core.sets",
    "certified_accuracy": "sensverify.verification",
    "certify": "sensverify.verification",
    "compute_bounds": "sensverify.bounds",
    "contrast": "sensverify.core.sets",
    "decider_names": "sensverify.bounds",
    "evaluate": "sensverify.evaluation",
    "export_milp": "sensverify.verification",
    "forward_pass": "sensverify.bounds",
    "from_module": "sensverify.formats.modules",
    "load": "sensverify.models",
    "load_data": "sensverify.data",
    "load_onnx": "sensverify.formats.onnx",
    "load_split": "sensverify.data",
    "log_volume": "sensverify.core.sensitivity",
    "make_decider": "sensverify.bounds",
    "make_method": "sensverify.bounds",
    "mean_volume": "sensverify.core.sensitivity",
    "method_names": "sensverify.bounds",
    "relative_log_volume": "sensverify.core.sensitivity",
    "simplify": "sensverify.network",
    "train": "sensverify.training",
    "verify": "sensverify.verification",
    "volume": "sensverify.core.sensitivity",
    "width_shares": "sensverify.core.sensitivity",
    "widths": "sensverify.core.sensitivity",
}
"""The module of each name, and the name it has there where that is another one."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sensverify' has no attribute '{name}'")
    module, _, own = _HOMES[name].partition(":")
    value = getattr(import_module(module), own or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
