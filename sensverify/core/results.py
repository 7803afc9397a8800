"""Results of a method, with their guarantee."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from math import prod
from typing import TYPE_CHECKING, Any

from sensverify.core.box import Box
from sensverify.core.provenance import Provenance
from sensverify.errors import BadShape

if TYPE_CHECKING:
    from sensverify.core.arrays import Tensor


class Guarantee(IntEnum):
    """Guarantee of a result, weakest first; ``min`` combines several results."""

    ESTIMATE = 0
    """Sampled or attacked; the truth may lie outside."""
    PROBABILISTIC = 1
    """Estimated by random projections: a share of a bound is reached with a stated probability."""
    SOLVER = 2
    """Holds within a solver's own tolerances."""
    SOUND = 3
    """Proven in real arithmetic, computed in floating-point numbers."""
    CERTIFIED = 4
    """An independent checker re-derived it with rigorous arithmetic."""

    def __str__(self) -> str:
        return self.name


class Status(Enum):
    """Status of a bound: the exact optimum, or stopped at a valid, maybe loose, bound."""

    OPTIMAL = "OPTIMAL"
    BOUNDED = "BOUNDED"


@dataclass(frozen=True, eq=False)
class Enclosure:
    """The outcome of a method's mathematics; `compute_bounds` checks it and adds provenance.

    Parameters
    ----------
    lower, upper : Tensor, shape ``[batch, objectives]``
        Proven to enclose ``c · f(x)`` for every input x of the box. Unchecked: `compute_bounds`
        refuses NaN and infinity, and puts ends that rounding has crossed in order.
    inner : Box or None, shape ``[batch, objectives]``
        Values that are attained at the witnesses.
    witness_lower, witness_upper : Tensor or None, shape ``[batch, objectives, *inputs]``
        Inputs that attain ``inner.lower`` and ``inner.upper``.
    optimal : boolean Tensor or None, shape ``[batch, objectives]``
        True where both ends are exact. None means nowhere.
    unstable : integer Tensor or None, shape ``[batch]``
        How many neurons are not linear over the box, by the bounds the method used.
    certificate : object or None
    stopped : bool
        The watch was over before the method's own end: what is given holds, and may be looser.
    guarantee : Guarantee or None
        Of this result, where it depends on the network or the settings; None is the method's own.
    """

    lower: Tensor
    upper: Tensor
    inner: Box[Tensor] | None = None
    witness_lower: Tensor | None = None
    witness_upper: Tensor | None = None
    optimal: Tensor | None = None
    unstable: Tensor | None = None
    certificate: Any = None
    guarantee: Guarantee | None = None
    stopped: bool = False


@dataclass(frozen=True, eq=False)
class Bounds:
    """Proven bounds on ``c · f(x)`` over a batch of input boxes.

    Attributes
    ----------
    outer : Box, shape ``[batch, objectives]``
        Contains every value attained in the input box.
    inner : Box or None
        Attained values: ``outer.lower <= exact minimum <= inner.lower`` and the mirror image.
    witness_lower, witness_upper : Tensor or None, shape ``[batch, objectives, *inputs]``
    optimal : boolean Tensor or None, shape ``[batch, objectives]``
        True where the outer box is exact.
    unstable : integer Tensor or None, shape ``[batch]``
        How many neurons are not linear over the box, by the bounds the method used.
    guarantee : Guarantee
    provenance : Provenance
    certificate : object or None
    stopped : bool
        A watch was over before the method's own end: the bounds hold, and may be looser.
    """

    outer: Box[Tensor]
    guarantee: Guarantee
    provenance: Provenance
    inner: Box[Tensor] | None = None
    witness_lower: Tensor | None = None
    witness_upper: Tensor | None = None
    optimal: Tensor | None = None
    unstable: Tensor | None = None
    certificate: Any = None
    stopped: bool = False

    def __post_init__(self) -> None:
        if self.inner is not None and self.inner.shape != self.outer.shape:
            raise BadShape(
                f"inner box of shape {self.inner.shape} beside an outer box of {self.outer.shape}"
            )

    def __repr__(self) -> str:
        notes = [f"{self.guarantee} by {self.provenance.method}", self.outer.summary]
        if self.optimal is not None:
            notes.append(f"{int(self.optimal.sum())} of {prod(self.optimal.shape)} exact")
        if self.stopped:
            notes.append("stopped early")
        return f"Bounds({', '.join(notes)})"

    def status(self, sample: int) -> Status:
        """``OPTIMAL`` when every bound of the sample is exact, else ``BOUNDED``."""
        if self.optimal is not None and bool(self.optimal[sample].all()):
            return Status.OPTIMAL
        return Status.BOUNDED
