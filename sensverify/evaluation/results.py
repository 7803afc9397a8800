"""Results of an evaluation: frozen rows of plain values, kept in the journal and reported.

A row is one finished task: one question asked of one network. What could not be had is a `Missing`
row with its reason. Everything else in a report (worst cases, scores against a reference) follows
from rows and is in `sensverify.evaluation.scores`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sensverify.classification.predictions import Classified
from sensverify.core.brief import count_of
from sensverify.core.gates import Gate, exit_status
from sensverify.core.record import RunRecord
from sensverify.core.shown import Shown
from sensverify.models.loading import ModelFacts


@dataclass(frozen=True, kw_only=True)
class CleanRow:
    """Predictions on samples as they are.

    Parameters
    ----------
    part : str
        ``test`` or ``train``.
    classified : Classified
    wrong : tuple of int
        Positions of the samples whose label is not the largest output.
    seconds : float
    """

    part: str
    classified: Classified
    wrong: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AttackRow:
    """Predictions at the points that one attack found, a sample's own point where it found none.

    An inner estimate: a stronger attack may break more samples.

    Parameters
    ----------
    attack : str
        Its name with its settings, as a request takes it; `` through NAME`` follows where the
        gradients are those of a surrogate.
    radius : float or None
        What every feature's unit is multiplied with; None for an attack that looks for the nearest
        input instead.
    classified : Classified
        At those points.
    broken : tuple of int
        Positions of the samples that are wrong at their own point or at the attack's.
    reach : tuple of float or None, one a sample
        Smallest radius whose box is known to hold an input with another label; 0 where the sample
        itself is wrong.
    l2, linf : tuple of float or None, one a sample
        Distance of that input from the sample, in the units of the features; None where there is
        none.
    seconds : float
    blind : tuple of int
        Positions of the samples that kept their label, and have no gradient that could be followed
        although the outputs change in their boxes: the attack says nothing of them.
    """

    attack: str
    radius: float | None
    classified: Classified
    broken: tuple[int, ...]
    reach: tuple[float | None, ...]
    l2: tuple[float | None, ...]
    linf: tuple[float | None, ...]
    seconds: float
    blind: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CertifiedRow:
    """Samples that provably keep their label on the whole box.

    Parameters
    ----------
    method : str
        Its name with its settings.
    radius : float
    guarantee : str
    certified : tuple of int
        Positions.
    log_volumes : tuple of float or None, one a sample
        Of the box around all outputs; None where an output cannot move.
    seconds : float
    """

    method: str
    radius: float
    guarantee: str
    certified: tuple[int, ...]
    log_volumes: tuple[float | None, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class CorruptionRow:
    """Predictions on corrupted samples.

    Parameters
    ----------
    corruption : str
    severity : int
        From 1 to 5, or to the number of values that the corruption's table has.
    parameter : str
        The table's entry, in words: ``sigma 0.08``.
    classified : Classified
    msd : float or None
        `minimal_sample_distance` of the corrupted samples' outputs to the clean ones'.
    source : str
        ``computed``, or the file that the corrupted samples were read from.
    seconds : float
    wrong : tuple of int or None
        Positions of the samples whose label is not the largest output; None in rows that an
        earlier version has kept.
    """

    corruption: str
    severity: int
    parameter: str
    classified: Classified
    msd: float | None
    source: str
    seconds: float
    wrong: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ShiftRow:
    """Predictions on the samples of another data set.

    Parameters
    ----------
    shift : str
        Its name in the request.
    data : str
        Name of the data, or path of the file.
    samples_sha256 : str
        Digest of the samples and their labels.
    samples, available : int
        How many were used, evenly spread over those there are.
    classes : int or None
        Number of classes that predictions are restricted to; None where all count.
    classified : Classified
        Among these classes.
    clean_right, clean_samples : int or None
        Clean samples of these classes that are right among them, and how many there are; None
        where all classes count.
    seconds : float
    wrong : tuple of int
        Positions of the samples, among those that were used, whose label is not the prediction.
    classes_sha256 : str or None
        Digest of the outputs that stand for each class; None where all count, and in rows that an
        earlier version has kept.
    """

    shift: str
    data: str
    samples_sha256: str
    samples: int
    available: int
    classes: int | None
    classified: Classified
    clean_right: int | None
    clean_samples: int | None
    seconds: float
    wrong: tuple[int, ...]
    classes_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class SequenceRow:
    """Flips of the prediction along sequences of small corruptions of one sample.

    Parameters
    ----------
    sequence : str
    frames : int
        Of every sequence.
    samples : int
    flip_rate : float
        Share of the pairs of frames with different predictions.
    against : str
        ``previous`` frame, or the ``first`` one, as for noise.
    seconds : float
    """

    sequence: str
    frames: int
    samples: int
    flip_rate: float
    against: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class MeasureRow:
    """One measure, a `sensverify.measures.measure.Reading` with its name.

    Parameters
    ----------
    measure : str
        A key of `MEASURES`.
    value : float
    error : float or None
    samples : int or None
    note : str
    seconds : float
    """

    measure: str
    value: float
    error: float | None
    samples: int | None
    note: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A task that was asked for and could not be had.

    Parameters
    ----------
    key : str
        The task's key, such as ``attack/pgd/0.1`` (see `sensverify.evaluation.plan`).
    reason : str
    final : bool
        Whether it would be missing again; False where only the time was up.
    """

    key: str
    reason: str
    final: bool = True


Row = (
    CleanRow
    | AttackRow
    | CertifiedRow
    | CorruptionRow
    | ShiftRow
    | SequenceRow
    | MeasureRow
    | Missing
)


@dataclass(frozen=True, kw_only=True)
class ModelEvaluation:
    """Everything found about one network; rows are in the order of the plan.

    ``clean`` has the test part first, then the training part where there is one.
    """

    model: ModelFacts
    clean: tuple[CleanRow, ...]
    attacks: tuple[AttackRow, ...] = ()
    certified: tuple[CertifiedRow, ...] = ()
    corruptions: tuple[CorruptionRow, ...] = ()
    shifts: tuple[ShiftRow, ...] = ()
    sequences: tuple[SequenceRow, ...] = ()
    measures: tuple[MeasureRow, ...] = ()
    missing: tuple[Missing, ...] = ()

    def __repr__(self) -> str:
        kinds = {name: rows for name, rows in vars(self).items() if name != "model" and rows}
        counts = ", ".join(f"{len(rows)} {name}" for name, rows in kinds.items())
        return f"ModelEvaluation({self.model.name}: {counts})"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One sample, as it is and corrupted, for pictures.

    Parameters
    ----------
    title : str
    shape : tuple of int
        ``(channels, rows, columns)`` with 1 or 3 channels.
    pixels : bytes
        From 0 to 255, channels first.
    """

    title: str
    shape: tuple[int, int, int]
    pixels: bytes


@dataclass(frozen=True, kw_only=True)
class Evaluation(Shown):
    """Networks side by side, on the same samples.

    Parameters
    ----------
    models : tuple of ModelEvaluation
    data : str
        Name of the data set, or path of the file.
    samples, available : int
        How many test samples were used, and how many there are.
    chosen : str
        In words, which of them: ``evenly spread over the test part``.
    train_samples : int
        How many training samples measures were taken on; 0 where there are none.
    classes : tuple of str
        What the classes are called.
    radii : tuple of float
        Ascending.
    radius_unit : str
        In words, what radii are: ``in the units of the features`` or ``shares of each feature's
        range over the training samples``.
    clip : (low, high) or None
    examples : mapping from str to tuple of Example
        By corruption: one sample at every severity; ``clean`` is the sample itself.
    settings : mapping from str to str
        Everything that was asked for, in words, for the record.
    reference : str or None
        Name of the network that CE and its means compare with.
    record : RunRecord
    machine : str
    device : str
    seconds : float
        Of all tasks, also of those that a run before this one had finished.
    interrupted : bool
        Whether it ended before all tasks were done: Ctrl-C or the time budget.
    samples_sha256 : str
        Digest of the samples, their labels, and the unit of radii of each feature.
    labels : tuple of int, one a sample
    seed : int
        Of everything that was drawn.
    gates : tuple of Gate
        Every limit that was asked for, with its verdict.
    baseline : str or None
        In words, the kept result that limits are relative to.
    success_of_all : bool
        Whether the rate of an attack's successes is over all samples, not over those that were
        right.
    """

    models: tuple[ModelEvaluation, ...]
    data: str
    samples: int
    available: int
    chosen: str
    train_samples: int
    classes: tuple[str, ...]
    radii: tuple[float, ...]
    radius_unit: str
    clip: tuple[float, float] | None
    samples_sha256: str
    labels: tuple[int, ...]
    seed: int = 0
    examples: Mapping[str, tuple[Example, ...]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None
    record: RunRecord = field(default_factory=RunRecord.now)
    machine: str = ""
    device: str = "cpu"
    seconds: float = 0.0
    interrupted: bool = False
    gates: tuple[Gate, ...] = ()
    baseline: str | None = None
    success_of_all: bool = False

    @property
    def exit_status(self) -> int:
        """0: done, and every gate passed; 1: one failed; 3: one is undecided, or interrupted."""
        return exit_status(self.gates) or (3 if self.interrupted else 0)

    def __repr__(self) -> str:
        models = "; ".join(map(_brief, self.models))
        late = ", interrupted" if self.interrupted else ""
        return f"Evaluation({count_of(self.samples, 'sample')} of {self.data}{late}: {models})"


def _brief(model: ModelEvaluation) -> str:
    """The name of a network, and its accuracy where there is one."""
    clean = [row.classified.accuracy for row in model.clean if row.part == "test"]
    shares = (f" {100 * rate.share:.1f} % right ({rate.count} of {rate.total})" for rate in clean)
    missing = f", {len(model.missing)} missing" if model.missing else ""
    return f"{model.model.name}{''.join(shares)}{missing}"
