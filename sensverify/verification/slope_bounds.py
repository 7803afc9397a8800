"""Slopes of a network over boxes around samples: Lipschitz constants and monotony."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sensverify.bounds import forward_pass
from sensverify.bounds.jacobian import JacobianBounds, Monotony, Verdict, jacobian_bounds, monotone
from sensverify.bounds.method import PreActivationBounds
from sensverify.core.box import Box
from sensverify.core.provenance import settings_of
from sensverify.core.record import RunRecord
from sensverify.errors import BadSetting
from sensverify.models.loading import LoadedModel, ModelFacts
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.verification.asking import asked_model, method_of, whole_request
from sensverify.verification.question import Question, make_question
from sensverify.verification.replay import Replay
from sensverify.verification.request import VerifyRequest
from sensverify.verification.results import InputFacts

NORMS = (1, 2, inf)
"""Norms of inputs and outputs in which Lipschitz constants are told."""

DIRECTIONS = ("up", "down")

_POINTS = 32
"""Points of a box at which the slopes themselves are looked at."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Asked:
    """A feature, counted from 0, and whether outputs are to go ``up`` or ``down`` with it."""

    feature: int
    direction: str = "up"

    @classmethod
    def parse(cls, text: str) -> Asked:
        """Read ``3``, ``3:up`` or ``3:down``.

        Raises
        ------
        BadSetting
        """
        digits, _, direction = text.partition(":")
        if not digits.strip().isdecimal() or direction not in ("", *DIRECTIONS):
            raise BadSetting(
                f"'{text}' is no feature and direction", "write 3, 3:up or 3:down, counted from 0"
            )
        return cls(int(digits), direction or "up")

    def __str__(self) -> str:
        return f"{self.feature}:{self.direction}"


@dataclass(frozen=True, eq=False)
class MonotonySample:
    """Whether one output goes the way that was asked with one feature, on one box.

    Parameters
    ----------
    asked : Asked
    output : int
    verdict : str
        ``proven``, ``refuted`` or ``undecided``.
    inputs, values : numpy array, shape ``[2, *input_shape]`` and ``[2]``, or None
        Where it is refuted: two inputs that differ in the feature alone, in ascending order, and
        the output there, as the original model gives it.
    """

    asked: Asked
    output: int
    verdict: Verdict
    inputs: np.ndarray | None = None
    values: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class SlopeSample:
    """One sample's box.

    Parameters
    ----------
    index : int
    lower, upper : numpy array, shape ``[outputs, inputs]``
        Proven bounds on the Jacobian.
    lipschitz, attained : dict of float to float
        By norm: a constant that is proven for the box, and the largest norm of a Jacobian found.
    monotony : tuple of MonotonySample
    seconds : float
    """

    index: int
    lower: np.ndarray
    upper: np.ndarray
    lipschitz: dict[float, float]
    attained: dict[float, float]
    monotony: tuple[MonotonySample, ...]
    seconds: float


@dataclass(frozen=True, eq=False)
class SlopeReport:
    """Slopes over the boxes around samples.

    Parameters
    ----------
    model : ModelFacts
    perturbation : InputFacts
    method : str
        That bounded the hidden layers.
    settings : dict
    parts : int
    asked : tuple of Asked
    samples : tuple of SlopeSample
    total : int
        Samples that were asked about.
    samples_sha256 : str
    seed : int
    seconds : float
    record : RunRecord
    """

    model: ModelFacts
    perturbation: InputFacts
    method: str
    settings: dict[str, Any]
    parts: int
    asked: tuple[Asked, ...]
    samples: tuple[SlopeSample, ...]
    total: int
    samples_sha256: str
    seed: int
    seconds: float
    record: RunRecord

    def __repr__(self) -> str:
        largest = ", ".join(f"L{norm:g} {self.largest(norm):.4g}" for norm in NORMS)
        return f"SlopeReport({self.model.name}, {len(self.samples)} samples, {largest})"

    @property
    def interrupted(self) -> bool:
        """Whether samples are missing."""
        return len(self.samples) < self.total

    def largest(self, norm: float) -> float:
        """The largest proven constant of all samples in a norm."""
        return max(sample.lipschitz[norm] for sample in self.samples)

    @property
    def verdicts(self) -> list[Verdict]:
        """Of every sample, question and output."""
        return [each.verdict for sample in self.samples for each in sample.monotony]

    @property
    def exit_status(self) -> int:
        """0: done, and all monotony that was asked for is proven; 1: some is refuted; else 3."""
        if "refuted" in self.verdicts:
            return 1
        return 3 if "undecided" in self.verdicts or self.interrupted else 0


def slopes(
    request: VerifyRequest | str | Path | Network | nn.Module,
    x: Any = None,
    y: Any = None,
    *,
    monotone: Sequence[str | Asked] = (),
    parts: int = 16,
    progress: Progress | None = None,
    watch: Watch | None = None,
    **settings: Any,
) -> SlopeReport:
    """Bound a model's Jacobian over boxes around samples: Lipschitz constants, and monotony.

    Parameters
    ----------
    request, x, y, progress, watch, **settings
        As of `verify`; the method bounds the hidden layers.
    monotone : sequence of str or Asked
        Such as ``3:up``: every output has to rise with feature 3, whatever the others are.
    parts : int
        Into how many parts a box is cut at most.

    Raises
    ------
    SensverifyError
        The request cannot be met; the message says why.

    Examples
    --------
    >>> from sensverify.verification import slopes
    >>> report = slopes("iris", samples=(0, 1), sigma=0.01, monotone=["2:up"])
    >>> [each.verdict for each in report.samples[0].monotony]
    ['refuted', 'proven', 'proven']
    """
    began = time.perf_counter()
    request = whole_request(VerifyRequest, request, x, y, settings)
    request = replace(request, dtype="float64")
    method = method_of(request)
    if not isinstance(method, PreActivationBounds):
        raise BadSetting(
            f"method {method.name} does not bound hidden layers", "use ibp, crown or lp-dual"
        )
    asked = tuple(a if isinstance(a, Asked) else Asked.parse(a) for a in monotone)
    model = asked_model(request)
    question = make_question(request, model)
    for each in asked:
        if each.feature >= prod(model.network.input_shape):
            raise BadSetting(
                f"there is no feature {each.feature}: the model has "
                f"{prod(model.network.input_shape)}, counted from 0"
            )
    watch = (Watch() if watch is None else watch).within(request.timeout)
    replay, samples = Replay.of(model), []
    for place in range(len(question)):
        if place and watch.over:
            break
        if progress is not None:
            progress(place, len(question))
        samples.append(
            _sample(model, question, place, (asked, parts, method, request.seed), replay)
        )
    return SlopeReport(
        model=model.facts(),
        perturbation=question.facts,
        method=request.method_name,
        settings=settings_of(method),
        parts=parts,
        asked=asked,
        samples=tuple(samples),
        total=len(question),
        samples_sha256=question.digest,
        seed=request.seed,
        seconds=time.perf_counter() - began,
        record=RunRecord.now(),
    )


def _sample(
    model: LoadedModel,
    question: Question,
    place: int,
    settings: tuple[tuple[Asked, ...], int, PreActivationBounds, int],
    replay: Replay,
) -> SlopeSample:
    began, (asked, parts, method, seed) = time.perf_counter(), settings
    box = question.box(slice(place, place + 1))
    found = jacobian_bounds(model.network, box, hidden=method, parts=parts)
    answers: list[MonotonySample] = []
    for each in asked:
        (outcome,) = monotone(
            model.network,
            box,
            each.feature,
            rising=each.direction == "up",
            parts=4 * parts,
            seed=seed + place,
        )
        answers += [_replayed(each, k, one, box, replay) for k, one in enumerate(outcome)]
    return SlopeSample(
        index=int(question.samples.places[place]),
        lower=found.lower[0].numpy(),
        upper=found.upper[0].numpy(),
        lipschitz={norm: float(found.lipschitz(norm)[0]) for norm in NORMS},
        attained=_attained(model.network, box, found, seed + place),
        monotony=tuple(answers),
        seconds=time.perf_counter() - began,
    )


def _replayed(
    asked: Asked, output: int, found: Monotony, box: Box, replay: Replay
) -> MonotonySample:
    """The answer: two inputs refute only if they do so in the original model, too."""
    if found.first is None or found.second is None:
        return MonotonySample(asked, output, found.verdict)
    runs = [
        replay.outputs(point.numpy(), box.lower[0], box.upper[0])
        for point in (found.first, found.second)
    ]
    undecided = MonotonySample(asked, output, "undecided")
    if runs[0] is None or runs[1] is None:
        return undecided
    inputs = np.stack([run.point for run in runs if run is not None])
    values = np.array([float(run.outputs[output]) for run in runs if run is not None])
    moved = np.flatnonzero((inputs[1] != inputs[0]).reshape(-1)).tolist()
    fell = values[1] < values[0] if asked.direction == "up" else values[1] > values[0]
    if moved != [asked.feature] or not fell or not np.isfinite(values).all():
        return undecided
    return MonotonySample(asked, output, "refuted", inputs, values)


def _attained(network: Network, box: Box, found: JacobianBounds, seed: int) -> dict[float, float]:
    """The largest norms of Jacobians at some points, no larger than what is proven."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    lower, upper = (torch.from_numpy(end) for end in (box.lower, box.upper))
    share = torch.rand((_POINTS, *lower.shape[1:]), generator=generator, dtype=torch.float64)
    x = (lower + share * (upper - lower)).requires_grad_()
    with torch.enable_grad():
        y = forward_pass(network, x).flatten(1)
        rows: list[Tensor] = []
        for k in range(y.shape[1]):
            (row,) = torch.autograd.grad(y[:, k].sum(), x, retain_graph=True, allow_unused=True)
            rows.append(torch.zeros_like(x) if row is None else row)
    slopes = torch.stack(rows, dim=1).flatten(2)
    return {
        norm: min(
            float(torch.linalg.matrix_norm(slopes, norm).amax()), float(found.lipschitz(norm)[0])
        )
        for norm in NORMS
    }
