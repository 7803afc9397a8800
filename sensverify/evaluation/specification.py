"""Specifications of robustness: requirements that a network has to meet."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from sensverify.core.gates import Limit
from sensverify.core.numbers import RangeShare
from sensverify.errors import BadSetting
from sensverify.evaluation.shift import OtherData

Metric: TypeAlias = Literal["accuracy", "residual", "app", "changed", "log_volume"]
By: TypeAlias = Literal["interval", "estimate", "certified"]

SMALL_IS_GOOD = ("residual", "changed", "log_volume")
_PROVEN_ONLY = ("changed", "log_volume")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A metric, the shift that it is taken under, and the limit that it has to keep.

    Parameters
    ----------
    name : str
    metric : str
        ``accuracy``; ``residual``, the clean accuracy minus it; ``app``, it over the clean
        accuracy; by proof also ``changed`` and ``log_volume``, as gates have them.
    limit : Limit
        Relative to the figure of the reference network, if it is relative.
    by : str
        What has to keep the limit: the whole 95 % ``interval`` of the share of all samples that
        could come; the ``estimate`` on these samples; or what is ``certified`` on these samples.
    attacks, corruptions, shifts : tuple of str
        The shift: all of these attacks together; the mean of these corruptions, each over its
        severities; or that of these other data sets. None of them: samples as they are or, by
        proof, every input in their boxes.
    severities : tuple of int
        Of corruptions; empty: those of the evaluation.
    methods : tuple of str
        That prove; empty: the usual one.
    radius : float, RangeShare or None
    sigma : float or None
        How far attacks and proofs may move inputs, as a radius or a share of each feature's range.
    group : str or None
        The class of the samples that it is about; None: all.

    Raises
    ------
    BadSetting
        The parts do not fit each other, a shift is empty, or no network can keep the limit.
    """

    name: str
    metric: Metric = "accuracy"
    limit: Limit
    by: By = "interval"
    attacks: tuple[str, ...] = ()
    corruptions: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()
    severities: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    radius: float | RangeShare | None = None
    sigma: float | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        for key, choices in (("metric", get_args(Metric)), ("by", get_args(By))):
            if getattr(self, key) not in choices:
                raise BadSetting(
                    f"{key} cannot be '{getattr(self, key)}'", f"it is one of {', '.join(choices)}"
                )
        self._check_shift()
        self._check_limit()

    @property
    def gate(self) -> str:
        """The name of its gate: ``min_accuracy``, ``max_residual``, ..."""
        if self.metric != "accuracy":
            return f"{'max' if self.metric in SMALL_IS_GOOD else 'min'}_{self.metric}"
        if self.by == "certified":
            return "min_certified"
        if self.attacks:
            return "min_robust"
        if self.shifts:
            return "min_shifted"
        return "min_corrupted" if self.corruptions else "min_accuracy"

    @property
    def reach(self) -> float | RangeShare | None:
        """The distance that inputs may move, in either unit."""
        return self.radius if self.sigma is None else self.sigma

    def _check_shift(self) -> None:
        kinds = ("attacks", "corruptions", "shifts")
        there = [kind for kind in kinds if getattr(self, kind)]
        if len(there) > 1:
            raise BadSetting(
                f"it has {' and '.join(there)}", f"make {len(there)} requirements of it"
            )
        if self.radius is not None and self.sigma is not None:
            raise BadSetting("it has a radius and a sigma", "give one of them")
        proven = self.by == "certified"
        if proven and there:
            raise BadSetting(
                f"what is certified holds for every input in a box, not for {there[0]}",
                'leave them out, or give by = "interval"',
            )
        if self.metric in _PROVEN_ONLY and not proven:
            raise BadSetting(f"{self.metric} is known by proof alone", 'give by = "certified"')
        if self.metric in ("residual", "app") and proven:
            raise BadSetting(f"{self.metric} is not certified", "give metric = 'accuracy'")
        if self.metric in ("residual", "app") and not there:
            raise BadSetting(
                f"{self.metric} is about a shift, and there is none",
                "give attacks, corruptions or shifts",
            )
        if self.methods and not proven:
            raise BadSetting("methods are those of proofs", 'give by = "certified"')
        if self.severities and not self.corruptions:
            raise BadSetting("severities are those of corruptions", "give corruptions")
        moves = bool(self.attacks) or proven
        if moves and self.reach is None:
            raise BadSetting("nothing says how far inputs may move", "give radius or sigma")
        if self.reach is not None and not moves:
            raise BadSetting(
                "a radius or sigma is that of attacks or of proofs, and it has neither",
                'give attacks, or by = "certified"',
            )

    def _check_limit(self) -> None:
        limit, share = self.limit, self.metric in ("accuracy", "changed")
        # What is infinite is kept by everything, or by nothing.
        if not math.isfinite(limit.value):
            raise BadSetting(f"a limit must be a finite number, got {limit.value:g}")
        if limit.relative is None:
            least, most = (0.0, 1.0) if share else (-math.inf, math.inf)
            least = -1.0 if self.metric == "residual" else 0.0 if self.metric == "app" else least
            most = 1.0 if self.metric == "residual" else most
            if not least <= limit.value <= most:
                raise BadSetting(
                    f"a limit of {limit.value:g} is out of reach: {self.metric} is "
                    + (f"from {least:g} to {most:g}" if most < math.inf else "at least 0"),
                    "write 90 percent as 0.9 or 90%",
                )
        elif limit.relative in "+-":
            # Differences of shares are below 1, and those of differences below 2.
            most = {"accuracy": 1.0, "changed": 1.0, "residual": 2.0}.get(self.metric, math.inf)
            if not abs(limit.value) < most:
                raise BadSetting(
                    f"a limit of {limit.value:g} beside the reference's figure is out of reach",
                    "write 5 percent as 0.05 or 5%",
                )
        elif not limit.value >= 0:
            raise BadSetting(
                f"the reference's figure times {limit.value:g} is no limit",
                "give a factor of at least 0",
            )


@dataclass(frozen=True, kw_only=True)
class PropertyRequirement:
    """A property in VNN-LIB that no input may violate.

    Parameters
    ----------
    name : str
    path : Path
        A ``.vnnlib`` or ``.vnnlib.gz`` file, which says what a violation is.
    timeout : float or None
        Seconds for its answer.
    """

    name: str
    path: Path
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Specification:
    """Requirements that a network has to meet, all of them.

    Parameters
    ----------
    requirements : tuple of Requirement
        Each with a name of its own.
    properties : tuple of PropertyRequirement
        Likewise; of both together there are one or more.
    title, note : str
    reference : str or None
        The network that limits are relative to: a name, or the path of its file.
    shifts : tuple of OtherData
        Other data sets that requirements name.
    left_out : tuple of str
        Families of shifts that are left out on purpose; see `sensverify.evaluation.lint`.

    Raises
    ------
    BadSetting
        There is no requirement, two have one name, a limit is relative and there is no reference,
        radii and sigmas are mixed, or no requirement names a data set.
    """

    requirements: tuple[Requirement, ...] = ()
    properties: tuple[PropertyRequirement, ...] = ()
    title: str = ""
    note: str = ""
    reference: str | None = None
    shifts: tuple[OtherData, ...] = ()
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.requirements or self.properties):
            raise BadSetting(
                "a specification without a requirement would pass every network",
                "give one or more tables [[requirements]]",
            )
        names = [each.name for each in self.requirements]
        names += [each.name for each in self.properties]
        for name in names:
            if names.count(name) > 1:
                raise BadSetting(f"two requirements are called '{name}'", "give each its own name")
        if {each.radius is None for each in self.requirements if each.reach is not None} == {
            True,
            False,
        }:
            raise BadSetting(
                "some requirements have a radius and some a sigma", "give all of them in one unit"
            )
        self._check_shifts()
        for each in self.requirements:
            if each.limit.relative is not None and self.reference is None:
                raise BadSetting(
                    f"requirement '{each.name}' is relative to a reference network, and none is "
                    "named",
                    'give reference = "NAME" at the top of the file',
                )

    def _check_shifts(self) -> None:
        described = [each.name for each in self.shifts]
        for name in described:
            if described.count(name) > 1:
                raise BadSetting(f"two other data sets are called '{name}'", "rename one of them")
            if not any(name in each.shifts for each in self.requirements):
                raise BadSetting(
                    f"no requirement is about the data set '{name}'",
                    f'give one shifts = ["{name}"], or leave the data set out',
                )
