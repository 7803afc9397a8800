"""How many samples fit a budget."""

import numpy as np

from sensverify.bounds import AlphaCrown, Crown
from sensverify.bounds.memory import samples_within
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Affine, Relu


def network(width: int) -> Network:
    builder = NetworkBuilder((3,))
    node = builder.add(Relu(), builder.add(Affine(np.ones((width, 3))), builder.input))
    return builder.build(builder.add(Affine(np.ones((2, width))), node))


def test_at_least_one_sample_always_fits() -> None:
    assert samples_within(0, network(5), Crown(), 2, 8) == 1
    assert samples_within(1, network(5), Crown(), 2, 8) == 1


def test_samples_grow_with_the_budget_and_shrink_with_what_each_needs() -> None:
    base = samples_within(1 << 24, network(50), Crown(), 2, 8)
    assert base > 100
    assert abs(samples_within(1 << 25, network(50), Crown(), 2, 8) - 2 * base) <= 1
    assert abs(samples_within(1 << 24, network(50), Crown(), 2, 4) - 2 * base) <= 1
    assert samples_within(1 << 24, network(100), Crown(), 2, 8) < base
    assert samples_within(1 << 24, network(50), Crown(), 200, 8) < base
    assert samples_within(1 << 24, network(50), AlphaCrown(), 2, 8) < base
