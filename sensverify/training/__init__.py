"""Training networks, with penalties on how far their outputs can move and with their rivals."""

from sensverify.training.fit import TrainResult, fit
from sensverify.training.loss import Loss
from sensverify.training.progress import Progress
from sensverify.training.recipes import RECIPES, Recipe, Stage, resolve_loss
from sensverify.training.settings import TrainSettings
from sensverify.training.standardise import Standardise
from sensverify.training.terms import TERMS

__all__ = [
    "RECIPES",
    "TERMS",
    "Loss",
    "Progress",
    "Recipe",
    "Stage",
    "Standardise",
    "TrainResult",
    "TrainSettings",
    "fit",
    "resolve_loss",
]
