"""Check that a certificate answers a property: that it refutes every case of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from sensverify.certificates.check.claims import Claims
from sensverify.errors import CertificateRejected
from sensverify.formats.vnnlib.formula import Constraint
from sensverify.formats.vnnlib.property import Case, Property

if TYPE_CHECKING:
    from sensverify.certificates.certificate import Certificate

_Direction = tuple[tuple[int, Fraction], ...]
"""Pairs of output and factor, scaled so that the first factor is 1 or -1."""

_End = tuple[Fraction, bool]
"""A limit, and whether it may be reached: in this order, a larger one allows more."""

_Row = tuple[_Direction, _End]


def covers(certificate: Certificate, asked: Property) -> None:
    """Refuse a certificate from which "unsat" does not follow for every case of a property.

    A case follows from a refuted problem whose box contains the case's exact box, if every
    alternative of the case has a group of rows there that are all constraints of the alternative:
    positive multiples of them, with limits at least as large. Some row of the group then exceeds
    its limit at every input of the box, so that the constraint is violated. Of a strict row it is
    only known that it reaches its limit: that violates ``<``, and ``<=`` of a smaller limit only.
    Factors and limits are compared as the exact numbers of the property's file; of the box, its
    ends rounded outward to float64, since no float64 box that contains the exact one is smaller.

    Parameters
    ----------
    certificate : Certificate
        Whose claims are checked elsewhere.
    asked : Property

    Of a certificate about logits the same is known of the file's own outputs where these are in the
    order of the logits, and the property says of outputs only which of two is the larger one.

    Raises
    ------
    CertificateRejected
        Says which case does not follow.
    """
    _check_order(certificate, asked)
    claims = certificate.claims
    if claims.sets is not None:
        raise CertificateRejected(
            "the certificate is about input sets in boxes, and the property about boxes"
        )
    if claims.groups is None:
        raise CertificateRejected("the certificate bounds outputs; it does not refute a property")
    found = claims.lower.shape[1], claims.rows.shape[2]
    if found != (asked.inputs, asked.outputs):
        raise CertificateRejected(
            f"the certificate is about {found[0]} inputs and {found[1]} outputs, the property "
            f"about {asked.inputs} and {asked.outputs}"
        )
    for number, case in enumerate(asked.cases):
        if not any(_refutes(claims, problem, case) for problem in _around(claims, case, number)):
            raise CertificateRejected(
                f"the certificate does not refute input box {number + 1} of the property's "
                f"{len(asked.cases)}: no problem of it has that box and these constraints"
            )


def _check_order(certificate: Certificate, asked: Property) -> None:
    if certificate.ending is None:
        return
    if not certificate.ending.keeps_order:
        raise CertificateRejected(
            f"the certificate is about {certificate.ending}, and the property about the file's own "
            "outputs, which are not in their order"
        )
    for number, case in enumerate(asked.cases):
        for constraint in case.constraints:
            factors = [factor for _, factor in constraint.factors]
            if len(factors) != 2 or sum(factors) != 0 or constraint.limit != 0:
                raise CertificateRejected(
                    f"the certificate is about {certificate.ending}, and the property asks more of "
                    f"the file's own outputs (input box {number + 1} of {len(asked.cases)}) than "
                    "which of two is the larger one"
                )


def stands_for(constraint: Constraint, row: Sequence[float], limit: float) -> bool:
    """True where ``row · y > limit`` contradicts a constraint, in exact arithmetic."""
    scaled = _scaled(_pairs(row), Fraction(limit))
    if scaled is None:
        return False
    direction, least = _constraint(constraint)
    return scaled[0] == direction and scaled[1] >= least


def _around(claims: Claims, case: Case, first: int) -> Iterator[int]:
    """Problems whose box contains that of a case; the one of the same number first."""
    lower, upper = case.query.box.lower.reshape(-1), case.query.box.upper.reshape(-1)

    def contained(problems: slice) -> np.ndarray:
        low, high = claims.lower[problems] <= lower, claims.upper[problems] >= upper
        return np.asarray((low & high).all(axis=1))

    if contained(slice(first, first + 1)).any():
        yield first
    yield from np.flatnonzero(contained(slice(None))).tolist()


def _refutes(claims: Claims, problem: int, case: Case) -> bool:
    """True where every alternative of a case has a group of a problem that refutes it."""
    assert claims.groups is not None
    rows = claims.rows[problem if len(claims.rows) > 1 else 0]
    groups: dict[int, list[_Row | None]] = {}
    every = np.arange(claims.limits.shape[1])
    reaching = claims.reaching(np.array([problem]), every[None])[0]
    for row, group in enumerate(claims.groups[problem].tolist()):
        if group >= 0:
            limit = Fraction(float(claims.limits[problem, row]))
            scaled = _scaled(_pairs(rows[row]), limit)
            end = None if scaled is None else (scaled[0], (scaled[1], not reaching[row]))
            groups.setdefault(group, []).append(end)
    exact = [(*_constraint(constraint), not constraint.strict) for constraint in case.constraints]

    def follows(part: tuple[int, ...], members: list[_Row | None]) -> bool:
        tightest: dict[_Direction, _End] = {}
        for direction, limit, closed in (exact[i] for i in part):
            # Of two limits for one direction, violating the smaller one is enough.
            end = (limit, closed)
            tightest[direction] = min(end, tightest.get(direction, end))
        # What the constraint allows, the row has to allow, too.
        return all(
            member is not None and member[0] in tightest and member[1] >= tightest[member[0]]
            for member in members
        )

    def answered(number: int, part: tuple[int, ...]) -> bool:
        own = groups.get(number)
        if own is not None and follows(part, own):
            return True
        return any(follows(part, members) for members in groups.values())

    return all(answered(number, part) for number, part in enumerate(case.query.alternatives))


def _pairs(row: Sequence[float] | np.ndarray) -> list[tuple[int, Fraction]]:
    return [(place, Fraction(float(value))) for place, value in enumerate(row) if value != 0]


def _constraint(constraint: Constraint) -> tuple[_Direction, Fraction]:
    scaled = _scaled(list(constraint.factors), constraint.limit)
    assert scaled is not None, "a constraint has at least one factor, and none is 0"
    return scaled


def _scaled(
    pairs: list[tuple[int, Fraction]], limit: Fraction
) -> tuple[_Direction, Fraction] | None:
    """A row and its limit by their direction; None for a row of zeros."""
    if not pairs:
        return None
    pairs = sorted(pairs)
    size = abs(pairs[0][1])
    return tuple((place, factor / size) for place, factor in pairs), limit / size
