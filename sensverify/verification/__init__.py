"""One verification run: a model, data and a perturbation in; a `VerifyReport` out."""

from sensverify.verification.request import VerifyRequest
from sensverify.verification.results import (
    ModelFacts,
    Perturbation,
    SampleResult,
    Summary,
    VerifyReport,
)
from sensverify.verification.run import verify

__all__ = [
    "ModelFacts",
    "Perturbation",
    "SampleResult",
    "Summary",
    "VerifyReport",
    "VerifyRequest",
    "verify",
]
