"""Branch and bound: split the question, bound the parts, keep what is still open."""

from sensverify.solvers.branch_and_bound.input_tree import FEW_FEATURES
from sensverify.solvers.branch_and_bound.method import BranchAndBound
from sensverify.solvers.branch_and_bound.techniques import TECHNIQUES, Technique

__all__ = ["FEW_FEATURES", "TECHNIQUES", "BranchAndBound", "Technique"]
