"""The forward pass against torch's own functions, and parameters becoming tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from sensverify.bounds import forward_pass
from sensverify.bounds.tensors import tensor_box, tensor_network
from sensverify.core.box import Box
from sensverify.errors import BadShape
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Abs,
    Affine,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    LeakyRelu,
    Max,
    Operator,
    Pad,
    Permute,
    Relu,
    Reshape,
    Scale,
    Select,
    Sigmoid,
    Tanh,
)

RNG = np.random.default_rng(0)
IMAGE = torch.from_numpy(RNG.normal(size=(2, 2, 5, 5)))
WEIGHT = RNG.normal(size=(4, 1, 3, 3))
BACK = RNG.normal(size=(2, 3, 3, 3))


def one(operator: Operator, shape: tuple[int, ...]) -> Network:
    builder = NetworkBuilder(shape)
    return builder.build(builder.add(operator, builder.input))


def t(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (
            Conv(WEIGHT, np.ones(4), (2, 1), (1, 0), (1, 2), 2),
            lambda x: functional.conv2d(
                x, t(WEIGHT), torch.ones(4).double(), (2, 1), (1, 0), (1, 2), 2
            ),
        ),
        (
            ConvTranspose(BACK, None, (2, 2), (1, 1), (1, 0), (1, 1)),
            lambda x: functional.conv_transpose2d(x, t(BACK), None, (2, 2), (1, 1), (1, 0)),
        ),
        (Affine(np.eye(5)[:3], np.ones(3)), lambda x: x[..., :3] + 1),
        (
            Scale(np.array([[[2.0]], [[3.0]]]), None),
            lambda x: torch.stack([2 * x[:, 0], 3 * x[:, 1]], 1),
        ),
        (Scale(None, np.array(0.5)), lambda x: x + 0.5),
        (
            Pad((0, 1, 0), (1, 0, 2), 7.0),
            lambda x: functional.pad(x, (0, 2, 1, 0, 0, 1), value=7.0),
        ),
        (Select(np.array([[0, 49], [49, 3]])), lambda x: x.flatten(1)[:, [[0, 49], [49, 3]]]),
        (Permute((2, 0, 1)), lambda x: x.permute(0, 3, 1, 2)),
        (Reshape((10, 5)), lambda x: x.reshape(2, 10, 5)),
        (Relu(), torch.relu),
        (LeakyRelu(np.array(-0.5)), lambda x: functional.leaky_relu(x, -0.5)),
        (
            LeakyRelu(np.array([[[0.5]], [[2.0]]])),
            lambda x: functional.prelu(x, t(np.array([0.5, 2.0]))),
        ),
        (Clip(-0.5, float("inf")), lambda x: x.clamp(min=-0.5)),
        (Abs(), torch.abs),
        (Sigmoid(), torch.sigmoid),
        (Tanh(), torch.tanh),
        (Max(), lambda x: x.max(-1).values),
        (
            BatchNorm(
                np.array([1.0, 2.0]),
                np.array([0.5, 0.0]),
                np.array([0.1, 0.2]),
                np.array([1.0, 4.0]),
                1e-5,
            ),
            lambda x: functional.batch_norm(
                x,
                t(np.array([0.1, 0.2])),
                t(np.array([1.0, 4.0])),
                t(np.array([1.0, 2.0])),
                t(np.array([0.5, 0.0])),
            ),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Operator) else "",
)
def test_operators_do_what_torch_does(operator: Operator, expected) -> None:
    found = forward_pass(one(operator, (2, 5, 5)), IMAGE)
    torch.testing.assert_close(found, expected(IMAGE), rtol=1e-13, atol=1e-13)


def test_nodes_read_several_times_and_joined() -> None:
    builder = NetworkBuilder((2,))
    relu = builder.add(Relu(), builder.input)
    joined = builder.add(Concat(0), relu, builder.input, relu)
    x = torch.tensor([[1.0, -2.0]])
    assert forward_pass(builder.build(joined), x).tolist() == [[1, 0, 1, -2, 1, 0]]


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(BadShape, match=r"\(2,\).*\(3,\)"):
        forward_pass(one(Relu(), (2,)), torch.zeros(1, 3))


def test_live_parameters_keep_their_history() -> None:
    weight = torch.ones(2, 2, requires_grad=True)
    forward_pass(one(Affine(weight), (2,)), torch.ones(1, 2)).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1, 1], [1, 1]]


def test_arrays_become_tensors_of_one_dtype_and_indices_integers() -> None:
    builder = NetworkBuilder((3,))
    node = builder.add(Select(np.array([2, 0], dtype=np.int32)), builder.input)
    read_only = np.ones((2, 2), dtype=np.float32)
    read_only.setflags(write=False)
    node = builder.add(Affine(read_only, np.zeros(2)), node)
    node = builder.add(Scale(np.float64(2.0), None), builder.add(Relu(), node))
    live = tensor_network(builder.build(node), dtype=torch.float64, device=torch.device("cpu"))
    kinds = {values.dtype for _, values in live.arrays()}
    assert kinds == {torch.float64, torch.int64}
    x = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
    assert forward_pass(live, x).tolist() == [[8, 8]]


def test_boxes_become_tensors_of_their_own() -> None:
    box = Box(np.zeros((1, 2), dtype=np.float32), np.ones((1, 2), dtype=np.float32))
    live = tensor_box(box, device=torch.device("cpu"))
    assert live.lower.dtype == torch.float32
    live.lower[0, 0] = -1.0
    assert box.lower[0, 0] == 0
    wide = tensor_box(box, dtype=torch.float64, device=torch.device("cpu"))
    assert wide.upper.dtype == torch.float64
