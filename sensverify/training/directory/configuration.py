"""The configuration of a training: everything that decides it, as plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from torch import nn

from sensverify.core.digests import sha256_of_arrays
from sensverify.core.record import versions
from sensverify.training.directory.checkpoints import digest
from sensverify.training.directory.module_state import module_state
from sensverify.training.plan import Plan

MAY_CHANGE = ("settings.checkpoint_seconds", "model.name", "model.initial_weights")
"""Values that may be others when a training is resumed: they change no figure."""

COMPARED = ("data", "model", "loss", "ramp", "settings")
"""Parts of the configuration that decide a training."""


def describe(module: nn.Module, plan: Plan, notes: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that decides a training, as plain values for ``config.json``.

    Parameters
    ----------
    module : torch.nn.Module
        Before its first step.
    plan : Plan
    notes : mapping
        Further values to keep; ``model`` is the model's name.
    """
    state = module_state(module)
    split = plan.split
    return {
        **{key: value for key, value in notes.items() if key != "model"},
        "data": {
            "name": Path(split.train.name).name,
            "train_samples": len(split.train),
            "test_samples": len(split.test),
            "train_sha256": sha256_of_arrays(split.train.x, split.train.y),
            "test_sha256": sha256_of_arrays(split.test.x, split.test.y),
        },
        "model": {
            "name": notes.get("model") or type(module).__name__,
            # Objects that have no text of their own show where they lie in memory.
            "text": re.sub(r" at 0x[0-9a-fA-F]+", "", repr(module)),
            "tensors": {k: f"{v.dtype} {list(v.shape)}" for k, v in state.items()},
            "parameters": sum(p.numel() for p in module.parameters()),
            "initial_weights": digest(state),
            **_frozen(module),
        },
        "loss": str(plan.recipe),
        "ramp": plan.ramp,
        "settings": plan.settings.as_dict(),
        "versions": versions(),
    }


def _frozen(module: nn.Module) -> dict[str, Any]:
    """The parameters and parts that a training leaves as they are, where there are any."""
    still = [name for name, p in module.named_parameters() if not p.requires_grad]
    parts = [name or "(all)" for name, part in module.named_modules() if not part.training]
    kinds = {"frozen_parameters": still, "parts_in_evaluation_mode": parts}
    return {kind: names for kind, names in kinds.items() if names}


def plain(value: Any) -> Any:
    """A value as JSON holds it: tuples as lists, non-finite numbers as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
