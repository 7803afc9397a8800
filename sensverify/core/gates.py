"""Gates: figures of a result against limits that somebody sets, with a verdict for each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from sensverify.core.numbers import parse_number, parse_share
from sensverify.errors import BadSetting

SHARES = frozenset(
    {
        *("min_certified", "min_accuracy", "min_robust", "min_corrupted", "min_shifted"),
        *("max_changed", "min_agreement", "max_disagreement"),
    }
)
"""Gates whose figure is a share of samples, from 0 to 1."""

_RELATIVE = re.compile(r"baseline\s*(?:([-+*])(.+))?")


class GateVerdict(Enum):
    """Whether a figure keeps its limit."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Limit:
    """A limit: a number, or one that is relative to the figure of an earlier result.

    Parameters
    ----------
    value : float
    relative : str or None
        ``+``, ``-`` or ``*``: the limit is the earlier figure plus, minus or times the value.
    """

    value: float
    relative: str | None = None

    @classmethod
    def parse(cls, text: str | float) -> Limit:
        """Read ``0.9``, ``90%``, ``baseline``, ``baseline-0.01``, ``baseline-1%``, ``baseline*2``.

        Raises
        ------
        BadSetting
        """
        if isinstance(text, int | float):
            return cls(_finite(_as_float(text), "that"))
        found = _RELATIVE.fullmatch(text.strip())
        sign, digits = found.groups() if found is not None else (None, text)
        try:
            value = 0.0 if digits is None else parse_share(digits)
        except BadSetting:
            raise BadSetting(
                f"'{text}' is no limit",
                "give a number (0.9 or 90%), or one beside an earlier result's (baseline-0.01)",
            ) from None
        return cls(_finite(value, text), None if found is None else sign or "+")

    def against(self, earlier: float | None) -> float:
        """The number that a figure has to keep.

        Raises
        ------
        BadSetting
            It is relative, and there is no earlier figure.
        """
        if self.relative is None:
            return self.value
        if earlier is None or not math.isfinite(earlier):
            raise BadSetting(
                "a limit is relative to an earlier result, which does not hold that figure",
                "give the file of a result as `baseline`, or a number as the limit",
            )
        operations: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
            "+": Decimal.__add__,
            "-": Decimal.__sub__,
            "*": Decimal.__mul__,
        }
        # In decimals, as it is read: 0.8 - 0.1 in binary is more than 7 of 10 samples.
        before, value = Decimal(repr(float(earlier))), Decimal(repr(float(self.value)))
        return float(operations[self.relative](before, value))


LimitLike: TypeAlias = float | str | Limit
"""A limit as a request takes it: a number, a text that `Limit.parse` reads, or the limit itself."""


def read_limits(
    asked: Any, names: Sequence[str], needing: Sequence[str] = ("baseline",)
) -> dict[str, Limit]:
    """The limits that fields of a request set, in the order of their names.

    Parameters
    ----------
    asked : object
        With these fields, each a `LimitLike` or None, and with ``baseline``.
    names : sequence of str
    needing : sequence of str
        Fields that say nothing without a limit.

    Raises
    ------
    BadSetting
        A limit is none, or no share where it is about one; or it is relative, and there is no
        ``baseline``; or what needs a limit is given, and there is none.
    """
    limits = {}
    for name in names:
        given = getattr(asked, name)
        if given is None:
            continue
        limit = limits[name] = _limit(name, given)
        if limit.relative is not None and asked.baseline is None:
            raise BadSetting(
                f"`{name}` is relative to an earlier result", "give its file as `baseline`"
            )
    for name in needing:
        if getattr(asked, name) and not limits:
            raise BadSetting(
                f"`{name}` is about gates, and there is none", f"give one, such as `{names[0]}`"
            )
    return limits


def _limit(name: str, given: LimitLike) -> Limit:
    if isinstance(given, Limit):
        limit = given
    elif isinstance(given, str):
        try:
            limit = Limit(parse_number(given))
        except BadSetting:
            limit = _parsed(name, given)
    else:
        limit = Limit(_as_float(given))
    # An infinite limit is kept, or not, whatever the figure is.
    if not math.isfinite(limit.value):
        raise BadSetting(f"`{name}` must be a finite number, got {limit.value:g}")
    percent = isinstance(given, str) and given.strip().endswith("%")
    if percent and name not in SHARES and limit.relative != "*":
        raise BadSetting(
            f"`{name}` is about no share of samples, got {given}",
            "give a number, or baseline*105% for 5 percent more than before",
        )
    if name in SHARES and limit.relative is None and not 0 <= limit.value <= 1:
        raise BadSetting(
            f"`{name}` is a share of samples, from 0 to 1, got {limit.value:g}",
            "write 90 percent as 0.9 or 90%",
        )
    return limit


def _parsed(name: str, text: str) -> Limit:
    try:
        return Limit.parse(text)
    except BadSetting as error:
        raise error.about(f"`{name}`") from None


def _as_float(value: float) -> float:
    """A number, infinite where it is a whole one that is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _finite(value: float, text: str) -> float:
    if not math.isfinite(value):
        raise BadSetting(f"a limit must be a finite number, got {text}")
    return value


@dataclass(frozen=True)
class Figure:
    """A figure of a result: what it is by what is known, from the least to the largest value.

    Parameters
    ----------
    least, most : float or None
        Equal where the figure is known; a share of samples some of which are undecided lies
        between them. None: nothing was measured.
    count : int
        Samples that it is made of.
    share : bool
        A share of samples, which is shown in percent.
    estimate : float or None
        Where the ends are those of a statistical interval, the figure of these samples.
    """

    least: float | None
    most: float | None
    count: int
    share: bool = False
    estimate: float | None = None

    @property
    def known(self) -> bool:
        """Whether there is a figure at all: of one sample or more, and no NaN."""
        ends = (self.least, self.most)
        return self.count > 0 and all(end is not None and not math.isnan(end) for end in ends)


@dataclass(frozen=True)
class Gate:
    """A figure beside its limit.

    Parameters
    ----------
    name : str
        ``min_certified``, ``max_width``, ...: the first part says which side of the limit is right.
    figure : Figure
    limit : float
        As a number, whatever it was relative to.
    group : str or None
        The class of the samples, where it is about those of one class.
    baseline : float or None
        The earlier result's figure.
    model : str or None
        Of several that are judged, the one that it is about.
    radius : float or None
        Of several that were evaluated, the one that it is about.
    requirement : str or None
        Its own name, where a specification asks for it.
    by : str or None
        What has to keep the limit of a requirement: ``interval``, ``estimate`` or ``certified``.
    """

    name: str
    figure: Figure
    limit: float
    group: str | None = None
    baseline: float | None = None
    model: str | None = None
    radius: float | None = None
    requirement: str | None = None
    by: str | None = None

    @property
    def verdict(self) -> GateVerdict:
        """Passed where the whole interval keeps the limit; nothing measured passes nothing."""
        if not self.figure.known:
            return GateVerdict.FAILED
        least, most = self.figure.least, self.figure.most
        assert least is not None
        assert most is not None
        if self.name.startswith("min"):
            passed, failed = least >= self.limit, most < self.limit
        else:
            passed, failed = most <= self.limit, least > self.limit
        if passed:
            return GateVerdict.PASSED
        return GateVerdict.FAILED if failed else GateVerdict.UNDECIDED


def judge(
    figures: Mapping[str, Figure],
    limits: Mapping[str, Limit],
    earlier: Mapping[str, Figure] | None = None,
    *,
    group: str | None = None,
) -> tuple[Gate, ...]:
    """Every limit beside its figure.

    Parameters
    ----------
    figures : mapping of str to Figure
        By the names of gates.
    limits : mapping of str to Limit
    earlier : mapping of str to Figure, optional
        The same of an earlier result: what was proven then (`Figure.least` of a gate ``min_*``,
        `Figure.most` of others).
    group : str, optional
        The class that the figures are about.

    Raises
    ------
    BadSetting
        A limit is relative to a figure that the earlier result does not hold.
    """
    gates = []
    for name, limit in limits.items():
        then = None if earlier is None else earlier.get(name)
        before = None
        if then is not None:
            before = then.least if name.startswith("min") else then.most
        figure = figures.get(name, Figure(None, None, 0))
        gates.append(Gate(name, figure, limit.against(before), group, before))
    return tuple(gates)


def exit_status(gates: tuple[Gate, ...]) -> int:
    """0: all passed; 1: one failed; 3: none failed, and one is undecided."""
    verdicts = {gate.verdict for gate in gates}
    if GateVerdict.FAILED in verdicts:
        return 1
    return 3 if GateVerdict.UNDECIDED in verdicts else 0
