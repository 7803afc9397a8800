"""Marabou, the successor of the seed's Reluplex, as an oracle for queries."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from math import ceil, inf
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from sensverify.bounds import Decider, forward_pass
from sensverify.bounds.method import require_known_set
from sensverify.bounds.rounding import query_slack
from sensverify.bounds.tensors import flattened, tensor_network
from sensverify.core.box import Box
from sensverify.core.queries import Accept, Decision, Query, Verdict
from sensverify.core.results import Guarantee
from sensverify.errors import BackendFailure, missing
from sensverify.network import Network
from sensverify.registry.ranges import Seconds
from sensverify.runs.watch import Watch
from sensverify.solvers.incumbents import descend, search
from sensverify.solvers.marabou_query import ReluProgram, relu_program
from sensverify.solvers.witnesses import is_witness

_POLL = 0.1
"""Seconds between two looks at the watch while Marabou works."""

_STEPS, _FIRST_STEP = 24, 1e-3
"""Gradient steps from an input of Marabou's, the first as a share of the box's width."""

_MARGIN = 1e-8
"""The margin by which Marabou's claim is stronger than the query, relative to the size of the terms
that an objective is the sum of: room for its tolerances."""

_CONTROL = 1e-5
"""By how much an input meets the control question, relative to the size of the objective."""


@dataclass(frozen=True)
class Marabou(Decider):
    """Answers queries with Marabou 2.0, through the package ``maraboupy``.

    Marabou gets the network from our own graph, over the box: the ReLUs that CROWN leaves open,
    with their bounds, and equations between them, all in units of their own size. It works in a
    process of its own, which is ended when the time is up.

    Parameters
    ----------
    seconds : float or None
        Wall time for one query.

    Notes
    -----
    Guarantee SOLVER: ``unsat`` holds within Marabou's tolerances and by more than rounding can
    hide, and is taken only where no input is known that meets the query and where Marabou finds the
    one that comes closest to that when asked for it. An input it calls ``sat`` counts only if our
    own evaluation, in float64, finds that it meets the query: otherwise the answer is unknown.

    Given layer by layer, Marabou 2.0.0 called satisfiable queries unsat: every one asked of the
    Iris network, for its weights of 1e-8, and without those 2 of 30; 13 of 244 on small networks
    with shortcuts, leaky ReLUs or clips. Given as it is here it never did: not for 1,080
    satisfiable queries on the Iris network (30 samples, sigma 0.05 and 0.1), nor for 3,204 on 270
    random small networks with ReLUs, leaky ReLUs, absolute values, clips, shortcuts and weights
    down to 1e-12. As many unsatisfiable ones were asked; 2 were called sat, 4 had no answer after
    3 s, all on one network. All limits were 1e-3 to 1e-6 (relative) beside the exact optimum.

    Source: Wu et al. 2024, *Marabou 2.0: a versatile formal analyzer of neural networks*.

    Raises
    ------
    BadSetting
        The time limit is no such thing.
    """

    seconds: Seconds | None = None

    name: ClassVar[str] = "marabou"
    guarantee: ClassVar[Guarantee] = Guarantee.SOLVER

    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        """One call of Marabou for every alternative; see `Decider.decide`.

        Raises
        ------
        BackendMissing
            ``maraboupy`` is not installed.
        BackendFailure
            Marabou stopped without an answer.
        MissingRule
            An operator is neither affine nor linear between kinks.
        Unbounded
            A number overflowed.
        """
        require_known_set(self.name, (), query.box)
        if find_spec("maraboupy") is None:
            hint = ", with Python 3.12 or older"
            raise missing("maraboupy", "marabou", "the marabou oracle", hint)
        watch = (watch or Watch()).within(self.seconds)
        live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
        program = relu_program(live, query.box, watch)
        # Of the network as it came: where products are folded, what cancelled in them is not seen.
        rounding = _rounding(network, query, program)
        verdict = Verdict.UNSAT
        for calls, part in enumerate(query.alternatives, start=1):
            word, point = _answer(program, query, part, watch, rounding, _MARGIN)
            if word in ("sat", "unsat"):
                best = point if word == "sat" else _best(live, query, part)
                witness = _witness(live, query, part, best, accept)
                if witness is not None:
                    return Decision(Verdict.SAT, witness=witness, explored=calls)
            if word == "unsat" and not _is_sane(program, live, query, part, best, watch):
                word = "TIMEOUT" if watch.over else "UNKNOWN"
            # Anything but a proof for every alternative leaves the query open.
            if word == "TIMEOUT":
                return Decision(Verdict.TIMEOUT, explored=calls)
            if word != "unsat":
                verdict = Verdict.UNKNOWN
        return Decision(verdict, explored=len(query.alternatives))


def _best(network: Network, query: Query, part: tuple[int, ...]) -> np.ndarray:
    """The input that violates an alternative least, of those that a search with gradients finds."""
    box = Box(torch.from_numpy(query.box.lower), torch.from_numpy(query.box.upper))
    rows, limits = (torch.from_numpy(values[list(part)]) for values in (query.rows, query.limits))
    if not part:
        return query.box.center[0]
    _, points = search(network, box, rows[None])
    starts = points[0]
    values, found = descend(
        network,
        Box(box.lower.expand_as(starts), box.upper.expand_as(starts)),
        starts,
        lambda outputs: (outputs @ rows.T - limits).amax(1),
        steps=_STEPS,
    )
    return found[values.argmin()].numpy()


def _is_sane(
    program: ReluProgram,
    network: Network,
    query: Query,
    part: tuple[int, ...],
    best: np.ndarray,
    watch: Watch,
) -> bool:
    """True where no known input meets the query, and Marabou finds one where it is known to be.

    The control question is the same query with limits just above what the network gives there.
    One that Marabou calls unsat shows that it is wrong on this network and box, so its proof does
    not count.
    """
    with torch.no_grad():
        values = flattened(forward_pass(network, torch.from_numpy(best)[None])).numpy()[0]
    if query.met_by(values[None])[0]:
        # No proof, even if it is no witness for whoever asked.
        return False
    reached = query.rows @ values
    size = np.abs(query.rows) @ np.abs(values)
    limits = np.maximum(query.limits, reached + _CONTROL * np.maximum(size, 1e-6))
    word, _ = _answer(program, replace(query, limits=limits), part, watch)
    return word == "sat"


def _witness(
    network: Network, query: Query, part: tuple[int, ...], point: np.ndarray, accept: Accept | None
) -> np.ndarray | None:
    """An input that meets the query: Marabou's, or where gradients lead from it; None if neither.

    Marabou's own lies on the edge of what is asked for, and beyond it by its tolerances.
    """
    box = Box(torch.from_numpy(query.box.lower), torch.from_numpy(query.box.upper))
    start = torch.from_numpy(point)[None]
    points = [start]
    if part and bool(box.contains(start).all()):
        rows, limits = (
            torch.from_numpy(values[list(part)]) for values in (query.rows, query.limits)
        )
        _, moved = descend(
            network,
            box,
            start,
            lambda outputs: (outputs @ rows.T - limits).amax(1),
            steps=_STEPS,
            first_step=_FIRST_STEP,
        )
        points.append(moved)
    for found in points:
        witness = found[0].numpy()
        inside = bool(query.box.contains(witness[None]).all())
        if inside and is_witness(network, query, witness, accept):
            return witness
    return None


def _rounding(network: Network, query: Query, program: ReluProgram) -> np.ndarray:
    """By how much an output must exceed each limit to do so for sure, ``[constraints]``."""
    box = Box(*(torch.from_numpy(np.array(end)) for end in (query.box.lower, query.box.upper)))
    hidden = [
        (torch.from_numpy(low)[None], torch.from_numpy(high)[None]) for low, high in program.hidden
    ]
    return query_slack(network, box, query, hidden)[0].numpy()


def _answer(
    program: ReluProgram,
    query: Query,
    part: tuple[int, ...],
    watch: Watch,
    rounding: np.ndarray | None = None,
    margin: float = 0.0,
) -> tuple[str, np.ndarray]:
    """Marabou's word on one alternative, and its input, moved into the box, if that is ``sat``.

    It is asked about limits that are larger by the rounding, and by the margin.
    """
    chosen = list(part)
    limits = query.limits[chosen] + (0.0 if rounding is None else rounding[chosen])
    if not np.isfinite(limits).all():
        return "UNKNOWN", np.zeros(0)
    asked = program.query(query.rows[chosen], limits, margin)
    if isinstance(asked, bool):
        return ("sat" if asked else "unsat"), query.box.center[0]
    if watch.over:
        return "TIMEOUT", np.zeros(0)
    asked["seconds"] = 0 if watch.left == inf else ceil(watch.left) + 1
    answer = _ask_process(asked, watch)
    if answer is None:
        return "TIMEOUT", np.zeros(0)
    word, values = answer
    if word == "ERROR":
        raise BackendFailure("Marabou reported an error of its own; nothing is concluded from it")
    if word != "sat":
        return word, np.zeros(0)
    point = np.array(values, dtype=np.float64).reshape(query.box.shape)
    return word, np.clip(point, query.box.lower[0], query.box.upper[0])


def _ask_process(asked: dict[str, Any], watch: Watch) -> tuple[str, list[float]] | None:
    """The worker's answer; None where the watch was over first."""
    script = Path(__file__).with_name("marabou_worker.py")
    with subprocess.Popen(
        # -P: its folder is no place to import from.
        [sys.executable, "-P", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C stops the watch, not the worker.
        start_new_session=True,
    ) as worker:
        try:
            answer, errors = _talk(worker, pickle.dumps(asked), watch)
        except TimeoutError:
            return None
        finally:
            worker.kill()
    if worker.returncode != 0 or not answer:
        last = (errors.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise BackendFailure(f"Marabou stopped without an answer ({worker.returncode}): {last}")
    word, values = pickle.loads(answer)
    return str(word), values


def _talk(worker: subprocess.Popen[bytes], text: bytes, watch: Watch) -> tuple[bytes, bytes]:
    """Standard output and error of the worker when it has ended."""
    given: bytes | None = text
    while True:
        try:
            return worker.communicate(given, timeout=min(_POLL, max(watch.left, 1e-3)))
        except subprocess.TimeoutExpired:
            # It keeps what it was given.
            given = None
            if watch.over:
                raise TimeoutError from None
