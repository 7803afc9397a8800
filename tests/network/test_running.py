"""Running error bounds hold what another evaluation makes of a network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from sensverify.bounds import forward_pass
from sensverify.errors import MissingRule
from sensverify.network import Network
from sensverify.network.operators import Affine, Operator
from sensverify.network.running import (
    FLOAT16,
    FLOAT32,
    FLOAT64,
    Precision,
    Running,
    apply,
    known,
)
from tests.certificates.divided_networks import divided_networks
from tests.contracts.networks import NETWORKS, Case, cases

FAMILIES = NETWORKS | {"divided": divided_networks()}


def run(network: Network, x: np.ndarray, precision: Precision) -> Running:
    values = [known(x)]
    for node in network.nodes[1:]:
        values.append(apply(node.operator, [values[i] for i in node.inputs], precision))
    return values[-1]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_torch_computes_is_within_the_error(family: str) -> None:
    @settings(max_examples=15)
    @given(case=cases(FAMILIES[family]))
    def check(case: Case) -> None:
        x = np.concatenate([case.box.lower, case.box.upper])
        for dtype, precision in ((torch.float32, FLOAT32), (torch.float64, FLOAT64)):
            found = forward_pass(case.network, torch.from_numpy(x).to(dtype)).double().numpy()
            value, error = run(case.network, x, precision)
            assert (abs(found - value) <= error).all()

    check()


def test_what_cancels_counts() -> None:
    layer = Affine(np.array([[1e8, -1e8], [1.0, 1.0]]))
    value, error = apply(layer, [known([[0.5, 0.5]])], FLOAT32)
    assert value.tolist() == [[0.0, 1.0]]
    # The first sum adds numbers of 5e7, where float32 has steps of 4.
    assert 1 < error[0, 0] < 100
    assert error[0, 1] < 1e-5


def test_of_what_may_overflow_nothing_is_known() -> None:
    layer = Affine(np.array([[6e4, -6e4], [1.0, 1.0]]))
    assert np.isinf(apply(layer, [known([[1.0, 1.0]])], FLOAT16).error).tolist() == [[True, False]]
    assert np.isfinite(apply(layer, [known([[1.0, 1.0]])], FLOAT32).error).all()


def test_an_operator_without_a_rule_is_named() -> None:
    class Strange(Operator):
        pass

    with pytest.raises(MissingRule, match="Strange"):
        apply(Strange(), [known([[1.0]])], FLOAT32)
