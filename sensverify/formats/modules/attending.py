"""Attention of torch's own layers, traced without moving the batch axis.

``nn.MultiheadAttention`` puts the sequence first, whatever it is given, and back in the end. Every
sample is still treated by itself; only written otherwise can that be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def batch_first(module: nn.Module) -> Iterator[None]:
    """Attention layers of a module compute the same with the batch as first axis throughout."""
    layers = [
        part
        for part in module.modules()
        if isinstance(part, nn.MultiheadAttention)
        and type(part).forward is nn.MultiheadAttention.forward
        and "forward" not in vars(part)
        and part.batch_first
        and part.bias_k is None
        and not part.add_zero_attn
    ]
    try:
        for layer in layers:
            layer.forward = _Attention(layer)  # type: ignore[method-assign]
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


class _Attention:
    """The forward pass of one layer."""

    def __init__(self, layer: nn.MultiheadAttention) -> None:
        self.layer = layer

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        layer = self.layer
        if query.dim() != 3 or key_padding_mask is not None or _is_three(attn_mask):
            settings: dict[str, Any] = {
                "key_padding_mask": key_padding_mask,
                "need_weights": need_weights,
                "attn_mask": attn_mask,
                "average_attn_weights": average_attn_weights,
                "is_causal": is_causal,
            }
            return nn.MultiheadAttention.forward(layer, query, key, value, **settings)
        q, k, v = (
            functional.linear(x, weight, bias).unflatten(-1, (layer.num_heads, -1)).transpose(1, 2)
            for x, weight, bias in zip((query, key, value), *_projections(layer), strict=True)
        )
        mask = attn_mask
        if mask is not None and mask.dtype == torch.bool:
            # Where this one is true, nothing is seen.
            mask = torch.zeros(mask.shape, dtype=query.dtype).masked_fill(mask, -torch.inf)
        found = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        result = layer.out_proj(found.transpose(1, 2).flatten(2))
        if not need_weights:
            return result, None
        scores = q @ k.mT / q.shape[-1] ** 0.5
        weights = (scores if mask is None else scores + mask).softmax(-1)
        return result, weights.mean(1) if average_attn_weights else weights


def _is_three(mask: Tensor | None) -> bool:
    return mask is not None and mask.dim() == 3


def _projections(
    layer: nn.MultiheadAttention,
) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
    """Weights and biases of queries, keys and values."""
    if layer.in_proj_weight is not None:
        weights = tuple(layer.in_proj_weight.chunk(3))
    else:
        weights = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
    if layer.in_proj_bias is None:
        return weights, (None, None, None)
    return weights, tuple(layer.in_proj_bias.chunk(3))
