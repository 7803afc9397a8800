"""Input sets beyond boxes: parts of a box, and images of a small one."""

from sensverify.core.sets.ball import Ball
from sensverify.core.sets.input_set import InputSet
from sensverify.core.sets.linear import Constrained
from sensverify.core.sets.patch import Patch
from sensverify.core.sets.varied import Varied, bias_field, brightness, contrast

__all__ = [
    "Ball",
    "Constrained",
    "InputSet",
    "Patch",
    "Varied",
    "bias_field",
    "brightness",
    "contrast",
]
