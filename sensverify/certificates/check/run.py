"""Check a certificate against the ONNX file that it is about."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np

from sensverify.certificates.certificate import Certificate
from sensverify.certificates.check.arithmetic import ARITHMETICS, Arithmetic, Exact
from sensverify.certificates.check.cells import check_cells
from sensverify.certificates.check.checker import (
    Evaluator,
    best,
    refuted,
    replaced,
    undecided,
)
from sensverify.certificates.check.claims import Claims
from sensverify.certificates.check.program import Program, program_of
from sensverify.errors import BadSetting, CertificateRejected, Unbounded
from sensverify.formats.onnx import read_onnx
from sensverify.formats.vnnlib import Property
from sensverify.network import Network
from sensverify.proof import NONE, Proof


@dataclass(frozen=True, eq=False)
class StoredModel:
    """The network that an ONNX file stores: every weight as it is there.

    Parameters
    ----------
    network : Network
        Not simplified.
    program : Program
    sha256 : str
    external : dict from file name to SHA-256
    """

    network: Network
    program: Program
    sha256: str
    external: dict[str, str]

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, runtime_check: bool = True) -> StoredModel:
        """Read an ONNX file; ``runtime_check`` and errors as for ``load_onnx``."""
        model = read_onnx(path, simplified=False, runtime_check=runtime_check)
        return cls(model.network, program_of(model.network), model.sha256, dict(model.external))


@dataclass(frozen=True)
class Checked:
    """What was found to hold.

    Parameters
    ----------
    arithmetic : str
    problems, claims, cells : int
        Boxes; finite limits, or groups; leaves of the split trees.
    slack : float or None
        The least distance of a proven bound to its claim, of ranges.
    seconds : float
    """

    arithmetic: str
    problems: int
    claims: int
    cells: int
    slack: float | None
    seconds: float


def check_claims(
    program: Program, claims: Claims, proof: Proof, *, arithmetic: str = "rigorous"
) -> Checked:
    """Re-derive every claim from the network, the boxes and the proof's multipliers.

    Parameters
    ----------
    program : Program
    claims : Claims
    proof : Proof
    arithmetic : str
        ``rigorous`` or ``exact``.

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
    evaluator = Evaluator(program, arithmetic_of(arithmetic), claims)
    try:
        hidden = evaluator.hidden(proof)
        leaves = evaluator.leaves(proof, hidden)
        if claims.strict is not None and claims.strict.any():
            # What equality has to decide, no rounded numbers can.
            open_ = np.flatnonzero(undecided(claims, proof, leaves))
            exactly = Evaluator(program, Exact(), claims)
            leaves = replaced(leaves, open_, exactly.leaves(proof, hidden, leaves.cell[open_]))
    except Unbounded as error:
        raise CertificateRejected(f"the proof cannot be evaluated: {error}") from None
    slack = None
    if claims.groups is None:
        values = best(claims, proof, leaves)
        _require(values >= claims.limits, claims, values)
        claimed = np.isfinite(claims.limits)
        if claimed.any():
            slack = float((values[claimed] - claims.limits[claimed]).min())
    else:
        claimed = np.stack([(claims.groups == g).any(axis=1) for g in range(claims.count)], axis=1)
        closed = refuted(claims, proof, leaves)
        if not bool((closed | ~claimed).all()):
            problem, group = (int(i) for i in np.argwhere(~closed & claimed)[0])
            raise CertificateRejected(
                f"the certificate does not refute alternative {group} of problem {problem}: on "
                "some leaf no row is proven to exceed its limit, or to reach that of a strict one"
            )
    if not claimed.any():
        raise CertificateRejected("the certificate claims nothing")
    return Checked(
        arithmetic=arithmetic,
        problems=claims.problems,
        claims=int(claimed.sum()),
        cells=int((proof.cells.split == NONE).sum()),
        slack=slack,
        seconds=time.perf_counter() - began,
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


def _require(holds: np.ndarray, claims: Claims, values: np.ndarray) -> None:
    if bool(holds.all()):
        return
    problem, row = (int(i) for i in np.argwhere(~holds)[0])
    raise CertificateRejected(
        f"the certificate claims that row {row} of problem {problem} is at least "
        f"{float(claims.limits[problem, row])!r}; its proof gives {float(values[problem, row])!r}"
    )


def _check_files(certificate: Certificate, stored: StoredModel) -> None:
    """Refuse a certificate about other bytes, and say in which file they are."""
    if stored.sha256 != certificate.model_sha256:
        raise CertificateRejected(
            f"the certificate is about another model file: SHA-256 {certificate.model_sha256}, "
            f"this one has {stored.sha256}"
        )
    wanted = dict(certificate.external)
    for location in sorted({*wanted, *stored.external}):
        digests = (wanted.get(location), stored.external.get(location))
        if digests[0] != digests[1]:
            first, second = (f"SHA-256 {d}" if d else "nothing" for d in digests)
            raise CertificateRejected(
                f"the model's external data have changed: the certificate is about {first} in "
                f"'{location}', the model now reads {second} there"
            )


def check_certificate(
    certificate: Certificate,
    model: str | os.PathLike[str],
    *,
    arithmetic: str = "rigorous",
    property: Property | None = None,
    runtime_check: bool = True,
) -> Checked:
    """Check a certificate against the ONNX file it is about.

    Parameters
    ----------
    certificate : Certificate
    model : path
        The ONNX file.
    arithmetic : str
        ``rigorous``: float64 with error bounds. ``exact``: rational numbers.
    property : Property, optional
        That the certificate must refute in all of its cases.
    runtime_check : bool
        Compare the file with onnxruntime when it is read. False: what is checked is then true of
        the file as it is read here, and of a runtime only where that reads it alike.

    Returns
    -------
    Checked
        Guarantee CERTIFIED, for the network as the real-valued function that the stored weights
        define.

    Raises
    ------
    CertificateRejected
        The file is another one, a claim does not follow, or the property asks for more.
    BadModelFile, UnsupportedOperator
        The ONNX file cannot be read.
    RuntimeDisagrees
        onnxruntime reads it otherwise, or does not run it.
    """
    arithmetic_of(arithmetic)
    stored = StoredModel.read(model, runtime_check=runtime_check)
    _check_files(certificate, stored)
    shapes = (stored.network.input_shape, stored.network.output_shape)
    if shapes != (certificate.inputs, certificate.outputs):
        raise CertificateRejected(
            f"the certificate is about inputs {certificate.inputs} and outputs "
            f"{certificate.outputs}; the model has {shapes[0]} and {shapes[1]}"
        )
    if property is not None:
        from sensverify.certificates.check.coverage import covers

        misfit = property.misfit(*shapes, "the model")
        if misfit is not None:
            raise CertificateRejected(f"the property {misfit}")
        covers(certificate, property)
    return check_claims(
        stored.program, certificate.claims, certificate.proof, arithmetic=arithmetic
    )
