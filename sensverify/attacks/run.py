"""Attacks on labelled samples, with checks of the arguments before and of the points after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from sensverify.attacks.ascent import (
    Function,
    check,
    has_zero_gradient,
    log_odds,
    value_and_gradient,
)
from sensverify.attacks.attack import make_attack
from sensverify.attacks.protocol import Attack
from sensverify.attacks.sample_generator import SampleGenerator
from sensverify.attacks.worst import Worst, strongest
from sensverify.attacks.worst_points import misclassified
from sensverify.bounds.forward import forward_pass
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.core.brief import count_of
from sensverify.errors import BadData, BadSetting, BadShape, NotMeasured
from sensverify.network import Network
from sensverify.runs.watch import Watch

Progress = Callable[[int, int], None]
"""Called with the number of samples done and their total."""

_LEAST_CLASSES = 2


@dataclass(frozen=True, eq=False)
class AttackResult:
    """Outcome of an attack on every sample.

    Attributes
    ----------
    points : Tensor, shape ``[samples, *features]``
        In the samples' boxes: a point with another label where one was found; else the worst that
        was met, or for an attack that looks for the nearest the sample. A sample that is wrong by
        itself is left alone.
    outputs : Tensor, shape ``[samples, classes]``
        Outputs at the points of the network under attack.
    broken : bool Tensor, shape ``[samples]``
        Whether the label is not the largest output there.
    found : bool Tensor, shape ``[samples]``
        Whether the attack did that: broken, and not wrong by itself.
    gradient_masked : bool Tensor, shape ``[samples]``
        Whether a sample that kept its label has no gradient, neither at itself nor at its point,
        although the outputs change in its box: an attack that follows gradients says nothing of it.
        Never where one of several attacks follows none.
    l2, linf : float64 Tensors, shape ``[samples]``
        Euclidean and largest distance of the point from the sample, in the units of the features.
    """

    points: Tensor
    outputs: Tensor
    broken: Tensor
    found: Tensor
    gradient_masked: Tensor
    l2: Tensor
    linf: Tensor

    def __repr__(self) -> str:
        broken, found = int(self.broken.sum()), int(self.found.sum())
        parts = [count_of(len(self.broken), "sample"), f"{broken} broken ({found} by the attack)"]
        if bool(self.gradient_masked.any()):
            parts.append(f"{int(self.gradient_masked.sum())} without a gradient")
        return f"AttackResult({', '.join(parts)})"


def run_attack(
    function: Function | Network,
    x: Tensor,
    y: Tensor,
    box: Box,
    attack: Attack | str,
    *,
    seed: int = 0,
    places: Tensor | None = None,
    surrogate: Function | None = None,
    chunk: int = 256,
    watch: Watch | None = None,
    progress: Progress | None = None,
) -> AttackResult:
    """Attack labelled samples, each in its box.

    Samples that are wrong by themselves are broken already. All points are brought into their boxes
    and looked at again by the network that is attacked; where one is no worse than the sample, the
    sample is kept. So ``broken`` is attained, and holds every sample that is wrong by itself.

    Parameters
    ----------
    function : callable or Network
        Function under attack: from inputs ``[batch, *features]`` to outputs ``[batch, classes]``,
        each sample by itself. Its parameters get no gradients.
    x : Tensor, shape ``[samples, *features]``
        Finite, inside of the boxes. Its device is that of the computation.
    y : Tensor of whole numbers, shape ``[samples]``
    box : Box of tensors like x
        Region of the points; every feature has its own radius, and may be clipped. For an
        attack with ``nearest``, such as ``cw``, the range of the features.
    attack : Attack or str
        An attack, or what `make_attack` takes: ``pgd(steps=100)``.
    seed : int
        Seed of all draws. The draws of a sample follow from the seed and its place alone:
        neither the size of the chunks nor the other samples change more than the rounding of the
        function.
    places : Tensor of whole numbers, shape ``[samples]``, optional
        The samples' numbers in their data set, so that one draws the same wherever it is met.
        Default: their positions here.
    surrogate : callable, optional
        Another function whose gradients are followed, with the function as judge: an attack by
        somebody who does not know the network. Attacks without gradients do not look at it.
    chunk : int
        Samples at once.
    watch : Watch, optional
    progress : callable, optional
        Called after every chunk with the samples that are done and their number.

    Raises
    ------
    BadShape, BadBox, BadData, BadSetting
        The arguments do not fit together.
    Unbounded
        Outputs are not finite, at a sample or at a point that the attack has found.
    NotMeasured
        The watch was over before all samples were done: a part would say nothing of the rest.

    Examples
    --------
    >>> import torch
    >>> import sensverify as sv
    >>> x, y = torch.tensor([[5.1, 3.5, 1.4, 0.2]]), torch.tensor([0])
    >>> box = sv.Box.around(x, 1.5)
    >>> found = sv.attack(sv.load("iris"), x, y, box, "pgd(steps=20)")
    >>> found.broken.tolist(), bool(box.contains(found.points).all())
    ([True], True)
    """
    if isinstance(function, Network):
        function = partial(forward_pass, function)
    attack = make_attack(attack) if isinstance(attack, str) else attack
    x, y = x.detach(), _checked_labels(x, y, box)
    places = _checked_places(x, places)
    if chunk < 1:
        raise BadSetting(f"an attack needs at least 1 sample in a chunk, got {chunk}")
    attacks = attack.attacks if isinstance(attack, Worst) else (attack,)
    watched = _WatchedFunction(function, y, watch)
    other = None if surrogate is None else _WatchedFunction(surrogate, y, watch)
    follow = all(each.gradients for each in attacks)
    parts: list[tuple[Tensor, ...]] = []
    done = 0
    try:
        for first in range(0, len(x), chunk):
            part = slice(first, first + chunk)
            draws = SampleGenerator.seeded(seed, places[part])
            arguments = (watched, x[part], y[part], box[part])
            some = strongest(attacks, *arguments, generator=draws, surrogate=other)
            unbroken = ~misclassified(some[1], y[part]) & follow
            parts.append(
                (*some, _gradient_masked(other or watched, *arguments[1:], some[0], unbroken))
            )
            done += len(x[part])
            if progress is not None:
                progress(done, len(x))
    except _OutOfTime:
        raise NotMeasured(
            f"time was up when {attack.name} had attacked {done} of {len(x)} samples",
            "allow more time, or take fewer samples",
        ) from None
    points, outputs, found, gradient_masked = (
        torch.cat(column) for column in zip(*parts, strict=True)
    )
    moved = flattened(points.double() - x.double())
    return AttackResult(
        points=points,
        outputs=outputs,
        broken=misclassified(outputs, y),
        found=found,
        gradient_masked=gradient_masked,
        l2=moved.norm(dim=1),
        linf=moved.abs().amax(dim=1),
    )


def _gradient_masked(
    function: Function, x: Tensor, y: Tensor, box: Box, points: Tensor, left: Tensor
) -> Tensor:
    """Mask of the samples in ``left`` that have no gradient although the outputs change."""
    for at in (x, points):
        chosen = left.nonzero().squeeze(1)
        if len(chosen) == 0:
            return left
        _, _, gradient = value_and_gradient(function, at[chosen], y[chosen], log_odds)
        left = left.index_copy(0, chosen, has_zero_gradient(gradient))
    chosen = left.nonzero().squeeze(1)
    if len(chosen) == 0:
        return left
    changed = torch.zeros_like(chosen, dtype=torch.bool)
    with torch.no_grad():
        outputs = function(x[chosen])
        for at in (box.lower, box.upper, box.center):
            changed |= (function(at[chosen]) != outputs).any(dim=1)
    return left.index_copy(0, chosen, changed)


class _OutOfTime(Exception):
    """The watch is over; what was done of a chunk is dropped."""


class _WatchedFunction:
    """A function that checks the watch before each call and the outputs after it."""

    def __init__(self, function: Function, y: Tensor, watch: Watch | None) -> None:
        self._function = function
        self._watch = watch
        self._largest = int(y.argmax())
        self._label = int(y[self._largest])

    def __call__(self, points: Tensor) -> Tensor:
        if self._watch is not None and self._watch.over:
            raise _OutOfTime
        outputs = self._function(points)
        if outputs.ndim == 0 or len(outputs) != len(points):
            raise BadShape(
                f"an attack needs a function that gives outputs for each of {len(points)} inputs; "
                f"it gives the shape {tuple(outputs.shape)}"
            )
        outputs = outputs.reshape(len(points), -1)
        classes = outputs.shape[1]
        if classes < _LEAST_CLASSES:
            raise BadShape(f"an attack needs at least two outputs to tell apart, got {classes}")
        if self._label >= classes:
            raise BadData(
                f"sample {self._largest} has the label {self._label}; the {classes} outputs are "
                f"the classes 0 to {classes - 1}"
            )
        return outputs


def _checked_labels(x: Tensor, y: Tensor, box: Box) -> Tensor:
    """The labels as int64 on the samples' device; refuses what cannot be attacked."""
    if not x.dtype.is_floating_point:
        raise BadShape(f"an attack needs samples of a floating dtype, got {x.dtype}")
    if y.dtype.is_floating_point or y.dtype.is_complex or y.dtype == torch.bool:
        raise BadShape(f"labels are whole numbers from 0, got {y.dtype}")
    if len(x) == 0:
        raise BadData("there are no samples to attack")
    finite = torch.isfinite(flattened(x)).all(dim=1)
    if not bool(finite.all()):
        raise BadData(f"sample {int((~finite).nonzero()[0])} holds NaN or infinity")
    check(x, y, box)
    if bool((y < 0).any()):
        first = int((y < 0).nonzero()[0])
        raise BadData(f"sample {first} has the label {int(y[first])}; labels count from 0")
    return y.detach().to(x.device, torch.int64)


def _checked_places(x: Tensor, places: Tensor | None) -> Tensor:
    """The samples' numbers as int64 on their device."""
    if places is None:
        return torch.arange(len(x), device=x.device)
    whole = not (places.dtype.is_floating_point or places.dtype.is_complex)
    if not whole or places.dtype == torch.bool or tuple(places.shape) != (len(x),):
        raise BadShape(
            f"the places of {len(x)} samples are as many whole numbers, got {places.dtype} of "
            f"shape {tuple(places.shape)}"
        )
    return places.detach().to(x.device, torch.int64)
