"""Critical radii of samples: both ends of each, their distribution, and their rows in a journal."""

from __future__ import annotations

import base64
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sensverify.core.brief import count_of
from sensverify.core.plain import finite
from sensverify.core.record import RunRecord
from sensverify.core.results import Guarantee
from sensverify.core.shown import Shown
from sensverify.models.loading import ModelFacts
from sensverify.runs.journal import RowType
from sensverify.verification.counterexample import example_arrays
from sensverify.verification.radius_search import SearchLimits
from sensverify.verification.results import NOTABLE, InputFacts


@dataclass(frozen=True, eq=False)
class SampleRadius:
    """The two ends of the critical radius of one sample.

    Parameters
    ----------
    index : int
        Position in the data set.
    label : int or None
        Of the data; where there is none, the critical radius is that of the prediction.
    prediction : int
        Largest output at the sample.
    proven : float
        The largest radius within which the label was certified; 0 where it was within none.
    attacked : float
        The smallest radius within which an input with another label is known, by onnxruntime on the
        original file as well; 0 where the sample is one, infinite where none was found.
    steps : int
        Radii that were looked at.
    seconds : float
        This sample's share of its batch.
    becomes : int or None
        Label of that input.
    counterexample : numpy array or None, shape ``[*input_shape]``
        That input, in the type of the file's input.
    stopped : bool
        More time could have brought the ends closer together.
    """

    index: int
    label: int | None
    prediction: int
    proven: float
    attacked: float
    steps: int
    seconds: float
    becomes: int | None = None
    counterexample: np.ndarray | None = None
    stopped: bool = False

    @property
    def kept(self) -> int:
        """The label that the radii are about."""
        return self.prediction if self.label is None else self.label


@dataclass(frozen=True)
class RadiusSummary:
    """All samples together; a median is infinite where that of half of the samples is.

    ``misclassified`` counts samples with both ends at 0, ``unproven`` others with nothing proven,
    ``unbroken`` those without a known counterexample.
    """

    samples: int
    misclassified: int
    unproven: int
    unbroken: int
    median_proven: float
    median_attacked: float
    mean_proven: float


@dataclass(frozen=True, eq=False)
class CriticalRadiusReport(Shown):
    """Critical radii of samples, and everything needed to find them again.

    ``unit`` says what radii are measured in, ``total`` how many samples were asked about. With
    ``interrupted`` samples are missing, or have ends that more time could have brought closer
    together; what is said of them holds. ``guarantee`` is that of the proven ends. ``others``:
    versions with which the first samples of a resumed run were searched, where these differ.
    ``asked``: what was asked of classes beside the usual, ``threshold``, ``top_k``, ``targets`` and
    ``costs``, each only where it was.
    ``samples_sha256``: digest of the samples and labels that were asked about, and of the unit of
    radii where features have one each.
    ``pixels``: values of black and white where the samples are images; None where they are none, or
    nobody says. ``inputs``: those of the `weakest` samples, by their index.
    """

    model: ModelFacts
    perturbation: InputFacts
    unit: str
    limits: SearchLimits
    method: str
    settings: dict[str, Any]
    guarantee: Guarantee
    device: str
    dtype: str
    seed: int
    seconds: float
    record: RunRecord
    samples: tuple[SampleRadius, ...]
    total: int
    interrupted: bool = False
    others: dict[str, str] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    samples_sha256: str | None = None
    pixels: tuple[float, float] | None = None
    inputs: Mapping[int, np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        summary = self.summary
        medians = f"{summary.median_proven:.4g} to {summary.median_attacked:.4g} {self.unit}"
        parts = [self.model.name, count_of(summary.samples, "sample"), f"medians {medians}"]
        parts += [f"{self.guarantee} by {self.method}", *["interrupted"][: self.interrupted]]
        return f"CriticalRadiusReport({', '.join(parts)})"

    @cached_property
    def summary(self) -> RadiusSummary:
        """The samples together."""
        proven = [sample.proven for sample in self.samples]
        attacked = [sample.attacked for sample in self.samples]
        wrong = sum(end == 0 for end in attacked)
        return RadiusSummary(
            samples=len(self.samples),
            misclassified=wrong,
            unproven=sum(end == 0 for end in proven) - wrong,
            unbroken=sum(math.isinf(end) for end in attacked),
            median_proven=statistics.median(proven),
            # Infinite where one of two in the middle is: the true median lies between the two.
            median_attacked=statistics.median(attacked),
            mean_proven=statistics.fmean(proven),
        )

    def robust(self, radius: float) -> tuple[float, float]:
        """Shares of the samples that keep their label within a radius: proven, and at most.

        Of the samples in between neither is known.
        """
        # Of what is proven within 0 alone it is not even known that it is proven there.
        least = sum(each.proven > 0 and each.proven >= radius for each in self.samples)
        most = sum(each.attacked > radius for each in self.samples)
        return least / len(self.samples), most / len(self.samples)

    @property
    def exit_status(self) -> int:
        """0: done; 3: samples are left, or the time was up."""
        return 3 if self.interrupted else 0


def weakest(samples: Sequence[SampleRadius], most: int = NOTABLE) -> tuple[SampleRadius, ...]:
    """Up to so many samples, in their order: those that change within the least radii."""
    places = sorted(range(len(samples)), key=lambda place: samples[place].attacked)
    return tuple(samples[place] for place in sorted(places[:most]))


@dataclass(frozen=True, eq=False)
class FinishedBatch:
    """A row of the journal: all samples of a batch, which were searched together."""

    first: int
    guarantee: Guarantee
    samples: tuple[SampleRadius, ...]


def _plain(batch: FinishedBatch) -> dict[str, Any]:
    return {
        "first": batch.first,
        "guarantee": batch.guarantee.name,
        "samples": [_plain_sample(sample) for sample in batch.samples],
    }


def _plain_sample(sample: SampleRadius) -> dict[str, Any]:
    point, attacked = sample.counterexample, sample.attacked
    return {
        "index": sample.index,
        "label": sample.label,
        "prediction": sample.prediction,
        "proven": sample.proven,
        "attacked": finite(attacked),
        "steps": sample.steps,
        "seconds": sample.seconds,
        "becomes": sample.becomes,
        "counterexample": None if point is None else _plain_array(point),
    }


def _plain_array(values: np.ndarray) -> dict[str, Any]:
    little = values.astype(values.dtype.newbyteorder("<"))
    data = base64.b64encode(little.tobytes()).decode("ascii")
    return {"dtype": little.dtype.str, "shape": list(values.shape), "base64": data}


def _array(plain: Mapping[str, Any]) -> np.ndarray:
    kind = np.dtype(str(plain["dtype"]))
    if kind.kind not in "fiu":
        raise ValueError("no numbers")
    values = np.frombuffer(base64.b64decode(plain["base64"], validate=True), dtype=kind)
    return values.reshape(plain["shape"]).astype(kind.newbyteorder("="))


def _sample(plain: Mapping[str, Any]) -> SampleRadius:
    attacked, point = plain["attacked"], plain["counterexample"]
    if attacked is not None and _radius(plain["proven"]) > _radius(attacked):
        raise ValueError("more is proven than was attacked")
    return SampleRadius(
        index=int(plain["index"]),
        label=None if plain["label"] is None else int(plain["label"]),
        prediction=int(plain["prediction"]),
        proven=_radius(plain["proven"]),
        attacked=math.inf if attacked is None else _radius(attacked),
        steps=int(plain["steps"]),
        seconds=float(plain["seconds"]),
        becomes=None if plain["becomes"] is None else int(plain["becomes"]),
        counterexample=None if point is None else _array(point),
    )


def _radius(value: Any) -> float:
    # Written so that a NaN is none.
    if not 0 <= float(value) < math.inf:
        raise ValueError("no radius")
    return float(value)


def _batch(plain: Mapping[str, Any]) -> FinishedBatch:
    samples = tuple(map(_sample, plain["samples"]))
    return FinishedBatch(int(plain["first"]), Guarantee[plain["guarantee"]], samples)


ROWS = RowType("search for critical radii", _plain, _batch)


def counterexamples(samples: Sequence[SampleRadius]) -> dict[str, np.ndarray]:
    """Arrays of all counterexamples, as of `example_arrays`, and the ``radius`` of each."""
    found = [
        (sample.index, sample.kept, sample.becomes, sample.counterexample, sample.attacked)
        for sample in samples
        if sample.counterexample is not None and sample.becomes is not None
    ]
    arrays = example_arrays(each[:4] for each in found)
    return {**arrays, "radius": np.array([radius for *_, radius in found])}
