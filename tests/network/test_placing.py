"""Networks side by side."""

import numpy as np
import torch

from sensverify.bounds import forward_pass
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Affine, Relu
from sensverify.network.placing import Placed, side_by_side


def small(weight):
    builder = NetworkBuilder((weight.shape[1],))
    inner = builder.add(Affine(weight, None), 0)
    return builder.build(builder.add(Relu(), inner))


def test_outputs_products_and_inputs_one_after_the_other():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 3)), rng.normal(size=(2, 2))
    joint = side_by_side(
        4,
        [Placed("f", small(first), np.array([0, 1, 3])), Placed("g", small(second), [3, 2])],
        compared=(2, 0),
        products=[
            ((False, 0), (True, 1)),
            ((True, 3), (True, 3), (False, 3)),
            ((True, 0), (True, 0), (True, 0), (True, 0)),
            ((False, 1), (False, 1)),
        ],
    )
    x = rng.normal(size=(5, 4))
    f = np.maximum(x[:, [0, 1, 3]] @ first.T, 0)
    g = np.maximum(x[:, [3, 2]] @ second.T, 0)
    wanted = np.column_stack(
        [
            f,
            g,
            f[:, 0] * x[:, 1],
            x[:, 3] ** 2 * g[:, 1],
            x[:, 0] ** 4,
            f[:, 1] ** 2,
            x[:, 2],
            x[:, 0],
        ]
    )
    found = forward_pass(joint, torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_one_network_alone_is_itself():
    weight = np.array([[1.0, -1.0]])
    joint = side_by_side(2, [Placed("f", small(weight), np.array([1, 0]))])
    x = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    assert forward_pass(joint, x).tolist() == [[2.0]]
