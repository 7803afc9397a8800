"""A live module, run on one sample at a time in double precision."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from sensverify.formats.modules.tracing import evaluating


class OriginalModule:
    """A module as it is, run with its parameters and buffers in float64; nothing of it is changed.

    Parameters
    ----------
    module : torch.nn.Module
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        tensors = dict(chain(module.named_parameters(), module.named_buffers()))
        self._device = next((each.device for each in tensors.values()), torch.device("cpu"))
        kinds = {each.dtype for each in tensors.values() if each.is_floating_point()}
        self._wide = {
            name: each.detach().double() if each.is_floating_point() else each.detach().clone()
            for name, each in tensors.items()
        }
        self.dtype: Any = np.float64 if kinds == {torch.float64} else np.float32
        """Type of the inputs that the module takes."""

    def outputs(self, sample: np.ndarray) -> np.ndarray:
        """Outputs of one sample, flattened, float64."""
        x = torch.from_numpy(sample[None]).to(self._device, torch.float64)
        with torch.no_grad(), evaluating(self._module):
            found = functional_call(self._module, self._wide, (x,))
        return found.reshape(-1).cpu().numpy()
