"""Classifiers side by side under attacks, corruptions and measures: rows, and their scores."""

from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.run import evaluate_models
from sensverify.evaluation.scores import summarise
from sensverify.runs.progress import Progress

evaluate = evaluate_models
"""The former name of `evaluate_models`, which `sensverify.evaluate` has, too."""

__all__ = [
    "EvaluateRequest",
    "Evaluation",
    "ModelEvaluation",
    "Progress",
    "evaluate",
    "evaluate_models",
    "summarise",
]
