"""The record of a search by splitting ReLUs: every split covers its parent."""

from __future__ import annotations

import numpy as np

from sensverify.bounds import compute_bounds
from sensverify.box import Box
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Affine, Relu
from sensverify.solvers.branch_and_bound import BranchAndBound
from sensverify.solvers.branch_and_bound.tree import SignTree


def test_children_fix_one_neuron_both_ways() -> None:
    rng = np.random.default_rng(1)
    builder = NetworkBuilder((4,))
    hidden = builder.input
    for _ in range(2):
        width = builder.shape(hidden)[0]
        affine = Affine(rng.normal(size=(8, width)), rng.normal(size=8))
        hidden = builder.add(Relu(), builder.add(affine, hidden))
    network = builder.build(builder.add(Affine(rng.normal(size=(2, 8)), None), hidden))
    box = Box(-np.ones((2, 4)), np.ones((2, 4)))
    tree = compute_bounds(network, box, BranchAndBound(split="relus")).certificate
    assert isinstance(tree, SignTree)
    assert len(tree) > 8
    roots = tree.parent < 0
    assert (tree.neuron[roots] == -1).all()
    assert (tree.sign[roots] == 0).all()
    for parent in np.unique(tree.parent[~roots]):
        children = np.flatnonzero(tree.parent == parent)
        assert sorted(tree.sign[children]) == [-1, 1]
        assert len(set(tree.neuron[children])) == 1
        assert (tree.neuron[children] >= 0).all()
        assert (tree.target[children] == tree.target[parent]).all()
        # A child's proof holds beside its parent's.
        assert (tree.bounds[children] >= tree.bounds[parent]).all()
