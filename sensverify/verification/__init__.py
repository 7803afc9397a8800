"""One verification run: a model and a question about it in, a report out.

`verify` bounds the outputs around samples, `critical_radius` finds how far they may move until a
label changes, `check_property` answers a VNN-LIB property, `run_benchmark` a folder of them, and
`check_query` a query about several networks. `diff` compares two networks.

Names are loaded when they are first used: some properties are answered without torch.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sensverify.models.loading import ModelFacts
    from sensverify.verification.accuracy import CertifiedAccuracy, certified_accuracy
    from sensverify.verification.benchmark import BenchmarkSummary, Instance, InstanceResult
    from sensverify.verification.benchmark_report import BenchmarkReport
    from sensverify.verification.benchmark_run import (
        BenchmarkRequest,
        read_benchmark,
        run_benchmark,
    )
    from sensverify.verification.certification import Certification
    from sensverify.verification.certify import CertifiedBounds, certify
    from sensverify.verification.classes import ClassResult
    from sensverify.verification.comparison.request import DiffRequest
    from sensverify.verification.comparison.results import DiffReport, DiffSample, Disagreement
    from sensverify.verification.comparison.run import diff
    from sensverify.verification.counterexample import Counterexample
    from sensverify.verification.critical_radius import critical_radius
    from sensverify.verification.programs import ProgramExport, ProgramRequest, export_milp
    from sensverify.verification.property import (
        PropertyReport,
        PropertyRequest,
        check_property,
    )
    from sensverify.verification.query import Assignment, QueryReport, QueryRequest, check_query
    from sensverify.verification.radius_request import CriticalRadiusRequest
    from sensverify.verification.radius_results import CriticalRadiusReport, SampleRadius
    from sensverify.verification.request import VerifyRequest
    from sensverify.verification.results import (
        InputFacts,
        SampleResult,
        Summary,
        VerifyReport,
    )
    from sensverify.verification.run import verify
    from sensverify.verification.sample_result import counterexamples
    from sensverify.verification.slope_bounds import SlopeReport, SlopeSample, slopes
    from sensverify.verification.witness import Witness

__all__ = [
    "Assignment",
    "BenchmarkReport",
    "BenchmarkRequest",
    "BenchmarkSummary",
    "Certification",
    "CertifiedAccuracy",
    "CertifiedBounds",
    "ClassResult",
    "Counterexample",
    "CriticalRadiusReport",
    "CriticalRadiusRequest",
    "DiffReport",
    "DiffRequest",
    "DiffSample",
    "Disagreement",
    "InputFacts",
    "Instance",
    "InstanceResult",
    "ModelFacts",
    "ProgramExport",
    "ProgramRequest",
    "PropertyReport",
    "PropertyRequest",
    "QueryReport",
    "QueryRequest",
    "SampleRadius",
    "SampleResult",
    "SlopeReport",
    "SlopeSample",
    "Summary",
    "VerifyReport",
    "VerifyRequest",
    "Witness",
    "certified_accuracy",
    "certify",
    "check_property",
    "check_query",
    "counterexamples",
    "critical_radius",
    "diff",
    "export_milp",
    "read_benchmark",
    "run_benchmark",
    "slopes",
    "verify",
]

_HOMES = {
    "Assignment": "sensverify.verification.query",
    "BenchmarkReport": "sensverify.verification.benchmark_report",
    "BenchmarkRequest": "sensverify.verification.benchmark_run",
    "BenchmarkSummary": "sensverify.verification.benchmark",
    "Certification": "sensverify.verification.certification",
    "CertifiedAccuracy": "sensverify.verification.accuracy",
    "CertifiedBounds": "sensverify.verification.certify",
    "ClassResult": "sensverify.verification.classes",
    "Counterexample": "sensverify.verification.counterexample",
    "CriticalRadiusReport": "sensverify.verification.radius_results",
    "CriticalRadiusRequest": "sensverify.verification.radius_request",
    "DiffReport": "sensverify.verification.comparison.results",
    "DiffRequest": "sensverify.verification.comparison.request",
    "DiffSample": "sensverify.verification.comparison.results",
    "Disagreement": "sensverify.verification.comparison.results",
    "InputFacts": "sensverify.verification.results",
    "Instance": "sensverify.verification.benchmark",
    "InstanceResult": "sensverify.verification.benchmark",
    "ModelFacts": "sensverify.models.loading",
    "ProgramExport": "sensverify.verification.programs",
    "ProgramRequest": "sensverify.verification.programs",
    "PropertyReport": "sensverify.verification.property",
    "PropertyRequest": "sensverify.verification.property",
    "QueryReport": "sensverify.verification.query",
    "QueryRequest": "sensverify.verification.query",
    "SampleRadius": "sensverify.verification.radius_results",
    "SampleResult": "sensverify.verification.results",
    "SlopeReport": "sensverify.verification.slope_bounds",
    "SlopeSample": "sensverify.verification.slope_bounds",
    "Summary": "sensverify.verification.results",
    "VerifyReport": "sensverify.verification.results",
    "VerifyRequest": "sensverify.verification.request",
    "Witness": "sensverify.verification.witness",
    "certified_accuracy": "sensverify.verification.accuracy",
    "certify": "sensverify.verification.certify",
    "check_property": "sensverify.verification.property",
    "check_query": "sensverify.verification.query",
    "counterexamples": "sensverify.verification.sample_result",
    "critical_radius": "sensverify.verification.critical_radius",
    "diff": "sensverify.verification.comparison.run",
    "export_milp": "sensverify.verification.programs",
    "read_benchmark": "sensverify.verification.benchmark_run",
    "run_benchmark": "sensverify.verification.benchmark_run",
    "slopes": "sensverify.verification.slope_bounds",
    "verify": "sensverify.verification.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


class _Front(ModuleType):
    """This package, whose functions are not hidden by modules of the same names."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing the module of `certify`, say, would put it in the function's place.
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Front
