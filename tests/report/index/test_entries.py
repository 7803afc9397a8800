"""Lines about results, also those that strangers have written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sensverify.errors import BadData
from sensverify.report.index.entries import Entry, is_result, page_entry, result_entry
from tests.report.index.results import KINDS, result

PATH = Path("folder") / "result.json"


def entry(values: dict[str, Any]) -> Entry:
    return result_entry(values, values["schema"], PATH)


@pytest.mark.parametrize(
    ("kind", "name", "verdict", "figure"),
    [
        ("analyse", "transfer", "", "2 networks, 1 shift"),
        ("benchmark", "bench", "passed", "decided 1 of 1"),
        ("check", "net.cert", "certified", "20 claims"),
        ("critical-radius", "iris", "", "median radius"),
        ("evaluate", "iris", "passed", "clean 100.0 %, under attack"),
        ("property", "net", "unsat", "0.5 s"),
        ("train-result", "Sequential", "", "of test samples wrong, 1 epoch"),
        ("verify", "iris", "failed", "certified 100.0 % of 2 samples"),
    ],
)
def test_a_result_in_a_line(kind: str, name: str, verdict: str, figure: str) -> None:
    found = entry(result(kind))
    assert (found.name, found.verdict, found.problem) == (name, verdict, "")
    assert figure in found.figure
    assert found.date == result(kind)["date"]


def test_every_kind_is_tried() -> None:
    assert all(is_result(f"sensverify.{kind}/2") for kind in KINDS)
    for other in ("train/1", "study/1", "card/1", "evaluation/1", "nothing/2", "verify"):
        assert not is_result(f"sensverify.{other}")


def test_verdicts_from_gates() -> None:
    values = result("verify")
    for words, interrupted, verdict, level in (
        ([], False, "", ""),
        (["passed"], False, "passed", "good"),
        (["passed"], True, "interrupted", "open"),
        (["passed", "undecided"], False, "undecided", "open"),
        (["undecided", "failed"], True, "failed", "bad"),
    ):
        values |= {"gates": [{"verdict": w} for w in words], "interrupted": interrupted}
        found = entry(values)
        assert (found.verdict, found.level) == (verdict, level)


def test_benchmarks_and_checks_that_did_not_pass() -> None:
    erred = {**result("benchmark")["summary"], "verdicts": {"sat": 1, "error": 1}}
    for change, verdict in (
        ({"failed": {"sat": 1}}, "failed"),
        ({"disagreements": [{}]}, "failed"),
        ({"fail_on": ["sat"]}, "passed"),
        ({"fail_on": ["sat"], "summary": erred}, "undecided"),
        ({"summary": erred}, "passed"),
        ({"summary": {**result("benchmark")["summary"], "wrong": 1}}, "failed"),
        ({"summary": {**result("benchmark")["summary"], "total": 2}}, "unfinished"),
        ({"summary": {**result("benchmark")["summary"], "right": 0}}, ""),
    ):
        assert entry(result("benchmark") | change).verdict == verdict
    rejected = entry(result("check") | {"holds": False, "reason": "no\nproof", "claims": None})
    assert (rejected.verdict, rejected.level, rejected.figure) == ("rejected", "bad", "no proof")


def test_several_networks() -> None:
    values = result("evaluate")
    values["models"].append(values["models"][0])
    found = entry(values)
    assert found.name == "iris, iris"
    assert found.figure.startswith("2 networks, the best: clean")


def test_version_1_has_neither_date_nor_name() -> None:
    values = result("verify")
    for key in ("date", "command"):
        del values[key]
    del values["model"]["name"]
    found = result_entry(values, "sensverify.verify/1", PATH)
    assert (found.name, found.date) == ("iris", "")


def test_a_version_that_is_not_known() -> None:
    with pytest.raises(BadData, match="version"):
        result_entry(result("verify"), "sensverify.verify/3", PATH)


ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0.5,
    10**400,
    1e308,
    "x",
    "",
    [],
    [None],
    [[]],
    {},
    {"x": 1},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything in a value, of lists to their first item."""
    yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from places(each, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_value_is_the_file_is_a_line_or_broken(kind: str) -> None:
    """No other error than `BadData`, and no text that does not fit a line."""
    whole = result(kind)
    paths = [p for p in places(whole) if p and p[0] not in ("samples", "versions", "course")]
    for path in paths:
        for odd in ODD:
            values = result(kind)
            inner: Any = values
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = odd
            try:
                found = result_entry(values, whole["schema"], PATH)
            except BadData:
                continue
            assert all(isinstance(t, str) for t in (found.name, found.data, found.figure))
            assert "nan" not in found.figure
            assert "inf" not in found.figure


@pytest.mark.parametrize("values", [None, [], "x", 3, {}])
def test_values_that_are_no_object(values: Any) -> None:
    for kind in KINDS:
        with pytest.raises(BadData):
            result_entry(values, f"sensverify.{kind}/2", PATH)


def test_long_texts_are_cut_to_a_line() -> None:
    values = result("verify")
    values["model"]["name"] = "a\n" * 5000
    found = entry(values)
    assert len(found.name) == 200
    assert "\n" not in found.name


def test_pages_by_their_titles() -> None:
    found = page_entry("a: b: output bounds", Path("x.html"))
    assert (found.kind, found.name) == ("verify", "a: b")
    other = page_entry("A study", Path("x.html"))
    assert (other.kind, other.name) == ("page", "A study")
    assert page_entry("", Path("x.html")).name == "x.html"
