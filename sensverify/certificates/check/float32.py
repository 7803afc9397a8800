"""Distance of a network evaluated in float32 from the real-valued one."""

from __future__ import annotations

import numpy as np

from sensverify.certificates.check.arithmetic import Rigorous
from sensverify.certificates.check.checker import Evaluator
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.maps import Part, Pick
from sensverify.certificates.check.program import Linear, Nonlinear, Program
from sensverify.certificates.check.ranges import Evaluation, Machine
from sensverify.network.operators import Clip, Max, Sigmoid, Tanh

UNIT = 2.0**-24
"""Half the distance from 1 to the next float32."""

_TINY = 2.0**-149
_LARGEST = float(np.finfo(np.float32).max)

_LIBRARY = 8
"""Units by which a runtime's exp or tanh may be off: an assumption, generous for those in use."""


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
        `_LIBRARY` units. Infinite where float32 may overflow. Rows are not rounded. Source: Higham
        2002, *Accuracy and stability of numerical algorithms*, Section 3.1, layer after layer.
    """
    claims = Claims(lower, upper, rows, np.full((len(lower), rows.shape[1]), -np.inf))
    evaluator = Evaluator(program, Rigorous(), claims)
    with np.errstate(over="ignore", invalid="ignore"):
        errors = np.concatenate(
            [_errors(evaluation) for evaluation in evaluator.relaxed(lower, upper)]
        )
        margin = (abs(rows) @ errors[:, :, None])[:, :, 0]
    margin = margin * (1 + 2.0**-20)
    return np.where(np.isfinite(margin), margin, np.inf)


def _errors(evaluation: Evaluation) -> np.ndarray:
    """Of the output, ``[cells, outputs]``."""
    errors = [np.zeros_like(evaluation.low[0])]
    for position, step in enumerate(evaluation.steps[1:], start=1):
        if isinstance(step, Linear):
            errors.append(_linear(evaluation.machine, evaluation, position, step, errors))
        elif isinstance(step, Nonlinear):
            errors.append(_nonlinear(evaluation, position, step, errors[step.source]))
        size = evaluation.magnitude(position) + errors[-1]
        errors[-1] = np.where(size <= _LARGEST / 2, errors[-1], np.inf)
    return errors[-1]


def _gamma(terms: int) -> float:
    return 2 * terms * UNIT if terms * UNIT < 0.25 else np.inf


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
        total = total + passed * (1 + _gamma(terms)) + _gamma(terms) * largest
        # What underflow takes from products, and from weights.
        total = total + _TINY * (part.fore_terms + 1 + read.sum(axis=1, keepdims=True))
        size = size + largest
        if _largest(part) > _LARGEST / 2:
            return np.full_like(total, np.inf)
    count = len(step.terms) - 1
    if step.constant is not None:
        size, count = size + abs(step.constant), count + 2
    if count:
        total = total + _gamma(count) * size + _TINY
    # Sums may overflow on the way, whatever they come to.
    return np.where(size <= _LARGEST / 2, total, np.inf)


def _largest(part: Part) -> float:
    """The largest magnitude of a weight."""
    if isinstance(part, Pick):
        return 1.0 if part.scale is None else float(abs(part.scale).max(initial=0.0))
    return max((float(abs(block.weight).max(initial=0.0)) for block in part.blocks), default=0.0)


def _nonlinear(
    evaluation: Evaluation, position: int, step: Nonlinear, error: np.ndarray
) -> np.ndarray:
    """A function that moves by at most L times its argument, and what computing it rounds."""
    if isinstance(step.operator, Max):
        return error.reshape(len(error), step.size, step.window).max(axis=2)
    if isinstance(step.operator, Sigmoid | Tanh):
        factor = 0.25 if isinstance(step.operator, Sigmoid) else 1.0
        return factor * error + _gamma(_LIBRARY) * np.minimum(1.0, 1.0 + error)
    if isinstance(step.operator, Clip):
        # The ends are rounded, too.
        bounds = [abs(end) for end in (step.operator.low, step.operator.high) if np.isfinite(end)]
        return error + UNIT * max(bounds, default=0.0) + _TINY
    if step.slope is None:
        return error
    steep = np.maximum(1.0, abs(step.slope))
    reached = evaluation.magnitude(step.source) + error
    rounded = _gamma(2) * steep * reached + _TINY * (1 + reached)
    return steep * error * (1 + _gamma(2)) + rounded
