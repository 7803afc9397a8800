"""A classifier under attacks, corruptions and measures: what is found, and what follows."""

from sensverify.evaluation.clock import Progress
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.run import evaluate
from sensverify.evaluation.scores import summarise

__all__ = [
    "EvaluateRequest",
    "Evaluation",
    "ModelEvaluation",
    "Progress",
    "evaluate",
    "summarise",
]
