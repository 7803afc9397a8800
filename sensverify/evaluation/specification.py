"""Specifications of robustness: requirements that a network has to meet, read from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from sensverify.core.gates import Limit
from sensverify.core.numbers import RangeShare, parse_radius
from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.registry.names import did_you_mean
from sensverify.runs.toml_file import read_toml

Metric: TypeAlias = Literal["accuracy", "residual", "app", "changed", "log_volume"]
By: TypeAlias = Literal["interval", "estimate", "certified"]

SCHEMA = "sensverify.specification/1"

_SMALL_IS_GOOD = ("residual", "changed", "log_volume")
_PROVEN_ONLY = ("changed", "log_volume")
_PROPERTY = ("name", "property", "timeout")
_TOP = ("schema", "title", "note", "reference", "left_out", "requirements")
_KEYS = (
    *("name", "metric", "attacks", "corruptions", "severities", "methods"),
    *("radius", "sigma", "class", "min", "max", "by"),
)


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
    attacks, corruptions : tuple of str
        The shift: all of these attacks together, or the mean of these corruptions, each over its
        severities. Neither: samples as they are or, by proof, every input in their boxes.
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
    severities: tuple[int, ...] = ()
    methods: tuple[str, ...] = ()
    radius: float | RangeShare | None = None
    sigma: float | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        self._check_shift()
        self._check_limit()

    @property
    def gate(self) -> str:
        """The name of its gate: ``min_accuracy``, ``max_residual``, ..."""
        if self.metric != "accuracy":
            return f"{'max' if self.metric in _SMALL_IS_GOOD else 'min'}_{self.metric}"
        if self.by == "certified":
            return "min_certified"
        if self.attacks:
            return "min_robust"
        return "min_corrupted" if self.corruptions else "min_accuracy"

    @property
    def reach(self) -> float | RangeShare | None:
        """The distance that inputs may move, in either unit."""
        return self.radius if self.sigma is None else self.sigma

    def _check_shift(self) -> None:
        if self.attacks and self.corruptions:
            raise BadSetting("it has attacks and corruptions", "make two requirements of it")
        if self.radius is not None and self.sigma is not None:
            raise BadSetting("it has a radius and a sigma", "give one of them")
        proven = self.by == "certified"
        if proven and (self.attacks or self.corruptions):
            raise BadSetting(
                "what is certified holds for every input in a box, not for attacks or corruptions",
                'leave them out, or give by = "interval"',
            )
        if self.metric in _PROVEN_ONLY and not proven:
            raise BadSetting(f"{self.metric} is known by proof alone", 'give by = "certified"')
        if self.metric in ("residual", "app") and proven:
            raise BadSetting(f"{self.metric} is not certified", "give metric = 'accuracy'")
        if self.metric in ("residual", "app") and not (self.attacks or self.corruptions):
            raise BadSetting(
                f"{self.metric} is about a shift, and there is none", "give attacks or corruptions"
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
        elif limit.relative in "+-" and share and not limit.value < 1:
            raise BadSetting(
                f"a limit of {limit.value:g} beside the reference's figure is out of reach",
                "write 5 percent as 0.05 or 5%",
            )
        if self.by == "interval" and limit.relative is not None:
            if self.metric != "accuracy":
                raise BadSetting(
                    f"the difference of {self.metric} from the reference's has no interval here",
                    'give by = "estimate", or metric = "accuracy"',
                )
            if limit.relative == "*":
                raise BadSetting(
                    "the quotient with the reference's accuracy has no interval here",
                    'write the limit as a difference (reference-5%), or give by = "estimate"',
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
    left_out : tuple of str
        Families of shifts that are left out on purpose; see `sensverify.evaluation.lint`.

    Raises
    ------
    BadSetting
        There is no requirement, two have one name, a limit is relative and there is no reference,
        or radii and sigmas are mixed.
    """

    requirements: tuple[Requirement, ...] = ()
    properties: tuple[PropertyRequirement, ...] = ()
    title: str = ""
    note: str = ""
    reference: str | None = None
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


def read_specification(path: Path) -> Specification:
    """Read a specification from a TOML file.

    Parameters
    ----------
    path : Path
        See `parse_specification`.

    Raises
    ------
    InputError
        The file cannot be read or is no TOML.
    BadSetting, UnknownName
        Its contents cannot be a specification; the message says where.
    """
    return read_toml(path, partial(parse_specification, folder=path.parent))


def parse_specification(document: Mapping[str, Any], *, folder: Path = Path()) -> Specification:
    """The specification that the tables of a TOML file describe.

    ::

        title = "..."                  # and note = "..."
        reference = "mnist-conv1"      # a name, or a file beside this one
        left_out = ["colour"]          # families of shifts, on purpose
        [[requirements]]
        name = "noise"
        metric = "accuracy"            # residual, app; by proof also changed and log_volume
        corruptions = ["gaussian-noise", "shot-noise"]   # names or groups; or attacks = ["pgd"]
        severities = [1, 2, 3]
        radius = "8/255"               # of attacks and proofs; or sigma = 0.05
        class = "7"                    # only samples of this class
        min = "80%"                    # max for residual, changed and log_volume;
                                       # or "reference-5%"
        by = "interval"                # estimate, certified
        [[requirements]]
        name = "stays apart"
        property = "apart.vnnlib"      # beside this file; no input may be what it describes
        timeout = 60                   # seconds for its answer

    Raises
    ------
    BadSetting, UnknownName
        A name is none of these, or a value cannot be right.
    """
    _check_keys(document, _TOP, "the file")
    if document.get("schema", SCHEMA) != SCHEMA:
        raise BadSetting(f"its schema is '{document['schema']}'", f"this reads {SCHEMA}")
    tables = document.get("requirements", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise BadSetting("`requirements` are tables", "write [[requirements]] above each of them")
    reference = _text(document, "reference", "the file")
    if reference is not None and ("/" in reference or reference.endswith((".onnx", ".onnx.gz"))):
        reference = str(folder / reference)
    named = [(_name(each, number), each) for number, each in enumerate(tables, start=1)]
    requirements = tuple(_requirement(*each) for each in named if "property" not in each[1])
    for each in requirements:
        if each.limit.relative is not None and reference is None:
            raise BadSetting(
                f"requirement '{each.name}' is relative to a reference network, and none is named",
                'give reference = "NAME" at the top of the file',
            )
    return Specification(
        requirements=requirements,
        properties=tuple(_property(*each, folder) for each in named if "property" in each[1]),
        title=_text(document, "title", "the file") or "",
        note=_text(document, "note", "the file") or "",
        reference=reference,
        left_out=_names(document["left_out"], "left_out") if "left_out" in document else (),
    )


def _name(table: Mapping[str, Any], number: int) -> str:
    name = _text(table, "name", f"[[requirements]] number {number}")
    if not name:
        raise BadSetting(f"[[requirements]] number {number} has no name", 'give it: name = "..."')
    return name


def _property(name: str, table: Mapping[str, Any], folder: Path) -> PropertyRequirement:
    where = f"requirement '{name}'"
    _check_keys(table, _PROPERTY, f"{where}, a property,")
    path, timeout = _text(table, "property", where), table.get("timeout")
    if not path:
        raise BadSetting(f"{where} names no file", 'give property = "FILE.vnnlib"')
    if timeout is not None:
        timeout = _distance(timeout, "timeout", where)
    return PropertyRequirement(name=name, path=folder / path, timeout=timeout)


def _requirement(name: str, table: Mapping[str, Any]) -> Requirement:
    where = f"requirement '{name}'"
    _check_keys(table, _KEYS, where)
    values: dict[str, Any] = {"name": name}
    for key, choices in (("metric", get_args(Metric)), ("by", get_args(By))):
        if key in table:
            values[key] = _choice(table[key], choices, f"{where}: {key}")
    for key in ("attacks", "corruptions", "methods"):
        if key in table:
            values[key] = _names(table[key], f"{where}: {key}")
    if "severities" in table:
        values["severities"] = _severities(table["severities"], where)
    for key in ("radius", "sigma"):
        if key in table:
            values[key] = _distance(table[key], key, where)
    if "class" in table:
        values["group"] = str(table["class"])
    values["limit"] = _limit(table, values.get("metric", "accuracy"), where)
    try:
        return Requirement(**values)
    except InputError as error:
        raise error.about(where) from None


def _limit(table: Mapping[str, Any], metric: str, where: str) -> Limit:
    side, other = ("max", "min") if metric in _SMALL_IS_GOOD else ("min", "max")
    if other in table:
        better = "smaller" if side == "max" else "larger"
        raise BadSetting(f"{where}: a {better} {metric} is better", f"give {side}, not {other}")
    given = table.get(side)
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise BadSetting(
            f"{where} has no limit" if given is None else f"{where}: '{given}' is no limit",
            f'give {side} = 0.9, "90%" or "reference-5%"',
        )
    if isinstance(given, str):
        text = given.strip()
        # As gates spell it, whose limits are relative to an earlier result.
        given = "none" if text.startswith("baseline") else text.replace("reference", "baseline", 1)
    try:
        return Limit.parse(given)
    except BadSetting:
        raise BadSetting(
            f"{where}: {side} = '{table[side]}' is no limit",
            f'give {side} = 0.9, "90%" or "reference-5%"',
        ) from None


def _distance(given: Any, key: str, where: str) -> Any:
    value: Any = given
    if isinstance(given, str) and key != "timeout":
        try:
            value = parse_radius(given)
        except InputError as error:
            raise error.about(f"{where}: {key}") from None
    share = isinstance(value, RangeShare)
    if key == "sigma" and isinstance(value, RangeShare):
        value, share = value.share, False
    known = share or (isinstance(value, int | float) and not isinstance(value, bool))
    size = value.share if isinstance(value, RangeShare) else value
    if not known or not 0 < size < math.inf:
        raise BadSetting(f"{where}: {key} must be a finite number above 0, got {given}")
    return value if isinstance(value, RangeShare) else float(value)


def _severities(given: Any, where: str) -> tuple[int, ...]:
    several = given if isinstance(given, list) else [given]
    if not several or not all(type(each) is int and each > 0 for each in several):
        raise BadSetting(f"{where}: severities are whole numbers from 1, such as [1, 3, 5]")
    return tuple(sorted(set(several)))


def _names(given: Any, where: str) -> tuple[str, ...]:
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, list) or not all(isinstance(e, str) and e.strip() for e in several):
        raise BadSetting(f'{where} are names, such as ["pgd", "fgsm"]')
    if not several:
        raise BadSetting(
            f"{where} is an empty shift, which every network would pass",
            "name one or more, or leave the key out",
        )
    return tuple(dict.fromkeys(each.strip() for each in several))


def _choice(given: Any, choices: Sequence[str], where: str) -> str:
    if given not in choices:
        raise UnknownName(
            f"{where} cannot be '{given}'{did_you_mean(given, choices)}",
            f"it is one of {', '.join(choices)}",
        )
    return str(given)


def _text(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise BadSetting(f"{where}: `{key}` is text, got {value!r}")
    return value


def _check_keys(table: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise UnknownName(
                f"{where} has no key '{key}'{did_you_mean(key, known)}",
                f"its keys are {', '.join(known)}",
            )
