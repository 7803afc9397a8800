"""Training networks, with penalties on how far their outputs can move and with their rivals."""

from sensverify.training.at_hand import train
from sensverify.training.fit import TrainResult, fit
from sensverify.training.loop.progress import Progress
from sensverify.training.losses import TERMS
from sensverify.training.losses.loss import Loss
from sensverify.training.losses.recipes import RECIPES, Recipe, Stage, resolve_loss
from sensverify.training.settings import TrainSettings
from sensverify.training.standardise import Standardise

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
    "train",
]
