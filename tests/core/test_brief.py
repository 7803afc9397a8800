"""Short descriptions fit a screen, whatever the size and the kind of the arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sensverify as sv
from sensverify.core.brief import count_of, span
from sensverify.data import Dataset


def test_counts_have_their_noun() -> None:
    assert [count_of(n, "box", "boxes") for n in (0, 1, 1503)] == [
        "0 boxes",
        "1 box",
        "1,503 boxes",
    ]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32, torch.float64])
def test_spans_of_tensors_need_no_numpy(kind: torch.dtype) -> None:
    values = torch.tensor([[0.5, 2.0], [1.0, 0.25]], dtype=kind, requires_grad=True)
    assert span(values) == "0.25 to 2"
    assert span(values[:0]) == "none"
    assert span(np.ones(3)) == "1"


def test_objects_with_many_numbers_are_short() -> None:
    network = sv.load("digits")
    box = sv.Box.around(np.full((5, *network.input_shape), 0.5, dtype=np.float32), 0.01)
    bounds = sv.compute_bounds(network, box, sv.Ibp())
    data = Dataset("own", box.center, np.arange(5))
    for made in (network, network.nodes[1], box, bounds, data, bounds.provenance):
        assert len(repr(made)) < 600, type(made)
    assert "5 boxes" in repr(box)
    assert "SOUND by ibp" in repr(bounds)
    assert f"{network.parameters:,} parameters" in repr(network)
    assert "5 samples" in repr(data)
    assert "5 classes" in repr(data)


def test_datasets_say_what_y_is() -> None:
    x = np.zeros((4, 2))
    assert "no labels" in repr(Dataset("own", x))
    assert "targets" in repr(Dataset("own", x, np.array([0.5, 0.1, 0.2, 0.3])))
    assert "3 classes" in repr(Dataset("own", x, np.eye(3)[[0, 1, 0, 1]]))


def test_results_are_short() -> None:
    box = sv.Box.around(np.array([[5.1, 3.5, 1.4, 0.2]]), 0.1)
    certified = sv.certify("iris", box)
    assert "CERTIFIED by crown" in repr(certified)
    assert "6 claims" in repr(certified)
    assert len(repr(certified)) < 300
