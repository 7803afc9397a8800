"""Augmentation: mini-batches of images that are flipped, turned and corrupted while training."""

from sensverify.training.augment.augmentation import MODES, Augmentation, Mode
from sensverify.training.augment.catalog import AUGMENTATIONS

__all__ = ["AUGMENTATIONS", "MODES", "Augmentation", "Mode"]
