"""The request of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from torch import nn

from sensverify.attacks.protocol import Attack
from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.bounds.method import Method
from sensverify.classification.perturbation import given_unit
from sensverify.classification.predictions import BINS
from sensverify.core.box import Array
from sensverify.core.gates import LimitLike, read_limits
from sensverify.core.numbers import RangeShare, parse_radius
from sensverify.corruptions.corruption import Corruption
from sensverify.errors import BadBox, BadSetting
from sensverify.evaluation.shift import OtherData
from sensverify.evaluation.specification import Specification
from sensverify.formats.onnx.ends import Ends
from sensverify.measures.measure import Measure
from sensverify.network import Network
from sensverify.registry.ranges import Above0, Count, Range
from sensverify.registry.settings import check_pairs, check_settings

DEFAULT_ATTACKS = ("fgsm", "pgd", "apgd-ce", "square(queries=500)")
"""Attacks by default: cheap ones first, and one that follows no gradients."""

CERTIFY = ("crown",)
"""Methods that prove labels by default."""

COUNT, TRAIN_SAMPLES = 500, 2000
"""Samples by default, of the test and of the training part."""

MULTIPLES = (0.2, 0.4, 1.0, 2.0, 4.0, 6.0)
"""Radii by default, as multiples of the one on the model's card."""

SEVERITIES = (1, 2, 3, 4, 5)

LIMITED = (
    *("min_accuracy", "min_certified", "min_robust", "min_corrupted", "min_shifted"),
    *("max_changed", "max_log_volume"),
)
"""Figures that a request can set a limit for."""

_SEEDS = 1 << 63
"""Number of seeds that torch and its generators take."""

_CHECKED = (
    "count",
    "train_samples",
    "severities",
    "device",
    "seed",
    "timeout",
    "memory",
    "bins",
    "success",
)


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """Networks, samples and tasks of an evaluation. None is a default; () leaves a part out.

    Parameters
    ----------
    models : tuple of str, torch.nn.Module or Network
        Names of shipped models, or paths of ``.onnx`` files or of folders of training runs; or
        modules and networks, as they are at the beginning.
    data : str, Path or object, optional
        As `load_data` takes it. Default: the sample that lies beside the models.
    samples : (start, stop), optional
        Test samples to take, counted from 0, without ``stop``; an open end is None.
    count : int, optional
        How many, evenly spread over the test part. Not together with ``samples``. Default: 500.
    train_samples : int
        How many training samples to take measures on, evenly spread; 0 for none.
    radii, sigmas : tuple of float, optional
        How far every feature may move: in the units of the features (or, as `RangeShare`, of the
        range that the data have by their nature), or as shares of each
        feature's range over the training samples. One of the two; of radii also one alone, and
        text such as ``8/255`` and ``5%``. Default: 0.2, 0.4, 1, 2, 4 and 6 times what the first
        card says.
    per_feature : Path or array, optional
        An ``.npy`` file, or numbers, with a factor on the radius for each feature.
    clip : (low, high), optional
        Range that inputs keep to; an end may be infinite. Default: that of a card, or of the data.
    attacks : tuple of str or Attack, optional
        Calls such as ``pgd(steps=100)``, or objects.
    surrogate : str, optional
        A network to take every attack's gradients from, beside the attacks on the networks
        themselves.
    certify : tuple of str or Method, optional
        Calls such as ``crown`` or ``alpha-crown(steps=20)``, or objects.
    corruptions, sequences, measures : tuple, optional
        Names, or names of groups; corruptions also with strengths, ``rotation(degrees=(7, 50))``
        (see `sensverify.corruptions.chosen`); or corruptions and measures of the caller's own:
        objects, or functions.
    severities : tuple of int
    corrupted : str, optional
        Name or folder of a set of corrupted samples that somebody else made, such as
        ``cifar-10-c``: what it holds is read from there, and without ``corruptions`` it is all.
    shifts : tuple of OtherData
        Other data sets beside the samples, ``count`` of each, evenly spread.
    initial : str, optional
        The networks as they were before training. Default: ``initial.onnx`` in the folder of the
        model, where there is one.
    reference : str, optional
        The network that CE compares with; one of the models, or another one that is then
        evaluated too.
    device : str
        ``cpu`` or ``cuda``.
    seed : int
        Of everything that is drawn.
    timeout : float, optional
        Seconds after which no further task is begun; the one in hand is given up.
    memory : int
        Bytes that a computation may take beside networks and samples.
    data_dir : Path, optional
    out : Path, optional
        Folder that keeps every finished task.
    resume : bool
        Whether that folder may hold a part of this evaluation already.
    bins : int
        Of confidence, for calibration errors.
    success : str
        Samples that reports give the rate of an attack's successes over: those that were
        ``right``, of which it broke some, or ``all``, of which those count that are wrong with it
        or without.
    input, output : str, optional
        Values of the files at which the networks begin and end; default: their only input, and
        their only output, or the logits behind it. Of all networks but the surrogate.
    input_shape : tuple of int, optional
        Shape of one sample, where a file leaves lengths open.
    min_accuracy, min_certified, min_robust, min_corrupted, min_shifted : LimitLike, optional
        Limits of shares of the samples: of those that are right, whose label is proven, that are
        right under all attacks together, and, on average, under each corruption and on each other
        data set. As every limit, a number, or relative to ``baseline``: ``baseline-1%``; see
        `sensverify.core.gates.Limit`.
    max_changed, max_log_volume : float, str or Limit, optional
        Of the samples with an input in their box that has another label, and of the largest
        log-volume of the box around a sample's outputs.
    gate_radius : float, optional
        The one of the radii that limits are about; default: the middle one, as in summaries.
    per_class : bool
        Whether every limit holds for the samples of each class, too.
    baseline : Path, optional
        JSON file of an earlier result about the same samples, maybe of another model.
    specification : Path or Specification, optional
        Requirements, in a TOML file or read, that every network has to meet. What they need is
        measured beside what the request names, and of a part that neither names, nothing.
    runtime_check : bool
        Compare the models with onnxruntime when they are read; see ``load_onnx``.

    Raises
    ------
    BadSetting, BadBox
        Two answers to one question, or a value that cannot be one.
    """

    models: tuple[str | nn.Module | Network, ...]
    data: Any = None
    samples: tuple[int | None, int | None] | None = None
    count: Count | None = None
    train_samples: Annotated[int, Range(0)] = TRAIN_SAMPLES
    radii: tuple[float | RangeShare, ...] | None = None
    sigmas: tuple[float, ...] | None = None
    per_feature: Path | Array | None = None
    clip: tuple[float, float] | None = None
    attacks: tuple[str | Attack, ...] | None = None
    surrogate: str | None = None
    certify: tuple[str | Method, ...] | None = None
    corruptions: tuple[str | Corruption | Callable[..., Any], ...] | None = None
    severities: tuple[Count, ...] = SEVERITIES
    corrupted: str | None = None
    sequences: tuple[str, ...] | None = None
    measures: tuple[str | Measure | Callable[..., Any], ...] | None = None
    shifts: tuple[OtherData, ...] = ()
    initial: str | None = None
    reference: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    seed: Annotated[int, Range(0, _SEEDS - 1)] = 0
    timeout: Above0 | None = None
    memory: Count = DEFAULT_BUDGET
    data_dir: Path | None = None
    out: Path | None = None
    resume: bool = False
    bins: Count = BINS
    success: Literal["right", "all"] = "right"
    input: str | None = None
    output: str | None = None
    input_shape: tuple[int, ...] | None = None
    min_accuracy: LimitLike | None = None
    min_certified: LimitLike | None = None
    min_robust: LimitLike | None = None
    min_corrupted: LimitLike | None = None
    min_shifted: LimitLike | None = None
    max_changed: LimitLike | None = None
    max_log_volume: LimitLike | None = None
    gate_radius: float | None = None
    per_class: bool = False
    baseline: Path | None = None
    specification: Path | Specification | None = None
    runtime_check: bool = True

    def __post_init__(self) -> None:
        if not self.models:
            raise BadSetting("no model is named", "give at least one model to evaluate")
        if len(set(self.models)) < len(self.models):
            twice = next(each for each in self.models if self.models.count(each) > 1)
            shown = twice if isinstance(twice, str) else type(twice).__name__
            raise BadSetting(f"the model '{shown}' is named twice")
        for one, other in (("radii", "sigmas"), ("samples", "count")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise BadSetting(f"give `{one}` or `{other}`, not both")
        if self.radii is not None:
            object.__setattr__(self, "radii", _read_radii(self.radii))
        check_pairs(self, samples="(0, 10)", clip="(0, 1)")
        numbers = [each for each in self.radii or () if not isinstance(each, RangeShare)]
        for name, radii in (("radii", numbers), ("sigmas", self.sigmas)):
            _check_radii(name, radii)
        check_settings(self, only=_CHECKED)
        names = [each.name for each in self.shifts]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadSetting(f"`shifts` has the name '{twice}' twice")
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise BadBox(f"`clip` needs LO < HI, got {self.clip[0]:g} {self.clip[1]:g}")
        if self.resume and self.out is None:
            raise BadSetting("`resume` goes on with what is in a folder", "give it with `out`")
        for name in ("baseline", "specification", "per_feature", "out", "data_dir"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        if not isinstance(self.per_feature, Path | None):
            object.__setattr__(self, "per_feature", given_unit(self.per_feature, "per_feature"))
        read_limits(self, LIMITED, ("per_class", "baseline"))

    @property
    def ends(self) -> Ends:
        """The part of every file that its network is: up to the logits."""
        return Ends.asked(self.input, self.output, self.input_shape, head="peel")


def _read_radii(radii: Any) -> tuple[Any, ...]:
    """One radius or several, some of them maybe as text."""
    several = (radii,) if isinstance(radii, int | float | str | RangeShare) else tuple(radii)
    read = tuple(parse_radius(each) if isinstance(each, str) else each for each in several)
    files = [str(each) for each in read if isinstance(each, Path)]
    if files:
        raise BadSetting(f"`radii` are numbers or percentages, got the file '{files[0]}'")
    return read


def _check_radii(name: str, radii: Sequence[float] | None) -> None:
    if radii is None:
        return
    for radius in radii:
        # Written so that a NaN fails it.
        if not 0 <= radius < math.inf:
            raise BadBox(f"`{name}` must be finite numbers of at least 0, got {radius:g}")


def split_list(text: str) -> tuple[str, ...]:
    """The parts of a list with commas, which count only outside of parentheses; ``none`` is empty.

    Raises
    ------
    BadSetting
        A part is empty, or is there twice.
    """
    if text.strip().lower() == "none":
        return ()
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    found = tuple(part.strip() for part in parts)
    if not all(found):
        raise BadSetting(
            f"'{text}' is no list: expected names with commas between them, or 'none' for none"
        )
    if len(set(found)) < len(found):
        raise BadSetting(f"'{text}' names {next(n for n in found if found.count(n) > 1)} twice")
    return found
