"""What a specification leaves out is found, and what is left out on purpose is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sensverify.core.gates import Limit
from sensverify.errors import InputError, UnknownName
from sensverify.evaluation.lint import FAMILIES, Measured, lint
from sensverify.evaluation.shift import OtherData
from sensverify.evaluation.specification import Requirement, Specification

ONE_EACH = (
    *("gaussian-noise", "motion-blur", "fog", "contrast"),
    *("rotation", "jpeg", "greyscale", "obstruction"),
)


def need(name: str, limit: float = 0.5, **changes: Any) -> Requirement:
    return Requirement(name=name, limit=Limit(limit), **changes)


WHOLE = Specification(
    requirements=(
        need("clean"),
        need("corrupted", corruptions=ONE_EACH),
        need("attacked", attacks=("pgd",), radius=0.1),
    )
)


def with_requirements(*requirements: Requirement) -> Specification:
    return Specification(requirements=requirements)


def test_a_whole_specification_has_no_finding() -> None:
    assert lint(WHOLE) == ()


@pytest.mark.parametrize("left", range(3))
@pytest.mark.parametrize("metric", ["residual", "app"])
def test_what_is_missing_is_found(left: int, metric: Any) -> None:
    first, second, third = WHOLE.requirements
    second = replace(second, metric=metric)
    kept = [each for k, each in enumerate((first, second, third)) if k != left]
    (found,) = lint(with_requirements(*kept))
    assert ("guesses", "about corruptions", "adversarial")[left] in found


def test_a_proof_is_adversarial_enough() -> None:
    first, second, _ = WHOLE.requirements
    assert lint(with_requirements(first, second, need("p", by="certified", radius=0.1))) == ()


@pytest.mark.parametrize("left", range(len(FAMILIES)))
def test_a_family_without_a_corruption_is_found(left: int) -> None:
    first, second, third = WHOLE.requirements
    names = tuple(name for k, name in enumerate(ONE_EACH) if k != left)
    specification = with_requirements(first, replace(second, corruptions=names), third)
    (found,) = lint(specification)
    assert found.endswith(FAMILIES[left])
    assert lint(replace(specification, left_out=(FAMILIES[left],))) == ()


def test_a_family_that_counts_for_more_is_found() -> None:
    first, second, third = WHOLE.requirements
    more = replace(second, corruptions=(*ONE_EACH, "shot-noise"))
    (found,) = lint(with_requirements(first, more, third))
    assert "noise 2, blur 1" in found


@pytest.mark.parametrize(
    "empty",
    [
        need("r", 0.0),
        need("r", 1.0, metric="residual", corruptions=("fog",)),
        need("r", 1.0, metric="changed", by="certified", radius=0.1),
    ],
)
def test_a_limit_that_every_network_keeps_is_found(empty: Requirement) -> None:
    (found,) = lint(with_requirements(*WHOLE.requirements, empty))
    assert "requirement 'r'" in found


def test_overlaps_stand_in_for_families() -> None:
    first, second, third = WHOLE.requirements
    specification = with_requirements(first, replace(second, corruptions=("fog",)), third)
    assert lint(specification, Measured(members={"fog": 1.0}, categories=(("fog",),))) == ()
    found = lint(
        specification,
        Measured(
            uncovered=("border",),
            members={"fog": 0.5, "snow": 0.2, "frost": None},
            categories=(("fog", "snow"), ("border", "rotation")),
        ),
    )
    assert len(found) == 4
    for part, line in zip(("'border'", "border, rotation", "'fog'", "frost"), found, strict=True):
        assert part in line


@pytest.mark.parametrize(
    "wrong",
    [
        need("r", corruptions=("fogg",)),
        need("r", attacks=("pdg",), radius=0.1),
        need("r", by="certified", methods=("crwn",), radius=0.1),
    ],
)
def test_a_name_that_there_is_not(wrong: Requirement) -> None:
    with pytest.raises(InputError, match=r"requirement 'r'.*did you mean"):
        lint(with_requirements(wrong))


def test_nothing_else_can_be_left_out() -> None:
    with pytest.raises(UnknownName, match="did you mean 'colour'"):
        lint(replace(WHOLE, left_out=("color",)))


def test_data_that_are_not_described_are_found() -> None:
    asked = need("elsewhere", shifts=("photos",))
    whole = replace(WHOLE, requirements=(*WHOLE.requirements, asked))
    (found,) = lint(whole)
    assert "'elsewhere' is about the data set 'photos'" in found
    assert lint(replace(whole, shifts=(OtherData(name="photos", data="iris"),))) == ()
