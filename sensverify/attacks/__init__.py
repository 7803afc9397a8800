"""Attacks: inputs inside a box at which a network does as badly as can be found.

What an attack finds is attained, so it bounds the worst case from inside; what it does not find may
still exist. An attack works on any function from inputs to outputs.
"""

from sensverify.attacks.apgd import ApgdCe, ApgdDlr
from sensverify.attacks.ascent import LOSSES
from sensverify.attacks.attack import ATTACKS, make_attack
from sensverify.attacks.carlini_wagner import CarliniWagner
from sensverify.attacks.fgsm import Fgsm, LlFgsm, fgsm
from sensverify.attacks.grids import GRIDS, Grid, parse_radii
from sensverify.attacks.mi_fgsm import MiFgsm
from sensverify.attacks.pgd import LlPgd, Pgd, pgd
from sensverify.attacks.protocol import Attack
from sensverify.attacks.run import AttackResult, run_attack
from sensverify.attacks.sample_generator import SampleGenerator
from sensverify.attacks.square import Square
from sensverify.attacks.worst import Worst

__all__ = [
    "ATTACKS",
    "GRIDS",
    "LOSSES",
    "ApgdCe",
    "ApgdDlr",
    "Attack",
    "AttackResult",
    "CarliniWagner",
    "Fgsm",
    "Grid",
    "LlFgsm",
    "LlPgd",
    "MiFgsm",
    "Pgd",
    "SampleGenerator",
    "Square",
    "Worst",
    "fgsm",
    "make_attack",
    "parse_radii",
    "pgd",
    "run_attack",
]
