"""The seed's metrics of a classifier on labelled samples, in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from math import inf, log
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.attacks import pgd
from sensverify.attacks.ascent import rescaled_log_odds
from sensverify.bounds import Crown, LpDual, Method
from sensverify.bounds.forward import check_finite
from sensverify.bounds.memory import DEFAULT_BUDGET, samples_within
from sensverify.bounds.tensors import flattened
from sensverify.classification.classifier import MOST_AT_ONCE, BoundedLabels, Classifier
from sensverify.classification.margins import robust_cross_entropy
from sensverify.classification.preparation import prepare
from sensverify.classification.samples import labelled_samples
from sensverify.core.box import Box
from sensverify.core.sensitivity import finite_volume, log_volume, relative_log_volume
from sensverify.errors import BadSetting, UnknownName, UnsoundResult
from sensverify.measures.complexity.spectral import Spectral, spectral_norms
from sensverify.measures.sensitivity.jacobian import jacobian_norms
from sensverify.network import Network
from sensverify.registry.names import did_you_mean
from sensverify.runs.watch import Watch

Progress = Callable[[int, int], None]
"""Called with the number of samples done and their total."""

METRICS: dict[str, str] = {
    "CE": "mean cross-entropy, in nats",
    "ERR": "share of samples whose label is not the largest output",
    "SENSE": "sensitivity: mean volume of the box around all outputs that the perturbed input can "
    "give",
    "LOG_SENSE": "natural logarithm of SENSE",
    "LOG_VOLUME": "mean over samples of the natural logarithm of that box's volume",
    "RELATIVE": "median, over samples classified right, of the natural logarithm of the volume "
    "over the margin to the power of the number of outputs; scaling the outputs does not change it",
    "JACOB": "mean Frobenius norm of the outputs' derivative in the inputs",
    "SPECTRAL": "half the sum of the squared spectral norms of all layers",
    "ADV_LOSS": "mean of a bound that the cross-entropy of no perturbed input exceeds, in nats",
    "ADV_ERR": "share of samples not proven to keep their label under every perturbation",
    "PGD_ERR": "share of samples that are wrong, or that an attack made wrong",
    "CROWN_ERR": "as ADV_ERR, by CROWN",
}
"""Description of every metric, by the name it has in tables; shares are from 0 to 1."""

ALWAYS = ("CE", "ERR")
"""Metrics that are always taken: they cost one forward pass."""

BOUNDED = frozenset({"SENSE", "LOG_SENSE", "LOG_VOLUME", "RELATIVE", "ADV_LOSS", "ADV_ERR"})
"""Metrics of the bounds by the method that is given."""

ATTACKED = frozenset({"ADV_ERR", "PGD_ERR", "CROWN_ERR"})
"""Metrics that an attack plays a part in: what it breaks is not proven, and counts as wrong."""

PERTURBED = BOUNDED | ATTACKED
"""Metrics that need a radius."""

SHARES = frozenset({"ERR", "ADV_ERR", "PGD_ERR", "CROWN_ERR"})
"""Metrics that are shares; printed as percentages."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The metrics of a network on some samples.

    The names of `METRICS` in lower case, and the number of samples. None is what could not be
    asked or was not (no radius was given, no sample is right, an operator of the network is not
    known) or what a double does not hold; logarithms of a volume are minus infinity where an output
    cannot move.

    ``adv_err >= pgd_err >= err``, and ``crown_err >= pgd_err``.
    """

    samples: int
    ce: float
    err: float
    sense: float | None
    log_sense: float | None
    log_volume: float | None
    relative: float | None
    jacob: float | None
    spectral: float | None
    adv_loss: float | None
    adv_err: float | None
    pgd_err: float | None
    crown_err: float | None = None

    def row(self) -> dict[str, float | None]:
        """Every metric by the name that `METRICS` has for it, in that order."""
        return {name: getattr(self, name.lower()) for name in METRICS}

    def only(self, names: Iterable[str]) -> Metrics:
        """The same without the metrics of other names, but for `ALWAYS`."""
        others = METRICS.keys() - {*names, *ALWAYS}
        unasked: dict[str, Any] = {name.lower(): None for name in others}
        return replace(self, **unasked)


def check_names(names: Iterable[str]) -> None:
    """Raise `UnknownName` where a name is none of `METRICS`."""
    for name in names:
        if name not in METRICS:
            raise UnknownName(
                f"there is no metric '{name}'{did_you_mean(name, METRICS)}",
                f"there are {', '.join(METRICS)}",
            )


def measure(
    network: Network,
    x: Any,
    y: Any,
    *,
    radius: Any,
    clip: tuple[float, float] | None = None,
    metrics: Iterable[str] | None = None,
    method: Method | None = LpDual(),  # noqa: B008
    pgd_steps: int = 40,
    seed: int = 0,
    crown: bool = False,
    spectral: Spectral = Spectral(),  # noqa: B008
    memory_budget: int = DEFAULT_BUDGET,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> Metrics:
    """Measure a classifier on labelled samples, in float32 and evaluation mode.

    Weights below 1e-30 of their layer's largest count as zero: they are far below rounding.

    Parameters
    ----------
    network : Network
        Read from a file or live; nothing about it is changed.
    x : array or tensor, shape ``[samples, *network.input_shape]``
        Its device is that of the computation.
    y : array or tensor of whole numbers, shape ``[samples]``
    radius : float, array of one sample's shape, or None
        How far every feature may move, in the units of x; None leaves out what depends on it.
    clip : (low, high), optional
        The range that perturbed inputs keep to.
    metrics : iterable of str, optional
        Names in `METRICS` that are taken beside CE and ERR; others cost nothing and are None.
        Default: all, but for CROWN_ERR.
    method : Method or None
        Of SENSE, LOG_SENSE, LOG_VOLUME, RELATIVE, ADV_LOSS and ADV_ERR, which inherit its
        guarantee; the seed's is LP-dual. None leaves them out.
    pgd_steps : int
        Of the attack behind PGD_ERR (projected gradient descent on the cross-entropy from one
        random point of the box); at least 1.
    seed : int
        Of the attack's random points.
    crown : bool
        Whether to take CROWN_ERR too, which costs about as much as all the rest.
    spectral : Spectral
        What SPECTRAL means.
    memory_budget : int
        Bytes that the computation may take beside the network and the samples.
    progress : callable, optional
        Called with ``(samples done, samples)``.
    watch : Watch, optional
        When it is over, the metrics are those of the samples done by then: at least the first few.

    Returns
    -------
    Metrics
        SENSE is Wang et al.'s, ADV_LOSS and ADV_ERR are Wong & Kolter's; ADV_ERR covers float32
        rounding as `proven` does. PGD_ERR is a lower bound on the error under attack: every input
        that counts lies in the box.

    Raises
    ------
    BadShape, BadData, BadBox, BadSetting
        The arguments do not fit.
    UnknownName
        There is no such metric.
    Unbounded
        A weight, an output or a bound is not finite.
    UnsoundResult
        An input in the box changes a label that was proven, by more than rounding.
    """
    if pgd_steps < 1:
        raise BadSetting(f"pgd_steps needs a whole number of at least 1, got {pgd_steps}")
    asked = frozenset(METRICS.keys() - {"CROWN_ERR"} if metrics is None else metrics)
    check_names(asked)
    asked |= {"CROWN_ERR"} if crown else frozenset()
    x, y = labelled_samples(network, x, y)
    classifier = Classifier(prepare(network, x.device), x.device)
    norms = None
    if "SPECTRAL" in asked and network.opaque is None:
        with torch.no_grad():
            norms = spectral_norms(classifier.network, operator=spectral.operator)
    box = _box(x, radius, clip)
    generator = torch.Generator().manual_seed(seed)
    task = _Task(classifier, method, pgd_steps, generator, asked, memory_budget)
    rows = 2 * classifier.classes - 1
    size = samples_within(memory_budget, classifier.simple, method or LpDual(), rows, 4)
    size = min(size, MOST_AT_ONCE)
    parts: list[_Part] = []
    for first in range(0, len(x), size):
        if parts and watch is not None and watch.over:
            break
        chunk = slice(first, first + size)
        with torch.no_grad():
            parts.append(task.part(x[chunk], y[chunk], box and box[chunk], first))
        if progress is not None:
            progress(min(first + size, len(x)), len(x))
    figure = None if norms is None else float(spectral.of(norms))
    return _combined(_Part.joined(parts), figure).only(asked)


@dataclass(eq=False)
class _Part:
    """Every sample's figures, ``[samples]``, on the CPU; empty ones were not asked for."""

    ce: Tensor
    wrong: Tensor
    jacob: Tensor = field(default_factory=lambda: torch.empty(0))
    log_volume: Tensor = field(default_factory=lambda: torch.empty(0))
    relative: Tensor = field(default_factory=lambda: torch.empty(0))
    adv_loss: Tensor = field(default_factory=lambda: torch.empty(0))
    unproven: Tensor = field(default_factory=lambda: torch.empty(0))
    broken: Tensor = field(default_factory=lambda: torch.empty(0))
    crown_unproven: Tensor = field(default_factory=lambda: torch.empty(0))

    @classmethod
    def joined(cls, parts: list[_Part]) -> _Part:
        return cls(*(torch.cat([getattr(p, f.name).cpu() for p in parts]) for f in fields(cls)))


@dataclass(frozen=True, eq=False)
class _Task:
    classifier: Classifier
    method: Method | None
    pgd_steps: int
    generator: torch.Generator
    asked: frozenset[str]
    memory_budget: int

    def part(self, x: Tensor, y: Tensor, box: Box | None, first: int) -> _Part:
        outputs = self.classifier(x)
        check_finite(outputs, first)
        found = _Part(
            ce=functional.cross_entropy(outputs, y, reduction="none"),
            wrong=outputs.argmax(dim=1) != y,
        )
        if "JACOB" in self.asked:
            found.jacob = jacobian_norms(self.classifier, x)
        if box is None:
            return found
        certainly = torch.zeros_like(found.wrong)
        if self.asked & ATTACKED:
            found.broken, certainly = self.attacked(x, y, box, outputs)
        if self.classifier.network.opaque is not None:
            return found
        if self.method is not None and self.asked & BOUNDED:
            bounded = self.bound(self.method, box, y)
            found.log_volume = log_volume(bounded.outputs)
            found.relative = relative_log_volume(bounded.outputs, outputs.double(), y)
            found.adv_loss = robust_cross_entropy(bounded.margins)
            _check_sound(self.method, bounded.proven & certainly, first)
            if "ADV_ERR" in self.asked:
                found.unproven = ~bounded.proven | found.broken
        if "CROWN_ERR" in self.asked:
            found.crown_unproven = self.unproven_by_crown(y, box, found.broken)
        return found

    def bound(self, method: Method, box: Box, y: Tensor) -> BoundedLabels:
        return self.classifier.bound(box, y, method, memory_budget=self.memory_budget)

    def attacked(self, x: Tensor, y: Tensor, box: Box, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Samples with an input in the box whose label is not the largest output.

        And those where it is another one by more than rounding, the input being looked at in
        double precision.
        """
        points, broken = x.clone(), outputs.argmax(dim=1) != y
        right = (~broken).nonzero().squeeze(1)
        if len(right):
            reached = pgd(
                self.classifier,
                x[right],
                y[right],
                box[right],
                steps=self.pgd_steps,
                generator=self.generator,
                loss=rescaled_log_odds(outputs[right]),
            ).detach()
            inside = flattened(box[right].contains(reached)).all(dim=1)
            fooled = (self.classifier(reached).argmax(dim=1) != y[right]) & inside
            points[right[fooled]] = reached[fooled]
            broken[right] = fooled
        certainly, places = broken.clone(), broken.nonzero().squeeze(1)
        certainly[places] = self.classifier.changes(points[places], y[places])
        return broken, certainly

    def unproven_by_crown(self, y: Tensor, box: Box, broken: Tensor) -> Tensor:
        unproven = torch.ones_like(broken)
        left = (~broken).nonzero().squeeze(1)
        if len(left):
            unproven[left] = ~self.bound(Crown(), box[left], y[left]).proven
        return unproven


def _check_sound(method: Method, wrong: Tensor, first: int) -> None:
    if bool(wrong.any()):
        raise UnsoundResult(
            f"method {method.name} proved the label of sample {first + int(wrong.nonzero()[0])} "
            "for a whole box, and an input in it has another one",
            "please report this with the network and the box",
        )


def _combined(all_: _Part, spectral: float | None) -> Metrics:
    samples = len(all_.ce)

    def mean(values: Tensor) -> float | None:
        return float(values.double().mean()) if len(values) else None

    log_sense = None
    if len(all_.log_volume):
        log_sense = float(torch.logsumexp(all_.log_volume, dim=0)) - log(samples)
    # Of samples classified right, but for ties.
    relative = all_.relative[all_.relative < inf]
    return Metrics(
        samples=samples,
        ce=float(all_.ce.double().mean()),
        err=float(all_.wrong.double().mean()),
        sense=None if log_sense is None else finite_volume(log_sense),
        log_sense=log_sense,
        log_volume=mean(all_.log_volume),
        # Of minus infinities the median is one too, where an interpolation is NaN.
        relative=median(relative.tolist()) if len(relative) else None,
        jacob=mean(all_.jacob),
        spectral=spectral,
        adv_loss=mean(all_.adv_loss),
        adv_err=mean(all_.unproven),
        pgd_err=mean(all_.broken),
        crown_err=mean(all_.crown_unproven),
    )


def _box(x: Tensor, radius: Any, clip: tuple[float, float] | None) -> Box | None:
    if radius is None:
        return None
    return Box.around(x, torch.as_tensor(radius, dtype=torch.float64), clip=clip)
