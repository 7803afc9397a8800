"""``sensverify evaluate``: from options to a request, and to the files that are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sensverify.cli.targets import input_files

if TYPE_CHECKING:
    from sensverify.evaluation.request import EvaluateRequest
    from sensverify.runs.watch import Watch


_LISTS = ("attacks", "certify", "corruptions", "sequences", "measures")


def request_of(models: tuple[str, ...], given: dict[str, Any]) -> EvaluateRequest:
    """The request of the options that were given."""
    from sensverify.attacks.grids import parse_radii
    from sensverify.evaluation.request import EvaluateRequest, split_list
    from sensverify.evaluation.shift import parse_shift

    for name in _LISTS:
        if name in given:
            given[name] = split_list(given[name])
    for name in ("radii", "sigmas"):
        if name in given:
            none = given[name].strip().lower() == "none"
            given[name] = () if none else parse_radii(given[name], shares=name == "sigmas")
    if "severities" in given:
        given["severities"] = severities_of(given["severities"])
    given["shifts"] = tuple(map(parse_shift, given.get("shifts", ())))
    return EvaluateRequest(models=models, **given)


def holds(
    request: EvaluateRequest, watch: Watch, model: str, path: Path, timeout: float | None
) -> bool | None:
    """Whether no input of a model violates a property; None where that is not known."""
    from sensverify.core.queries import Verdict
    from sensverify.verification.property import PropertyRequest, check_property

    asked = PropertyRequest(
        model=model, property=path, timeout=timeout, runtime_check=request.runtime_check
    )
    verdict = check_property(asked, watch=watch.within(request.timeout)).verdict
    return {Verdict.UNSAT: True, Verdict.SAT: False}.get(verdict)


def files_read(models: tuple[str, ...], request: EvaluateRequest) -> list[Path]:
    """The files that are read, which nothing may be written over."""
    from sensverify.evaluation.specification_file import read_specification

    shifts, others = list(request.shifts), [request.per_feature, request.baseline]
    if isinstance(request.specification, Path):
        asked = read_specification(request.specification)
        others += [request.specification, *(each.path for each in asked.properties)]
        shifts += asked.shifts
    names = [*models, request.reference, request.surrogate]
    found = input_files(names, *others, data=request.data)
    for each in shifts:
        found += input_files((), each.classes, data=each.data)
    return found


def severities_of(text: str) -> tuple[int, ...]:
    """The numbers of a list such as ``1,3,5``."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and len(word) < 4 for word in words):
        raise click.BadParameter(
            f"'{text}' is no list of whole numbers such as 1,3,5", param_hint="'--severities'"
        )
    return tuple(map(int, words))
