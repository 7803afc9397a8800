"""A network in the form of the equations of power flow: sines, cosines, products of variables."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PowerFlow(nn.Module):
    """Flows as sums of ``u v sin(a)`` and ``u v cos(a)``, each of u, v and a linear in the input.

    That is the form of what a line of an alternating-current grid carries between buses of voltages
    u and v whose phases are a apart. The logits are fully-connected in the flows.

    Parameters
    ----------
    inputs, outputs : int
    terms : int
        Of u, of v and of a, each.
    flows : int
        Sums of the products, before the ReLU.
    """

    def __init__(self, inputs: int, outputs: int, *, terms: int, flows: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, terms), nn.Linear(inputs, terms)
        self.angles = nn.Linear(inputs, terms)
        self.flows = nn.Linear(2 * terms, flows)
        self.head = nn.Linear(flows, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[batch, outputs]`` of states ``[batch, inputs]``."""
        volts, angles = self.first(x) * self.second(x), self.angles(x)
        parts = torch.cat([volts * angles.sin(), volts * angles.cos()], 1)
        logits: Tensor = self.head(self.flows(parts).relu())
        return logits
