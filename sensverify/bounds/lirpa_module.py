"""A network as a ``torch.nn.Module`` made of what auto_LiRPA can trace and bound."""

from __future__ import annotations

from functools import singledispatchmethod
from math import isfinite, prod
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sensverify.errors import MissingRule
from sensverify.network import Network, Node
from sensverify.network.operators import (
    Abs,
    Add,
    Affine,
    Clip,
    Concat,
    Conv,
    ConvTranspose,
    Input,
    LeakyRelu,
    Max,
    Operator,
    Pad,
    Permute,
    Product,
    Relu,
    Reshape,
    Scale,
    Select,
    Sigmoid,
    Tanh,
)


class TracedNetwork(nn.Module):
    """The network's forward pass, ``[batch, *input_shape]`` to ``[batch, outputs]``.

    Every array is a buffer: auto_LiRPA switches ``requires_grad`` of parameters on and off, and
    buffers may carry autograd history. Operators whose auto_LiRPA counterpart is missing or has
    given wrong answers in some version are spelled with ReLUs: leaky ReLU, clipping, maxima.

    Raises
    ------
    MissingRule
        An operator has no counterpart; raised when the module is called.
    """

    def __init__(self, network: Network, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__()
        self._network = network
        for position, node in enumerate(network.nodes):
            for name, values in _arrays(network, node).items():
                if values.is_floating_point():
                    values = values.to(device=device, dtype=dtype)
                self.register_buffer(f"n{position}_{name}", values.to(device))
        self.eval()

    def arrays(self) -> dict[str, Tensor]:
        """Every buffer by name, with its autograd history."""
        return dict(self.named_buffers())

    @property
    def patches_are_safe(self) -> bool:
        """True where auto_LiRPA may propagate convolutions as patches, which is faster.

        With other operators around, 0.3 in patches mode stops.
        """

        def plain(node: Node) -> bool:
            if isinstance(node.operator, Affine):
                return len(node.shape) == 1
            return isinstance(node.operator, Conv | Relu | Reshape | Add | Input)

        return all(plain(node) for node in self._network.nodes)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for position, node in enumerate(self._network.nodes[1:], start=1):
            inputs = [values[i] for i in node.inputs]
            self._position = position
            values.append(self.apply_operator(node.operator, *inputs))
        output = values[-1]
        return output if output.dim() == 2 else output.reshape(-1, _size(output))

    def _array(self, name: str) -> Any:
        return getattr(self, f"n{self._position}_{name}", None)

    @singledispatchmethod
    def apply_operator(self, operator: Operator, *inputs: Tensor) -> Tensor:
        """One operator of the network on batched tensors."""
        self._refuse(type(operator).__name__)

    def _refuse(self, what: str) -> NoReturn:
        raise MissingRule(
            f"method lirpa has no counterpart for operator {what} (node "
            f"'{self._network.nodes[self._position].name}')",
            "use `method` crown or ibp",
        )

    @apply_operator.register
    def _(self, operator: Affine, x: Tensor) -> Tensor:
        bias = self._array("bias")
        if x.dim() == 2:
            return functional.linear(x, self._array("weight"), bias)
        product = torch.matmul(x, self._array("transposed"))
        return product if bias is None else product + bias

    @apply_operator.register
    def _(self, operator: Conv, x: Tensor) -> Tensor:
        settings = (operator.stride, operator.padding, operator.dilation)
        weight, bias, groups = self._array("weight"), self._array("bias"), operator.groups
        if len(operator.stride) == 2:
            return functional.conv2d(x, weight, bias, *settings, groups)
        if len(operator.stride) == 3:
            self._refuse("Conv over three axes")
        # 0.3 knows no convolution over one axis; this is one over two, the first of length 1.
        stride, padding, dilation = (
            (first, *rest) for first, rest in zip((1, 0, 1), settings, strict=True)
        )
        x = x.reshape(-1, x.shape[1], 1, x.shape[2])
        x = functional.conv2d(x, weight, bias, stride, padding, dilation, groups)
        return x.reshape(-1, x.shape[1], x.shape[3])

    @apply_operator.register
    def _(self, operator: ConvTranspose, x: Tensor) -> Tensor:
        if len(operator.stride) != 2:
            self._refuse(f"ConvTranspose over {len(operator.stride)} axes")
        return functional.conv_transpose2d(
            x,
            self._array("weight"),
            self._array("bias"),
            operator.stride,
            operator.padding,
            operator.output_padding,
            operator.groups,
            operator.dilation,
        )

    @apply_operator.register
    def _(self, operator: Scale, x: Tensor) -> Tensor:
        scale, shift = self._array("scale"), self._array("shift")
        x = x if scale is None else x * scale
        return x if shift is None else x + shift

    @apply_operator.register
    def _(self, operator: Pad, x: Tensor) -> Tensor:
        # Neither version gets padding right on its own: any entry times zero stands for it.
        x = self._picked(x) * self._array("inside")
        return x if operator.value == 0 else x + self._array("value")

    @apply_operator.register
    def _(self, operator: Select, x: Tensor) -> Tensor:
        return self._picked(x)

    def _picked(self, x: Tensor) -> Tensor:
        """The selection that `_distinct` has taken apart."""
        flat = x if x.dim() == 2 else x.reshape(-1, _size(x))
        parts: list[Tensor] = []
        while (indices := self._array(f"part{len(parts)}")) is not None:
            parts.append(torch.index_select(flat, 1, indices))
        order = self._array("order")
        picked = parts[0]
        if order is not None:
            picked = torch.index_select(torch.cat(parts, dim=1), 1, order)
        shape = self._network.nodes[self._position].shape
        return picked if len(shape) == 1 else picked.reshape(-1, *shape)

    @apply_operator.register
    def _(self, operator: Permute, x: Tensor) -> Tensor:
        return x.permute(0, *(axis + 1 for axis in operator.axes))

    @apply_operator.register
    def _(self, operator: Reshape, x: Tensor) -> Tensor:
        return x.reshape(-1, *operator.shape)

    @apply_operator.register
    def _(self, operator: Add, *inputs: Tensor) -> Tensor:
        total = inputs[0]
        for value in inputs[1:]:
            total = total + value
        return total

    @apply_operator.register
    def _(self, operator: Concat, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, dim=operator.axis + 1)

    @apply_operator.register
    def _(self, operator: Relu, x: Tensor) -> Tensor:
        return functional.relu(x)

    @apply_operator.register
    def _(self, operator: LeakyRelu, x: Tensor) -> Tensor:
        return x * self._array("slope") + functional.relu(x) * self._array("rise")

    @apply_operator.register
    def _(self, operator: Clip, x: Tensor) -> Tensor:
        low, high = self._array("low"), self._array("high")
        if low is not None:
            x = functional.relu(x - low) + low
        return x if high is None else high - functional.relu(high - x)

    @apply_operator.register
    def _(self, operator: Abs, x: Tensor) -> Tensor:
        return torch.abs(x)

    @apply_operator.register
    def _(self, operator: Sigmoid, x: Tensor) -> Tensor:
        return torch.sigmoid(x)

    @apply_operator.register
    def _(self, operator: Tanh, x: Tensor) -> Tensor:
        return torch.tanh(x)

    @apply_operator.register
    def _(self, operator: Max, x: Tensor) -> Tensor:
        x = x.reshape(-1, _size(x))
        # A tournament: the larger of two is one of them plus the ReLU of the difference.
        level = 0
        while (first := self._array(f"first{level}")) is not None:
            first = torch.index_select(x, 1, first)
            second = torch.index_select(x, 1, self._array(f"second{level}"))
            x = first + functional.relu(second - first)
            level += 1
        shape = self._network.nodes[self._position].shape
        return x if len(shape) == 1 else x.reshape(-1, *shape)

    @apply_operator.register
    def _(self, operator: Product, x: Tensor) -> Tensor:
        x = x.reshape(-1, _size(x))
        first, second = (torch.index_select(x, 1, self._array(f"{n}0")) for n in _PAIR)
        shape = self._network.nodes[self._position].shape
        product = first * second
        return product if len(shape) == 1 else product.reshape(-1, *shape)


_PAIR = ("first", "second")


def _arrays(network: Network, node: Node) -> dict[str, Tensor]:
    """The arrays that an operator's forward pass reads, by name.

    Those of elementwise operators have the full shape of a sample: 0.3 fails where it has to
    broadcast.
    """
    operator = node.operator
    full = (1, *node.shape)
    arrays: dict[str, Any] = {}
    if isinstance(operator, Affine | Conv | ConvTranspose):
        arrays = {"weight": operator.weight, "bias": operator.bias}
        if isinstance(operator, Affine) and operator.bias is None:
            # 0.3's interval mode takes objectives only for a last layer with a bias.
            arrays["bias"] = operator.weight.new_zeros(len(operator.weight))
        if isinstance(operator, Conv) and operator.weight.ndim == 3:
            arrays["weight"] = operator.weight.unsqueeze(2)
        if isinstance(operator, Affine) and len(node.shape) > 1:
            bias = None if operator.bias is None else operator.bias.expand(full)
            arrays = {"transposed": operator.weight.t(), "bias": bias}
    elif isinstance(operator, Scale):
        given = {"scale": operator.scale, "shift": operator.shift}
        arrays = {name: None if v is None else v.expand(full) for name, v in given.items()}
    elif isinstance(operator, LeakyRelu):
        slope = operator.slope.expand(full)
        arrays = {"slope": slope, "rise": 1 - slope}
    elif isinstance(operator, Clip):
        ends = {"low": operator.low, "high": operator.high}
        arrays = {name: torch.full(full, end) for name, end in ends.items() if isfinite(end)}
    elif isinstance(operator, Select):
        arrays = _distinct(operator.indices.cpu().numpy())
    elif isinstance(operator, Pad):
        arrays = _pad_arrays(operator, node.shape)
    elif isinstance(operator, Max | Product):
        arrays = _tournament(network.nodes[node.inputs[0]].shape)
    return {name: v.contiguous() for name, v in arrays.items() if v is not None}


def _tournament(shape: tuple[int, ...]) -> dict[str, Tensor]:
    """The pairs of every round of the maximum along the last axis."""
    players = torch.arange(prod(shape)).reshape(-1, shape[-1])
    arrays: dict[str, Tensor] = {}
    while players.shape[1] > 1:
        # With an odd number the last one meets itself.
        half = (players.shape[1] + 1) // 2
        level = len(arrays) // 2
        arrays[f"first{level}"] = players[:, :half].flatten()
        arrays[f"second{level}"] = players[:, -half:].flatten()
        players = torch.arange(len(players) * half).reshape(-1, half)
    return arrays


def _distinct(indices: np.ndarray) -> dict[str, Tensor]:
    """A selection as several without repetition, joined, and put into order.

    0.3 passes only one of several readers of an entry back to it: bounds through a selection that
    repeats entries are wrong there.
    """
    flat = indices.ravel()
    order = np.argsort(flat, kind="stable")
    ranked = flat[order]
    first = np.searchsorted(ranked, ranked)
    repetition = np.empty(len(flat), dtype=np.int64)
    repetition[order] = np.arange(len(flat)) - first
    rounds = [np.flatnonzero(repetition == n) for n in range(int(repetition.max()) + 1)]
    arrays = {f"part{n}": torch.from_numpy(flat[places]) for n, places in enumerate(rounds)}
    if len(rounds) > 1:
        arrays["order"] = torch.from_numpy(np.argsort(np.concatenate(rounds)))
    return arrays


def _pad_arrays(operator: Pad, shape: tuple[int, ...]) -> dict[str, Tensor]:
    sides = list(zip(operator.before, operator.after, strict=True))
    source = tuple(n - b - a for n, (b, a) in zip(shape, sides, strict=True))
    inside = np.pad(np.ones(source, dtype=bool), sides)
    indices = np.empty(shape, dtype=np.int64)
    indices[inside] = np.arange(prod(source))
    # Spread over all entries, so that few rounds do.
    indices[~inside] = np.arange(inside.size - prod(source)) % prod(source)
    mask = torch.from_numpy(inside.astype(np.float64)).unsqueeze(0)
    return {**_distinct(indices), "inside": mask, "value": (1 - mask) * operator.value}


def _size(x: Tensor) -> int:
    return prod(int(n) for n in x.shape[1:])
