"""The request of a verification run."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Annotated, Any

from torch import nn

from sensverify.bounds.method import Decider, Method
from sensverify.classification.perturbation import given_unit
from sensverify.classification.sources import Part
from sensverify.core.box import Array
from sensverify.core.gates import LimitLike, read_limits
from sensverify.core.numbers import RangeShare, parse_radius, parse_share
from sensverify.core.plain import finite_ends
from sensverify.errors import BadBox, BadSetting
from sensverify.formats.onnx.ends import Ends, InputShape
from sensverify.network import Network
from sensverify.registry.calls import parse_call
from sensverify.registry.ranges import Above0, AtLeast0, Count, Range
from sensverify.registry.settings import check_pairs, check_settings
from sensverify.verification.deciding import decider_name
from sensverify.verification.input_sets import check_sets

_CHECKED = (
    *("part", "timeout", "objective_timeout", "gap", "threads"),
    *("threshold", "top_k", "targets"),
)
_PLACES = ("top_k", "targets", "costs")
LIMITS = ("max_width", "max_log_volume", "max_deviation", "output_range")
LIMITED = ("min_certified", "min_accuracy", "max_changed", "max_width", "max_log_volume")
"""Figures with one limit, which may be relative to an earlier result."""


def numbers(values: float | Sequence[float]) -> tuple[float, ...]:
    """One number or several as a tuple."""
    if isinstance(values, int | float):
        return (float(values),)
    return tuple(float(value) for value in values)


@dataclass(frozen=True)
class VerifyRequest:
    """One question about one model. What is None comes from the model's card, where it has one.

    Parameters
    ----------
    model : str, Path, torch.nn.Module or Network
        Name of a shipped model, or path of an ``.onnx`` or ``.onnx.gz`` file; or an object, which
        is asked about as it is now, and has no certificate. Inputs that change a label are then
        confirmed in double precision by the object itself, where onnxruntime confirms those of a
        file.
    data : str, Path or object, optional
        As `load_data` takes it: the name of a data set, a file or a folder, arrays, a pair (x, y),
        or a data set of torch, pandas or Hugging Face.
    part : {"test", "train", "all"}, optional
        Which part of the data; of files and named sets without parts every fifth sample is a test
        sample, as in a training. Default: the test part of named sets, all of a file that has no
        parts.
    samples : (start, stop), optional
        Samples to take, counted from 0, without ``stop``; an open end is None.
    radius : float, str, Path, RangeShare or array, optional
        Half-width of the input box in the units of the features: a number, a fraction such as
        ``8/255``, a percentage of the range that the data have by their nature (where that is
        not known, of ``clip``), or one value for each feature: an array or tensor, or a ``.npy``
        file. Not together with ``sigma``.
    sigma : float or str, optional
        Half-width as a share of each feature's range over the training data.
    clip : (low, high), optional
        Range every feature is kept in; an end may be infinite. Default: that on the model's card,
        else the range that the data are known to have.
    box : Path, optional
        An ``.npz`` file with ``lower`` and ``upper`` (and maybe labels ``y``) instead of data and
        perturbation.
    norm : float, optional
        Of ``radius``: 1 for the sum of all moves, 2 for the Euclidean distance, inf (the default)
        for the largest move. The five that follow exclude each other.
    pixels : int, optional
        Any so many pixels move, others do not; by the whole clip range where there is no radius.
    patch : (int, int), optional
        The pixels of one window of that height and width, wherever it is, move; likewise.
    constraints : Path, optional
        An ``.npz`` file with linear constraints on inputs: ``matrix`` and ``limits`` for
        ``matrix x <= limits``, ``equal_matrix`` and ``equal_limits`` for ``=``. Equalities without
        limits hold as at the sample.
    vary : mapping, str or sequence of str, optional
        Inputs are the sample plus patterns times parameters, in place of a radius:
        ``brightness=0.1``, ``contrast=0.2``, ``bias-field=0.1``, or an ``.npz`` file with
        ``patterns``, ``least`` and ``most``. Numbers that leave the clip range are cut to its
        ends, as a camera saturates.
    method : str or Method
        A name, a call with settings, or an object.
    settings : mapping
        Further fields of the method's dataclass, as text or as they are.
    timeout : float, optional
        Seconds that a method may take for all samples together, shared out by the samples left.
        What it returns by then is proven. Only for methods that take a watch (``anytime``) or
        have a setting ``seconds``.
    objective_timeout : float, optional
        Seconds for each end of each output. Only for methods with a setting
        ``objective_seconds``.
    gap : float, optional
        Relative distance between the proven and the attained end that counts as exact. Only for
        methods with a setting ``gap``.
    threads : int, optional
        Only for methods with a setting ``threads``.
    decide : str or Decider, optional
        What decides the labels that bounds leave open, such as ``branch-and-bound``: a name, or a
        call whose ``seconds`` are for each label. Default: they stay open. Of ``timeout`` it has
        what the bounds leave, at least half.
    device : str
        ``cpu`` or ``cuda``.
    dtype : str, optional
        ``float32`` or ``float64``. Default: what the method asks for, float64 for the exact ones,
        else float32.
    seed : int
        Seeds the search for inputs that change the label, and a method that draws random numbers.
    memory : int, optional
        Budget for the bounds, in bytes.
    data_dir : Path, optional
    input, output : str, optional
        Values of the file at which the network begins and ends; default: all its inputs, and
        all its outputs or the logits of its label and probabilities.
    input_shape : tuple of int, or mapping of str to it, optional
        Shape of one sample, without a batch axis, where the file leaves lengths open; of several
        inputs by their names. Of a module by default that of the data.
    probabilities : bool
        Bound the probabilities of the classes, too: what the file makes of its logits, or a
        softmax of the outputs. The thresholds are then about those.
    threshold : float, optional
        Of a network with one output: above it is class 1, at or below it class 0. Of a file that
        ends in the sigmoid of one logit, it is compared with the probability.
    max_log_volume, max_width : float, str or Limit, optional
        Thresholds; every sample must stay at or below them. As those of shares, a number, or
        relative to ``baseline``: ``baseline*1.1``; see `sensverify.core.gates.Limit`.
    min_certified, min_accuracy, max_changed : float, str or Limit, optional
        Limits of shares of the samples: of those whose class is proven to keep its place, whose
        label is the prediction, and with an input in their box at which it loses it.
    baseline : Path, optional
        JSON file of an earlier result about the same samples, maybe of another model.
    max_deviation : float or sequence of float, optional
        A threshold on how far outputs move from their values at the sample, one for all or one
        for each.
    output_range : (low, high), optional
        Every output must stay within it; an end may be infinite, and may be a sequence with one
        for each output.
    top_k : int, optional
        The label has to stay among so many largest outputs. Default: 1.
    targets : str, optional
        Pairs such as ``3:5,5:3``: what class 3 may not be taken for. Classes are numbers, names,
        or ``*``. Nothing is asked of samples of other classes, and other confusions may happen.
    costs : Path, optional
        The same by a matrix in a ``.csv``, ``.npy`` or ``.npz`` file (``costs``): confusions, by
        class and by what it is taken for, that cost nothing may happen.
    per_class : bool
        Report by class, too, and hold every limit for the samples of each.
    rigorous : bool
        Re-derive every bound with rigorous arithmetic, and report what comes out there; the
        report then holds a certificate. Only of methods that hand out proofs, and without
        ``decide``.
    runtime_check : bool
        Compare the model with onnxruntime when it is read; see ``load_onnx``.

    Raises
    ------
    BadSetting, BadBox
        Two answers to one question, or a number that cannot be one.
    """

    model: str | Path | Network | nn.Module
    data: Any = None
    part: Part | None = None
    samples: tuple[int | None, int | None] | None = None
    radius: float | str | RangeShare | Path | Array | None = None
    sigma: float | str | None = None
    clip: tuple[float, float] | None = None
    box: Path | None = None
    norm: float | None = None
    pixels: int | None = None
    patch: tuple[int, int] | None = None
    constraints: Path | None = None
    vary: Any = None
    method: str | Method = "crown"
    settings: Mapping[str, Any] = field(default_factory=dict)
    timeout: Above0 | None = None
    objective_timeout: Above0 | None = None
    gap: AtLeast0 | None = None
    threads: Count | None = None
    decide: str | Decider | None = None
    device: str = "cpu"
    dtype: str | None = None
    seed: int = 0
    memory: int | None = None
    data_dir: Path | None = None
    input: str | None = None
    output: str | None = None
    input_shape: InputShape | None = None
    probabilities: bool = False
    threshold: Annotated[float, Range(-inf, above=True)] | None = None
    max_log_volume: LimitLike | None = None
    max_width: LimitLike | None = None
    min_certified: LimitLike | None = None
    min_accuracy: LimitLike | None = None
    max_changed: LimitLike | None = None
    baseline: Path | None = None
    max_deviation: float | Sequence[float] | None = None
    output_range: tuple[float | Sequence[float], float | Sequence[float]] | None = None
    top_k: Count | None = None
    targets: str | None = None
    costs: Path | None = None
    per_class: bool = False
    rigorous: bool = False
    runtime_check: bool = True

    @property
    def method_name(self) -> str:
        """The name of the method, without settings."""
        return parse_call(self.method).name if isinstance(self.method, str) else self.method.name

    @property
    def ends(self) -> Ends:
        """The part of the file that the network is: up to the logits."""
        return Ends.asked(self.input, self.output, self.input_shape, head="peel")

    def __post_init__(self) -> None:
        for name, read in (
            ("constraints", Path),
            *(("baseline", Path), ("box", Path), ("data_dir", Path), ("costs", Path)),
            *(("radius", parse_radius), ("sigma", parse_share)),
        ):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, read(getattr(self, name)))
        if not isinstance(self.radius, float | int | RangeShare | Path | None):
            object.__setattr__(self, "radius", given_unit(self.radius, "radius"))
        if self.radius is not None and self.sigma is not None:
            raise BadSetting("give `radius` or `sigma`, not both")
        check_pairs(self, samples="(0, 10)", clip="(0, 1)", output_range="(-1, 1)")
        check_sets(self)
        if self.costs is not None and not isinstance(self.costs, Path):
            raise BadSetting(
                f"`costs` is the path of a file, got {type(self.costs).__name__}",
                "write the matrix with numpy.save",
            )
        if self.box is not None:
            for name in ("data", "part", "radius", "sigma", "clip"):
                if getattr(self, name) is not None:
                    raise BadSetting(f"`box` is the whole input box: leave `{name}` out")
        for name in ("radius", "sigma"):
            value = getattr(self, name)
            if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
                raise BadBox(f"`{name}` must be a finite number of at least 0, got {value:g}")
        if self.clip is not None and not self.clip[0] <= self.clip[1]:
            raise BadBox(f"`clip` needs LO <= HI, got {self.clip[0]:g} {self.clip[1]:g}")
        check_settings(self, only=_CHECKED)
        if self.dtype not in (None, "float32", "float64"):
            raise BadSetting(f"`dtype` must be float32 or float64, got {self.dtype!r}")
        if self.decide is not None and self.rigorous:
            raise BadSetting(
                "what `decide` finds is not part of certificates",
                "leave one of the two out",
            )
        read_limits(self, LIMITED)
        self._check_outputs()

    def _check_outputs(self) -> None:
        """Refuse questions about outputs that contradict each other."""
        places = [f"`{name}`" for name in _PLACES if getattr(self, name) is not None]
        if len(places) > 1:
            raise BadSetting(f"{' and '.join(places)} are two questions", "ask one of them")
        limits = [f"`{name}`" for name in LIMITS if getattr(self, name) is not None]
        if self.threshold is not None and limits:
            raise BadSetting(
                f"`threshold` makes two classes of the output, which {limits[0]} is not about",
                "ask one of them",
            )
        # Written so that a NaN fails it.
        if not all(limit >= 0 for limit in self.deviations or ()):
            raise BadSetting(f"`max_deviation` must be of at least 0, got {self.max_deviation}")
        low, high = self.ranges or ((0.0,), (0.0,))
        ends = list(zip(low * len(high), high * len(low), strict=True))
        if len({1, len(low), len(high)}) > 2 or not all(one <= other for one, other in ends):
            raise BadSetting(f"`output_range` needs LO <= HI, got {self.output_range}")

    @property
    def deviations(self) -> tuple[float, ...] | None:
        """The limits of ``max_deviation``, one for all outputs or one for each."""
        return None if self.max_deviation is None else numbers(self.max_deviation)

    @property
    def ranges(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """The low and the high ends of ``output_range``, one for all outputs or one for each."""
        if self.output_range is None:
            return None
        return numbers(self.output_range[0]), numbers(self.output_range[1])

    @property
    def asked(self) -> dict[str, Any]:
        """Questions beside the usual, as JSON holds them: an infinite number is None."""
        asked: dict[str, Any] = {name: getattr(self, name) for name in ("threshold", *_PLACES)}
        asked["costs"] = None if self.costs is None else str(self.costs)
        decide = self.decide
        asked["decide"] = decider_name(decide) if isinstance(decide, Decider) else decide
        if self.deviations is not None:
            asked["max_deviation"] = finite_ends(self.deviations)
        if self.ranges is not None:
            asked["output_range"] = [finite_ends(ends) for ends in self.ranges]
        return {name: value for name, value in asked.items() if value is not None}


def check_used(request: VerifyRequest, used: Collection[str], asker: str) -> None:
    """Refuse fields of a request that somebody has set and nobody will look at.

    Parameters
    ----------
    request : VerifyRequest
    used : collection of str
        Names of the fields that mean something.
    asker : str
        What does not look at others, in words.

    Raises
    ------
    BadSetting
        Names the first one.
    """
    for each in fields(request):
        if each.name not in used and getattr(request, each.name) != _default(each):
            raise BadSetting(f"{asker} does not look at `{each.name}`", f"leave `{each.name}` out")


def _default(field: Any) -> Any:
    return field.default if field.default is not MISSING else field.default_factory()
