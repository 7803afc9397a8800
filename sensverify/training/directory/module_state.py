"""Parameters and buffers of a module, and their way back into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sensverify.errors import InputError

_BUFFERS = "non-persistent/"


def module_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer by name, those too that the module's own state leaves out.

    The names of these begin with ``non-persistent/``.

    Raises
    ------
    InputError
        The module keeps something else than tensors.
    """
    state = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(
                f"the model keeps '{name}' of type {type(value).__name__} in its state; "
                "checkpoints hold tensors only"
            )
    return {**state, **_left_out(module, state)}


def load_module_state(module: nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Give a module what `module_state` took from it, in place.

    Raises
    ------
    RuntimeError
        Names or shapes are others.
    """
    module.load_state_dict({k: v for k, v in state.items() if not k.startswith(_BUFFERS)})
    kept = {k: v for k, v in state.items() if k.startswith(_BUFFERS)}
    there = _left_out(module, module.state_dict())
    if kept.keys() != there.keys():
        raise RuntimeError(f"other buffers: {', '.join(sorted(kept.keys() ^ there.keys()))}")
    for name, buffer in there.items():
        values = kept[name].to(buffer.device)
        # What never changes may be a view that cannot be written to.
        if buffer.shape != values.shape or not torch.equal(buffer, values):
            with torch.no_grad():
                buffer.copy_(values)


def _left_out(module: nn.Module, state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The buffers that a module's own state leaves out."""
    return {f"{_BUFFERS}{k}": v for k, v in module.named_buffers() if k not in state}
