"""Attacks: inputs inside a box at which a network does as badly as can be found.

What an attack finds is attained, so it bounds the worst case from inside; what it does not find may
still exist. An attack works on any function from inputs to outputs.
"""

from sensverify.attacks.ascent import LOSSES
from sensverify.attacks.fgsm import fgsm
from sensverify.attacks.pgd import pgd

__all__ = ["LOSSES", "fgsm", "pgd"]
