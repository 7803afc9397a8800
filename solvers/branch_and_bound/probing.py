"""Probing: bounds on both sides of a split, for all ReLUs of a sub-problem at once.

Of a network with one layer of ReLUs, what enters a ReLU is affine in the input, ``z = w · x + v``.
A sub-problem has a line ``a · x + b`` below its target, in which the ReLU counts by ``s`` times its
own line, ``slope · z + intercept``. On the side ``z >= 0`` it is z itself, on the other it is 0;
and with a multiplier of the side's constraint, the line there is ``a · x + b - k z``, less ``s``
times the intercept, for any ``k >= s (slope - 1)`` on the one side, any ``k <= s · slope`` on the
other. Its least value on the box is concave and piecewise linear in k: the largest is found
exactly, among the kinks, and bounds the side. A side that is closed by it need not be looked at:
the ReLU is fixed to the other one. Bounds on both sides of the others say which to split.

Sources: Savelsbergh 1994, *Preprocessing and probing techniques for mixed integer programming
problems*; Zhou et al. 2025, *Clip-and-Verify* (arXiv 2512.11087), for one constraint at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from sensverify.bounds.backward import backward_lines
from sensverify.bounds.first_layers import first_functions
from sensverify.bounds.ibp import nonlinear_nodes
from sensverify.bounds.layerwise import LayerBounds
from sensverify.bounds.tensors import flattened
from sensverify.core.sets import InputSet
from sensverify.network import Network
from sensverify.network.operators import Relu
from sensverify.solvers.branch_and_bound.line_problem import LineProblem
from sensverify.solvers.branch_and_bound.optimising import BestLines

NUMBERS = 1 << 13
"""Unstable neurons times features up to which probing pays."""

FEWEST = 4
"""Unstable neurons from which it does: all splits of fewer are looked at as soon."""

_AT_ONCE = 1 << 19
"""Numbers that are sorted at a time, as fit a cache."""


@dataclass(frozen=True, eq=False)
class Probes:
    """Bounds on the sides of a split at 0, for some neurons of every sub-problem.

    Parameters
    ----------
    neuron : Tensor, shape ``[neurons]``, int64
        Counted over all entries of the nodes that can be split.
    above, below : Tensor, shape ``[items, neurons]``
        Of the side that is at least 0, and of the one that is at most 0.
    multiplier_above, multiplier_below : Tensor of that shape, at least 0
        Of the sides' constraints: with these the bounds are proven.
    keep_above, keep_below : Tensor of that shape, at least 0
        The same, with which the line on a side is nowhere on the box below the sub-problem's.
    loss : Tensor of that shape
        What is lost at the neuron's line.
    """

    neuron: Tensor
    above: Tensor
    below: Tensor
    multiplier_above: Tensor
    multiplier_below: Tensor
    keep_above: Tensor
    keep_below: Tensor
    loss: Tensor


@dataclass(frozen=True, eq=False)
class Probing:
    """Probing for the sub-problems of some boxes.

    Parameters
    ----------
    neuron : Tensor, shape ``[neurons]``, int64
        Those that are unstable on one of the boxes.
    weight : Tensor, shape ``[neurons, features]``
    bias : Tensor, shape ``[neurons]``
        What enters them.
    """

    neuron: Tensor
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layers: LayerBounds) -> Probing | None:
        """Of the boxes of layers; None where the network is another one, or it would not pay."""
        network, box = layers.network, layers.box
        if isinstance(box, InputSet) or not one_layer(network):
            return None
        features = prod(network.input_shape)
        neuron, weight, bias, start = [], [], [], 0
        for position, (low, high) in layers.pre_activations.items():
            chosen = flattened((low < 0) & (high > 0)).any(dim=0).nonzero().squeeze(1)
            size, source = prod(low.shape[1:]), network.nodes[position].inputs[0]
            if len(chosen) < FEWEST or len(chosen) * features > NUMBERS:
                return None
            rows = torch.eye(size, dtype=box.lower.dtype, device=box.lower.device)[chosen]
            rows = rows.reshape(1, len(chosen), *network.nodes[source].shape)
            line, constant, _ = backward_lines(network, rows, {}, target=source)
            neuron.append(start + chosen)
            weight.append(flattened(line[0]))
            bias.append(constant[0])
            start += size
        return cls(torch.cat(neuron), torch.cat(weight), torch.cat(bias))

    def probe(self, problem: LineProblem, found: BestLines) -> Probes:
        """Bounds on both sides of all neurons of every sub-problem.

        Parameters
        ----------
        problem : LineProblem
        found : BestLines
            Its lines, with the coefficients of just these and what is behind them.
        """
        assert found.behind is not None
        nodes = list(problem.relaxations)
        seen, lower, upper, intercept = (
            torch.cat([flattened(p) for p in parts], dim=1)[:, self.neuron]
            for parts in (
                [found.seen[p] for p in nodes],
                [found.behind.lower[p].expand(-1, 1, *found.seen[p].shape[1:]) for p in nodes],
                [found.behind.upper[p].expand(-1, 1, *found.seen[p].shape[1:]) for p in nodes],
                [_intercepts(problem, p, found) for p in nodes],
            )
        )
        slope = torch.where(seen > 0, lower.to(seen), upper.to(seen))
        least, most = -seen * (1 - slope), seen * slope
        intercept = torch.where(seen > 0, 0.0, intercept)
        line = found.coefficients
        center = (problem.lower / 2 + problem.upper / 2).expand_as(line)
        radius = (problem.upper / 2 - problem.lower / 2).expand_as(line)
        rest = found.excess - (line * center).sum(dim=1) + (line.abs() * radius).sum(dim=1)
        base = rest.unsqueeze(1) - seen * intercept
        best = self._in_parts(self._best, line, center, radius)
        above, below = best.maximum(least), best.minimum(most)
        return Probes(
            self.neuron,
            base + self._in_parts(self._least, line, center, radius, above),
            base + self._in_parts(self._least, line, center, radius, below),
            above - least,
            most - below,
            (-least).clamp(min=0),
            most.clamp(min=0),
            torch.where(seen > 0, seen * torch.minimum(slope, 1 - slope), -seen * intercept),
        )

    def _in_parts(self, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """A function of items, of a few at a time."""
        step = max(1, _AT_ONCE // self.weight.numel())
        return torch.cat(
            [function(*part) for part in zip(*(t.split(step) for t in tensors), strict=True)]
        )

    def _best(self, line: Tensor, center: Tensor, radius: Tensor) -> Tensor:
        """The multiple k of each neuron that makes ``min (a - k w) · x - k v`` largest."""
        # Single precision: any multiple proves something.
        weight, reach = self.weight.float(), (self.weight.abs() * radius.unsqueeze(1)).float()
        kinks = (line.float().unsqueeze(1) / weight).nan_to_num(torch.inf, torch.inf, -torch.inf)
        kinks, order = kinks.sort(dim=2)
        passed = reach.gather(2, order).cumsum(dim=2)
        # From the rise at minus infinity, the negative of the least z, each kink takes its part.
        rise = (reach.sum(dim=2) - (center @ self.weight.T + self.bias).float()) / 2
        place = (passed < rise.unsqueeze(2)).sum(dim=2, keepdim=True)
        best = kinks.gather(2, place.clamp(max=kinks.shape[2] - 1)).squeeze(2)
        return torch.where(best.isfinite(), best, 0.0).to(line)

    def _least(self, line: Tensor, center: Tensor, radius: Tensor, multiple: Tensor) -> Tensor:
        """The least values ``min (a - k w) · x - k v``, ``[items, neurons]``."""
        lines = line.unsqueeze(1) - multiple.unsqueeze(2) * self.weight
        middle = (lines @ center.unsqueeze(2)).squeeze(2)
        return middle - (lines.abs() @ radius.unsqueeze(2)).squeeze(2) - multiple * self.bias


def one_layer(network: Network) -> bool:
    """True where all that is not linear are ReLUs, and none is in front of another."""
    first = first_functions(network)
    relus = all(isinstance(network.nodes[position].operator, Relu) for position in first)
    return bool(first) and relus and first == nonlinear_nodes(network)


def _intercepts(problem: LineProblem, position: int, found: BestLines) -> Tensor:
    """Of the lines above, ``[items, 1, *shape]``."""
    shape = found.seen[position].unsqueeze(1).shape
    intercept = problem.relaxations[position].upper_intercept
    return found.excess.new_zeros(shape) if intercept is None else intercept.expand(shape)
