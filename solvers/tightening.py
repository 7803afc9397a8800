"""Tighter bounds on hidden neurons, bought with linear and small mixed-integer programs.

Only neurons that are not linear over their interval cost a binary, and their big-M constants are
the ends of that interval; so only these are worth a solve. Layer by layer: each solve sees the
tightened layers before it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from math import inf, prod
from typing import Any

import numpy as np

from sensverify.errors import BackendFailure
from sensverify.network import Network
from sensverify.network.operators import Increment, Max, PiecewiseLinear
from sensverify.runs.watch import TimeUp, Watch
from sensverify.solvers.encoding import Encoder, Form, Interval, pieces
from sensverify.solvers.encoding.builder import Builder
from sensverify.solvers.encoding.expression import Expression, widened
from sensverify.solvers.encoding.maximum import likeliest
from sensverify.solvers.highs import Highs

CROSSED = 1e-6
"""The most that two bounds on one neuron may cross by rounding, relative to their size."""

PRECISION = 0.01
"""Of bounds by mixed-integer programs, relative to the width of the interval: decided neurons are
worth their time, digits are not."""


@dataclass(eq=False)
class Tightening:
    """One pass over the layers; give `refine` to ``Encoder.encode``.

    Parameters
    ----------
    network : Network
    watch : Watch
        No solve begins after it is over; one that runs is stopped.
    layers : int
        Nonlinear nodes to come, which share the time.
    integer : bool
        With binaries for the layers before, for at most twice a neuron's share of the time.
    threads : int
    found : dict from node to ``(lower, upper)``
        The bounds of the layers that have been passed.
    """

    network: Network
    watch: Watch
    layers: int
    integer: bool = False
    threads: int = 1
    found: dict[int, Interval] = field(default_factory=dict)

    def refine(
        self, position: int, expression: Expression, ends: Interval, builder: Builder
    ) -> Interval:
        """Bounds on what enters a nonlinear node, at least as tight as those given."""
        self.found[position] = self._refined(position, expression, ends, builder)
        return self.found[position]

    def _refined(
        self, position: int, expression: Expression, ends: Interval, builder: Builder
    ) -> Interval:
        left, self.layers = max(1, self.layers), self.layers - 1
        inputs = prod(self.network.input_shape)
        if expression.matrix.indices.max(initial=0) < inputs or self.watch.over:
            # A sum over independent inputs: its interval is exact.
            return ends
        share = None if self.watch.left == inf else self.watch.left / left
        part = self.watch.within(share)
        layer = _Layer(self.network, position, expression, ends[0].copy(), ends[1].copy())
        before = layer.undecided()
        if len(before):
            problem = builder.problem()
            solver = Highs(problem if self.integer else problem.relaxed(), threads=self.threads)
            layer.solve(before, solver, problem.columns, part, integer=self.integer)
            done = len(before) - len(layer.undecided())
            self.watch.say(f"layer '{layer.name}': {done} of {len(before)} kinks left out")
        return layer.lower, layer.upper


@dataclass(eq=False)
class _Layer:
    """The input of one nonlinear node; ``lower`` and ``upper``, ``[entries]``, get tighter."""

    network: Network
    position: int
    expression: Expression
    lower: np.ndarray
    upper: np.ndarray

    @property
    def name(self) -> str:
        return self.network.nodes[self.position].name

    def undecided(self) -> np.ndarray:
        return undecided(self.network, self.position, self.lower, self.upper)

    def solve(
        self, entries: np.ndarray, solver: Highs, columns: int, watch: Watch, *, integer: bool
    ) -> None:
        """Both ends of these entries, until the time is over."""
        matrix = widened(self.expression.matrix, columns)
        lower, upper = self.lower[entries], self.upper[entries]
        # Those closest to being linear first: they are the likeliest to become so.
        nearness = np.minimum(-lower, upper) / np.maximum(upper - lower, 1e-300)
        for done, entry in enumerate(entries[np.argsort(nearness)]):
            row = matrix[[entry]].toarray().reshape(-1)
            limit = None if watch.left == inf else 2 * watch.left / (len(entries) - done)
            part = watch.within(limit if integer else None)
            for sign in (1.0, -1.0) if -self.lower[entry] < self.upper[entry] else (-1.0, 1.0):
                if watch.over:
                    return
                self._solve_end(entry, sign, row, solver, part)
                if not self._open(entry):
                    break

    def _solve_end(
        self, entry: int, sign: float, row: np.ndarray, solver: Highs, watch: Watch
    ) -> None:
        """The lower end with sign 1, the upper end with sign -1."""
        width = self.upper[entry] - self.lower[entry]
        solution = solver.minimise(sign * row, watch=watch, gap=PRECISION * width)
        if solution.bound is None:
            return
        bound = solution.bound + sign * self.expression.offset[entry]
        if sign > 0:
            self.lower[entry] = max(self.lower[entry], bound)
        else:
            self.upper[entry] = min(self.upper[entry], -bound)
        self._uncross(entry)

    def _open(self, entry: int) -> bool:
        return bool((self.undecided() == entry).any())

    def _uncross(self, entry: int) -> None:
        low, high = self.lower[entry], self.upper[entry]
        if low <= high:
            return
        if low - high > CROSSED * max(1e-3, abs(low), abs(high)):
            raise BackendFailure(
                f"a solver claims that a number that enters node '{self.name}' is at least "
                f"{low:.9g} and at most {high:.9g}",
                "please report this with the network and the box",
            )
        self.lower[entry], self.upper[entry] = high, low


def undecided(network: Network, position: int, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Entries of a nonlinear node's input with a kink, or a rival, inside their interval.

    Parameters
    ----------
    lower, upper : numpy array, shape ``[entries]``
        Bounds on the node's input.

    Returns
    -------
    Integer array: each costs a binary, or two, in the exact form.
    """
    node = network.nodes[position]
    shape = network.nodes[node.inputs[0]].shape
    open_: Any
    if isinstance(node.operator, Max):
        low, high = (end.reshape(-1, shape[-1]) for end in (lower, upper))
        best = low.max(axis=1, keepdims=True)
        winner = np.arange(shape[-1]) == likeliest(low, high)[:, None]
        rivals = (high > best) & ~winner
        open_ = ((rivals | winner) & rivals.any(axis=1, keepdims=True)).reshape(-1)
    elif isinstance(node.operator, Increment) and isinstance(
        node.operator.function, PiecewiseLinear
    ):
        low, high = (end.reshape(-1, 2) for end in (lower, upper))
        start = np.minimum(low[:, 0], low.sum(axis=1))
        end = np.maximum(high[:, 0], high.sum(axis=1))
        kinks = pieces(node.operator.function, shape[:-1]).kinks
        bent = ((kinks > start) & (kinks < end)).any(axis=0)
        open_ = np.repeat(bent, 2) & (lower < upper)
    elif isinstance(node.operator, PiecewiseLinear):
        kinks = pieces(node.operator, shape).kinks
        open_ = ((kinks > lower) & (kinks < upper)).any(axis=0)
    else:
        open_ = lower < upper
    return np.flatnonzero(open_)


def kinks(network: Network, bounds: dict[int, Interval]) -> int:
    """The approximate number of binaries in an encoding with these bounds."""
    return sum(
        len(undecided(network, p, lower.reshape(-1), upper.reshape(-1)))
        for p, (lower, upper) in bounds.items()
    )


def tightened(
    encoder: Encoder,
    box: Interval,
    bounds: dict[int, Interval],
    watch: Watch,
    *,
    integer: bool,
    threads: int = 1,
) -> dict[int, Interval]:
    """Bounds on the inputs of all nonlinear nodes after one pass, from those before it.

    Layers that are not reached in time keep the bounds that they had.
    """
    form = Form.EXACT if integer else Form.RELAXED
    work = Tightening(encoder.network, watch, len(bounds), integer, threads)
    with suppress(TimeUp):
        encoder.encode(*box, bounds, form, refine=work.refine, watch=watch)
    flat = {p: (low.reshape(-1), high.reshape(-1)) for p, (low, high) in bounds.items()}
    return {**flat, **work.found}
