"""A classifier under attacks, corruptions and measures: what is found, and what follows."""

from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.run import evaluate
from sensverify.evaluation.scores import summarise
from sensverify.runs.progress import Progress

__all__ = [
    "EvaluateRequest",
    "Evaluation",
    "ModelEvaluation",
    "Progress",
    "evaluate",
    "summarise",
]
