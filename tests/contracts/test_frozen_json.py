"""What every command answers, frozen: code may move, answers may not.

Every scenario of `frozen_scenarios` runs through the command line. What it prints, its exit status
and the files that it writes are compared with ``frozen/*.json.gz``: keys and their order, types and
strings; numbers to a relative 1e-9 where they are computed in float64, else as `Scenario.tolerance`
says. What may change from run to run is listed at the top of `frozen_compare`. Where an answer is
meant to change, record the references anew::

    python -m tests.contracts.record_frozen [GROUP ...]
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.frozen_compare import FLOAT64, differences, steady, text_differences
from tests.contracts.frozen_run import Scenario, observe
from tests.contracts.frozen_scenarios import GROUPS
from tests.contracts.record_frozen import reference

CASES = [
    pytest.param(
        group,
        scenario,
        id=f"{group}: {scenario.name}",
        marks=pytest.mark.slow if scenario.slow else (),
    )
    for group, scenarios in GROUPS.items()
    for scenario in scenarios
]


@cache
def recorded(group: str) -> dict[str, Any]:
    return reference(group)


def compared(found: Any, was: Any, tolerance: float, where: str) -> Iterator[str]:
    """Lists of strings are text; all else is JSON."""
    lines = [*found, *was] if isinstance(found, list) and isinstance(was, list) else [None]
    if all(isinstance(line, str) for line in lines):
        yield from text_differences(found, was, tolerance, where)
    else:
        yield from differences(found, was, tolerance, where)


@pytest.mark.parametrize(("group", "scenario"), CASES)
def test_answers_are_those_recorded(group: str, scenario: Scenario, tmp_path: Path) -> None:
    was, found = recorded(group)[scenario.name], observe(scenario, tmp_path)
    assert [c["command"] for c in was["commands"]] == list(scenario.commands), "record it anew"
    tolerance = scenario.tolerance
    if scenario.elsewhere is not None and found["torch"] != was["torch"]:
        tolerance = scenario.elsewhere
    lines = [f"names of files: {found['names']}"] if found["names"] != was["names"] else []
    for one, other in zip(found["commands"], was["commands"], strict=True):
        for part in other:
            where = f"{one['command']}: {part}"
            lines += compared(one[part], other[part], tolerance, where)
    if list(found["files"]) != list(was["files"]):
        lines.append(f"files {list(found['files'])}, were {list(was['files'])}")
    for name in found["files"].keys() & was["files"].keys():
        found_file, was_file = found["files"][name], was["files"][name]
        lines += compared(found_file, was_file, tolerance, f"files/{name}")
    assert not lines, "\n".join(lines)


def test_every_reference_is_of_a_scenario() -> None:
    for group, scenarios in GROUPS.items():
        assert list(recorded(group)) == [scenario.name for scenario in scenarios]


@pytest.mark.parametrize(
    ("found", "was"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": 1}),
        (1, 1.0),
        (True, 1),
        (None, 0.0),
        ("a", "b"),
        (1.0, 1.0 + 3e-9),
        ([1.0, 2.0], [1.0, 2.0, 3.0]),
        ([1.0, 1e-9], [1.0, 4e-9]),
        ({"seconds": 1}, {"seconds": 1.0}),
        ({"seconds": None}, {"seconds": 1.0}),
        ({"machine": {"cores": 2}}, {"machine": {"memory": 2}}),
        ({"machine": {"cores": 2}}, {"machine": {}}),
        (float("nan"), 1.0),
        (1.0, float("nan")),
    ],
)
def test_a_difference_is_seen(found: Any, was: Any) -> None:
    assert list(differences(steady(found), steady(was), FLOAT64))


@pytest.mark.parametrize(
    ("found", "was"),
    [
        ({"a": [1.0, 0.0]}, {"a": [1.0 + 1e-10, 1e-10]}),
        ({"seconds": 2.0}, {"seconds": 1.0}),
        ({"versions": {"torch": "2"}}, {"versions": {"torch": "3"}}),
        ({"log_volume": 1e-10}, {"log_volume": 0.0}),
    ],
)
def test_rounding_and_time_are_none(found: Any, was: Any) -> None:
    assert not list(differences(steady(found), steady(was), FLOAT64))


@pytest.mark.parametrize(
    ("found", "was", "same"),
    [
        ("width 1.819", "width 1.82", True),
        ("width 1.819", "width 1.83", False),
        ("3 of 4", "2 of 4", False),
        ("time 0.1 s for 3 samples", "time 12 s for 3 samples", True),
        ("2.3e-04", "2.4e-04", True),
        ("2.3e-04", "2.3e-05", False),
        ("volume 1", "Volume 1", False),
        ("2.0e-10", "9.0e-10", True),
        ("123.456789012345", "123.456789012399", True),
        ("123.4567890", "123.4567999", False),
    ],
)
def test_lines_of_text(found: str, was: str, same: bool) -> None:
    assert same is not bool(list(text_differences(steady([found]), steady([was]), FLOAT64, "")))
