"""Results that are re-derived with rigorous arithmetic before anything is said about them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.method import make_decider
from sensverify.certificates import (
    Certified,
    StoredModel,
    StoredPair,
    certificate_bytes,
    certify_bounds,
    certify_query,
    check_certificate,
    float32_margin,
    read_certificate,
)
from sensverify.certificates.certified import alike
from sensverify.certificates.check.coverage import stands_for
from sensverify.certificates.check.program import Program
from sensverify.certificates.check.reordering import Order
from sensverify.certificates.sets import sets_of
from sensverify.core.box import Box, to_numpy
from sensverify.core.proof import NONE, Cells, Proof
from sensverify.core.queries import Query, Verdict
from sensverify.core.results import Bounds, Guarantee
from sensverify.errors import (
    BadCertificate,
    BadModelFile,
    CertificateRejected,
    MissingRule,
    Unbounded,
    UnsoundResult,
)
from sensverify.formats.vnnlib import Case, Property
from sensverify.models.loading import LoadedModel
from sensverify.network import Network
from sensverify.network.operators import Nonlinear, PiecewiseLinear
from sensverify.network.simplify import simplify
from sensverify.runs.watch import Watch
from sensverify.verification.certification import Certification, CheckedBounds

PROVER = "branch-and-bound"
"""Decider that proves a query anew which was answered without a proof."""

LATE = "the time was up before its proof had been derived with rigorous arithmetic"

_GAP = 1e-6
"""Relative distance at which ends meet, of methods that have no gap of their own."""

_SMALLEST = 1e-6
"""Magnitude below which a gap is no longer taken relative to it."""


class Certifier:
    """Collects what is certified in a run; `finish` makes the certificate and has it checked.

    Parameters
    ----------
    model : LoadedModel
        Its file is read again, with every weight as it is stored; up to the logits, where the end
        that makes probabilities or a label of them was cut off.
    new : LoadedModel, optional
        Of a comparison: what is certified is then about the outputs of both, the first one's and
        by how much the second one's differ.
    paired : bool
        Of a comparison: whether differences are carried step by step.
    orders : tuple of Order
        Of a comparison: in which hidden neurons of the new network are paired.

    Raises
    ------
    BadModelFile
        The file has changed since the model was loaded.
    MissingRule
        An operator of the network has no rule for certificates.
    """

    def __init__(
        self,
        model: LoadedModel,
        new: LoadedModel | None = None,
        *,
        paired: bool = True,
        orders: tuple[Order, ...] = (),
    ) -> None:
        self._path, self._new = model.file, None if new is None else new.file
        self._models = tuple(_stored(each) for each in (model, new) if each is not None)
        self._model: StoredModel | StoredPair = self._models[0]
        if new is not None:
            self._model = StoredPair.of(*self._models, paired=paired, orders=orders)
        self._parts: list[Certified] = []

    @property
    def program(self) -> Program:
        """The steps that claims are about."""
        return self._model.program

    @property
    def problems(self) -> int:
        """Boxes about which something is certified by now."""
        return sum(part.claims.problems for part in self._parts)

    def bounded(self, network: Network) -> Network:
        """The network that is bounded for its certificates: the one given, or one in its place.

        Certificates are about the operators that the file stores. Where an exporter has written a
        function as several of them, as most write GELU, the network as it was read has it as one,
        and a proof about that is none about the file.
        """
        stored = self._models[0].network
        return network if _curves(network) == _curves(stored) else simplify(stored)

    def bounds(
        self,
        proposed: Bounds,
        asked: Box,
        objectives: Tensor | None,
        *,
        gap: float | None = None,
        watch: Watch | None = None,
    ) -> CheckedBounds:
        """Bounds on the box as it was asked about, from the multipliers behind proposed ones.

        Parameters
        ----------
        proposed : Bounds
            Its certificate is a `Proof` about the rows ``[C; -C]``.
        asked : Box of numpy arrays, shape ``[batch, *input_shape]``, float64
            Not rounded to the dtype of the computation, unlike the box that was bounded.
        objectives : Tensor or None, shape ``[batch, rows, outputs]``
            C; None is the identity.
        gap : float, optional
            Of the method: relative distance to an attained end at which a bound is exact.
        watch : Watch, optional
            Once it is over, hidden layers are bounded by intervals and split trees are not grown
            any more; what is proven then is returned.

        Returns
        -------
        CheckedBounds
            Optimal stays what was proposed as such, where the checked ends are within the gap of
            attained values, too. Attained values that rounding has put outside of the checked
            box are moved onto its edge.

        Raises
        ------
        MissingRule
            The proof is about other functions than those that the file stores.
        """
        self._check_fits(proposed.certificate)
        identity = np.eye(self._model.program.outputs)[None]
        rows = identity if objectives is None else _wide(objectives)
        lower, upper = (end.reshape(asked.batch, -1) for end in (asked.lower, asked.upper))
        outer = Box(_wide(proposed.outer.lower), _wide(proposed.outer.upper))
        found = certify_bounds(
            self._model,
            lower,
            upper,
            np.concatenate([rows, -rows], axis=1),
            proposed.certificate,
            wanted=np.concatenate([outer.lower, -outer.upper], axis=1),
            watch=watch,
            sets=sets_of(asked),
        )
        self._parts.append(found)
        low, negated = np.split(found.lower, 2, axis=1)
        # Subtracted, since a minus sign alone makes a negative zero.
        checked = _checked(proposed, low, 0.0 - negated, _GAP if gap is None else gap)
        identity = np.eye(self._models[0].program.outputs)[None]
        # Of a difference, what both may be off.
        margin = np.sum(
            [float32_margin(each.program, lower, upper, identity) for each in self._models], axis=0
        )
        return CheckedBounds(checked, outer, margin)

    def refute(self, case: Case, proof: Any, network: Network, *, watch: Watch) -> str | None:
        """Certify that no input meets a case of a property.

        The box that is certified is the one of the case's query: the file's decimal ends, rounded
        outward to float64, so that it contains the exact box. The limits are the file's, rounded
        up: exceeding them exceeds the exact ones, and so does reaching them where a constraint is
        strict. Rows are exact multiples of the file's, or the case is refused.

        Parameters
        ----------
        case : Case
        proof : object
            What the method gave with its "unsat"; where that is no `Proof`, `PROVER` is asked for
            one in the time left.
        network : Network
        watch : Watch

        Returns
        -------
        str or None
            Why there is no certificate of it; None where there is.
        """
        found = self._certified(case, proof, network, watch)
        if isinstance(found, str):
            return found
        self._parts.append(found)
        return None

    def settle(self, case: Case, proof: Any, network: Network, *, watch: Watch) -> Proof | str:
        """The proof that no input meets a case, as `refute` finds it, or why there is none."""
        found = self._certified(case, proof, network, watch)
        return found if isinstance(found, str) else found.proof

    def _certified(self, case: Case, proof: Any, network: Network, watch: Watch) -> Certified | str:
        query = case.query
        for row, limit, constraint in zip(query.rows, query.limits, case.constraints, strict=True):
            if not stands_for(constraint, row.tolist(), float(limit)):
                return "no float64 numbers stand for the factors of one of its constraints exactly"
        own = self.bounded(network)
        if own is not network or not isinstance(proof, Proof):
            network, proof = own, _proven_anew(query, own, watch)
        if proof is None:
            return f"the method gave no proof, and {PROVER} found none in the time left"
        try:
            for attempt in self._attempts(proof, query, network, watch):
                found = certify_query(self._models[0], query, attempt, watch=watch)
                if found is not None:
                    return found
        except Unbounded as error:
            return str(error)
        if watch.over:
            return LATE
        return "its proof does not survive rigorous arithmetic"

    def float32_margins(self, case: Case) -> np.ndarray:
        """Bounds on what float32 adds to the rows of a case, ``[constraints]``; may be infinite."""
        box, rows = case.query.box, case.query.rows[None]
        lower, upper = box.lower.reshape(1, -1), box.upper.reshape(1, -1)
        return float32_margin(self._model.program, lower, upper, rows)[0]

    def _attempts(
        self, proof: Proof, query: Query, network: Network, watch: Watch
    ) -> Iterator[Proof]:
        yield proof
        kinds = [n.operator for n in network.nodes if isinstance(n.operator, Nonlinear)]
        kinked = all(isinstance(kind, PiecewiseLinear) for kind in kinds)
        if query.strict.any() and kinked and not watch.over:
            # Kinks along which a strict limit is reached are closed by signs, by no sub-box; curves
            # have no last split.
            anew = _proven_anew(query, network, watch, split="neurons", resolve=True)
            if anew is not None:
                # Each leaf bounds its layers itself: stored bounds are rounded, and may turn what
                # is 0 at least into a kink.
                own = np.full(len(anew.cells), NONE)
                yield replace(anew, cells=replace(anew.cells, hidden=own))
        # One leaf proves little, but it is a tree that can be grown.
        yield self._leaf()

    def _check_fits(self, proof: Proof) -> None:
        """Refuse a proof about functions of which the file stores the parts."""
        entries = self._model.program.entries
        used = (part for part in (proof.lines.lower, proof.hidden.lower) if len(part))
        if any(part.shape[1] != entries for part in used):
            raise MissingRule(
                f"certificates are about the file as it is stored, and {self._path.name} writes a "
                "function that is bounded as one, such as GELU, as several operators",
                "export it to operator set 20 or later, which has that function",
            )

    def _leaf(self) -> Proof:
        return Proof.of(Cells.roots(np.zeros(1, np.int64)), entries=self._model.program.entries)

    def finish(
        self, provenance: Mapping[str, Any], *, asked: Property | None = None
    ) -> Certification:
        """The certificate of all that was certified, after an independent check of its bytes.

        Parameters
        ----------
        provenance : mapping
            Values that JSON can hold; infinity and NaN become text.
        asked : Property, optional
            What the certificate has to refute every case of.

        Raises
        ------
        UnsoundResult
            The check does not pass: nothing may be claimed.
        """
        certificate = Certified.joined(alike(self._parts)).certificate(
            self._model, json.loads(json.dumps(provenance, default=str), parse_constant=str)
        )
        data = certificate_bytes(certificate)
        began = time.perf_counter()
        try:
            with TemporaryDirectory(prefix="sensverify-") as folder:
                path = Path(folder) / "certificate"
                path.write_bytes(data)
                found = read_certificate(path, model=self._model)
                checked = check_certificate(found, self._path, self._new, property=asked)
        except (BadCertificate, CertificateRejected) as error:
            raise UnsoundResult(
                f"the independent check refuses the certificate of this run, so nothing is "
                f"claimed: {error}",
                "please report it",
            ) from None
        return Certification(data, checked, time.perf_counter() - began)


def _stored(model: LoadedModel) -> StoredModel:
    stored = StoredModel.read(
        model.file, runtime_check=model.runtime_check, logits=model.head is not None
    )
    if stored.sha256 != model.sha256:
        raise BadModelFile(f"'{model.file}' changed while it was used", "run this again")
    return stored


def _curves(network: Network) -> list[tuple[type, tuple[int, ...]]]:
    """Kinds and shapes of the nonlinear nodes, in their order."""
    found = (node for node in network.nodes if isinstance(node.operator, Nonlinear))
    return [(type(node.operator), node.shape) for node in found]


def shaped(query: Query, network: Network) -> Query:
    """A query over flattened inputs as one over the network's."""
    shape = (1, *network.input_shape)
    box = Box(query.box.lower.reshape(shape), query.box.upper.reshape(shape))
    return replace(query, box=box)


def _wide(values: Any) -> np.ndarray:
    return np.asarray(to_numpy(values), dtype=np.float64)


def _checked(proposed: Bounds, low: np.ndarray, high: np.ndarray, gap: float) -> Bounds:
    device = proposed.outer.lower.device
    outer = Box(*(torch.from_numpy(np.ascontiguousarray(e)).to(device) for e in (low, high)))
    inner, optimal = proposed.inner, proposed.optimal
    if inner is not None:
        first, last = inner.lower.double(), inner.upper.double()
        if optimal is not None:
            size = torch.maximum(first.abs(), last.abs()).clamp(min=_SMALLEST)
            spare = torch.maximum(first - outer.lower, outer.upper - last)
            optimal = optimal & (spare <= gap * size)
        inner = Box(
            torch.minimum(torch.maximum(first, outer.lower), outer.upper),
            torch.minimum(torch.maximum(last, outer.lower), outer.upper),
        )
    else:
        optimal = None
    return replace(
        proposed, outer=outer, inner=inner, optimal=optimal, guarantee=Guarantee.CERTIFIED
    )


def _proven_anew(query: Query, network: Network, watch: Watch, **more: Any) -> Proof | None:
    watch.say(f"proving it again by {PROVER}, for a certificate")
    decider = make_decider(PROVER, proof=True, **more)
    decision = decider.decide(network, shaped(query, network), watch=watch)
    proven = decision.tied or decision.verdict is Verdict.UNSAT
    found = decision.certificate if proven else None
    return found if isinstance(found, Proof) else None
