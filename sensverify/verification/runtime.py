"""A property that no input meets in real arithmetic, as a runtime computes it.

A file is run in its own arithmetic, float32 for most. Where that rounds by more than the property
leaves room for, an input may meet the property there although none does in real arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds.forward import forward
from sensverify.bounds.rounding import row_slack
from sensverify.bounds.tensors import tensor_box, tensor_network
from sensverify.core.box import Box
from sensverify.core.plain import finite
from sensverify.formats.vnnlib import Case
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.verification.replay import Replay, Replayed
from sensverify.verification.witness import Witness

_RANDOM, _CORNERS = 64, 16
"""Points of the box that are looked at, beside its centre and its two end corners."""

_STEPS = 8
"""Gradient steps from the nearest of them towards the limits."""

_CLIMBERS = 16
_REPLAYED = 48
"""Points that onnxruntime is asked about, the nearest to the limits."""


_AT_ONCE = 512
"""Cases whose margins are computed together."""

_CLEAR = 4.0
"""Multiple of the margin that is far: a margin is no worst case for long sums."""

_SHOWN = 8
"""Numbers of an input that a message holds."""


@dataclass(frozen=True, eq=False)
class RuntimeCheck:
    """A case that is unsat in real arithmetic, when its file is run.

    Parameters
    ----------
    found : Replayed or None
        An input at which onnxruntime's outputs meet the case.
    margin : float or None
        By how much evaluating in float32 may move the rows of the case, the largest; None where
        that is not known.
    near : bool
        Whether that is as much as the distance from the limits of an input that is known.
    replayed : int
        Inputs that were replayed.
    """

    found: Replayed | None
    margin: float | None
    near: bool
    replayed: int


def check_runtime(
    network: Network, case: Case, replay: Replay, watch: Watch, margins: np.ndarray | None = None
) -> RuntimeCheck:
    """Replay the inputs of a case that are nearest to its limits.

    Parameters
    ----------
    network : Network
        As it was read.
    case : Case
        One that no input meets in real arithmetic.
    replay : Replay
        Of the network's file.
    watch : Watch
        When it is over, only a few inputs are replayed.
    margins : numpy array, shape ``[constraints]``, optional
        Bounds on what float32 may add to the rows; default: `slack`, which is not quite one.
    """
    if margins is None:
        (margins,) = _margins(network, [case])
    box, shape = _box_of([case], network), network.input_shape
    points, distance = _Nearest(network, case, box, torch.from_numpy(margins)).points(watch)
    lower, upper = case.lower.reshape(shape), case.upper.reshape(shape)
    found, count = None, 0
    for point in points:
        given = replay.outputs(point, lower, upper, nearest=True)
        if given is None:
            # onnxruntime cannot run the file, or the box holds no number of its type.
            break
        count += 1
        if case.met_by(given.outputs):
            found = given
            break
    largest = float(margins.max(initial=0.0))
    # Written so that a NaN is near.
    near = not distance > 0
    return RuntimeCheck(found, finite(largest), near, count)


@dataclass(frozen=True, eq=False)
class RuntimeFacts:
    """A property that is unsat in real arithmetic, beside onnxruntime.

    Parameters
    ----------
    violation : Witness or None
        An input in the box at which the file, as onnxruntime runs it, meets the property all the
        same. The verdict is then UNKNOWN.
    margin : float or None
        By how much evaluating in float32 may move what the property compares; None where that is
        not known.
    near : bool
        Whether that is as much as the distance from the limits at an input that was looked at: no
        input is known that meets the property, but one may.
    replayed : int
        Inputs that were replayed.
    """

    violation: Witness | None
    margin: float | None
    near: bool
    replayed: int

    def words(self, total: int) -> str:
        """Text for where the runtime's rounding decides, of ``total`` input boxes."""
        violation = self.violation
        if violation is None:
            return "no input is known at which the file's rounding meets the property"
        box = f" (input box {violation.case + 1} of {total})" if total > 1 else ""
        inputs, outputs = _named("X", violation.inputs), _named("Y", violation.outputs)
        return (
            "holds in real arithmetic, where no input meets the property; the file, as "
            f"onnxruntime runs it, meets it by rounding at {inputs}, with {outputs}{box}"
        )


def check_runtimes(
    network: Network,
    cases: Sequence[Case],
    replay: Replay,
    watch: Watch,
    *,
    margins: Callable[[Case], np.ndarray] | None = None,
    clear: Mapping[int, np.ndarray] | None = None,
) -> RuntimeFacts:
    """`check_runtime` for every case of a property, up to the first input that is found.

    Parameters
    ----------
    network, cases, replay, watch
        See `check_runtime`.
    margins : callable, optional
        See `check_runtime`.
    clear : mapping from int to numpy array, optional
        Of cases by number: by how much the constraints are known to be missed, ``[constraints]``.
        Where float32 moves them by far less, nothing is replayed.
    """
    parts: list[RuntimeCheck] = []
    violation: Witness | None = None
    known_margins = _margins(network, cases) if margins is None else map(margins, cases)
    for number, (case, own) in enumerate(zip(cases, known_margins, strict=True)):
        missed = None if clear is None else clear.get(number)
        if missed is not None and _far(case, missed, own):
            parts.append(RuntimeCheck(None, finite(float(own.max(initial=0.0))), False, 0))
            continue
        parts.append(check_runtime(network, case, replay, watch, own))
        found = parts[-1].found
        if found is not None:
            violation = Witness.of(found, number)
            break
    known = [part.margin for part in parts if part.margin is not None]
    return RuntimeFacts(
        violation=violation,
        margin=max(known) if len(known) == len(parts) else None,
        near=any(part.near for part in parts),
        replayed=sum(part.replayed for part in parts),
    )


def _margins(network: Network, cases: Sequence[Case]) -> Iterator[np.ndarray]:
    """Bounds on what float32 adds to the rows of every case, in their order."""
    for _, group in groupby(cases, key=lambda case: case.query.rows.tobytes()):
        alike = list(group)
        for begin in range(0, len(alike), _AT_ONCE):
            part = alike[begin : begin + _AT_ONCE]
            rows = torch.as_tensor(part[0].query.rows)[None].float()
            limits = torch.as_tensor(np.stack([case.query.limits for case in part])).float()
            box = _box_of(part, network)
            narrow = tensor_box(box, dtype=torch.float32, device=torch.device("cpu"))
            yield from row_slack(network, narrow, rows, limits).double().numpy()


def _box_of(cases: Sequence[Case], network: Network) -> Box:
    """The boxes of cases, ``[cases, *input_shape]``."""
    low, high = (np.stack([getattr(c, end) for c in cases]) for end in ("lower", "upper"))
    shape = (len(cases), *network.input_shape)
    # Strict bounds can leave no float64 number between them.
    return Box(np.minimum(low, high).reshape(shape), np.maximum(low, high).reshape(shape))


def _far(case: Case, missed: np.ndarray, margins: np.ndarray) -> bool:
    """Whether every alternative has a constraint that is missed by far more than float32 moves."""
    far = missed > _CLEAR * margins
    return all(bool(far[list(part)].any()) for part in case.query.alternatives)


def _named(letter: str, values: np.ndarray) -> str:
    shown = ", ".join(f"{letter}_{i} = {v!r}" for i, v in enumerate(values[:_SHOWN].tolist()))
    return shown + (f", ... ({len(values)} in all)" if len(values) > _SHOWN else "")


class _Nearest:
    """The search for inputs of a case near its limits."""

    def __init__(self, network: Network, case: Case, box: Box, margins: Tensor) -> None:
        cpu = torch.device("cpu")
        self.live = {
            dtype: tensor_network(network, dtype=dtype, device=cpu)
            for dtype in (torch.float32, torch.float64)
        }
        self.box = tensor_box(box, dtype=torch.float64, device=cpu)
        self.query, self.margins = case.query, margins
        self.rows, self.limits = (
            torch.from_numpy(case.query.rows),
            torch.from_numpy(case.query.limits),
        )

    def points(self, watch: Watch) -> tuple[np.ndarray, float]:
        """Inputs to replay, and by how much the nearest is beyond the margins: below 0, within."""
        low, high = self.box.lower, self.box.upper
        generator = torch.Generator().manual_seed(0)
        share = torch.rand((_RANDOM, *low.shape[1:]), generator=generator, dtype=torch.float64)
        ends = torch.rand((_CORNERS, *low.shape[1:]), generator=generator) < 0.5
        first = torch.cat([self.box.center, low, high])
        spread = low + share * (high - low)
        seen = torch.cat([first, spread, torch.where(ends, low, high)])
        if not watch.over:
            seen = torch.cat([seen, self._descended(seen)])
        with torch.no_grad():
            depth = {dtype: self._excess(self._outputs(seen, dtype)) for dtype in self.live}
            within = self._excess(self._outputs(seen, torch.float64), self.margins).amin()
        order = torch.stack([values.argsort() for values in depth.values()], dim=1).flatten()
        chosen = list(dict.fromkeys([0, 1, 2, *order.tolist()]))[:_REPLAYED]
        return seen[chosen].numpy(), float(within)

    def _descended(self, points: Tensor) -> Tensor:
        """Points on the way from the nearest ones along the gradient of the distance."""
        with torch.no_grad():
            depth = self._excess(self._outputs(points, torch.float64))
        points = points[depth.argsort()[:_CLIMBERS]]
        step = (self.box.upper - self.box.lower) / 2
        passed = []
        for _ in range(_STEPS):
            with torch.enable_grad():
                points = points.detach().requires_grad_()
                excess = self._excess(self._outputs(points, torch.float64)).sum()
                (gradient,) = torch.autograd.grad(excess, points, allow_unused=True)
            if gradient is None:
                break
            points = points.detach() - step * gradient.sign()
            points = torch.minimum(torch.maximum(points, self.box.lower), self.box.upper)
            passed.append(points)
            step = step * 0.6
        return torch.cat(passed) if passed else points[:0].detach()

    def _outputs(self, points: Tensor, dtype: torch.dtype) -> Tensor:
        outputs = forward(self.live[dtype], points.to(dtype))
        return outputs.reshape(len(points), -1).double()

    def _excess(self, outputs: Tensor, margins: Tensor | None = None) -> Tensor:
        """Distance of outputs from the nearest alternative, ``[points]``; NaN is infinitely far."""
        values = outputs @ self.rows.T - self.limits
        if margins is not None:
            values = values - margins
        if not all(self.query.alternatives):
            return outputs.sum(dim=1) * 0.0
        parts = [values[:, list(part)].amax(dim=1) for part in self.query.alternatives]
        excess = torch.stack(parts, dim=1).amin(dim=1)
        return torch.where(excess.isnan(), torch.inf, excess)
