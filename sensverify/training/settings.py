"""Settings of a training, whatever its loss."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal, get_args

import torch

from sensverify.bounds.method import METHODS, Method
from sensverify.errors import BadSetting, InputError
from sensverify.measures.metrics import ALWAYS, BOUNDED, METRICS, PERTURBED, check_names
from sensverify.registry.names import did_you_mean
from sensverify.registry.ranges import Count, Range
from sensverify.registry.settings import check_settings
from sensverify.training.augment import Augmentation, Mode
from sensverify.training.losses.step import LARGEST
from sensverify.training.optimisers import OPTIMISERS
from sensverify.training.schedules import Plateau, make_schedule
from sensverify.training.sharpness import SHARPNESS

Precision = Literal["32", "bf16-mixed", "16-mixed"]
Device = Literal["cpu", "cuda"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
DEVICES: tuple[Device, ...] = get_args(Device)
SEEDS = 2**63
"""Seeds are below this number: torch takes no others."""

LP_DUAL, NONE = "lp-dual", "none"
"""Settings of the metrics' bounds: the seed's method, and no bounds."""

Size = Annotated[float, Range(0, LARGEST)]
Number = Annotated[float, Range(-LARGEST, LARGEST)]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of a training: everything that decides it beside its data, model and loss.

    Two trainings with equal settings see the same mini-batches in the same order and begin with
    the same weights, whatever their losses.

    Parameters
    ----------
    epochs, batch_size : int
    until_cross_entropy : float or None
        Stop after the first epoch whose cross-entropy on training samples, as the metrics have it,
        is at most this; ``epochs`` are then the most that are made. None makes them all.
    until_error : float or None
        The same of the error, a share; of both, both have to be reached.
    patience : int or None
        Stop after so many epochs without a smaller error on the samples that ``hold_out`` keeps,
        and go back to the weights after the first epoch with the smallest, in any case. None for
        the last weights.
    optimiser : str
        ``adam(lr=0.002)``, ``adamw(lr=0.001, weight_decay=0.01)``, ``sgd(lr=0.1, momentum=0.9)``.
    schedule : str
        Of the learning rate: ``constant``, ``cosine``, ``one-cycle(warmup=0.25)``,
        ``step(every=0.3, factor=0.1)``, the shares being of the whole training,
        ``milestones(at=(30, 60, 80))``, after these epochs, or ``plateau(of=error, patience=5)``.
    sharpness : str or None
        ``sam(rho=0.05)`` or ``asam(rho=0.5)`` around the optimiser.
    seed : int
        Of the initial weights, the order of the samples and everything that is drawn.
    augment : str or None
        What is done to the images of a mini-batch before the loss sees them, as
        ``horizontal-flip + rotation + shear(severity=(1, 3))``; see `Augmentation.parse`.
    augment_mode : str
        Which images are corrupted: ``half``, every second one of a mini-batch; ``duplicate``, a
        second copy of all samples, so that an epoch has twice as many steps (with ``clean`` alone
        it is the set twice, for a fair comparison); ``all``. Flips and turns meet every image.
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
    metric_every_steps : int or None
        Take them after every so many steps, too, into ``step-metrics.csv``; None does not.
    metrics : tuple of str or None
        Names in `sensverify.measures.METRICS` that are taken, CE and ERR always, CROWN_ERR at the
        end alone. None for all that are to be had: without a radius and without bounds some are
        not, and CROWN_ERR goes with the bounds by LP-dual.
    metric_bounds : str
        Method of the metrics SENSE, LOG_SENSE, LOG_VOLUME, RELATIVE, ADV_LOSS and ADV_ERR, such as
        ``ibp`` or ``crown(intermediate=ibp)``; or ``none``, which leaves them out.
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

    epochs: Count = 10
    batch_size: Count = 64
    until_cross_entropy: Annotated[float, Range(0, LARGEST, above=True)] | None = None
    until_error: Annotated[float, Range(0, 1, below=True)] | None = None
    patience: Count | None = None
    optimiser: str = "adam(lr=0.001)"
    schedule: str = "constant"
    sharpness: str | None = None
    seed: Annotated[int, Range(0, SEEDS - 1)] = 0
    augment: str | None = None
    augment_mode: Mode = "half"
    sigma: Size | None = None
    radius: Size | None = None
    clip: tuple[Number, Number] | None = None
    ramp: Annotated[float, Range(0, 1)] | None = None
    gradient_clip: Annotated[float, Range(0, LARGEST, above=True)] | None = None
    hold_out: Annotated[int, Range(0)] = 0
    train_samples: Count | None = None
    metric_samples: Annotated[int, Range(0)] = 1000
    metric_every: Count = 1
    metric_every_steps: Count | None = None
    metrics: tuple[str, ...] | None = None
    metric_bounds: str = LP_DUAL
    final_samples: Count | None = None
    pgd_steps: Count = 40
    checkpoint_seconds: Annotated[float, Range(0, 1e9)] = 60.0
    device: Device = "cpu"
    devices: Count = 1
    precision: Precision = "32"
    threads: Annotated[int, Range(1, 1024)] | None = None

    def __post_init__(self) -> None:
        for name in ("clip", "metrics"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        check_settings(self)
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise BadSetting(f"`clip` is (low, high) with low < high, got {self.clip}")
        if self.sigma is not None and self.radius is not None:
            raise BadSetting("both `sigma` and `radius` are given", "give one of them")
        OPTIMISERS.make(self.optimiser, [torch.zeros(1, requires_grad=True)])
        self._check_schedule()
        if self.sharpness is not None:
            SHARPNESS.make(self.sharpness)
        self._check_augmentation()
        self._check_metrics()
        if self.precision == "16-mixed":
            self._check_half()

    @property
    def augmentation(self) -> Augmentation | None:
        """Changes of the images of a mini-batch; None where they are left as they are."""
        return None if self.augment is None else Augmentation.parse(self.augment)

    @property
    def metric_method(self) -> Method | None:
        """The method of the metrics' bounds; None where they have none."""
        return None if self.metric_bounds == NONE else _method(self.metric_bounds)

    def metric_names(self, *, final: bool = False) -> tuple[str, ...]:
        """The metrics that are taken after epochs, or at the end, in the order of `METRICS`."""
        wanted = set(METRICS if self.metrics is None else (*ALWAYS, *self.metrics))
        if self.metric_bounds == NONE:
            wanted -= BOUNDED
        if not final or (self.metrics is None and self.metric_bounds != LP_DUAL):
            wanted.discard("CROWN_ERR")
        return tuple(name for name in METRICS if name in wanted)

    def _check_schedule(self) -> None:
        found = make_schedule(self.schedule, self.epochs)
        if isinstance(found, Plateau) and found.held_out:
            self._check_held_out(f"the schedule '{self.schedule}'")
        if self.patience is not None:
            self._check_held_out("`patience`")

    def _check_held_out(self, what: str) -> None:
        if not self.hold_out:
            raise BadSetting(
                f"{what} looks at samples that are held out, and there are none", "give `hold_out`"
            )
        if not self.metric_samples or self.metric_every != 1:
            raise BadSetting(
                f"{what} needs the metrics after every epoch",
                "give `metric_samples` a number above 0, and leave `metric_every` at 1",
            )

    def _check_augmentation(self) -> None:
        try:
            found = self.augmentation
        except InputError as error:
            raise error.about("`augment`") from None
        if found is None and self.augment_mode != "half":
            raise BadSetting(
                f"`augment_mode` is {self.augment_mode}, and there is nothing to augment with",
                "give `augment`; with clean alone, samples stay as they are",
            )

    def _check_metrics(self) -> None:
        check_names(self.metrics or ())
        method, named = self.metric_method, set(self.metrics or ())
        if self.metric_every_steps is not None and not self.metric_samples:
            raise BadSetting(
                "`metric_every_steps` asks for metrics, and `metric_samples` is 0",
                "give `metric_samples` a number above 0, or leave `metric_every_steps` out",
            )
        for name in ("until_cross_entropy", "until_error"):
            if getattr(self, name) is not None and not self.metric_samples:
                raise BadSetting(
                    f"`{name}` looks at metrics after epochs, and `metric_samples` is 0",
                    f"give `metric_samples` a number above 0, or leave `{name}` out",
                )
        if method is None and named & BOUNDED:
            raise BadSetting(
                f"`metrics` has {', '.join(sorted(named & BOUNDED))}, which need bounds, and "
                "`metric_bounds` is none",
                "name a method in `metric_bounds`, or leave these metrics out",
            )
        if named & PERTURBED and self.sigma is None and self.radius is None:
            raise BadSetting(
                f"`metrics` has {', '.join(sorted(named & PERTURBED))}, and nothing says how far "
                "the inputs may move",
                "give `sigma` or `radius`, or leave these metrics out",
            )

    def _check_half(self) -> None:
        if self.device == "cpu":
            raise BadSetting(
                "precision 16-mixed needs device cuda", "use bf16-mixed or 32 on the cpu"
            )
        if self.sharpness is not None:
            raise BadSetting(
                "sharpness does not go with precision 16-mixed, which leaves steps out and scales "
                "gradients",
                "use bf16-mixed or 32",
            )

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
                    f"there is no training setting '{name}'{did_you_mean(name, known)}",
                    f"there are {', '.join(sorted(known))}",
                )
        return cls(**values)


def _method(text: str) -> Method:
    """A method by its name and settings.

    Raises
    ------
    UnknownName, BadSetting
        There is no such method, or it has no such setting.
    """
    try:
        method = METHODS.make(text)
    except InputError as error:
        raise error.about("`metric_bounds`") from None
    if not isinstance(method, Method):
        raise BadSetting(f"`metric_bounds` takes {METHODS.offer} or none, got '{text}'")
    return method
