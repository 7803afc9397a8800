"""Check a certificate against the ONNX file that it is about."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sensverify.certificates.certificate import Certificate
from sensverify.certificates.check.arithmetic import ARITHMETICS, Arithmetic, Exact
from sensverify.certificates.check.cells import check_cells
from sensverify.certificates.check.checker import Evaluator
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.pair import StoredPair
from sensverify.certificates.check.program import Program
from sensverify.certificates.check.stored import StoredModel
from sensverify.core.brief import count_of
from sensverify.core.proof import NONE, Proof
from sensverify.errors import BadSetting, CertificateRejected, Unbounded
from sensverify.formats.vnnlib import Property

Progress = Callable[[int, int], None]

MOST = 1 << 30
"""Rows that the leaves of one proof may bound together."""


@dataclass(frozen=True)
class Checked:
    """Outcome of a check that found all claims to hold.

    Parameters
    ----------
    arithmetic : str
    problems, claims, cells : int
        Boxes; finite limits, or groups; leaves of the split trees.
    slack : float or None
        The least distance of a proven bound to its claim, of ranges.
    sets : str or None
        The kind of input sets that the claims are about; None: whole boxes.
    seconds : float
    """

    arithmetic: str
    problems: int
    claims: int
    cells: int
    slack: float | None
    seconds: float
    sets: str | None = None

    @property
    def summary(self) -> str:
        """Outcome in a few words."""
        problems = count_of(self.problems, "box", "boxes")
        if self.sets is not None:
            problems = count_of(
                self.problems, f"input set ({self.sets})", f"input sets ({self.sets})"
            )
        return (
            f"{count_of(self.claims, 'claim')} on {problems} hold by {self.arithmetic} arithmetic"
        )


def check_claims(
    program: Program,
    claims: Claims,
    proof: Proof,
    *,
    arithmetic: str = "rigorous",
    progress: Progress = lambda done, total: None,
) -> Checked:
    """Re-derive every claim from the network, the boxes and the proof's multipliers.

    Parameters
    ----------
    program : Program
    claims : Claims
    proof : Proof
    arithmetic : str
        ``rigorous`` or ``exact``.
    progress : callable
        Called with the leaves of the proof that are done, and with how many there are.

    Returns
    -------
    Checked
        Guarantee CERTIFIED: the claims are true of the real-valued function of the program.

    Raises
    ------
    CertificateRejected
        A claim does not follow.
    """
    began = time.perf_counter()
    check_cells(
        proof,
        problems=claims.problems,
        groups=claims.count,
        features=program.features,
        entries=program.entries,
    )
    _check_sizes(program, claims, proof)
    _check_sets(program, claims)
    _check_work(claims, proof)
    evaluator = Evaluator(program, arithmetic_of(arithmetic), claims)
    try:
        # What equality has to decide, no rounded numbers can.
        strict = claims.strict is not None and bool(claims.strict.any())
        exactly = Evaluator(program, Exact(), claims) if strict else None
        found = evaluator.together(proof, evaluator.hidden(proof), exactly, progress)
    except Unbounded as error:
        raise CertificateRejected(f"the proof cannot be evaluated: {error}") from None
    slack = None
    if claims.groups is None:
        _require(found.values >= claims.limits, claims, found.values)
        claimed = np.isfinite(claims.limits)
        if claimed.any():
            slack = float((found.values[claimed] - claims.limits[claimed]).min())
    else:
        claimed = claims.groups >= 0
        if not bool((found.refuted | ~claimed).all()):
            problem, row = (int(i) for i in np.argwhere(~found.refuted & claimed)[0])
            raise CertificateRejected(
                f"the certificate does not refute alternative {claims.groups[problem, row]} of "
                f"problem {problem}: on some leaf no row is proven to exceed its limit, or to "
                "reach that of a strict one"
            )
    if not claimed.any():
        raise CertificateRejected("the certificate claims nothing")
    return Checked(
        arithmetic=arithmetic,
        problems=claims.problems,
        claims=int(claimed.sum()) if claims.groups is None else claims.pairs,
        cells=int((proof.cells.split == NONE).sum()),
        slack=slack,
        seconds=time.perf_counter() - began,
        sets=None if claims.sets is None else claims.sets.kind,
    )


def arithmetic_of(name: str) -> Arithmetic:
    """An arithmetic by its name.

    Raises
    ------
    BadSetting
    """
    if name not in ARITHMETICS:
        raise BadSetting(f"certificates are checked in {' or '.join(ARITHMETICS)}, got {name!r}")
    return ARITHMETICS[name]()


def _check_sizes(program: Program, claims: Claims, proof: Proof) -> None:
    found = (claims.lower.shape[1], claims.rows.shape[2], proof.hidden.lower.shape[1])
    wanted = (program.features, program.outputs, program.entries)
    if found != wanted:
        raise CertificateRejected(
            f"the certificate is about {found[0]} inputs, {found[1]} outputs and {found[2]} "
            f"entries of nonlinear functions; the model has {wanted[0]}, {wanted[1]}, {wanted[2]}"
        )


def _check_sets(program: Program, claims: Claims) -> None:
    """Refuse claims about input sets that are none, or are proven otherwise than they can be."""
    if claims.sets is None:
        if claims.multipliers is not None:
            raise CertificateRejected("the certificate has multipliers of input sets, and no sets")
        return
    reason = claims.sets.problem(program.features, claims.problems)
    if reason is not None:
        raise CertificateRejected(f"the certificate is about input sets that are none: {reason}")
    if claims.groups is not None:
        raise CertificateRejected("claims about input sets are bounds, and refute nothing")
    wanted = (*claims.limits.shape, claims.sets.multipliers)
    own = claims.multipliers
    if own is None or own.shape != wanted or not bool(np.isfinite(own).all()):
        raise CertificateRejected(
            f"claims about input sets need multipliers of shape {wanted}, all of them finite"
        )
    signed = claims.sets.equal
    needs = np.ones(wanted[2], bool) if signed is None else signed == 0
    if not bool((own[..., needs] >= 0).all()):
        raise CertificateRejected("a multiplier of an input set's inequality is below 0")


def _check_work(claims: Claims, proof: Proof) -> None:
    """Refuse proofs of a size that only repetition gives: packed, it takes hardly any room."""
    leaves = proof.cells.split == NONE
    work = int(claims.sizes(proof.cells.problem[leaves], proof.cells.group[leaves]).sum())
    if work > MOST:
        raise CertificateRejected(
            f"the proof bounds {work:,} rows on its leaves, one after the other; {MOST:,} are "
            "checked at most"
        )


def _require(holds: np.ndarray, claims: Claims, values: np.ndarray) -> None:
    if bool(holds.all()):
        return
    problem, row = (int(i) for i in np.argwhere(~holds)[0])
    raise CertificateRejected(
        f"the certificate claims that row {row} of problem {problem} is at least "
        f"{float(claims.limits[problem, row])!r}; its proof gives {float(values[problem, row])!r}"
    )


def check_certificate(
    certificate: Certificate,
    model: str | os.PathLike[str] | StoredModel,
    new: str | os.PathLike[str] | StoredModel | None = None,
    *,
    arithmetic: str = "rigorous",
    property: Property | None = None,
    runtime_check: bool = True,
    progress: Progress = lambda done, total: None,
) -> Checked:
    """Check a certificate against the ONNX file it is about.

    Parameters
    ----------
    certificate : Certificate
    model : path or StoredModel
        The ONNX file; it is read up to the logits where the certificate is about them.
    new : path or StoredModel, optional
        The second file, of a certificate of the difference of two models.
    arithmetic : str
        ``rigorous``: float64 with error bounds. ``exact``: rational numbers.
    property : Property, optional
        That the certificate must refute in all of its cases.
    runtime_check : bool
        Compare a file with onnxruntime when it is read. False: what is checked is then true of
        the file as it is read here, and of a runtime only where that reads it alike.
    progress : callable
        Called with the leaves of the proof that are done, and with how many there are.

    Returns
    -------
    Checked
        Guarantee CERTIFIED, for the network as the real-valued function that the stored weights
        define.

    Raises
    ------
    CertificateRejected
        The file is another one, a claim does not follow, or the property asks for more.
    BadSetting
        The certificate is about two models, and one is given, or the other way round.
    BadModelFile, UnsupportedOperator
        An ONNX file cannot be read.
    RuntimeDisagrees
        onnxruntime reads it otherwise, or does not run it.
    """
    arithmetic_of(arithmetic)
    stored = model
    if not isinstance(stored, StoredModel):
        stored = StoredModel.read_for(certificate.ending, stored, runtime_check=runtime_check)
    stored.require(certificate.model_sha256, certificate.external)
    stored.require_ending(certificate.ending)
    stored.require_shapes(certificate.inputs, certificate.outputs)
    if property is not None:
        if certificate.new is not None:
            raise CertificateRejected("no property is about the difference of two models")
        from sensverify.certificates.check.coverage import covers

        shapes = stored.network.input_shape, stored.network.output_shape
        misfit = property.shape_mismatch(*shapes, "the model")
        if misfit is not None:
            raise CertificateRejected(f"the property {misfit}")
        covers(certificate, property)
    claims, proof, program = certificate.claims, certificate.proof, stored.program
    if new is not None or certificate.new is not None:
        pair = StoredPair.read_for(certificate.new, stored, new, runtime_check=runtime_check)
        program = pair.program
    return check_claims(program, claims, proof, arithmetic=arithmetic, progress=progress)
