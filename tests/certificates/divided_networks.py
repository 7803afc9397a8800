"""Networks that divide: by batch normalisation's roots, and by numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import Add, BatchNorm, Conv, Divide, LeakyRelu, Relu, Reshape
from tests.contracts.networks import Draw, dense, numbers, random_generators


@st.composite
def divided_networks(draw: Draw, *, roots: bool = True) -> Network:
    """Convolutions or layers, each followed by a division, and a function now and then."""
    rng = draw(random_generators())
    images = draw(st.booleans())
    builder = NetworkBuilder((2, 3, 2) if images else (draw(st.integers(1, 4)),))
    node = builder.input
    for _ in range(draw(st.integers(1, 3))):
        before, shape = node, builder.shape(node)
        if images:
            kernel = numbers(rng, 2, shape[0], 3, 3, scale=0.4)
            layer = Conv(kernel, None, (1, 1), (1, 1), (1, 1), 1)
        else:
            layer = dense(rng, draw(st.integers(1, 4)), shape[0])
        node = divided(draw, rng, builder, builder.add(layer, node), roots=roots)
        if draw(st.booleans()):
            node = builder.add(Relu() if draw(st.booleans()) else LeakyRelu(np.array(0.25)), node)
        if builder.shape(node) == shape and draw(st.booleans()):
            node = builder.add(Add(), node, before)
    features = int(np.prod(builder.shape(node)))
    node = builder.add(Reshape((features,)), node)
    return builder.build(builder.add(dense(rng, draw(st.integers(1, 3)), features), node))


def divided(
    draw: Draw, rng: np.random.Generator, builder: NetworkBuilder, node: int, *, roots: bool
) -> int:
    channels, *spatial = builder.shape(node)
    if not roots or draw(st.booleans()):
        size = (channels, *(1 for _ in spatial))
        divisor = rng.choice([-3.0, 0.1, 7.0, 1e-3, 1e5], size).astype(np.float32)
        return builder.add(Divide(divisor.astype(np.float64)), node)
    variance = np.abs(numbers(rng, channels)) * rng.choice([1e-6, 1.0, 1e4], channels)
    weight = numbers(rng, channels) if draw(st.booleans()) else None
    bias = numbers(rng, channels) if draw(st.booleans()) else None
    mean = numbers(rng, channels)
    epsilon = float(np.float32(draw(st.sampled_from([1e-5, 1e-3, 0.1]))))
    return builder.add(BatchNorm(weight, bias, mean, variance, epsilon), node)
