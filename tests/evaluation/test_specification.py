"""Specifications as files: what is read, and what is refused with a clear line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sensverify.core.gates import Limit
from sensverify.core.numbers import RangeShare
from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.evaluation.specification import Requirement, Specification
from sensverify.evaluation.specification_file import parse_specification, read_specification
from tests.docs.pages import ROOT
from tests.report.schemas import check_result


def document(**changes: Any) -> dict[str, Any]:
    """One requirement on the accuracy under noise; a change to None leaves a key out."""
    one = {"name": "noise", "corruptions": ["gaussian-noise"], "min": "80%", **changes}
    return {"requirements": [{key: value for key, value in one.items() if value is not None}]}


def test_a_requirement_is_read_with_its_defaults() -> None:
    (one,) = parse_specification(document()).requirements
    assert (one.metric, one.by, one.limit, one.gate) == (
        *("accuracy", "interval"),
        *(Limit(0.8), "min_corrupted"),
    )


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"corruptions": None}, "min_accuracy"),
        ({"corruptions": None, "attacks": "pgd", "radius": "8/255"}, "min_robust"),
        ({"corruptions": None, "by": "certified", "radius": "5%"}, "min_certified"),
        ({"metric": "app"}, "min_app"),
        ({"metric": "residual", "min": None, "max": 0.1}, "max_residual"),
        (
            {
                **{"corruptions": None, "metric": "changed", "min": None, "max": 0.1},
                **{"by": "certified", "sigma": 0.1},
            },
            "max_changed",
        ),
    ],
)
def test_every_metric_and_shift_has_its_gate(changes: dict[str, Any], gate: str) -> None:
    (one,) = parse_specification(document(**changes)).requirements
    assert one.gate == gate


def test_radii_are_read_as_everywhere() -> None:
    changes = {"corruptions": None, "by": "certified"}
    (one,) = parse_specification(document(**changes, radius="5%")).requirements
    assert one.reach == RangeShare(0.05)
    (one,) = parse_specification(document(**changes, sigma="5%")).requirements
    assert one.reach == 0.05


@pytest.mark.parametrize(
    ("limit", "read"),
    [
        ("reference", Limit(0.0, "+")),
        ("reference-5%", Limit(0.05, "-")),
        ("reference*0.9", Limit(0.9, "*")),
    ],
)
def test_a_limit_is_relative_to_a_reference(limit: str, read: Limit) -> None:
    found = parse_specification({"reference": "iris", **document(min=limit, by="estimate")})
    assert found.requirements[0].limit == read
    assert found.reference == "iris"


def test_a_reference_lies_beside_the_file(tmp_path: Path) -> None:
    found = parse_specification({"reference": "old.onnx", **document()}, folder=tmp_path)
    assert found.reference == str(tmp_path / "old.onnx")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"corruption": ["fog"]}, "corruptions"),
        ({"treshold": 1}, "requirement 'noise'"),
        ({"metric": "acuracy"}, "accuracy"),
        ({"by": "intervall"}, "interval"),
    ],
)
def test_a_typo_is_told_with_what_may_be_meant(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UnknownName, match=re.escape(named)):
        parse_specification(document(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        # An empty shift.
        {"corruptions": []},
        {"corruptions": [" "]},
        {"corruptions": None, "attacks": [], "radius": 0.1},
        {"corruptions": None, "metric": "app"},
        {"corruptions": None, "severities": [1]},
        {"severities": []},
        {"severities": [0]},
        {"severities": [True]},
        # No limit, or one that is out of reach.
        {"min": None},
        {"min": "much"},
        {"min": True},
        {"min": float("nan")},
        {"min": float("inf")},
        {"min": 80},
        {"min": "101%"},
        {"min": -0.1},
        {"min": 10**400},
        {"min": "1e999"},
        {"min": "1e999%"},
        {"min": "nan%"},
        {"metric": "app", "min": 10**400},
        {"severities": [10**30]},
        {"class": True},
        {"class": 1.5},
        {"class": " "},
        {"name": " "},
        {"corruptions": None, "by": "certified", "radius": 10**400},
        {"corruptions": None, "by": "certified", "sigma": "1e999%"},
        {"min": "baseline-1%"},
        {"max": 0.5},
        {"metric": "residual"},
        {"metric": "residual", "min": None, "max": 2},
        {"metric": "app", "min": -1},
        # A limit beside a reference that nobody names, or by an interval that there is not.
        {"min": "reference-5%"},
        # Parts that do not fit each other.
        {"attacks": ["pgd"], "radius": 0.1},
        {"corruptions": None, "attacks": ["pgd"]},
        {"corruptions": None, "attacks": ["pgd"], "radius": 0},
        {"corruptions": None, "attacks": ["pgd"], "radius": float("nan")},
        {"corruptions": None, "attacks": ["pgd"], "radius": "far"},
        {"corruptions": None, "attacks": ["pgd"], "radius": 0.1, "sigma": 0.1},
        {"radius": 0.1},
        {"by": "certified"},
        {"corruptions": None, "by": "certified"},
        {"corruptions": None, "metric": "changed", "min": None, "max": 0.1},
        {"corruptions": None, "metric": "app", "by": "certified", "radius": 0.1},
        {"methods": ["crown"]},
        {"name": ""},
        {"name": 3},
    ],
)
def test_what_cannot_be_met_or_says_nothing_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        parse_specification(document(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", ["reference+100%", "reference-100%", "reference*-0.1"])
def test_a_limit_beside_a_reference_may_be_out_of_reach(limit: str) -> None:
    with pytest.raises(BadSetting):
        parse_specification({"reference": "iris", **document(min=limit)})


@pytest.mark.parametrize("limit", ["reference", "reference+5%", "reference*1.1"])
@pytest.mark.parametrize("metric", ["residual", "app", "accuracy"])
def test_every_limit_beside_a_reference_has_an_interval(metric: str, limit: str) -> None:
    side = {"min": None, "max": limit} if metric == "residual" else {"min": limit}
    found = parse_specification({"reference": "iris", **document(metric=metric, **side)})
    assert found.requirements[0].by == "interval"


def shifted(**changes: Any) -> dict[str, Any]:
    """One requirement on another data set; a change to None leaves a key of the file out."""
    found = {
        "shifts": {"sketches": {"data": "sketches.npz", "classes": "sketches.json"}},
        **document(corruptions=None, shifts=["sketches"]),
        **changes,
    }
    return {key: value for key, value in found.items() if value is not None}


def test_other_data_lie_beside_the_file(tmp_path: Path) -> None:
    found = parse_specification(shifted(), folder=tmp_path)
    (one,) = found.shifts
    assert (one.name, one.data, one.classes) == (
        *("sketches", str(tmp_path / "sketches.npz")),
        tmp_path / "sketches.json",
    )
    assert (found.requirements[0].shifts, found.requirements[0].gate) == (
        *(("sketches",), "min_shifted"),
    )
    named = {"sketches": {"data": "iris"}}
    assert parse_specification(shifted(shifts=named), folder=tmp_path).shifts[0].data == "iris"
    (tmp_path / "photos").mkdir()
    folder = {"sketches": {"data": "photos"}}
    (one,) = parse_specification(shifted(shifts=folder), folder=tmp_path).shifts
    assert one.data == str(tmp_path / "photos")
    # The command may have it under that name.
    assert parse_specification(shifted(shifts=None)).shifts == ()


def test_the_schema_knows_other_data() -> None:
    check_result({"schema": "sensverify.specification/1", **shifted()})


@pytest.mark.parametrize(
    "changes",
    [
        {"shifts": ["sketches.npz"]},
        {"shifts": {"sketches": "sketches.npz"}},
        {"shifts": {"sketches": {}}},
        {"shifts": {"sketches": {"data": ""}}},
        {"shifts": {"sketches": {"data": 3}}},
        {"shifts": {"sketches": {"data": "a.npz", "class": "b.json"}}},
        {"shifts": {" ": {"data": "a.npz"}}},
        # One that nothing is about.
        {"shifts": {"sketches": {"data": "a.npz"}, "photos": {"data": "b.npz"}}},
        document(corruptions=None, shifts=[]),
        document(shifts=["sketches"]),
        document(corruptions=None, shifts=["sketches"], attacks=["pgd"], radius=0.1),
        document(corruptions=None, shifts=["sketches"], by="certified", radius=0.1),
        document(corruptions=None, shifts=["sketches"], severities=[1]),
        document(corruptions=None, shifts=["sketches"], radius=0.1),
    ],
)
def test_other_data_that_say_nothing_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        parse_specification(shifted(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"requirements": []},
        {"requirements": {"name": "noise"}},
        {"requirements": [3]},
        {"requirement": document()["requirements"]},
        {"requirements": document()["requirements"] * 2},
        {"requirements": [*document()["requirements"], *document(name="noise ")["requirements"]]},
        {"reference": 3, **document()},
        {"schema": "sensverify.specification/0", **document()},
        {
            "requirements": [
                {"name": "a", "by": "certified", "radius": 0.1, "min": 0.5},
                {"name": "b", "by": "certified", "sigma": 0.1, "min": 0.5},
            ]
        },
    ],
)
def test_a_file_that_is_no_specification(found: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        parse_specification(found)


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": "acuracy"},
        {"by": "estimated"},
        {"limit": Limit(float("nan"))},
        {"limit": Limit(float("inf"))},
        {"limit": Limit(float("nan"), "*")},
        {"limit": Limit(float("inf"), "+"), "metric": "app", "corruptions": ("fog",)},
        {
            **{"metric": "log_volume", "by": "certified", "radius": 0.1},
            "limit": Limit(float("inf")),
        },
    ],
)
def test_requirements_of_a_program_are_checked_too(changes: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        Requirement(**{"name": "r", "limit": Limit(0.5), **changes})


def test_a_specification_of_nothing_passes_nothing() -> None:
    with pytest.raises(BadSetting, match="would pass every network"):
        Specification(requirements=())


@pytest.mark.parametrize(
    "content", [b"a = ", b"\xff", None, b"a = " + b"9" * 5000, b"a = " + b"[" * 5000]
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "spec.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"spec\.toml"):
        read_specification(path)


def test_the_example_is_read_and_keeps_the_published_schema() -> None:
    path = ROOT / "examples" / "specification.toml"
    assert len(read_specification(path).requirements) == 5
    check_result({"schema": "sensverify.specification/1", **tomllib.loads(path.read_text())})
