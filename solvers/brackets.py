"""Brackets: the proven and the attained end of every minimum, while an exact method works.

Everything is a minimum here: the maximum of ``c · f`` is that of ``-c · f`` with its sign changed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.attacks.ascent import project
from sensverify.bounds import forward_pass
from sensverify.bounds.rounding import slack
from sensverify.bounds.tensors import flattened, tensor_box, tensor_network
from sensverify.core.box import Box
from sensverify.core.results import Enclosure
from sensverify.core.sets import InputSet
from sensverify.errors import BackendFailure
from sensverify.network import Network
from sensverify.solvers.gap import tolerance

DISAGREEMENT = 1e-5
"""The most that a solver's bound may lie above an attained value, relative to the size of the
values: within it is rounding, beyond it the solver is wrong."""


def detached(box: Box, dtype: torch.dtype) -> Box:
    """The box of tensors, on the CPU in a dtype, without history."""
    lower, upper = (e.detach().to("cpu", dtype) for e in (box.lower, box.upper))
    if isinstance(box, InputSet):
        return box.converted(lower, upper, lambda values: values.detach().cpu())
    return Box(lower, upper)


def set_of(box: Box, sample: int) -> InputSet | None:
    """One input set of tensors as one of numpy arrays; None of a plain box."""
    if not isinstance(box, InputSet):
        return None
    one = box[sample : sample + 1]
    return one.converted(one.lower.numpy(), one.upper.numpy(), lambda values: values.numpy())


@dataclass(eq=False)
class Brackets:
    """Proven and attained ends of the minima of ``[C, -C]`` over a batch of boxes, in float64.

    Parameters
    ----------
    network : Network
        With float64 tensors.
    box : Box of tensors, shape ``[batch, *input_shape]``, float64
    objectives : Tensor, shape ``[batch or 1, 2 * rows, outputs]``
    asked : Box
        As the caller gave it: dtype and device of the answer.
    proven, attained : Tensor, shape ``[batch, 2 * rows]``
        ``proven <= minimum <= attained``; infinite where nothing is known.
    witnesses : Tensor, shape ``[batch, 2 * rows, *input_shape]``
    """

    network: Network
    box: Box
    objectives: Tensor
    asked: Box
    proven: Tensor
    attained: Tensor
    witnesses: Tensor

    @classmethod
    def start(cls, network: Network, box: Box, objectives: Tensor) -> Brackets:
        """Nothing known yet; float64 copies of what a method was given."""
        cpu = torch.device("cpu")
        with torch.no_grad():
            wide = tensor_network(network, dtype=torch.float64, device=cpu).map_arrays(
                Tensor.detach
            )
            ends = detached(box, torch.float64)
            rows = objectives.detach().to(cpu, torch.float64)
            both = torch.cat([rows, -rows], dim=1)
        shape = (ends.batch, both.shape[1])
        start = ends.point if isinstance(ends, InputSet) else ends.center
        middle = start.unsqueeze(1).expand(*shape, *ends.shape).clone()
        infinite = torch.full(shape, torch.inf, dtype=torch.float64)
        return cls(wide, ends, both, box, -infinite, infinite, middle)

    def rows(self, sample: int) -> Tensor:
        """The objectives of a sample, ``[2 * rows, outputs]``."""
        return self.objectives[sample if len(self.objectives) > 1 else 0]

    def prove(self, sample: int, row: int, bound: float | None) -> None:
        """Raise a proven end; None and NaN change nothing.

        Raises
        ------
        BackendFailure
            An input is known whose value is below the bound by more than rounding.
        """
        if bound is None or not bound > float(self.proven[sample, row]):
            return
        attained = float(self.attained[sample, row])
        size = max(1e-3, abs(attained), self._size(sample))
        if bound > attained + DISAGREEMENT * size and bound > attained + self._slack(sample, row):
            raise BackendFailure(
                f"a solver claims that objective {row} of sample {sample} is at least {bound:.9g}, "
                f"but an input attains {attained:.9g}",
                "please report this with the network and the box",
            )
        self.proven[sample, row] = min(bound, attained)

    def prove_all(self, lower: Tensor, upper: Tensor) -> None:
        """Raise every proven end to sound bounds ``[batch, rows]`` on the objectives."""
        known = torch.cat([lower, -upper], dim=1).double().cpu()
        better = known > self.proven
        self.proven = torch.where(better, known, self.proven)

    def attain(self, sample: int, points: Tensor) -> None:
        """Look at the outputs at points ``[points, *input_shape]``, for every objective.

        The points are cut to the box, and moved into an input set; NaN is never attained.
        """
        low, high = self.box.lower[sample], self.box.upper[sample]
        inside = torch.minimum(torch.maximum(points, low), high)
        if isinstance(self.box, InputSet):
            inside = project(inside, self.box[[sample] * len(inside)])
        with torch.no_grad():
            values = flattened(forward_pass(self.network, inside)) @ self.rows(sample).T
        values = torch.where(torch.isfinite(values), values, torch.inf)
        best, where = values.min(dim=0)
        better = best < self.attained[sample]
        self.attained[sample] = torch.where(better, best, self.attained[sample])
        mask = better.reshape(-1, *(1,) * len(self.box.shape))
        self.witnesses[sample] = torch.where(mask, inside[where], self.witnesses[sample])

    def tolerances(self) -> Tensor:
        """The distance allowed between two ends of a bracket, per unit of gap, ``[batch, rows]``.

        For ``[C, -C]`` alike, so ``[batch, 2 * rows]``.
        """
        lower, upper = self._ends(self.attained)
        allowed = tolerance(lower, upper, 1.0)
        return torch.cat([allowed, allowed], dim=1)

    def closed(self, gap: float) -> Tensor:
        """Mask of the ends that are exact, ``[batch, 2 * rows]``."""
        enough = self.attained - gap * self.tolerances()
        return (self.proven >= enough) & torch.isfinite(self.attained)

    def enclosure(self, gap: float, unstable: Tensor | None) -> Enclosure:
        """The answer, in the dtype that was asked for.

        Proven ends are rounded outward. Attained values are those of the witnesses in float64;
        both are then rounded to nearest, which keeps witnesses inside of their box.
        """
        dtype, device = self.asked.lower.dtype, self.asked.lower.device
        attained, witnesses = self._uncrossed()
        proven = torch.minimum(self.proven, attained)
        outer = tensor_box(Box(*self._ends(proven)), dtype=dtype, device=device)
        low, high = (end.to(device, dtype) for end in self._ends(attained))
        first, second = witnesses.to(device, dtype).chunk(2, dim=1)
        closed = self.closed(gap)
        both = closed.chunk(2, dim=1)
        return Enclosure(
            outer.lower,
            outer.upper,
            inner=Box(low, high),
            witness_lower=first,
            witness_upper=second,
            optimal=(both[0] & both[1]).to(device),
            unstable=unstable,
        )

    def _uncrossed(self) -> tuple[Tensor, Tensor]:
        """Attained values and witnesses; where nothing moves, one point may attain both ends.

        The two are then one number up to rounding, which must not put the lower above the upper.
        """
        half = self.attained.shape[1] // 2
        crossed = self.attained[:, :half] > -self.attained[:, half:]
        crossed = torch.cat([crossed, crossed], dim=1)
        attained = torch.where(crossed, -self.attained.roll(half, dims=1), self.attained)
        mask = crossed.reshape(*crossed.shape, *(1,) * (self.witnesses.ndim - 2))
        return attained, torch.where(mask, self.witnesses.roll(half, dims=1), self.witnesses)

    def _ends(self, minima: Tensor) -> tuple[Tensor, Tensor]:
        first, second = minima.chunk(2, dim=1)
        return first, -second

    def _slack(self, sample: int, row: int) -> float:
        """The most that rounding may move a bound."""
        box, rows = self.box[sample : sample + 1], self.rows(sample)[row]
        return 2 * float(slack(self.network, box, rows.reshape(1, 1, -1)))

    def _size(self, sample: int) -> float:
        values = self.attained[sample]
        return float(values[torch.isfinite(values)].abs().amax()) if len(values) else 0.0
