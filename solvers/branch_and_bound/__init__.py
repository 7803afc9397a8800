"""Branch and bound: split the question, bound the parts, keep what is still open."""

from sensverify.solvers.branch_and_bound.method import FEW_FEATURES, BranchAndBound
from sensverify.solvers.branch_and_bound.tree import SplitTree

__all__ = ["FEW_FEATURES", "BranchAndBound", "SplitTree"]
