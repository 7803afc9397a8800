"""Gates: figures of a result against limits that somebody sets, with a verdict for each."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from sensverify.errors import BadSetting

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LIMIT = re.compile(rf"(?:(baseline)\s*(?:([-+*])\s*)?)?(?:({_NUMBER})\s*(%)?)?")


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
            return cls(_finite(float(text), str(text)))
        found = _LIMIT.fullmatch(text.strip())
        baseline, sign, digits, percent = found.groups() if found is not None else (None,) * 4
        if found is None or not (baseline or digits) or (sign is not None and digits is None):
            raise BadSetting(
                f"'{text}' is no limit",
                "give a number (0.9 or 90%), or one beside an earlier result's (baseline-0.01)",
            )
        if baseline and digits and sign is None:
            # "baseline-1%": the sign was read as the number's.
            sign, digits = digits[0], digits[1:]
            if sign not in "+-":
                raise BadSetting(
                    f"'{text}' is no limit", "write baseline+N, baseline-N or baseline*N"
                )
        value = float(digits or 0) / (100 if percent else 1)
        return cls(_finite(value, text), (sign or "+") if baseline else None)

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
        operations: dict[str, Callable[[float], float]] = {
            "+": lambda value: earlier + value,
            "-": lambda value: earlier - value,
            "*": lambda value: earlier * value,
        }
        return operations[self.relative](self.value)


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
    """

    least: float | None
    most: float | None
    count: int
    share: bool = False

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
    """

    name: str
    figure: Figure
    limit: float
    group: str | None = None
    baseline: float | None = None

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
