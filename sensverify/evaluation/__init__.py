"""Classifiers side by side under attacks, corruptions and measures: rows, and their scores."""

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
