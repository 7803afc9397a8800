"""How a training goes, whatever its loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from sensverify.errors import BadSetting
from sensverify.registry.calls import Call, parse_call
from sensverify.training.optimisers import make_optimiser, make_schedule
from sensverify.training.ranges import LARGEST, Range
from sensverify.training.sharpness import make_sharpness

PRECISIONS = ("32", "bf16-mixed", "16-mixed")
DEVICES = ("cpu", "cuda")
SEEDS = 2**63
"""Seeds are below this number: torch takes no others."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Everything that decides a training beside its data, model and loss.

    Two trainings with equal settings see the same mini-batches in the same order and begin with
    the same weights, whatever their losses.

    Parameters
    ----------
    epochs, batch_size : int
    optimiser : str
        ``adam(lr=0.002)``, ``adamw(lr=0.001, weight_decay=0.01)``, ``sgd(lr=0.1, momentum=0.9)``.
    schedule : str
        Of the learning rate: ``constant``, ``cosine``, ``one-cycle(warmup=0.25)`` or
        ``step(every=0.3, factor=0.1)``, the shares being of the whole training.
    sharpness : str or None
        ``sam(rho=0.05)`` or ``asam(rho=0.5)`` around the optimiser.
    seed : int
        Of the initial weights, the order of the samples and everything that is drawn.
    sigma : float or None
        Radius of the perturbation as a share of every feature's range over the training part of
        the data, whether all of it is trained on or not.
    radius : float or None
        The same in the units of the features; one of the two, or neither.
    clip : (low, high) or None
        The range that perturbed inputs keep to; None for no bounds.
    ramp : float or None
        Share of the training over which the radius grows from 0 to its full size, linearly; None
        for what the recipe of the loss says.
    gradient_clip : float or None
        Largest norm of the gradient over all parameters.
    hold_out : int
        So many training samples, the last ones, are not trained on; the metrics after every epoch
        are then taken on them instead of on the test samples.
    train_samples : int or None
        Train on the first so many samples only.
    metric_samples : int
        How many samples the metrics after every epoch are taken on, at most, of the training and
        of the test (or held-out) part each; 0 for none.
    metric_every : int
        Take them after every so many epochs, and after the last.
    final_samples : int or None
        How many samples the final metrics are taken on, at most; None for all.
    pgd_steps : int
        Of the attack behind the PGD error.
    checkpoint_seconds : float
        A checkpoint is written after so much time, and at the end of every epoch.
    device : str
        ``cpu`` or ``cuda``.
    devices : int
        How many processes train together, each on its share of every mini-batch.
    precision : str
        ``32``, ``bf16-mixed`` or ``16-mixed``; bounds are always taken in float32.
    threads : int or None
        Of torch on the CPU; None leaves it as it is. The last bits of the weights depend on it.

    Raises
    ------
    BadSetting
        A value cannot be right, or does not go with another one; the message names it.
    UnknownName
        There is no such optimiser, schedule or sharpness.
    """

    epochs: int = 10
    batch_size: int = 64
    optimiser: str = "adam(lr=0.001)"
    schedule: str = "constant"
    sharpness: str | None = None
    seed: int = 0
    sigma: float | None = None
    radius: float | None = None
    clip: tuple[float, float] | None = None
    ramp: float | None = None
    gradient_clip: float | None = None
    hold_out: int = 0
    train_samples: int | None = None
    metric_samples: int = 1000
    metric_every: int = 1
    final_samples: int | None = None
    pgd_steps: int = 40
    checkpoint_seconds: float = 60.0
    device: str = "cpu"
    devices: int = 1
    precision: str = "32"
    threads: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.clip, list):
            object.__setattr__(self, "clip", tuple(self.clip))
        for name, fits, expected in _RULES:
            value = getattr(self, name)
            if not fits(value):
                raise BadSetting(f"{name} needs {expected}, got {value!r}")
        if self.sigma is not None and self.radius is not None:
            raise BadSetting("give sigma or radius, not both")
        make_optimiser(self.optimiser_call, [torch.zeros(1, requires_grad=True)])
        make_schedule(self.schedule_call)
        if self.sharpness_call is not None:
            make_sharpness(self.sharpness_call)
        if self.precision == "16-mixed":
            self._check_half()

    def _check_half(self) -> None:
        if self.device == "cpu":
            raise BadSetting(
                "precision 16-mixed needs device cuda; use bf16-mixed or 32 on the cpu"
            )
        if self.sharpness is not None:
            raise BadSetting(
                "sharpness does not go with precision 16-mixed, which leaves steps out and scales "
                "gradients; use bf16-mixed or 32"
            )

    @property
    def optimiser_call(self) -> Call:
        return parse_call(self.optimiser)

    @property
    def schedule_call(self) -> Call:
        return parse_call(self.schedule)

    @property
    def sharpness_call(self) -> Call | None:
        return None if self.sharpness is None else parse_call(self.sharpness)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and TOML hold them."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> TrainSettings:
        """From plain values, e.g. of a TOML table.

        Raises
        ------
        BadSetting
            A name is not one of the settings, or a value cannot be right.
        """
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise BadSetting(
                    f"there is no training setting '{name}'; there are {', '.join(sorted(known))}"
                )
        return cls(**values)


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= least


def _or_none(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _is_clip(value: Any) -> bool:
    pair = isinstance(value, tuple) and len(value) == 2
    return pair and all(end in _ANY for end in value) and value[0] < value[1]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_SIZE, _ABOVE, _ANY = Range(0), Range(0, above=True), Range(-LARGEST)
_SHARE, _SECONDS = Range(0, 1), Range(0, 1e9)
_MOST_THREADS = 1024
_POSITIVE = "a whole number of at least 1"
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("epochs", _whole(1), _POSITIVE),
    ("batch_size", _whole(1), _POSITIVE),
    ("optimiser", _is_text, "text such as adam(lr=0.001)"),
    ("schedule", _is_text, "text such as cosine"),
    ("sharpness", _or_none(_is_text), "sam, asam or none"),
    ("seed", lambda v: _whole(0)(v) and v < SEEDS, "a whole number from 0 to below 2 to the 63"),
    ("sigma", _or_none(_SIZE.__contains__), f"a number {_SIZE}"),
    ("radius", _or_none(_SIZE.__contains__), f"a number {_SIZE}"),
    ("clip", _or_none(_is_clip), f"two numbers {_ANY}, low < high"),
    ("ramp", _or_none(_SHARE.__contains__), f"a share {_SHARE}"),
    ("gradient_clip", _or_none(_ABOVE.__contains__), f"a number {_ABOVE}"),
    ("hold_out", _whole(0), "a whole number of at least 0"),
    ("train_samples", _or_none(_whole(1)), _POSITIVE),
    ("metric_samples", _whole(0), "a whole number of at least 0"),
    ("metric_every", _whole(1), _POSITIVE),
    ("final_samples", _or_none(_whole(1)), _POSITIVE),
    ("pgd_steps", _whole(1), _POSITIVE),
    ("checkpoint_seconds", _SECONDS.__contains__, f"a number of seconds {_SECONDS}"),
    ("device", lambda v: v in DEVICES, f"one of {', '.join(DEVICES)}"),
    ("devices", _whole(1), _POSITIVE),
    ("precision", lambda v: v in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
    (
        "threads",
        _or_none(lambda v: _whole(1)(v) and v <= _MOST_THREADS),
        f"a whole number from 1 to {_MOST_THREADS}",
    ),
)
