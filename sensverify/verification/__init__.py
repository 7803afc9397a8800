"""One verification run: a model and a question about it in, a report out.

`verify` bounds the outputs around samples, `check_property` answers a VNN-LIB property.
"""

from sensverify.models.loading import ModelFacts
from sensverify.verification.certify import CertifiedBounds, certify
from sensverify.verification.certifying import Certification
from sensverify.verification.property import (
    PropertyReport,
    PropertyRequest,
    check_property,
)
from sensverify.verification.request import VerifyRequest
from sensverify.verification.results import (
    InputFacts,
    SampleResult,
    Summary,
    VerifyReport,
)
from sensverify.verification.run import verify
from sensverify.verification.witness import Witness

__all__ = [
    "Certification",
    "CertifiedBounds",
    "InputFacts",
    "ModelFacts",
    "PropertyReport",
    "PropertyRequest",
    "SampleResult",
    "Summary",
    "VerifyReport",
    "VerifyRequest",
    "Witness",
    "certify",
    "check_property",
    "verify",
]
