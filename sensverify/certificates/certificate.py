"""A certificate: its claims and their proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.ending import Ending
from sensverify.certificates.check.pair import NewModel
from sensverify.core.brief import count_of
from sensverify.core.proof import Cells, Hidden, Proof
from sensverify.errors import BadCertificate

SCHEMA = "sensverify.certificate/1"
SETS_SCHEMA = "sensverify.certificate/3"
"""Of certificates about input sets that are no boxes, also about a part of their file."""
LOGITS_SCHEMA = "sensverify.certificate/2"
"""Of certificates about a part of their file: who knows only the first refuses them."""
PAIR_SCHEMA = "sensverify.certificate/4"
"""Of certificates about the difference of two files, also about parts of them."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """Claims about the network in one ONNX file, or about those in two, with their proof.

    Parameters
    ----------
    model_sha256 : str
        Of the bytes of the ONNX file, as it lies on the disk.
    external : dict from file name to SHA-256
        Of the files that hold the model's external data.
    inputs, outputs : tuple of int
        Shapes without the batch axis.
    claims : Claims
    proof : Proof
    provenance : mapping
        What is worth knowing and proves nothing: method, settings, versions, data, ...
    ending : Ending or None
        The end of the file that is left out: the claims are about the logits before it. None: they
        are about the file's own output.
    new : NewModel or None
        The second file: the claims are then about the outputs of the first one's network, followed
        by how much the second one's differ from them.

    Raises
    ------
    BadCertificate
        The parts do not fit together, or a number is not finite where it must be.
    """

    model_sha256: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    claims: Claims
    proof: Proof
    external: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    ending: Ending | None = None
    new: NewModel | None = None

    def __repr__(self) -> str:
        files = f"the file {self.model_sha256[:12]}..."
        if self.new is not None:
            files = f"{files} and {self.new.sha256[:12]}..."
        boxes = count_of(len(self.claims.lower), "box", "boxes")
        rows = count_of(int(self.claims.rows.shape[1]), "row")
        return f"Certificate(of {files}, {boxes}, {rows} each)"

    def __post_init__(self) -> None:
        _check_claims(self.claims)
        _check_proof(self.proof, self.claims.limits.shape[1])


def _check_claims(claims: Claims) -> None:
    problems, features = claims.lower.shape if claims.lower.ndim == 2 else (0, 0)
    rows = claims.rows.shape[1] if claims.rows.ndim == 3 else 0
    if not (problems and features and rows):
        raise BadCertificate(
            "a certificate needs boxes [problems, features] and rows of objectives"
        )
    _expect(claims.upper, (problems, features), "upper ends of boxes")
    if claims.rows.shape[0] not in (1, problems):
        raise BadCertificate(f"rows of shape {claims.rows.shape} do not fit {problems} problems")
    _expect(claims.limits, (problems, rows), "limits")
    for name in ("lower", "upper", "rows"):
        _finite(getattr(claims, name), name)
    # Written so that a NaN fails it.
    if not bool((claims.lower <= claims.upper).all()):
        raise BadCertificate("a box has a lower end above its upper end")
    if claims.sets is not None:
        reason = claims.sets.problem(features, problems)
        if reason is not None:
            raise BadCertificate(f"its input sets are none: {reason}")
        if claims.multipliers is None:
            raise BadCertificate("it is about input sets, and has no multipliers of theirs")
        _expect(claims.multipliers, (problems, rows, claims.sets.multipliers), "multipliers")
        _finite(claims.multipliers, "multipliers")
    if claims.strict is not None:
        _expect(claims.strict, (problems, rows), "strict")
        if claims.groups is None or not np.isin(claims.strict, (0, 1)).all():
            raise BadCertificate("strict rows are those with a 1, the others have a 0, of groups")
    if claims.groups is None:
        if not bool((claims.limits < np.inf).all()):
            raise BadCertificate("a limit is NaN or infinite")
        return
    _expect(claims.groups, (problems, rows), "groups")
    used = claims.groups >= 0
    if not (np.isfinite(claims.limits[used]).all() and (claims.groups >= -1).all()):
        raise BadCertificate("a group is not a number of at least -1, or its limit is not finite")
    if not claims.count <= rows or not used.any(axis=1).all():
        raise BadCertificate("a refutation needs at least one group in every problem")


def _check_proof(proof: Proof, rows: int) -> None:
    for part in (proof.cells, proof.hidden):
        count = len(part)
        for item in fields(part):
            values = getattr(part, item.name)
            if item.name in ("own_entry", "own_side", "own_lines", "own_set"):
                _expect(values, proof.hidden.own_set.shape, f"hidden.{item.name}")
            elif values.ndim == 1:
                _expect(values, (count,), f"{type(part).__name__.lower()}.{item.name}")
    entries = proof.hidden.lower.shape[-1]
    if proof.hidden.own_set.ndim != 1 or not isinstance(proof.cells, Cells):
        raise BadCertificate("exceptions of hidden bounds need one axis")
    shape = (len(proof.hidden), entries)
    _expect(proof.hidden.lower, shape, "hidden.lower")
    _expect(proof.hidden.upper, shape, "hidden.upper")
    _expect(proof.lines.lower, (len(proof.lines), entries), "lines.lower")
    parts = [("hidden.lower", proof.hidden.lower), ("hidden.upper", proof.hidden.upper)]
    parts.append(("lines.lower", proof.lines.lower))
    if proof.lines.upper is not None:
        _expect(proof.lines.upper, proof.lines.lower.shape, "lines.upper")
        parts.append(("lines.upper", proof.lines.upper))
    if proof.weights is not None:
        _expect(proof.weights, (len(proof.lines), rows), "weights")
        parts.append(("weights", proof.weights))
    for name, values in parts:
        _finite(values, name)
    if not bool((proof.hidden.lower <= proof.hidden.upper).all()):
        raise BadCertificate("a hidden bound has a lower end above its upper end")
    pairs = proof.multiplier.shape
    _expect(proof.multiplier_cell, pairs, "multiplier.cell")
    _expect(proof.multiplier_split, pairs, "multiplier.split")
    if proof.multiplier.ndim != 1 or not isinstance(proof.hidden, Hidden):
        raise BadCertificate("multipliers need one axis")


def _expect(values: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    if values.shape != shape:
        raise BadCertificate(f"{what} have shape {values.shape}, expected {shape}")


def _finite(values: np.ndarray, what: str) -> None:
    if values.dtype not in (np.float64, np.float32):
        raise BadCertificate(f"{what} holds {values.dtype}, expected float64")
    if not bool(np.isfinite(values).all()):
        raise BadCertificate(f"{what} holds NaN or infinity")
