"""A training before it starts: everything resolved and checked."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from sensverify.classification.perturbation import Perturbation
from sensverify.classification.samples import Samples
from sensverify.data.dataset import Dataset, value_range
from sensverify.data.split import Split
from sensverify.errors import BadData, BadSetting, InputError, UnsupportedOperator
from sensverify.formats.modules.opaque import Imported
from sensverify.measures.metrics import BOUNDED
from sensverify.network import Network
from sensverify.training.augment import Augmentation
from sensverify.training.batches import Batches
from sensverify.training.engine import check_engine
from sensverify.training.losses.loss import Loss
from sensverify.training.losses.recipes import Recipe, Stage, resolve_loss
from sensverify.training.settings import TrainSettings

FINAL_TRAIN_SAMPLES = 10_000
"""Final metrics on training samples are taken on so many at most, unless a setting says more."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A model's training: its loss, its data and its settings.

    Parameters
    ----------
    recipe : Recipe
    settings : TrainSettings
    split : Split
        Its training part is what is trained on; feature ranges are those of the whole part.
    train : Samples
        Those that are trained on.
    watched : Samples
        Those beside them that the metrics after every epoch are taken on.
    watched_name : str
        ``test`` or ``held-out``.
    test : Samples
    radius : Tensor, shape ``[*features]``, float32, or None
    unverifiable : str or None
        Why nothing can be verified of the module; None where bounds can be had.
    augmentation : Augmentation or None
        What is done to the images of a mini-batch.
    pixels : (low, high)
        Values of black and of white, for it.
    imported : Imported or None
        The module when it was checked, for whoever trains that one; None in other processes.
    """

    recipe: Recipe
    settings: TrainSettings
    split: Split
    train: Samples
    watched: Samples
    watched_name: str
    test: Samples
    radius: Tensor | None
    unverifiable: str | None = None
    augmentation: Augmentation | None = None
    pixels: tuple[float, float] = (0.0, 1.0)
    imported: Imported | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.train.x.shape[1:])

    def network_of(self, module: nn.Module) -> Network:
        """The network of the module before its first step."""
        if self.imported is None:
            return Imported.of(module, self.input_shape).network
        return self.imported.again(module, self.input_shape).network

    @property
    def batches(self) -> Batches:
        copies = 2 if self.settings.augment_mode == "duplicate" else 1
        return Batches(copies * len(self.train), self.settings.batch_size, self.settings.seed)

    @property
    def ramp(self) -> float:
        """Share of the training over which the radius grows."""
        share = self.settings.ramp
        return self.recipe.ramp if share is None else share

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms of all stages, in order, each once."""
        names = [name for stage in self.recipe.stages for name in stage.loss.names]
        return tuple(dict.fromkeys(names))

    @property
    def final_train(self) -> Samples:
        """Samples of the final training metrics."""
        return self.train[: self.settings.final_samples or FINAL_TRAIN_SAMPLES]

    @property
    def final_test(self) -> Samples:
        """Samples of the final test metrics."""
        return self.test[: self.settings.final_samples]


def make_plan(
    module: nn.Module, split: Split, loss: str | Loss | Recipe, settings: TrainSettings
) -> Plan:
    """Resolve and check everything before any work is done.

    Raises
    ------
    InputError
        Data, loss, settings and model do not fit together, or cannot be used.
    BackendMissing
        The machinery is not installed.
    """
    recipe = _recipe(loss)
    _check_module(module)
    check_engine(settings)
    split, held = _cut(split, settings)
    imported = Imported.of(module, split.train.x.shape[1:])
    network = imported.network
    if recipe.operators and network.opaque is not None:
        raise UnsupportedOperator(
            f"the loss '{recipe}' needs bounds, or weights layer by layer: {network.opaque.reason}",
            "use a loss that only runs the module, such as base",
        )
    _check_metrics(network, settings)
    classes = torch.Size(network.output_shape).numel()
    if classes < 2:
        raise BadData(f"a classifier has an output for each class; the model has {classes}")
    radius = _radius(split.train, settings)
    if recipe.perturbs and radius is None:
        raise BadSetting(
            f"the loss '{recipe}' perturbs the inputs, and nothing says how far",
            "give `sigma` (a share of every feature's range) or `radius`",
        )
    samples = {
        "train": _samples(split.train, classes),
        "test": _samples(split.test, classes),
    }
    if held is not None:
        samples["held-out"] = _samples(held, classes)
    for part in samples.values():
        _check_clip(part, settings)
    augmentation, pixels = settings.augmentation, settings.clip or split.train.clip or (0.0, 1.0)
    if augmentation is not None:
        _check_augmentation(augmentation, samples["train"], pixels)
    watched = "test" if held is None else "held-out"
    plan = Plan(
        recipe=recipe,
        settings=settings,
        split=split,
        train=samples["train"],
        watched=samples[watched],
        watched_name=watched,
        test=samples["test"],
        radius=radius,
        unverifiable=None if network.opaque is None else network.opaque.reason,
        augmentation=augmentation,
        pixels=pixels,
        imported=imported,
    )
    if plan.batches.smallest < settings.devices:
        raise BadSetting(
            f"mini-batches of {plan.batches.smallest} samples cannot be shared by "
            f"{settings.devices} devices",
            "use a larger `batch_size` or fewer `devices`",
        )
    if plan.batches.smallest < 2 * settings.devices:
        _check_single(module, plan)
    return plan


def trained_on(split: Split, settings: TrainSettings) -> slice:
    """Range of the samples that are trained on; the last ones may be held out.

    Raises
    ------
    BadSetting
        There are not as many as the settings ask for.
    """
    count, held = len(split.train), settings.hold_out
    if held >= count:
        raise BadSetting(
            f"`hold_out` leaves nothing to train on: {held} of {count} training samples"
        )
    left = count - held
    wanted = settings.train_samples or left
    if wanted > left:
        raise BadSetting(
            f"`train_samples` asks for {wanted} samples; data '{split.train.name}' has {left} to "
            "train on"
        )
    return slice(0, wanted)


def _check_augmentation(
    augmentation: Augmentation, samples: Samples, pixels: tuple[float, float]
) -> None:
    (low, high), least, most = pixels, float(samples.x.min()), float(samples.x.max())
    images = samples.x.ndim == 4
    if images and augmentation.corruptions and not low <= least <= most <= high:
        raise BadData(
            "`augment` needs to know which values are black and white, and the samples span "
            f"[{least:g}, {most:g}]",
            "give that range with `clip`",
        )
    try:
        augmentation.check(samples.tensors()[0], pixels)
    except InputError as error:
        raise error.about("`augment`") from error


def _check_metrics(network: Network, settings: TrainSettings) -> None:
    """Refuse metrics that are asked for by name, and that the network cannot have."""
    named = {*BOUNDED, "CROWN_ERR", "SPECTRAL"}.intersection(settings.metrics or ())
    if named and network.opaque is not None:
        raise UnsupportedOperator(
            f"`metrics` has {', '.join(sorted(named))}, which look into the network: "
            f"{network.opaque.reason}",
            "leave these metrics out",
        )


def _cut(split: Split, settings: TrainSettings) -> tuple[Split, Dataset | None]:
    """The split with the samples that are trained on, and the samples that are held out."""
    # Of the whole part: training on fewer samples does not change what is asked.
    whole = replace(split.train, feature_range=_ranges(split.train))

    def part(chosen: slice) -> Dataset:
        y = None if whole.y is None else whole.y[chosen]
        return replace(whole, x=whole.x[chosen], y=y)

    train = part(trained_on(split, settings))
    held = part(slice(len(whole) - settings.hold_out, None)) if settings.hold_out else None
    test = replace(split.test, feature_range=whole.feature_range)
    return replace(split, train=train, test=test), held


def _recipe(loss: str | Loss | Recipe) -> Recipe:
    if isinstance(loss, Recipe):
        return loss
    if not isinstance(loss, str | Loss):
        raise BadSetting(
            f"a loss is a recipe's name, a sum of terms, a Loss or a Recipe; got {loss!r}"
        )
    return Recipe((Stage(0.0, loss),)) if isinstance(loss, Loss) else resolve_loss(loss)


def _check_module(module: nn.Module) -> None:
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise BadSetting(
            f"the model {type(module).__name__} has no parameters that require a gradient; "
            "there is nothing to train"
        )
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise BadSetting(
                f"the model's parameter '{name}' is {parameter.dtype}; trainings begin with "
                "float32",
                "call module.float() before, and use `precision` for cheaper steps",
            )


def _check_single(module: nn.Module, plan: Plan) -> None:
    """Refuse a model that cannot be trained on one sample, where a mini-batch has only one."""
    if not any(isinstance(part, _NormBase) for part in module.modules()):
        return
    # A copy: its statistics move.
    twin = copy.deepcopy(module).cpu()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            twin(plan.train[:1].tensors()[0])
    except ValueError as error:
        raise BadSetting(
            f"a mini-batch has one sample for each device, and the model normalises by its batch "
            f"({error})",
            "use another `batch_size`",
        ) from None


def _samples(data: Dataset, classes: int) -> Samples:
    return Samples.of(data, classes, needed_by="training", shape=data.x.shape[1:])


def _check_clip(samples: Samples, settings: TrainSettings) -> None:
    if settings.clip is None:
        return
    low, high = settings.clip
    least, most = float(samples.x.min()), float(samples.x.max())
    if least < low or most > high:
        raise BadSetting(
            f"`clip` is [{low:g}, {high:g}], and samples reach from {least:g} to {most:g}: "
            "perturbed inputs kept to it would not surround their samples"
        )


def _ranges(data: Dataset) -> np.ndarray:
    return value_range(data.x) if data.feature_range is None else data.feature_range


def _narrowed_up(values: np.ndarray) -> Tensor:
    """The smallest float32 numbers that are at least the values."""
    with np.errstate(over="ignore"):
        near = values.astype(np.float32)
    up = np.nextafter(near, np.float32(np.inf))
    return torch.from_numpy(np.where(near < values, up, near))


def _radius(data: Dataset, settings: TrainSettings) -> Tensor | None:
    ranges = _ranges(data)
    if settings.sigma is None:
        if settings.radius is None:
            return None
        return _narrowed_up(Perturbation(np.ones(ranges.shape)).radius(settings.radius))
    radius = _narrowed_up(Perturbation(ranges).radius(settings.sigma))
    if not bool(torch.isfinite(radius).all()):
        raise BadSetting(
            f"sigma {settings.sigma:g} times the ranges of data '{data.name}', up to "
            f"{ranges.max():g}, is beyond float32",
            "use a smaller `sigma`",
        )
    return radius
