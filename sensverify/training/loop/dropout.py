"""Dropout at what enters the fully connected layers of a model that was written without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn
from torch.nn import functional


@contextmanager
def dropout(module: nn.Module, rate: float) -> Iterator[None]:
    """Within, every `torch.nn.Linear` in training mode gets its input with dropout.

    Values are dropped with probability ``rate`` and the others divided by ``1 - rate``. Draws from
    torch's global generator. Layers in evaluation mode and networks made by
    ``sensverify.from_module`` before are not affected.

    Parameters
    ----------
    module : torch.nn.Module
    rate : float
        From 0 (nothing happens) to below 1.
    """

    def drop(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        first, *rest = inputs
        return functional.dropout(first, rate, layer.training), *rest

    with ExitStack() as stack:
        if rate:
            for layer in module.modules():
                if isinstance(layer, nn.Linear):
                    stack.callback(layer.register_forward_pre_hook(drop).remove)
        yield
