"""Two networks in one question: how far their outputs differ, and where their decisions do."""

from sensverify.verification.comparison.request import DiffRequest
from sensverify.verification.comparison.results import DiffReport, DiffSample, Disagreement
from sensverify.verification.comparison.run import diff

__all__ = ["DiffReport", "DiffRequest", "DiffSample", "Disagreement", "diff"]
