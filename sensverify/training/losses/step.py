"""A training step, as the terms of a loss see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from sensverify.bounds import compute_bounds, forward_pass
from sensverify.bounds.method import Method
from sensverify.bounds.tensors import flattened
from sensverify.classification.margins import with_margins
from sensverify.core.box import Box
from sensverify.errors import BadSetting
from sensverify.network import Network

LARGEST = 1e30
"""Trainings compute in float32, which ends at 3e38: a larger number has nowhere to go."""


@dataclass(eq=False)
class Step:
    """One mini-batch, the model as it is now, and how far the training has come.

    What several terms need is computed once.

    Parameters
    ----------
    module : torch.nn.Module
        In training mode, but for parts that were frozen: batch normalisation uses the batch,
        dropout drops.
    network : Network
        The same parameters, live, in evaluation mode; bounds are taken of it.
    x : Tensor, shape ``[batch, *features]``
    y : integer Tensor, shape ``[batch]``
    radius : Tensor, shape ``[*features]``, or None
        How far every feature may move at the end of the ramp, in the units of x; None where the
        training was given none.
    clip : (low, high) or None
        The range that perturbed inputs keep to.
    ramp : float
        Share of the radius that is in force, 0 to 1.
    progress : float
        Share of the whole training that is done, 0 to 1.
    generator : torch.Generator
        On the CPU; for whatever a term draws.
    state : dict from str to Tensor
        What terms keep from step to step, by keys that begin with the term's name; part of
        checkpoints.
    asked : frozenset of str
        What the terms of the loss want bounds of: ``"outputs"``, ``"margins"``.
    """

    module: nn.Module
    network: Network
    x: Tensor
    y: Tensor
    radius: Tensor | None = None
    clip: tuple[float, float] | None = None
    ramp: float = 1.0
    progress: float = 0.0
    generator: torch.Generator = field(default_factory=torch.Generator)
    state: dict[str, Tensor] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()

    @cached_property
    def outputs(self) -> Tensor:
        """The module's outputs at x in training mode, ``[batch, outputs]``."""
        return flattened(self.module(self.x))

    @property
    def trained(self) -> list[Tensor]:
        """The parameters that are trained."""
        return [each for each in self.module.parameters() if each.requires_grad]

    def evaluated(self, x: Tensor) -> Tensor:
        """The network's outputs at any inputs in evaluation mode, ``[batch, outputs]``."""
        return flattened(forward_pass(self.network, x))

    @cached_property
    def box(self) -> Box:
        """The inputs within the radius in force, ``[batch, *features]``.

        Raises
        ------
        BadSetting
            The training has no radius.
        """
        if self.radius is None:
            raise BadSetting(
                "a term of the loss perturbs the inputs, and nothing says how far",
                "give `sigma` or `radius`",
            )
        # Bounds are not taken in half precision: their errors add up over the layers.
        wide = torch.promote_types(self.x.dtype, torch.float32)
        center = self.x.detach().to(wide)
        return Box.around(center, self.ramp * self.radius.to(wide), clip=self.clip)

    def output_box(self, method: Method) -> Box:
        """A box around all outputs for inputs in `box`, ``[batch, outputs]``, with gradients.

        Its guarantee is the method's, whatever precision the rest of the step is computed in.
        """
        found = self._bounded(method, "outputs")
        count = self.outputs.shape[1]
        return Box(found.lower[:, :count], found.upper[:, :count])

    def margins(self, method: Method) -> Tensor:
        """Lower bounds of ``f_y - f_j`` on `box` for every class j but y, with gradients.

        Shape ``[batch, outputs - 1]``.
        """
        return self._bounded(method, "margins").lower[:, 1 - self.outputs.shape[1] :]

    def _bounded(self, method: Method, what: str) -> Box:
        """Bounds of everything that terms ask of this method, in one pass over the layers."""
        key = method, what
        if key not in self._known:
            asked = self.asked | {what}
            rows = with_margins(self.y, self.outputs.shape[1], self.box.lower.dtype)
            if "margins" not in asked:
                rows = rows[:1, : self.outputs.shape[1]]
            elif "outputs" not in asked:
                rows = rows[:, self.outputs.shape[1] :]
            with torch.autocast(self.x.device.type, enabled=False):
                outer = compute_bounds(self.network, self.box, method, rows).outer
            if self.outputs.requires_grad and not outer.lower.requires_grad:
                raise BadSetting(
                    f"method {method.name} gives bounds without gradients, so nothing can be "
                    "trained with it; use lp-dual, crown, alpha-crown or ibp"
                )
            self._known |= {(method, each): outer for each in asked}
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[Method, str], Box]:
        return {}
