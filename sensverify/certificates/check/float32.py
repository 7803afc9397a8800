"""Distance of a network evaluated in float32 from the real-valued one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sensverify.certificates.check.arithmetic import TINY32, Rigorous, gamma32
from sensverify.certificates.check.layers import Layers
from sensverify.certificates.check.maps import Part, Pick
from sensverify.certificates.check.program import Linear, Nonlinear, Program
from sensverify.certificates.check.ranges import Evaluation, Machine

_LARGEST = float(np.finfo(np.float32).max)


def float32_margin(
    program: Program, lower: np.ndarray, upper: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """A bound on ``|rows · (f32(x) - f(x))|`` over boxes, where f32 computes in float32.

    Parameters
    ----------
    program : Program
    lower, upper : numpy array, shape ``[problems, features]``, float64
    rows : numpy array, shape ``[problems or 1, rows, outputs]``

    Returns
    -------
    numpy array, shape ``[problems, rows]``
        For inputs that are float32 numbers, weights rounded to float32 and every operation rounded
        to nearest: sums of products in any order, with or without fused operations, but no
        Winograd or Fourier transforms and no tensor-float arithmetic. Exponentials may be off by
        eight units. Infinite where float32 may overflow. Rows are not rounded. Source: Higham
        2002, *Accuracy and stability of numerical algorithms*, Section 3.1, layer after layer.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.concatenate([_errors(part) for part in _relaxed(program, lower, upper)])
        margin = (abs(rows) @ errors[:, :, None])[:, :, 0]
    margin = margin * (1 + 2.0**-20)
    return np.where(np.isfinite(margin), margin, np.inf)


def _relaxed(program: Program, lower: np.ndarray, upper: np.ndarray) -> Iterator[Evaluation]:
    """Boxes with all their layers bounded by the rule, in batches."""
    layers = Layers(Machine(program, Rigorous()))
    for some in layers.batches(np.arange(len(lower)), layers.widest_rows):
        evaluation = layers.start(lower[some], upper[some])
        for position, step in program.nonlinear:
            found = layers.bounds(evaluation, step)
            evaluation.relax(position, step, *found, step.function.rule_slopes(*found))
        evaluation.run(len(program.steps) - 1)
        yield evaluation


def _errors(evaluation: Evaluation) -> np.ndarray:
    """Of the output, ``[cells, outputs]``."""
    errors = [np.zeros_like(evaluation.low[0])]
    for position, step in enumerate(evaluation.steps[1:], start=1):
        if isinstance(step, Linear):
            errors.append(_linear(evaluation.machine, evaluation, position, step, errors))
        elif isinstance(step, Nonlinear):
            low, high = evaluation.low[step.source], evaluation.high[step.source]
            errors.append(step.function.float32_error_within(errors[step.source], low, high))
        size = evaluation.magnitude(position) + errors[-1]
        errors[-1] = np.where(size <= _LARGEST / 2, errors[-1], np.inf)
    return errors[-1]


def _linear(
    machine: Machine,
    evaluation: Evaluation,
    position: int,
    step: Linear,
    errors: list[np.ndarray],
) -> np.ndarray:
    """Errors passed on, and those of rounding weights, products and sums."""
    total = size = np.zeros((len(evaluation), step.size))
    for source, part in machine.terms[position]:
        read = evaluation.magnitude(source) + errors[source]
        passed = part.apply(machine.arithmetic, errors[source], absolute=True)
        largest = part.apply(machine.arithmetic, read, absolute=True)
        # The weight's own rounding, the products and their sum; a ratio is rounded twice more.
        terms = 0 if part.fore_terms == 0 else part.fore_terms + 2
        if isinstance(part, Pick) and part.spread is not None:
            terms += 4
        total = total + passed * (1 + gamma32(terms)) + gamma32(terms) * largest
        # What underflow takes from products, and from weights.
        total = total + TINY32 * (part.fore_terms + 1 + read.sum(axis=1, keepdims=True))
        size = size + largest
        if _largest(part) > _LARGEST / 2:
            return np.full_like(total, np.inf)
    count = len(step.terms) - 1
    if step.constant is not None:
        size, count = size + abs(step.constant), count + 2
    if count:
        total = total + gamma32(count) * size + TINY32
    # Sums may overflow on the way, whatever they come to.
    return np.where(size <= _LARGEST / 2, total, np.inf)


def _largest(part: Part) -> float:
    """The largest magnitude of a weight."""
    if isinstance(part, Pick):
        return 1.0 if part.scale is None else float(abs(part.scale).max(initial=0.0))
    return max((float(abs(block.weight).max(initial=0.0)) for block in part.blocks), default=0.0)
