"""The best linear bound that slopes, weights and multipliers allow, by gradient steps.

Three choices are free in a line below a weighted sum of rows: the lines around every nonlinear
function (alpha-CROWN; `sensverify.bounds.free_lines`), the weights of the rows, and the multipliers
of constraints ``low <= z_j <= high`` that splits have put on what enters (beta-CROWN). All give
valid lines: each is a feasible point of the dual of the linear relaxation, so every step's line is
proven, and the best is kept.

Of both ends of a constraint one multiplier is enough: it is positive for the lower one and negative
for the upper one. With m it adds ``max(m, 0) (low - z) + min(m, 0) (high - z)``, which is at most
0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf

import torch
from torch import Tensor

from sensverify.bounds.backward import backward_lines
from sensverify.bounds.free_lines import (
    Choice,
    chosen_lines,
    crown_choice,
    has_choice,
    project,
    step_size,
)
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.tensors import flattened
from sensverify.network.operators import Relu
from sensverify.runs.watch import Watch
from sensverify.solvers.branch_and_bound.line_problem import LineProblem

_WEIGHT_RATE = 0.5


@dataclass(frozen=True)
class Rates:
    """Learning rates: of slopes, of the multipliers of constraints, and what a step leaves of both.

    Weights of rows have a rate of their own.
    """

    slopes: float
    multipliers: float
    decay: float


FRESH = Rates(0.3, 0.4, 0.95)
"""From CROWN's slopes."""

WARM = Rates(0.05, 0.1, 0.98)
"""From choices that were found for a problem that is little different: larger first steps lose
more than the next few find again."""


@dataclass(frozen=True, eq=False)
class Choices:
    """The free choices: to start from, and as they were left.

    Parameters
    ----------
    slopes, above : dict from node to Tensor ``[items, *shape]``
        Of the lines below and above, as `sensverify.bounds.free_lines.Choice` has them.
    multipliers : dict from node to Tensor ``[items, *shape]``
    scores : Tensor or None, shape ``[items, rows]``
        Weights before the softmax; None weighs all rows the same.
    """

    slopes: dict[int, Tensor] = field(default_factory=dict)
    above: dict[int, Tensor] = field(default_factory=dict)
    multipliers: dict[int, Tensor] = field(default_factory=dict)
    scores: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Behind:
    """The proof of a line: whoever has these numbers finds it again.

    Parameters
    ----------
    lower, upper : dict from nonlinear node to Tensor ``[items, 1, ...]``
        Slopes of the lines below and above.
    multipliers : dict from node to Tensor ``[items, *shape]``
    """

    lower: dict[int, Tensor]
    upper: dict[int, Tensor]
    multipliers: dict[int, Tensor]

    def of(self, items: Tensor) -> Behind:
        """Of some items, in the order given."""
        parts = (self.lower, self.upper, self.multipliers)
        return Behind(*({p: values[items] for p, values in part.items()} for part in parts))


@dataclass(frozen=True, eq=False)
class BestLines:
    """The best line of each item.

    Parameters
    ----------
    coefficients : Tensor, shape ``[items, features]``
    excess : Tensor, shape ``[items]``
        Its smallest value on the box: proven below the weighted sum of ``row - limit``.
    choices : Choices
        Of the last step.
    seen : dict from node to Tensor ``[items, *shape]``
        Coefficients on the outputs of nonlinear nodes, in the last step.
    weights : Tensor, shape ``[items, rows]``
        Of the best step.
    behind : Behind or None
        All that proves the best line, where it was asked for.
    best : Choices or None
        Of the best step, likewise.
    """

    coefficients: Tensor
    excess: Tensor
    choices: Choices
    seen: dict[int, Tensor]
    weights: Tensor
    behind: Behind | None = None
    best: Choices | None = None


def best_lines(
    problem: LineProblem,
    start: Choices,
    steps: int,
    *,
    keep: bool = False,
    rates: Rates = FRESH,
    watch: Watch | None = None,
) -> BestLines:
    """Take gradient steps on all choices together.

    Parameters
    ----------
    problem : LineProblem
    start : Choices
        What is missing starts from CROWN's slopes, no multipliers and equal weights.
    steps : int
        Of Adam; 0 looks at the start only.
    keep : bool
        Also keep what is behind the best lines. Slopes are single precision then, as a proof
        stores them.
    rates : Rates
    watch : Watch, optional
        Once it is over, no further step is taken.
    """
    watch = watch or Watch()
    variables = _Variables(problem, start, single=keep)
    kept = variables.values() if keep else None
    optimizer = _Adam(variables.leaves(rates) if steps else [], rates.decay)
    best = torch.full_like(problem.limits[:, 0], -torch.inf)
    best_line = best.new_zeros(len(best), problem.lower.shape[1])
    best_weights = torch.zeros_like(problem.limits)
    for step in range(steps + 1):
        with torch.set_grad_enabled(step < steps):
            line, value, seen, weights = variables.line()
            following = step < steps and value.requires_grad and not watch.over
            if following:
                (-value.sum()).backward()
        # An overflow proves nothing.
        better = (value.detach() > best) & value.detach().isfinite()
        best = torch.where(better, value.detach(), best)
        best_line = torch.where(better.unsqueeze(1), line.detach(), best_line)
        best_weights = torch.where(better.unsqueeze(1), weights.detach(), best_weights)
        if kept is not None:
            variables.copy_to(kept, better)
        if not following:
            break
        optimizer.step()
        variables.project()
    if problem.empty is not None:
        best = best.masked_fill(problem.empty, inf)
    seen = {p: a.detach().squeeze(1) for p, a in seen.items()}
    found = BestLines(best_line, best, variables.choices(), seen, best_weights)
    if kept is None:
        return found
    return replace(
        found, behind=variables.behind(kept), best=variables.choices_of(kept, best_weights)
    )


def rows_alone(problem: LineProblem) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """The distance of each row from its limit, on either side, by CROWN's slopes alone.

    Returns
    -------
    below, above : Tensor, shape ``[items, rows]``
    seen : dict from node to Tensor ``[items, rows, *shape]``
        Coefficients of the line below each row on the outputs of nonlinear nodes.
    """
    network, items, count = problem.network, len(problem.limits), problem.limits.shape[1]
    rows = torch.cat([problem.rows, -problem.rows], dim=1)
    objectives = rows.reshape(items, 2 * count, *network.output_shape)
    lines, constants, seen = backward_lines(network, objectives, problem.relaxations)
    least = problem.least(flattened(lines, 2)) + constants
    below, above = problem.limits - least[:, :count], -least[:, count:] - problem.limits
    seen = {p: a.expand(items, *a.shape[1:])[:, :count] for p, a in seen.items()}
    return below, above, seen


class _Adam:
    """Adam (Kingma & Ba 2015) with decaying rates.

    torch's own imports its compiler at the first use, which takes longer than most searches.
    """

    def __init__(self, leaves: list[tuple[Tensor, float | Tensor]], decay: float) -> None:
        self._leaves = [(leaf, rate, _zeros(leaf), _zeros(leaf)) for leaf, rate in leaves]
        self._steps, self._decay = 0, decay

    def step(self) -> None:
        """One step downhill; gradients are taken and cleared."""
        self._steps += 1
        first, second = 1 - 0.9**self._steps, 1 - 0.999**self._steps
        decay = self._decay ** (self._steps - 1)
        with torch.no_grad():
            for leaf, rate, mean, square in self._leaves:
                if leaf.grad is None:
                    continue
                mean.lerp_(leaf.grad, 0.1)
                square.mul_(0.999).addcmul_(leaf.grad, leaf.grad, value=0.001)
                root = (square / second).sqrt_().add_(1e-8)
                if isinstance(rate, Tensor):
                    leaf.addcdiv_(mean * rate, root, value=-decay / first)
                else:
                    leaf.addcdiv_(mean, root, value=-rate * decay / first)
                leaf.grad = None


def _zeros(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf, requires_grad=False)


class _Variables:
    """The free choices of one problem as leaves of autograd."""

    def __init__(self, problem: LineProblem, start: Choices, *, single: bool) -> None:
        self._problem, self._single = problem, single
        like = problem.limits
        self._chosen = {
            p: _chosen(problem, p, start) for p in problem.relaxations if _free(problem, p)
        }
        self._multipliers = {
            p: _leaf(start.multipliers.get(p, torch.zeros_like(low)), like)
            for p, (low, _) in problem.cuts.items()
        }
        self._cuts = {p: _Constraint.of(*ends, like) for p, ends in problem.cuts.items()}
        first = torch.zeros_like(like) if start.scores is None else start.scores.to(like, copy=True)
        # With one row there is nothing to weigh.
        self._scores = first.requires_grad_() if like.shape[1] > 1 else first

    def values(self) -> list[Tensor]:
        """A copy of all choices as they stand."""
        return [values.detach().clone() for values in self._all()]

    def copy_to(self, kept: list[Tensor], items: Tensor) -> None:
        """Put the choices of some items, a boolean Tensor ``[items]``, into such a copy."""
        for old, new in zip(kept, self._all(), strict=True):
            mask = items.reshape(-1, *(1,) * (new.ndim - 1))
            torch.where(mask, new.detach(), old, out=old)

    def behind(self, kept: list[Tensor]) -> Behind:
        """The proof of the lines of such a copy."""
        parts = iter(kept)
        chosen: dict[int, Choice] = {
            p: (next(parts), None if high is None else next(parts))
            for p, (_, high) in self._chosen.items()
        }
        multipliers = {p: next(parts).squeeze(1) for p in self._multipliers}
        relaxations = self._relaxations(chosen)
        lower = {p: r.lower_slope for p, r in relaxations.items()}
        upper = {p: r.upper_slope for p, r in relaxations.items()}
        return Behind(lower, upper, multipliers)

    def choices_of(self, kept: list[Tensor], weights: Tensor) -> Choices:
        """The choices of such a copy, with the weights of the rows."""
        parts = iter(kept)
        slopes, above = dict[int, Tensor](), dict[int, Tensor]()
        for p, (_, high) in self._chosen.items():
            slopes[p] = next(parts).squeeze(1)
            if high is not None:
                above[p] = next(parts).squeeze(1)
        multipliers = {p: next(parts).squeeze(1) for p in self._multipliers}
        return Choices(slopes, above, multipliers, weights.log())

    def _relaxations(self, chosen: Mapping[int, Choice]) -> dict[int, Relaxation]:
        return {
            p: _with_choice(self._problem, p, chosen[p]) if p in chosen else lines
            for p, lines in self._problem.relaxations.items()
        }

    def _lines(self) -> list[Tensor]:
        return [part for pair in self._chosen.values() for part in pair if part is not None]

    def _all(self) -> list[Tensor]:
        return [*self._lines(), *self._multipliers.values()]

    def leaves(self, rates: Rates) -> list[tuple[Tensor, float | Tensor]]:
        """The variables of the gradient steps, with their learning rates."""
        return [
            *(
                (part, rate)
                for p, pair in self._chosen.items()
                for part, rate in zip(pair, self._rates(p, pair, rates.slopes), strict=True)
                if part is not None
            ),
            *((multiplier, rates.multipliers) for multiplier in self._multipliers.values()),
            *([(self._scores, _WEIGHT_RATE)] if self._scores.requires_grad else []),
        ]

    def _rates(
        self, position: int, choice: Choice, rate: float
    ) -> tuple[float | Tensor, float | Tensor]:
        problem = self._problem
        if position not in problem.ends:
            return rate, rate
        operator = problem.network.nodes[position].operator
        low, high = (end.unsqueeze(1) for end in problem.ends[position])
        each = rate * step_size(operator, choice, low, high)
        return each, each

    def line(self) -> tuple[Tensor, Tensor, dict[int, Tensor], Tensor]:
        """Coefficients, smallest value, the coefficients on the way, and the rows' weights."""
        problem = self._problem
        network = problem.network
        weights = self._scores.masked_fill(~problem.present, -torch.inf).softmax(dim=1)
        target = len(network.nodes) - 1 if problem.target is None else problem.target
        shape = network.nodes[target].shape
        objective = (weights.unsqueeze(1) @ problem.rows).reshape(len(weights), 1, *shape)
        relaxations = self._relaxations(self._chosen)
        multipliers = {p: -multiplier for p, multiplier in self._multipliers.items()}
        line, constant, seen = backward_lines(
            network, objective, relaxations, target=target, multipliers=multipliers
        )
        for p, cut in self._cuts.items():
            if cut.at is not None:
                constant = constant + cut.held(self._multipliers[p])
        line = flattened(line)
        least = problem.least(line.unsqueeze(1))[:, 0]
        limit = (weights * problem.limits).sum(dim=1)
        return line, least + constant[:, 0] - limit, seen, weights

    def project(self) -> None:
        with torch.no_grad():
            for p, pair in self._chosen.items():
                project(self._problem.network.nodes[p].operator, pair)
                for part in pair:
                    if part is not None and self._single:
                        part.copy_(part.float())
            for p, multiplier in self._multipliers.items():
                multiplier.clamp_(self._cuts[p].least, self._cuts[p].most)

    def choices(self) -> Choices:
        """All as they stand."""

        def plain(values: Mapping[int, Tensor | None]) -> dict[int, Tensor]:
            return {p: v.detach().squeeze(1) for p, v in values.items() if v is not None}

        return Choices(
            plain({p: low for p, (low, _) in self._chosen.items()}),
            plain({p: high for p, (_, high) in self._chosen.items()}),
            plain(self._multipliers),
            self._scores.detach(),
        )


@dataclass(frozen=True, eq=False)
class _Constraint:
    """The limits of multipliers, and the finite ends of a constraint, ``[items, 1, *shape]`` each.

    ``at`` is None where all ends are 0: then multipliers add nothing but coefficients.
    """

    least: Tensor
    most: Tensor
    at: tuple[Tensor, Tensor] | None

    @classmethod
    def of(cls, low: Tensor, high: Tensor, like: Tensor) -> _Constraint:
        ends = tuple(end.to(like).unsqueeze(1) for end in (low, high))
        finite = [torch.isfinite(end) for end in ends]
        zero = torch.zeros((), dtype=like.dtype, device=like.device)
        least, most = (
            torch.where(f, s, zero) for f, s in zip(finite[::-1], (-inf, inf), strict=True)
        )
        at = tuple(torch.where(f, end, zero) for f, end in zip(finite, ends, strict=True))
        return cls(least, most, (at[0], at[1]) if any(bool(end.any()) for end in at) else None)

    def held(self, multiplier: Tensor) -> Tensor:
        """The part that multipliers add to the constant of the line, ``[items, 1]``."""
        assert self.at is not None
        terms = multiplier.clamp(min=0) * self.at[0] + multiplier.clamp(max=0) * self.at[1]
        return flattened(terms).sum(dim=1, keepdim=True)


def _free(problem: LineProblem, position: int) -> bool:
    """True where the lines of a node are chosen."""
    if problem.fixed:
        return False
    operator, lines = problem.network.nodes[position].operator, problem.relaxations[position]
    if isinstance(operator, Relu):
        return lines.upper_intercept is not None and bool((lines.upper_intercept > 0).any())
    return position in problem.ends and has_choice(operator)


def _chosen(problem: LineProblem, position: int, start: Choices) -> Choice:
    """The start of the lines of a node, as leaves."""
    operator, lines = problem.network.nodes[position].operator, problem.relaxations[position]
    like = problem.limits
    if position in start.slopes:
        above = start.above.get(position)
        return _leaf(start.slopes[position], like), None if above is None else _leaf(above, like)
    if isinstance(operator, Relu):
        return lines.lower_slope.detach().clone().requires_grad_(), None
    low, high = (end.unsqueeze(1) for end in problem.ends[position])
    below, over = crown_choice(operator, lines, low, high)
    assert over is not None
    below, over = (part.detach().clone().requires_grad_() for part in (below, over))
    return below, over


def _with_choice(problem: LineProblem, position: int, choice: Choice) -> Relaxation:
    """The lines of a choice; a ReLU's line below meets zero, and is known where it is stable."""
    known = problem.relaxations[position]
    if choice[1] is None:
        assert known.upper_intercept is not None
        low = torch.where(known.upper_intercept > 0, choice[0], known.upper_slope)
        return Relaxation(low, known.upper_slope, None, known.upper_intercept)
    low, high = (end.unsqueeze(1) for end in problem.ends[position])
    return chosen_lines(problem.network.nodes[position].operator, choice, known, low, high)


def _leaf(values: Tensor, like: Tensor) -> Tensor:
    """A copy to take steps on, with an axis for the one line of each item."""
    return values.to(like, copy=True).unsqueeze(1).requires_grad_()
