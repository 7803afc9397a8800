"""Properties of small files that are answered before torch is imported, which takes longer.

Nothing here bounds or replays anything itself. A violation is an input that onnxruntime runs in the
original file, as any other; "unsat" is what certificates derive: rigorous arithmetic, with room for
whatever float32 may round. What is not answered so is left to `check_property`, which knows none
of this.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np

from sensverify.certificates import StoredModel, certify_query, float32_margin
from sensverify.certificates.check.coverage import stands_for
from sensverify.core.proof import Cells, Proof
from sensverify.core.queries import Query, Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import SensverifyError
from sensverify.formats.vnnlib import Case, Property, load_property
from sensverify.models.registry import resolve
from sensverify.network.running import evaluate
from sensverify.runs.watch import Watch
from sensverify.verification.replay import Replay
from sensverify.verification.witness import Witness

SECONDS = 0.5
"""How long is looked: about a third of what torch would take."""

LARGEST = 1 << 20
"""Bytes of a file, and entries of nonlinear functions, above which nothing is tried."""

_POINTS = 32
"""Inputs of a box that are replayed: its centre, its two end corners, others by chance."""


@dataclass(frozen=True, eq=False)
class AtOnce:
    """An answer: SAT with its witness, or UNSAT.

    Parameters
    ----------
    verdict : Verdict
    witness : Witness or None
    cases : int
        Input boxes of the property.
    seconds : float
    """

    verdict: Verdict
    witness: Witness | None
    cases: int
    seconds: float

    @property
    def summary(self) -> str:
        """Meaning of the answer, its time and its guarantee, in one line."""
        took = f"at once, {self.seconds:.2f} s"
        if self.verdict is Verdict.SAT:
            return f"violated: an input meets the property, replayed through onnxruntime ({took})"
        boxes = "input box" if self.cases == 1 else f"{self.cases} input boxes"
        trust = f"guarantee {Guarantee.SOUND.name}, by rigorous arithmetic"
        return f"holds: no input in the {boxes} meets the property ({took}; {trust})"


def answer_at_once(
    model: str, file: Path, *, timeout: float | None = None, runtime_check: bool = True
) -> AtOnce | None:
    """The answer to a property, where it takes no time; None where it may, or something is wrong.

    Parameters
    ----------
    model : str
        Name of a shipped model, or path of an ``.onnx`` or ``.onnx.gz`` file.
    file : Path
        VNN-LIB 1.0.
    timeout : float, optional
        Seconds for everything.
    runtime_check : bool
        See ``load_onnx``.
    """
    began = time.perf_counter()
    # A NaN fails it.
    if timeout is not None and not 0 < timeout < inf:
        return None
    try:
        path = Path(resolve(model).path)
        if path.stat().st_size > LARGEST:
            return None
        stored = StoredModel.read(path, runtime_check=runtime_check)
        asked = load_property(file)
        if not _simple(asked, stored):
            return None
        watch = Watch().within(min(SECONDS, timeout or SECONDS))
        found = _violation(stored, asked, Replay(path, signature=stored.signature), watch)
        if found is None and not all(_refuted(stored, case, watch) for case in asked.cases):
            return None
    except (SensverifyError, OSError):
        # Whoever answers in full finds it again, and says what is wrong.
        return None
    verdict = Verdict.UNSAT if found is None else Verdict.SAT
    return AtOnce(verdict, found, len(asked.cases), time.perf_counter() - began)


def _simple(asked: Property, stored: StoredModel) -> bool:
    """Whether a property is about this network, and asks something of it."""
    network = stored.network
    if asked.version != 1:
        # It says in which arithmetic it is meant.
        return False
    fits = asked.shape_mismatch(network.input_shape, network.output_shape, "it") is None
    small = stored.program.entries <= LARGEST and stored.ending is None
    # What is said of rounding is said of float32.
    small &= all(values.dtype != np.float16 for _, values in network.arrays())
    return fits and small and 0 < len(asked.cases) <= _POINTS


def _violation(
    stored: StoredModel, asked: Property, replay: Replay, watch: Watch
) -> Witness | None:
    """The first input that is met by chance, as the file takes it."""
    shape = stored.network.input_shape
    rng = np.random.default_rng(0)
    for number, case in enumerate(asked.cases):
        lower, upper = case.lower.reshape(shape), case.upper.reshape(shape)
        share = rng.random((_POINTS, *shape))
        share[:3] = np.array([0.5, 0.0, 1.0]).reshape(-1, *(1,) * len(shape))
        # Half of the others are corners.
        share[3::2] = np.rint(share[3::2])
        for point in lower + share * (upper - lower):
            if watch.over:
                return None
            found = replay.outputs(point, lower, upper)
            if found is None or not case.met_by(found.outputs):
                continue
            # An input that meets it by rounding alone is for the full answer to judge.
            plain = evaluate(stored.network, found.point.astype(np.float64)[None]).value
            if case.met_by(plain.ravel()):
                return Witness.of(found, number)
    return None


def _refuted(stored: StoredModel, case: Case, watch: Watch) -> bool:
    """Whether no input of a case meets it, however float32 rounds; derived rigorously."""
    query = case.query
    for row, limit, constraint in zip(query.rows, query.limits, case.constraints, strict=True):
        if not stands_for(constraint, row.tolist(), float(limit)):
            return False
    ends = query.box.lower.reshape(1, -1), query.box.upper.reshape(1, -1)
    margin = float32_margin(stored.program, *ends, query.rows[None])[0]
    limits = np.nextafter(query.limits + margin, np.inf)
    if watch.over or not np.isfinite(limits).all():
        return False
    wider = Query(query.box, query.rows, limits, query.alternatives)
    root = Cells.roots(np.zeros(1, np.int64))
    leaf = Proof.of(root, entries=stored.program.entries)
    return certify_query(stored, wider, leaf, watch=watch) is not None
