"""Bounds on chosen neurons of a layer: alone, or with the whole layer where most are chosen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sensverify.bounds.ibp import Interval
from sensverify.bounds.tensors import flattened
from sensverify.bounds.tiles import Tiles
from sensverify.bounds.window_plan import WindowPlan

_ALONE_ROWS, _ALONE_WINDOWS = 0.9, 0.3
"""The largest share of a layer that is bounded neuron by neuron. Through windows, whose lines all
channels share, a whole layer costs little more than half of it, and then intervals decide more of
the next one."""

_PILOTS = 64
"""About so many of a layer's open neurons tell whether it pays to look for signs first."""

_MOST_ROWS, _MOST_WINDOWS = 0.8, 0.25
"""The largest share of these that may stay open for it to pay: whatever is open is bounded twice,
through windows mostly neuron by neuron."""


@dataclass(frozen=True, eq=False)
class Neurons:
    """Neurons of one layer, each box with a choice of its own.

    Parameters
    ----------
    tiles : Tiles
    target : int
        The node.
    plan : WindowPlan or None
        The node's windows.
    """

    tiles: Tiles
    target: int
    plan: WindowPlan | None

    def bounds(self, chosen: Tensor, signs: Tensor | None = None) -> tuple[Tensor, Interval]:
        """Bounds by the pass on entries of the flattened node.

        Parameters
        ----------
        chosen : boolean Tensor ``[batch, entries]``
        signs : Tensor ``[batch, entries]`` of 1 and -1, optional
            Asks for one end alone to be as tight as ever, the lower one where the sign is 1.

        Returns
        -------
        bounded : boolean Tensor ``[batch, entries]``
            What is chosen, or all.
        lower, upper : Tensor ``[batch, entries]``
            SOUND where ``bounded``.
        """
        alone = _ALONE_ROWS if self.plan is None else _ALONE_WINDOWS
        if float(chosen.double().mean()) > alone:
            if self.plan is not None:
                lower, upper = self.tiles.windows(self.target, self.plan, signs)
                return torch.ones_like(chosen), (flattened(lower), flattened(upper))
            if signs is None:
                return torch.ones_like(chosen), self.tiles.rows(self.target, None)
        if self.plan is not None and not self.plan.few(int(chosen.sum()), len(chosen)):
            found = self.tiles.open_windows(self.target, self.plan, chosen, signs)
        else:
            found = self.tiles.open_rows(self.target, chosen, signs)
        places, *ends = found
        lower, upper = (end.new_zeros(chosen.shape).index_put(places, end) for end in ends)
        return chosen, (lower, upper)

    def by_signs(self, chosen: Tensor, signs: Tensor, known: Interval) -> tuple[Tensor, Interval]:
        """As `bounds`, for neurons of which the sign is enough where it is the same on the box.

        The value at one point of the box tells which end may prove that: the pass for this end
        alone carries one set of coefficients in place of two. The other end follows from them
        less tightly, and where no sign is proven it gets a pass of its own, too.

        Parameters
        ----------
        chosen : boolean Tensor ``[batch, entries]``
        signs : Tensor ``[batch, entries]``
            1 where a value is at least 0, else -1.
        known : pair of Tensor ``[batch, entries]``
            Other bounds: taken where they are tighter and the sign is enough.
        """
        pilots = _some(chosen, _PILOTS)
        bounded, ends = self.bounds(pilots, signs)
        is_open = pilots & _keeps_no_sign(ends)
        share = float(is_open.sum()) / max(1, int(pilots.sum()))
        if share > (_MOST_ROWS if self.plan is None else _MOST_WINDOWS):
            second, others = self.bounds(chosen & (is_open | ~pilots))
        else:
            first, others = self.bounds(chosen & ~pilots, signs)
            ends = _where(first, others, ends)
            bounded = bounded | first
            is_open = chosen & _keeps_no_sign(ends)
            second, others = self.bounds(is_open, -signs)
            second = second & is_open
            # The end that each pass was asked for, so that bounds are those of the pass for both.
            others = _where(signs > 0, (ends[0], others[1]), (others[0], ends[1]))
        # NaN is no tighter.
        tighter = (
            torch.where(known[0] > ends[0], known[0], ends[0]),
            torch.where(known[1] < ends[1], known[1], ends[1]),
        )
        return bounded | second, _where(second, others, tighter)


def _some(chosen: Tensor, count: int) -> Tensor:
    """About so many of the chosen entries, from all over them."""
    flat = chosen.flatten()
    places = flat.nonzero().squeeze(1)
    step = max(1, len(places) // count)
    picked = torch.zeros_like(flat)
    picked[places[step // 2 :: step]] = True
    return picked.reshape(chosen.shape)


def _keeps_no_sign(ends: Interval) -> Tensor:
    return ~((ends[0] >= 0) | (ends[1] <= 0))


def _where(chosen: Tensor, ends: Interval, others: Interval) -> Interval:
    return torch.where(chosen, ends[0], others[0]), torch.where(chosen, ends[1], others[1])
