"""LP-dual's bounds estimated by random projections: forward passes, few however wide the layers.

LP-dual bounds a neuron by the 1-norm of its coefficients on what may vary: the inputs, and every
unstable neuron by half the distance of its two parallel lines. The sum of these, each times a
Cauchy variable, is a Cauchy variable whose scale is that norm (1-stability), and the median of the
magnitudes of several such sums estimates it. Sums go forward through the network with the slopes of
the lines, next to the centre: no neuron needs a backward pass of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, ClassVar
from zlib import crc32

import torch
from torch import Tensor

from sensverify.bounds.domains import remedy_of_overflow, require_defined
from sensverify.bounds.forward import apply
from sensverify.bounds.ibp import Interval, interval_at
from sensverify.bounds.method import Method
from sensverify.bounds.needed import interval_is_exact
from sensverify.bounds.relaxation import Relaxation, Slope, relax
from sensverify.bounds.unstable import count_unstable
from sensverify.core.box import Box
from sensverify.core.results import Enclosure, Guarantee
from sensverify.errors import MissingRule, Unbounded
from sensverify.network import Network, Node
from sensverify.network.operators import Add, Elementwise, Nonlinear
from sensverify.registry.ranges import Range
from sensverify.runs.watch import Watch

_LARGEST = 1e6
"""Less than one in a million Cauchy variables is larger, which medians do not see."""


@dataclass(frozen=True)
class ProjectedLpDual(Method):
    """LP-dual for training: bounds by estimated norms, never proven.

    An estimate falls short of its norm about as often as it exceeds it. That it is less than a
    share ``1 - e`` of the norm has at most the chance ``exp(-2 projections (1/2 - 2 arctan(1 - e) /
    pi)^2)``: for 50 projections 1.5 % at e = 1/2. First layers, which intervals bound exactly, are
    not estimated.

    Parameters
    ----------
    projections : int
        Random projections for each sample; the more, the nearer to LP-dual's bounds.
    seed : int
        Projections follow from it, the boxes and the outputs at their centres: the same question
        gets the same ones, every step of a training other ones.

    Notes
    -----
    Guarantee PROBABILISTIC. Source: Wong et al. 2018, *Scaling provable adversarial defenses*,
    Section 3.2; there every layer's terms have an estimate of their own, here all terms of a neuron
    are one sum.
    """

    projections: Annotated[int, Range(1)] = 50
    seed: Annotated[int, Range(0)] = 0

    name: ClassVar[str] = "projected-lp-dual"
    guarantee: ClassVar[Guarantee] = Guarantee.PROBABILISTIC

    def extra_entries(self, network: Network, rows: int) -> int:
        """Numbers kept for each sample: the sums on every layer, and variables on the widest."""
        widest = max(prod(node.shape) for node in network.nodes)
        return self.projections * (network.entries + 3 * widest)

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        sums = _Sums(network, box, self.projections, self._generator(network, box))
        center, noise = sums.outputs()
        middle = (objectives * center.reshape(box.batch, 1, -1)).sum(-1)
        flat = noise.reshape(box.batch, self.projections, -1)
        radius = _scale(flat @ objectives.transpose(1, 2))
        unstable = count_unstable(network, sums.pre_activations, box.batch)
        return Enclosure(middle - radius, middle + radius, unstable=unstable)

    def _generator(self, network: Network, box: Box) -> torch.Generator:
        with torch.no_grad():
            values = [box.lower.detach() / 2 + box.upper.detach() / 2]
            for node in network.nodes[1:]:
                values.append(apply(node.operator, *(values[source] for source in node.inputs)))
            ends = (box.lower, box.upper, values[-1])
            # Generators look at no more than 32 bits of their seed.
            digest = crc32(str(self.seed).encode())
            for end in ends:
                digest = crc32(end.detach().cpu().numpy().tobytes(), digest)
        return torch.Generator().manual_seed(digest)


class _Sums:
    """The centre, and Cauchy sums of what varies around it, node by node.

    Parameters
    ----------
    network : Network
    box : Box of tensors, shape ``[batch, *input_shape]``
    count : int
        Sums of every neuron.
    generator : torch.Generator
        On the CPU.
    """

    def __init__(self, network: Network, box: Box, count: int, generator: torch.Generator) -> None:
        self.network, self.box, self.count, self.generator = network, box, count, generator
        self.pre_activations: dict[int, Interval] = {}

    def outputs(self) -> tuple[Tensor, Tensor]:
        """Centre ``[batch, *shape]`` and sums ``[batch, count, *shape]`` of the output."""
        network, box = self.network, self.box
        center, radius = box.lower / 2 + box.upper / 2, box.upper / 2 - box.lower / 2
        last = {p: max(readers, default=p) for p, readers in enumerate(network.consumers)}
        values = {0: (center, radius.unsqueeze(1) * self._cauchy(radius))}
        for position, node in enumerate(network.nodes[1:], start=1):
            parts = [values[source] for source in node.inputs]
            values[position] = self._through(position, node, parts)
            for source in node.inputs:
                if last[source] <= position:
                    values.pop(source, None)
        return values[len(network.nodes) - 1]

    def _through(
        self, position: int, node: Node, parts: list[tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        if isinstance(node.operator, Nonlinear):
            return self._relaxed(position, node, *parts[0])
        center = apply(node.operator, *(part[0] for part in parts))
        if isinstance(node.operator, Add):
            return center, sum((part[1] for part in parts[1:]), start=parts[0][1])
        # An affine operator without what is constant in it, on all sums at once.
        flat = [noise.flatten(0, 1) for _, noise in parts]
        constant = apply(node.operator, *(torch.zeros_like(noise[:1]) for noise in flat))
        moved = apply(node.operator, *flat) - constant
        return center, moved.reshape(len(center), self.count, *moved.shape[1:])

    def _relaxed(
        self, position: int, node: Node, center: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        if not isinstance(node.operator, Elementwise):
            raise _no_rule(node)
        lower, upper = self._bounds(node, center, noise)
        if not bool((torch.isfinite(lower) & torch.isfinite(upper)).all()):
            raise Unbounded(
                f"the bounds on what enters node '{node.name}' overflow {lower.dtype}: unbounded",
                remedy_of_overflow(lower.dtype),
            )
        require_defined(node.operator, lower, upper, node.name)
        self.pre_activations[position] = lower, upper
        lines = relax(node.operator, lower, upper, Slope.PARALLEL)
        if not lines.parallel:
            raise _no_rule(node)
        middle, half = _intercepts(lines)
        moved = lines.lower_slope * noise
        if half is not None:
            moved = moved + half * self._cauchy(half.squeeze(1))
        value = lines.lower_slope.squeeze(1) * center
        return value if middle is None else value + middle.squeeze(1), moved

    def _bounds(self, node: Node, center: Tensor, noise: Tensor) -> Interval:
        (source,) = node.inputs
        if interval_is_exact(self.network, source):
            return interval_at(
                self.network, source, (self.box.lower, self.box.upper), self.pre_activations
            )
        radius = _scale(noise)
        return center - radius, center + radius

    def _cauchy(self, like: Tensor) -> Tensor:
        """Cauchy variables for values ``[batch, *shape]``: ``[batch, count, *shape]``."""
        shape = (len(like), self.count, *like.shape[1:])
        drawn = torch.empty(shape, dtype=torch.float32).cauchy_(generator=self.generator)
        return drawn.clamp_(-_LARGEST, _LARGEST).to(like)


def _no_rule(node: Node) -> MissingRule:
    return MissingRule(
        "projected-lp-dual knows functions of one number between parallel lines, not operator "
        f"{type(node.operator).__name__} (node '{node.name}')",
        "use lp-dual, crown or ibp",
    )


def _scale(sums: Tensor) -> Tensor:
    """Scales of Cauchy variables along the second axis: medians of their magnitudes.

    A median's own gradient is that of a single sum. Here it is the maximum likelihood estimate's at
    this scale s, to which all sums v contribute: of ``sum v^2 / (v^2 + s^2) = count / 2``.
    """
    with torch.no_grad():
        scale = sums.abs().median(dim=1).values
    if not sums.requires_grad:
        return scale
    with torch.no_grad():
        # Relative to the scale, so that squares neither overflow nor vanish.
        unit = scale.clamp(min=torch.finfo(sums.dtype).tiny).unsqueeze(1)
        share = sums / unit
        weight = share / (1 + share.square()).square()
        weight /= (weight * share).sum(dim=1, keepdim=True).clamp(min=1e-9)
    linear = (weight * sums).sum(dim=1)
    return scale + linear - linear.detach()


def _intercepts(lines: Relaxation) -> tuple[Tensor | None, Tensor | None]:
    """The middle of two parallel lines, and half of their distance."""
    low, high = lines.lower_intercept, lines.upper_intercept
    if low is None or high is None:
        only = low if high is None else high
        if only is None:
            return None, None
        return only / 2, only.abs() / 2
    return low / 2 + high / 2, high / 2 - low / 2
