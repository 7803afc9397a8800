"""Classifiers side by side under attacks, corruptions and measures: rows, and their scores."""

from sensverify.evaluation.pairs import Comparison, compare_pairs
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.run import evaluate
from sensverify.evaluation.scores import summarise
from sensverify.evaluation.specification import Requirement, Specification
from sensverify.evaluation.specification_file import read_specification
from sensverify.evaluation.temperature import Calibration, calibrate_temperature
from sensverify.runs.progress import Progress

__all__ = [
    "Calibration",
    "Comparison",
    "EvaluateRequest",
    "Evaluation",
    "ModelEvaluation",
    "Progress",
    "Requirement",
    "Specification",
    "calibrate_temperature",
    "compare_pairs",
    "evaluate",
    "read_specification",
    "summarise",
]
