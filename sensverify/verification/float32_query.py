"""A query about float32: what real arithmetic has to leave over for its rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sensverify.bounds import Ibp, compute_bounds
from sensverify.certificates.check.float32 import float32_margin
from sensverify.certificates.check.program import program_of
from sensverify.core.box import Box
from sensverify.errors import SensverifyError
from sensverify.formats.vnnlib import Case, NetworkQuery, Property
from sensverify.formats.vnnlib.terms import Variable
from sensverify.verification.joint import JointModel

_ROOM = 2.0**-8
"""Most that ends of inputs may move."""

_WHOLE = 2.0**24
"""Up to it, float32 holds every integer."""


def float32_property(
    whole: Property, asked: NetworkQuery, joint: JointModel
) -> tuple[Property, float, str]:
    """A property that every assignment meets which meets the query in float32.

    Its boxes hold the ends as float32 rounds them, and its limits are wider by a bound on what the
    networks, and the terms of the query, round.

    Returns
    -------
    property : Property
    margin : float
        The largest of the bounds.
    reason : str
        Why there is none; else empty.
    """
    if joint.signature is not None and any(
        max(-case.lower[port.start], case.upper[port.start]) > _WHOLE
        for case in whole.cases
        for port in joint.signature.inputs
    ):
        return whole, np.inf, "integers beyond 2 to the 24 are rounded where float32 takes them"
    try:
        program = program_of(joint.exact())
    except SensverifyError as error:
        return whole, np.inf, f"the rounding of float32 is not bounded for these networks: {error}"
    cases, largest = [], 0.0
    for case in whole.cases:
        lower, upper = _float32_ends(case)
        moved = _of_bounds(asked, lower, upper)
        if not moved <= _ROOM:
            return whole, np.inf, "bounds of inputs are computed, and float32 rounds them too much"
        lower, upper = np.nextafter(lower - moved, -np.inf), np.nextafter(upper + moved, np.inf)
        rows = case.query.rows[None]
        margin = float32_margin(program, lower[None], upper[None], rows)[0]
        identity = np.eye(rows.shape[2])[None]
        own = float32_margin(program, lower[None], upper[None], identity)[0]
        sizes = _magnitudes(joint, lower, upper) + own
        terms = _of_terms(asked, sizes, lower, upper)
        total = (margin + _scales(case) * terms) * (1 + 2.0**-40)
        if not np.isfinite(total).all():
            return whole, np.inf, "float32 may overflow in these networks"
        largest = max(largest, float(total.max(initial=0.0)))
        limits = np.nextafter(case.query.limits + total, np.inf)
        box = Box(lower[None], upper[None])
        cases.append(replace(case, query=replace(case.query, box=box, limits=limits)))
    return replace(whole, cases=tuple(cases)), largest, ""


def _of_bounds(asked: NetworkQuery, lower: np.ndarray, upper: np.ndarray) -> float:
    """By how much float32 moves ends of inputs that are computed; 0 where none is."""
    if not asked.computes_bounds:
        return 0.0
    sizes = np.maximum(abs(lower), abs(upper)) + _ROOM

    def largest(which: Variable) -> float:
        return float(sizes[asked.places[which.place]])

    return asked.assertions.bounds_rounding(
        largest, asked.places, several=asked.relations_bound, chain=asked.implied
    )


def _float32_ends(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the box, outward to where float32 rounds them to."""
    lower, upper = (end.reshape(-1) for end in (case.query.box.lower, case.query.box.upper))
    with np.errstate(over="ignore"):
        rounded = [end.astype(np.float32).astype(np.float64) for end in (lower, upper)]
    return np.minimum(lower, rounded[0]), np.maximum(upper, rounded[1])


def _magnitudes(joint: JointModel, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    box = Box(torch.from_numpy(lower[None]), torch.from_numpy(upper[None]))
    found = compute_bounds(joint.model.network, box, Ibp()).outer
    return torch.maximum(found.lower.abs(), found.upper.abs())[0].double().numpy() * (1 + 2.0**-20)


def _of_terms(
    asked: NetworkQuery, sizes: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> float:
    """A bound on the rounding of float32 where the query's terms are computed."""
    inputs = np.maximum(abs(lower), abs(upper))

    def largest(which: Variable) -> float:
        if which.kind == "X":
            return float(inputs[asked.places[which.place]])
        return float(sizes[which.place])

    return asked.assertions.rounding(largest)


def _scales(case: Case) -> np.ndarray:
    """By how much each row is a multiple of the file's own."""
    found = []
    for row, constraint in zip(case.query.rows, case.constraints, strict=True):
        own = max(abs(float(factor)) for _, factor in constraint.factors)
        found.append(max(1.0, float(abs(row).max()) / own) if own else np.inf)
    return np.array(found)
