"""Claims with their proof: of batches of problems, joined to one certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sensverify.certificates.certificate import Certificate
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.pair import StoredPair
from sensverify.certificates.check.sets import with_problems
from sensverify.certificates.check.stored import StoredModel
from sensverify.core.proof import NONE, Lines, Proof, joined
from sensverify.errors import BadShape


@dataclass(frozen=True, eq=False)
class Certified:
    """Claims that were derived with rigorous arithmetic, and their proof.

    Parameters
    ----------
    claims : Claims
    proof : Proof
    """

    claims: Claims
    proof: Proof

    @property
    def lower(self) -> np.ndarray:
        """Proven lower bounds, ``[problems, rows]``."""
        return self.claims.limits

    @staticmethod
    def joined(parts: list[Certified]) -> Certified:
        """Batches of problems as one.

        Raises
        ------
        BadShape
            They differ in their numbers of rows, or in whether they refute.
        """
        if len(parts) == 1:
            return parts[0]
        every = [part.claims for part in parts]
        if len({claims.limits.shape[1] for claims in every}) > 1 or (
            len({claims.groups is None for claims in every}) > 1
        ):
            raise BadShape("only claims of one kind, with as many rows, make one certificate")
        rows = [np.broadcast_to(c.rows, (c.problems, *c.rows.shape[1:])) for c in every]
        same = all((c.rows == every[0].rows[:1]).all() for c in every)
        claims = Claims(
            lower=np.concatenate([c.lower for c in every]),
            upper=np.concatenate([c.upper for c in every]),
            rows=every[0].rows[:1] if same else np.concatenate(rows),
            limits=np.concatenate([c.limits for c in every]),
            groups=None
            if every[0].groups is None
            else np.concatenate([c.groups for c in every if c.groups is not None]),
            strict=None
            if all(c.strict is None for c in every)
            else np.concatenate([_strict(c) for c in every]),
            sets=with_problems([c.sets for c in every]),
            multipliers=_concatenated([c.multipliers for c in every]),
        )
        return Certified(claims, joined([p.proof for p in parts], [c.problems for c in every]))

    def certificate(
        self, model: StoredModel | StoredPair, provenance: Mapping[str, Any]
    ) -> Certificate:
        """The certificate of these claims, to be written to a file."""
        first = model.old if isinstance(model, StoredPair) else model
        return Certificate(
            model_sha256=first.sha256,
            inputs=first.network.input_shape,
            outputs=first.network.output_shape,
            claims=self.claims,
            proof=self.proof,
            external=first.external,
            provenance=provenance,
            ending=first.ending,
            new=model.stated if isinstance(model, StoredPair) else None,
        )


def alike(parts: list[Certified]) -> list[Certified]:
    """The same parts, in a form in which they can be joined.

    Rows are filled up with some of no group, which claim nothing; missing weights with zeros, as
    rows count by themselves, too; upper slopes of no set at all are left out if others have none.
    """
    rows = max(part.claims.limits.shape[1] for part in parts)
    chords = any(len(p.proof.lines) and p.proof.lines.upper is None for p in parts)
    weighed = any(part.proof.weights is not None for part in parts)
    return [_filled(part, rows, chords=chords, weighed=weighed) for part in parts]


def _filled(part: Certified, rows: int, *, chords: bool, weighed: bool) -> Certified:
    claims, proof = part.claims, part.proof
    if chords and not len(proof.lines):
        proof = replace(proof, lines=Lines(proof.lines.lower))
    if weighed and proof.weights is None:
        weights = np.zeros((len(proof.lines), claims.limits.shape[1]))
        proof = replace(proof, weights=weights)
    more = rows - claims.limits.shape[1]
    if more == 0 or claims.groups is None:
        return Certified(claims, proof)
    claims = replace(
        claims,
        rows=np.pad(claims.rows, ((0, 0), (0, more), (0, 0))),
        limits=np.pad(claims.limits, ((0, 0), (0, more))),
        groups=np.pad(claims.groups, ((0, 0), (0, more)), constant_values=NONE),
        strict=None if claims.strict is None else np.pad(claims.strict, ((0, 0), (0, more))),
    )
    if proof.weights is not None:
        proof = replace(proof, weights=np.pad(proof.weights, ((0, 0), (0, more))))
    return Certified(claims, proof)


def _concatenated(parts: list[np.ndarray | None]) -> np.ndarray | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _strict(claims: Claims) -> np.ndarray:
    return np.zeros_like(claims.limits, np.int64) if claims.strict is None else claims.strict
