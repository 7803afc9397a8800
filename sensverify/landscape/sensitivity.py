"""The sensitivity of a network around samples: proven, exact within a bracket, at several radii."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import exp, inf, isfinite, log
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds import compute_bounds, make_method
from sensverify.bounds.forward import forward
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box, scaled_up
from sensverify.core.results import Bounds
from sensverify.core.sensitivity import log_volume, relative_log_volume
from sensverify.data import Split
from sensverify.errors import BadData, BadSetting, MissingRule, NotMeasured, Unbounded
from sensverify.measures.catalog import MEASURES, find_measures
from sensverify.measures.measure import MeasuredClassifier
from sensverify.network import Network
from sensverify.runs.watch import Watch

EXACT = "exact"
"""What the ends of `branch-and-bound` are called: a proven one and an attained one."""

METHODS: Mapping[str, str] = {
    EXACT: "branch-and-bound",
    "alpha-crown": "alpha-crown",
    "crown": "crown",
    "lp-dual": "lp-dual",
}
"""Methods by the name that their columns have."""

_CPU = torch.device("cpu")

MAIN_SIGMA = 0.1
"""The radius of Fig. 5, where it was taken."""

PARTS = ("test", "all")
"""What means are over: the test samples, and all of them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class AroundSamples:
    """Samples, and how far they may move.

    Parameters
    ----------
    x : numpy array, shape ``[samples, *features]``, float64
    y : numpy array of int, shape ``[samples]``
    test : numpy array of bool, shape ``[samples]``
        Which are test samples.
    feature_range : numpy array, shape ``[*features]``
        A radius is a share of it.

    Raises
    ------
    BadData
        They do not fit together, there is no test sample, or a number is not finite.
    """

    x: np.ndarray
    y: np.ndarray
    test: np.ndarray
    feature_range: np.ndarray

    def __post_init__(self) -> None:
        if not (len(self.x) == len(self.y) == len(self.test)):
            raise BadData(
                f"{len(self.x)} samples, {len(self.y)} labels and {len(self.test)} marks of test "
                "samples do not fit together"
            )
        if self.x.shape[1:] != self.feature_range.shape:
            raise BadData(
                f"samples of shape {self.x.shape[1:]} have ranges of {self.feature_range.shape}"
            )
        if not self.test.any():
            raise BadData("there is no test sample", "give data with a test part")
        if not (np.isfinite(self.x).all() and np.isfinite(self.feature_range).all()):
            raise BadData("samples and their ranges need finite numbers, got NaN or infinity")

    @classmethod
    def of(cls, split: Split) -> AroundSamples:
        """All samples of a data set, its test samples marked."""
        parts = (split.train, split.test)
        x = np.concatenate([np.asarray(each.x, dtype=np.float64) for each in parts])
        y = np.concatenate([np.asarray(each.y, dtype=np.int64) for each in parts])
        test = np.arange(len(x)) >= len(split.train)
        ranges = np.asarray(split.train.feature_range, dtype=np.float64)
        return cls(x=x, y=y, test=test, feature_range=ranges)

    def part(self, name: str) -> np.ndarray:
        """Which samples a mean is over, ``[samples]``."""
        return self.test if name == "test" else np.ones(len(self.x), dtype=bool)


@dataclass(frozen=True, kw_only=True)
class SensitivitySettings:
    """The sensitivities that are taken of every network.

    Parameters
    ----------
    sigmas : tuple of float
        Radii, as shares of the range of every feature.
    methods : tuple of str
        Keys of `METHODS`.
    gap : float
        Of an exact range: the proven end may be so far from the attained one, relative to the
        larger magnitude of the two ends.
    seconds : float or None
        For the exact ranges of a network at one radius; what is proven by then counts.
    measures : tuple of str
        Names of `sensverify.measures`, taken on the test samples at the first radius.
    """

    sigmas: tuple[float, ...] = (0.05, 0.1, 0.2)
    methods: tuple[str, ...] = tuple(METHODS)
    gap: float = 1e-3
    seconds: float | None = None
    measures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("sigmas", "methods", "measures"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.sigmas or not all(0 < each < inf for each in self.sigmas):
            raise BadSetting(f"`sigmas` needs numbers above 0, got {list(self.sigmas)}")
        if len(set(map(_short, self.sigmas))) < len(self.sigmas):
            raise BadSetting(f"`sigmas` needs different numbers, got {list(self.sigmas)}")
        unknown = [each for each in self.methods if each not in METHODS]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            raise BadSetting(
                f"`methods` needs different ones of {', '.join(METHODS)}, got "
                f"{', '.join(self.methods) or 'none'}"
            )
        if not 0 <= self.gap < 1:
            raise BadSetting(f"`gap` needs a number of at least 0 and below 1, got {self.gap}")
        if self.seconds is not None and not self.seconds > 0:
            raise BadSetting(f"`seconds` needs a number above 0, got {self.seconds}")
        if self.measures:
            object.__setattr__(self, "measures", find_measures(self.measures))

    def plain(self) -> dict[str, Any]:
        """As JSON holds them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> SensitivitySettings:
        """Back from `plain`.

        Raises
        ------
        BadSetting
        """
        names = {each.name for each in fields(cls)}
        if not values.keys() <= names:
            raise BadSetting(f"settings of sensitivities are {', '.join(sorted(names))}")
        return cls(**values)


@dataclass(frozen=True)
class Column:
    """One figure that is taken of every network.

    Parameters
    ----------
    figure : str
        ``sensitivity`` (the mean volume of the box of outputs), ``log-volume`` (the mean of its
        logarithm), ``scale-free`` (the median over samples classified right of the logarithm of the
        volume over the margin to the power of the number of outputs).
    method : str
        Key of `METHODS`; ``attained`` for the inner ends of exact ranges.
    sigma : float
    part : str
        One of `PARTS`.
    """

    figure: str
    method: str
    sigma: float
    part: str

    @property
    def name(self) -> str:
        """``sensitivity(exact, sigma=0.1, all)``."""
        return f"{self.figure}({self.method}, sigma={_short(self.sigma)}, {self.part})"


FIGURES = ("sensitivity", "log-volume", "scale-free")
ATTAINED = "attained"


def columns_of(settings: SensitivitySettings) -> tuple[Column, ...]:
    """All columns of boxes that the settings ask for."""
    methods = [*settings.methods, *([ATTAINED] if EXACT in settings.methods else [])]
    return tuple(
        Column(figure, method, sigma, part)
        for figure in FIGURES
        for method in methods
        for sigma in settings.sigmas
        for part in PARTS
    )


@dataclass(frozen=True, kw_only=True)
class NetworkRow:
    """The figures of one network.

    Parameters
    ----------
    values : mapping from str to float or None
        By name: `Column.name`, ``train-error`` and ``test-error`` (shares of samples), measures;
        ``undecided(sigma=0.1)``, the share of exact ranges that are wider than the gap. None where
        there is no finite number.
    reasons : mapping from str to str
        Of what could not be measured, by a method's or a measure's name.
    """

    values: Mapping[str, float | None]
    reasons: Mapping[str, str]


def measure_network(
    network: Network,
    samples: AroundSamples,
    settings: SensitivitySettings,
    *,
    watch: Watch | None = None,
) -> NetworkRow | None:
    """All sensitivities of a network.

    Parameters
    ----------
    network : Network
        With a number for each class.
    samples : AroundSamples
    settings : SensitivitySettings
    watch : Watch, optional

    Returns
    -------
    NetworkRow or None
        None where the watch was over before all of it was there.

    Notes
    -----
    Boxes are computed in float64. ``exact`` is proven to contain all outputs, ``attained`` is what
    inputs that were found give: the truth lies between them.

    Examples
    --------
    >>> import sensverify as sv
    >>> samples = AroundSamples.of(sv.load_split("iris"))
    >>> settings = SensitivitySettings(sigmas=(0.05,), gap=0.01, measures=("l2",))
    >>> row = measure_network(sv.load("iris"), samples, settings)
    >>> proven, attained = (
    ...     row.values[Column("sensitivity", method, 0.05, "test").name]
    ...     for method in (EXACT, ATTAINED)
    ... )
    >>> attained <= proven <= 1.2 * attained
    True
    """
    watch = watch or Watch()
    values: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    live = tensor_network(network, dtype=torch.float64, device=_CPU).map_arrays(Tensor.detach)
    outputs = forward(live, torch.tensor(samples.x, dtype=torch.float64)).flatten(1)
    if not bool(torch.isfinite(outputs).all()):
        raise Unbounded("an output at a sample is no finite number")
    wrong = (outputs.argmax(dim=1).numpy() != samples.y).astype(float)
    train = ~samples.test
    values["train-error"] = float(wrong[train].mean()) if train.any() else None
    values["test-error"] = float(wrong[samples.test].mean())
    for sigma in settings.sigmas:
        box = sample_boxes(samples, sigma)
        for method in settings.methods:
            if watch.over:
                return None
            limit = watch.within(settings.seconds) if method == EXACT else watch
            try:
                found = compute_bounds(live, box, _method(method, settings), watch=limit)
            except (MissingRule, Unbounded) as error:
                reasons[f"{method}, sigma={_short(sigma)}"] = str(error)
                continue
            for name, around in _boxes(method, found):
                values |= _figures(name, sigma, around, outputs, samples)
            if method == EXACT:
                decided = 0.0 if found.optimal is None else float(found.optimal.double().mean())
                values[undecided_name(sigma)] = 1 - decided
    if watch.over:
        return None
    if settings.measures:
        taken = take_measures(network, samples, settings)
        values |= taken.values
        reasons |= taken.reasons
    for column in columns_of(settings):
        values.setdefault(column.name, None)
    return NetworkRow(values=values, reasons=reasons)


def main_sigma(settings: SensitivitySettings) -> float:
    """The radius of the claim, of Fig. 4 and of Fig. 6: 0.1 where it was taken, else the first."""
    return MAIN_SIGMA if MAIN_SIGMA in settings.sigmas else settings.sigmas[0]


def undecided_name(sigma: float) -> str:
    """Name of the share of exact ranges that were stopped."""
    return f"undecided(sigma={_short(sigma)})"


def _short(sigma: float) -> str:
    return f"{sigma:.6g}"


def _method(name: str, settings: SensitivitySettings) -> Any:
    if name == EXACT:
        return make_method(METHODS[name], gap=settings.gap)
    return make_method(METHODS[name])


def _boxes(method: str, found: Bounds) -> Iterator[tuple[str, Box]]:
    yield method, found.outer
    if method == EXACT and found.inner is not None:
        yield ATTAINED, found.inner


def _figures(
    method: str, sigma: float, box: Box, outputs: Tensor, samples: AroundSamples
) -> dict[str, float | None]:
    around = Box(torch.as_tensor(box.lower).double(), torch.as_tensor(box.upper).double())
    logs = log_volume(around)
    labels = torch.tensor(samples.y, dtype=torch.int64)
    beside = relative_log_volume(around, outputs, labels)
    found: dict[str, float | None] = {}
    for part in PARTS:
        chosen = torch.tensor(samples.part(part))
        every, relative = logs[chosen], beside[chosen]
        mean = float(torch.logsumexp(every, dim=0)) - log(len(every))
        # NaN where a sample is classified wrong, infinite where it is a tie.
        right = relative[relative < inf].tolist()
        for figure, value in (
            ("sensitivity", exp(mean) if mean < 700 else inf),
            ("log-volume", float(every.mean())),
            ("scale-free", median(right) if right else inf),
        ):
            name = Column(figure, method, sigma, part).name
            found[name] = value if isfinite(value) else None
    return found


def take_measures(
    network: Network, samples: AroundSamples, settings: SensitivitySettings
) -> NetworkRow:
    """The measures that the settings name, alone; in float32 as measures are.

    Parameters
    ----------
    network : Network
    samples : AroundSamples
    settings : SensitivitySettings
        Of these `measures`, and the first of `sigmas`.
    """
    plain = tensor_network(network, dtype=torch.float32, device=_CPU).map_arrays(Tensor.detach)
    x, y = torch.tensor(samples.x, dtype=torch.float32), torch.tensor(samples.y)
    test = torch.tensor(samples.test)
    measured = MeasuredClassifier(
        network=plain,
        x=x[test],
        y=y[test],
        train_x=x[~test],
        train_y=y[~test],
        train_size=int((~test).sum()),
        radius=torch.tensor(scaled_up(settings.sigmas[0], samples.feature_range)),
    )
    found: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name in settings.measures:
        found[name] = None
        try:
            found[name] = MEASURES[name].take(measured).value
        except (NotMeasured, MissingRule, Unbounded) as error:
            reasons[name] = str(error)
    return NetworkRow(values=found, reasons=reasons)


def sample_boxes(samples: AroundSamples, sigma: float) -> Box:
    """The boxes around all samples at a radius, float64."""
    return Box.around(
        np.asarray(samples.x, dtype=np.float64), scaled_up(sigma, samples.feature_range)
    )


def names_of(settings: SensitivitySettings) -> Sequence[str]:
    """Names of all values of a row, in order."""
    return (
        *("train-error", "test-error"),
        *(column.name for column in columns_of(settings)),
        *(undecided_name(sigma) for sigma in settings.sigmas if EXACT in settings.methods),
        *settings.measures,
    )
