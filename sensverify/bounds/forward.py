"""The network's output at concrete inputs, in torch."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds.tensors import tensor_network
from sensverify.errors import BadShape, MissingRule, NotMeasured, Unbounded
from sensverify.network import Network
from sensverify.network.opaque import Opaque
from sensverify.network.operators import (
    Add,
    Affine,
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Divide,
    Elementwise,
    Increment,
    Max,
    Operator,
    Pad,
    Permute,
    Product,
    Reshape,
    Scale,
    Select,
    Share,
)

CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
CONV_TRANSPOSE = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}


def forward_pass(network: Network, x: Tensor) -> Tensor:
    """``f(x)`` for a batch of inputs, differentiable in x and in live parameters.

    Parameters
    ----------
    network : Network
    x : Tensor, shape ``[batch, *network.input_shape]``
        Its dtype and device are those of the computation.

    Returns
    -------
    Tensor, shape ``[batch, *network.output_shape]``

    Raises
    ------
    BadShape
        x does not have the input's shape, or is not of a floating dtype.

    Examples
    --------
    >>> import torch
    >>> import sensverify as sv
    >>> x = torch.tensor([[5.1, 3.5, 1.4, 0.2]])
    >>> sv.forward_pass(sv.load("iris"), x).argmax(dim=1).tolist()
    [0]
    """
    if not x.dtype.is_floating_point:
        raise BadShape(f"the network takes floating-point inputs, got {x.dtype}")
    if tuple(x.shape[1:]) != network.input_shape:
        raise BadShape(
            f"the network takes inputs of shape {network.input_shape}, got {tuple(x.shape[1:])} "
            "behind the batch axis"
        )
    return forward(tensor_network(network, dtype=x.dtype, device=x.device), x)


def check_finite(outputs: Tensor, first: int | Tensor, where: str = "") -> None:
    """Refuse outputs that are no numbers.

    Parameters
    ----------
    outputs : Tensor, shape ``[batch, outputs]``
    first : int or Tensor, shape ``[batch]``
        The number of the first sample, or of each, for the message.
    where : str
        What the input is beside a sample, such as `` at a point of ...``, for the message.

    Raises
    ------
    Unbounded
        An output is NaN or infinite.
    """
    finite = torch.isfinite(outputs).all(dim=1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        sample = first + row if isinstance(first, int) else int(first[row])
        values = ", ".join(f"{float(value):.4g}" for value in outputs[row][:5])
        raise Unbounded(
            f"the network's outputs at sample {sample}{where} are not finite ({values}); its "
            "weights hold NaN or have grown beyond its precision",
            "train with a smaller learning rate or loss weight",
        )


def forward(network: Network, x: Tensor) -> Tensor:
    """`evaluate` without its checks, for networks with tensors of x's dtype and device."""
    values = [x]
    last_use = {source: p for p, node in enumerate(network.nodes) for source in node.inputs}
    for position, node in enumerate(network.nodes[1:], start=1):
        values.append(apply(node.operator, *(values[i] for i in node.inputs)))
        for source in node.inputs:
            if last_use[source] == position:
                values[source] = x.new_empty(0)
    return values[-1]


@singledispatch
def apply(operator: Operator, *inputs: Tensor) -> Tensor:
    """One operator on batched tensors ``[batch, *shape]``; its parameters are tensors."""
    raise MissingRule(
        f"no evaluation rule for operator {type(operator).__name__}",
        "register one with sensverify.bounds.forward.apply.register",
    )


@apply.register
def _(operator: Affine, x: Tensor) -> Tensor:
    return functional.linear(x, operator.weight, operator.bias)


@apply.register
def _(operator: Conv, x: Tensor) -> Tensor:
    return CONV[len(operator.stride)](
        x,
        operator.weight,
        operator.bias,
        operator.stride,
        operator.padding,
        operator.dilation,
        operator.groups,
    )


@apply.register
def _(operator: ConvTranspose, x: Tensor) -> Tensor:
    return CONV_TRANSPOSE[len(operator.stride)](
        x,
        operator.weight,
        operator.bias,
        operator.stride,
        operator.padding,
        operator.output_padding,
        operator.groups,
        operator.dilation,
    )


@apply.register
def _(operator: Scale, x: Tensor) -> Tensor:
    if operator.scale is not None:
        x = x * operator.scale
    return x if operator.shift is None else x + operator.shift


@apply.register
def _(operator: Divide, x: Tensor) -> Tensor:
    return x / operator.divisor


@apply.register
def _(operator: BatchNorm, x: Tensor) -> Tensor:
    statistics = (operator.mean, operator.variance, operator.weight, operator.bias)
    return functional.batch_norm(x, *statistics, eps=operator.epsilon)


@apply.register
def _(operator: Pad, x: Tensor) -> Tensor:
    pairs = [
        n for b, a in zip(operator.before[::-1], operator.after[::-1], strict=True) for n in (b, a)
    ]
    return functional.pad(x, pairs, value=operator.value)


@apply.register
def _(operator: Select, x: Tensor) -> Tensor:
    indices = operator.indices
    return x.reshape(len(x), -1)[:, indices.flatten()].reshape(len(x), *indices.shape)


@apply.register
def _(operator: Permute, x: Tensor) -> Tensor:
    return x.permute(0, *(axis + 1 for axis in operator.axes))


@apply.register
def _(operator: Reshape, x: Tensor) -> Tensor:
    return x.reshape(len(x), *operator.shape)


@apply.register
def _(operator: Add, *inputs: Tensor) -> Tensor:
    return sum(inputs[1:], start=inputs[0])


@apply.register
def _(operator: Concat, *inputs: Tensor) -> Tensor:
    return torch.cat(inputs, dim=operator.axis + 1)


@apply.register
def _(operator: Elementwise, x: Tensor) -> Tensor:
    return operator.value(x, torch)


@apply.register
def _(operator: Max, x: Tensor) -> Tensor:
    return x.amax(dim=-1)


@apply.register
def _(operator: Share, x: Tensor) -> Tensor:
    # Differentiable wherever an exponential would overflow.
    return functional.pad(x, (1, 0)).softmax(dim=-1)[..., 0]


@apply.register
def _(operator: Product, x: Tensor) -> Tensor:
    return x[..., 0] * x[..., 1]


@apply.register
def _(operator: Increment, x: Tensor) -> Tensor:
    start, change = x.unbind(dim=-1)
    return apply(operator.function, start + change) - apply(operator.function, start)


@apply.register
def _(operator: Opaque, x: Tensor) -> Tensor:
    if operator.gradients:
        found: Tensor = operator.function(x)
        return found
    if x.requires_grad and torch.is_grad_enabled():
        # Outputs without a history would count as ones that do not change.
        raise NotMeasured(
            "onnxruntime runs the network, and gives no gradients",
            "give a `surrogate` that has some, or use an attack that needs none (square)",
        )
    return torch.from_numpy(operator.function(x.detach().cpu().numpy())).to(x)
