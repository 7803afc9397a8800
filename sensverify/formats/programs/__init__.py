"""Networks as programs for optimisers: their columns, the neurons these stand for, their files."""

from sensverify.formats.programs.lp import to_lp
from sensverify.formats.programs.mps import to_mps
from sensverify.formats.programs.names import prefixes
from sensverify.formats.programs.neurons import neurons_to_json, neurons_to_npz
from sensverify.formats.programs.program import Column, Neurons, Program, Relation

__all__ = [
    "Column",
    "Neurons",
    "Program",
    "Relation",
    "neurons_to_json",
    "neurons_to_npz",
    "prefixes",
    "to_lp",
    "to_mps",
]
