"""The best linear bound that slopes, weights and multipliers allow, by gradient steps.

Three choices are free in a line below a weighted sum of rows: the lower slope of every unstable
ReLU (alpha-CROWN), the weights of the rows, and the multipliers of constraints ``z_j >= 0`` or
``z_j <= 0`` that a split has put on what enters a ReLU (beta-CROWN). Slopes in [0, 1], weights and
multipliers of at least 0 all give valid lines: each is a feasible point of the dual of the linear
relaxation, so every step's line is proven, and the best is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sensverify.bounds.backward import backward_lines
from sensverify.bounds.relaxation import Relaxation
from sensverify.bounds.tensors import flattened
from sensverify.network import Network
from sensverify.network.operators import Relu

_SLOPE_RATE = 0.3
_WEIGHT_RATE = 0.5
_MULTIPLIER_RATE = 0.4
_DECAY = 0.95
"""Of the learning rates, each step."""


@dataclass(frozen=True, eq=False)
class LineProblem:
    """Weighted sums of rows to bound below, each on a box of its own.

    Parameters
    ----------
    network : Network
        With tensors as parameters.
    lower, upper : Tensor, shape ``[items, features]``
    relaxations : dict from nonlinear node to Relaxation, with a batch of items
    rows : Tensor, shape ``[items, rows, *target]``, the node's shape flattened
    limits : Tensor, shape ``[items, rows]``
        What each row is held against.
    present : boolean Tensor, shape ``[items, rows]``
        False for padding.
    signs : dict from ReLU node to Tensor ``[items, *shape]``
        Constraints with multipliers: 1 for ``z >= 0``, -1 for ``z <= 0``, 0 for none.
    target : int or None
        The node that the rows are of; None is the output.
    """

    network: Network
    lower: Tensor
    upper: Tensor
    relaxations: Mapping[int, Relaxation]
    rows: Tensor
    limits: Tensor
    present: Tensor
    signs: Mapping[int, Tensor] = field(default_factory=dict)
    target: int | None = None


@dataclass(frozen=True, eq=False)
class Choices:
    """The free choices: to start from, and as they were left.

    Parameters
    ----------
    slopes : dict from ReLU node to Tensor ``[items, *shape]``
    multipliers : dict from ReLU node to Tensor ``[items, *shape]``, at least 0
    scores : Tensor or None, shape ``[items, rows]``
        Weights before the softmax; None weighs all rows the same.
    """

    slopes: dict[int, Tensor] = field(default_factory=dict)
    multipliers: dict[int, Tensor] = field(default_factory=dict)
    scores: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Behind:
    """The proof of a line: whoever has these numbers finds it again.

    Parameters
    ----------
    lower, upper : dict from nonlinear node to Tensor ``[items, 1, ...]``
        Slopes of the lines below and above.
    multipliers : dict from ReLU node to Tensor ``[items, *shape]``, at least 0
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
    """

    coefficients: Tensor
    excess: Tensor
    choices: Choices
    seen: dict[int, Tensor]
    weights: Tensor
    behind: Behind | None = None


def best_lines(
    problem: LineProblem, start: Choices, steps: int, *, keep: bool = False
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
    """
    variables = _Variables(problem, start, single=keep)
    kept = variables.values() if keep else None
    optimizer = _Adam(variables.leaves())
    best = torch.full_like(problem.limits[:, 0], -torch.inf)
    best_line, best_weights = torch.zeros_like(problem.lower), torch.zeros_like(problem.limits)
    for step in range(steps + 1):
        with torch.set_grad_enabled(step < steps):
            line, value, seen, weights = variables.line()
            following = step < steps and value.requires_grad
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
    seen = {p: a.detach().squeeze(1) for p, a in seen.items()}
    behind = None if kept is None else variables.behind(kept)
    return BestLines(best_line, best, variables.choices(), seen, best_weights, behind)


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
    lines = flattened(lines, 2)
    middle = (lines @ (problem.lower / 2 + problem.upper / 2).unsqueeze(2)).squeeze(2)
    spread = (lines.abs() @ (problem.upper / 2 - problem.lower / 2).unsqueeze(2)).squeeze(2)
    least = middle - spread + constants
    below, above = problem.limits - least[:, :count], -least[:, count:] - problem.limits
    seen = {p: a.expand(items, *a.shape[1:])[:, :count] for p, a in seen.items()}
    return below, above, seen


class _Adam:
    """Adam (Kingma & Ba 2015) with decaying rates.

    torch's own imports its compiler at the first use, which takes longer than most searches.
    """

    def __init__(self, leaves: list[tuple[Tensor, float]]) -> None:
        self._leaves = [(leaf, rate, _zeros(leaf), _zeros(leaf)) for leaf, rate in leaves]
        self._steps = 0

    def step(self) -> None:
        """One step downhill; gradients are taken and cleared."""
        self._steps += 1
        first, second = 1 - 0.9**self._steps, 1 - 0.999**self._steps
        decay = _DECAY ** (self._steps - 1)
        with torch.no_grad():
            for leaf, rate, mean, square in self._leaves:
                if leaf.grad is None:
                    continue
                mean.lerp_(leaf.grad, 0.1)
                square.mul_(0.999).addcmul_(leaf.grad, leaf.grad, value=0.001)
                root = (square / second).sqrt_().add_(1e-8)
                leaf.addcdiv_(mean, root, value=-rate * decay / first)
                leaf.grad = None


def _zeros(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf, requires_grad=False)


class _Variables:
    """The free choices of one problem as leaves of autograd."""

    def __init__(self, problem: LineProblem, start: Choices, *, single: bool) -> None:
        self._problem, self._single = problem, single
        nodes, like = problem.network.nodes, problem.limits
        self._slopes = {
            p: _leaf(start.slopes[p], like)
            if p in start.slopes
            else relaxation.lower_slope.detach().clone().requires_grad_()
            for p, relaxation in problem.relaxations.items()
            if isinstance(nodes[p].operator, Relu) and not _all_stable(relaxation)
        }
        self._multipliers = {
            p: _leaf(start.multipliers.get(p, torch.zeros_like(s)), like)
            for p, s in problem.signs.items()
        }
        self._signed = {p: -s.to(like).unsqueeze(1) for p, s in problem.signs.items()}
        first = torch.zeros_like(like) if start.scores is None else start.scores.clone()
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
        problem, parts = self._problem, iter(kept)
        slopes = {p: next(parts) for p in self._slopes}
        multipliers = {p: next(parts).squeeze(1) for p in self._multipliers}
        relaxations = {p: _with_slope(r, slopes.get(p)) for p, r in problem.relaxations.items()}
        lower = {p: r.lower_slope for p, r in relaxations.items()}
        upper = {p: r.upper_slope for p, r in relaxations.items()}
        return Behind(lower, upper, multipliers)

    def _all(self) -> list[Tensor]:
        return [*self._slopes.values(), *self._multipliers.values()]

    def leaves(self) -> list[tuple[Tensor, float]]:
        """The variables of the gradient steps, with their learning rates."""
        return [
            *((slope, _SLOPE_RATE) for slope in self._slopes.values()),
            *((multiplier, _MULTIPLIER_RATE) for multiplier in self._multipliers.values()),
            *([(self._scores, _WEIGHT_RATE)] if self._scores.requires_grad else []),
        ]

    def line(self) -> tuple[Tensor, Tensor, dict[int, Tensor], Tensor]:
        """Coefficients, smallest value, the coefficients on the way, and the rows' weights."""
        problem = self._problem
        network = problem.network
        weights = self._scores.masked_fill(~problem.present, -torch.inf).softmax(dim=1)
        target = len(network.nodes) - 1 if problem.target is None else problem.target
        shape = network.nodes[target].shape
        objective = (weights.unsqueeze(1) @ problem.rows).reshape(len(weights), 1, *shape)
        slopes = self._slopes
        relaxations = {p: _with_slope(r, slopes.get(p)) for p, r in problem.relaxations.items()}
        multipliers = {p: self._signed[p] * self._multipliers[p] for p in self._multipliers}
        line, constant, seen = backward_lines(
            network, objective, relaxations, target=target, multipliers=multipliers
        )
        line = flattened(line)
        middle = (line * (problem.lower / 2 + problem.upper / 2)).sum(dim=1)
        spread = (line.abs() * (problem.upper / 2 - problem.lower / 2)).sum(dim=1)
        limit = (weights * problem.limits).sum(dim=1)
        return line, middle - spread + constant[:, 0] - limit, seen, weights

    def project(self) -> None:
        with torch.no_grad():
            for slope in self._slopes.values():
                slope.clamp_(0, 1)
                if self._single:
                    slope.copy_(slope.float())
            for multiplier in self._multipliers.values():
                multiplier.clamp_(min=0)

    def choices(self) -> Choices:
        return Choices(
            {p: slope.detach().squeeze(1) for p, slope in self._slopes.items()},
            {p: multiplier.detach().squeeze(1) for p, multiplier in self._multipliers.items()},
            self._scores.detach(),
        )


def _with_slope(relaxation: Relaxation, slope: Tensor | None) -> Relaxation:
    """With the chosen lower slope where the ReLU is unstable: its line meets zero there."""
    intercept = relaxation.upper_intercept
    if slope is None or intercept is None:
        return relaxation
    low = torch.where(intercept > 0, slope, relaxation.upper_slope)
    return Relaxation(low, relaxation.upper_slope, None, intercept)


def _leaf(values: Tensor, like: Tensor) -> Tensor:
    """A copy to take steps on, with an axis for the one line of each item."""
    return values.to(like, copy=True).unsqueeze(1).requires_grad_()


def _all_stable(relaxation: Relaxation) -> bool:
    intercept = relaxation.upper_intercept
    return intercept is None or not bool((intercept > 0).any())
