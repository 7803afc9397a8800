"""Printed tables: their own means, names that there are, and numbers below ours."""

from __future__ import annotations

from statistics import fmean

import pytest

from sensverify.attacks.attack import ATTACKS
from sensverify.corruptions import CORRUPTIONS
from sensverify.errors import BadSetting, UnknownName
from sensverify.measures.catalog import MEASURES
from sensverify.registry.calls import Call
from sensverify.report.document import Table, plain
from sensverify.report.scores.document import Analysed
from sensverify.scores import CLEAN, Network, Scores, Shift
from sensverify.scores.agreement import agreement
from sensverify.scores.benchmarks import benchmarks
from sensverify.scores.catalog import ANALYSES
from sensverify.scores.columns import column
from sensverify.scores.correlate import correlate
from sensverify.scores.overlap import overlap
from sensverify.scores.papers import beside_ours, find_papers, numbers_of, papers
from sensverify.scores.transfer import transfer
from tests.scores.conftest import table

ROWS = {
    "standard-seed0": {"clean": 0.8, "rotation": 0.4, "flip": 0.4},
    "standard-seed1": {"clean": 0.8, "rotation": 0.6, "flip": 0.4},
    "fgsm-seed0": {"clean": 0.5, "rotation": 0.4, "flip": 0.25},
    "pgd-seed1": {"clean": 0.5, "rotation": 0.4},
}


def test_names_are_those_that_there_are() -> None:
    """So that a table of ours can stand beside them."""
    known = {*CORRUPTIONS, *ATTACKS, "clean", "mean"}
    for each in papers().values():
        assert each.kind in ANALYSES
        assert each.source
        assert each.about
        assert {row for row, _ in each.numbers} == set(each.rows)
        if each.kind == "transfer":
            assert set(each.columns) <= known
            trained = {row.removeprefix("no-") for row in each.rows}
            assert trained <= known | {"standard", "all", "iat", "m-tlat", "mixup", "tlat"}
        if each.kind == "correlate":
            assert set(each.rows) <= set(MEASURES)
            assert len(each.rows) == 34


def test_printed_means_are_those_of_printed_numbers() -> None:
    found = papers()["laugros-table3.2"]
    for row in found.rows:
        numbers = [found.numbers[row, each] for each in found.columns[:-1]]
        assert fmean(numbers) == pytest.approx(found.numbers[row, "mean"], abs=0.005 + 1e-9)
    # Table 4.4 prints .720 as the mean of its fourth column, and .722 is right.
    means = {
        "laugros-table4.4": (0.668, 0.694, 0.716, None, 0.740, 0.748),
        "laugros-table4.5": (0.740, 0.738, 0.735, 0.733, 0.729, 0.716, 0.707, 0.688, 0.680),
    }
    for name, printed in means.items():
        found = papers()[name]
        for row, mean in zip(found.rows, printed, strict=True):
            numbers = [found.numbers[row, each] for each in found.columns]
            if mean is not None:
                assert fmean(numbers) == pytest.approx(mean, abs=0.001 + 1e-9)


def test_seeds_are_averaged_and_holes_have_no_number() -> None:
    found = numbers_of(transfer(table(ROWS)))
    assert found["standard", "rotation"] == pytest.approx((0.5 + 0.75) / 2)
    assert found["standard", "clean"] == pytest.approx(0.8)
    assert found["fgsm", "mean"] == pytest.approx((0.8 + 0.5) / 2)
    assert found["pgd", "flip"] is None
    assert found["pgd", "mean"] is None


def test_printed_numbers_stand_below_ours() -> None:
    scores = table(ROWS)
    printed = find_papers(("laugros-table3.2", "laugros-table3.1"), ["transfer"])
    call, result = Call("transfer", {}), transfer(scores)
    plainly = Analysed(scores=scores, call=call, result=result).section
    section = Analysed(scores=scores, call=call, result=result, papers=printed).section
    more = section.blocks[len(plainly.blocks) :]
    tables = [each for each in more if isinstance(each, Table)]
    rows = [(plain(r.name), [plain(c.text) for c in r.cells], r.look) for r in tables[0].rows]
    assert [plain(each.title) for each in tables[0].columns] == ["", "rotation", "flip"]
    assert rows[0] == ("standard", ["0.625", "0.500"], "above")
    assert rows[1] == ("[paper]", ["0.940", "0.780"], "published")
    # Of pgd, a cell is a hole.
    assert rows[4] == ("pgd", ["0.800", "–"], "above")
    (data,) = (each for each in section.data if each.name == "published")
    assert len(data.rows) == sum(len(each.numbers) for each in printed)
    values = {(row[0], row[2], row[3]): (row[4], row[5]) for row in data.rows}
    assert values["laugros-table3.2", "fgsm", "rotation"] == (0.91, pytest.approx(0.8))
    assert values["laugros-table3.2", "ll-pgd", "rotation"] == (0.92, None)


def test_a_mean_over_other_columns_is_another_mean() -> None:
    printed = papers()["laugros-table3.2"]
    shifts = printed.columns[:-1]
    rows = {name: {"clean": 0.9, **dict.fromkeys(shifts, 0.45)} for name in ("standard", "fgsm")}
    whole = beside_ours(printed, numbers_of(transfer(table(rows))))
    assert whole["fgsm", "mean"] == pytest.approx(0.5)
    assert len(whole) == 2 * 11
    del rows["standard"]["flip"], rows["fgsm"]["flip"]
    fewer = beside_ours(printed, numbers_of(transfer(table(rows))))
    assert len(fewer) == 2 * 9
    assert ("fgsm", "mean") not in fewer


def test_a_table_without_one_number_in_common_says_its_names() -> None:
    scores = table({"standard": {"clean": 0.9, "fog": 0.5}, "a": {"clean": 0.9, "fog": 0.6}})
    printed = find_papers(("laugros-table3.3",), ["transfer"])
    result = transfer(scores)
    section = Analysed(
        scores=scores, call=Call("transfer", {}), result=result, papers=printed
    ).section
    assert "none has a number of ours" in str(section.blocks)
    assert "no-white-noise" in str(section.blocks)


def test_correlations_benchmarks_and_categories_have_the_names_of_their_tables() -> None:
    scores = Scores(
        networks=tuple(Network(f"n{k}") for k in range(4)),
        shifts=(CLEAN, Shift("train", None, "train"), Shift("pgd", 0.1, "attack")),
        right=[[8, 9, 4], [7, 9, 3], [6, 9, 2], [5, 8, 1]],  # type: ignore[arg-type]
        total=[[10, 10, 10]] * 4,  # type: ignore[arg-type]
        measures=("l2",),
        values=[[1.0], [2.0], [3.0], [4.0]],  # type: ignore[arg-type]
    )
    assert column(scores, "gap") == pytest.approx([0.1, 0.2, 0.3, 0.3])
    found = numbers_of(correlate(scores, columns=("l2",), against=("gap", "error:attack")))
    assert found["l2", "error:attack"] == pytest.approx(1)
    assert {column for _, column in found} <= set(papers()["measuring-table1"].columns)
    rows = {
        f"n{k}": {"clean": 0.9, "a": 0.1 * k, "b": 0.2 * k, "c": 0.7 - 0.1 * k, "t": 0.15 * k}
        for k in range(4)
    }
    drawn = benchmarks(table(rows), categories=(("a",), ("b",), ("c",)), targets=("t",))
    assert {row for row, _ in numbers_of(drawn)} == {"1 x 1, 0.0", "2 x 1, 0.0", "3 x 1, 0.0"}
    held = numbers_of(agreement(table(rows), categories=(("a", "b"), ("c",))))
    assert held["same", "correlation"] == pytest.approx(1)
    assert held["different", "correlation"] == pytest.approx(-1)
    assert set(held) == set(papers()["laugros-categories"].numbers)


def test_the_gap_needs_training_samples_and_is_no_shift() -> None:
    with pytest.raises(BadSetting, match="no shift 'train'"):
        column(table(ROWS), "gap")
    named = {name: {**row, "gap": 0.2} for name, row in ROWS.items()}
    assert column(table(named), "gap") == pytest.approx([0.2] * 4)


def test_what_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'laugros-table3\.\d'"):
        find_papers(("laugros-table3",), ["transfer"])
    with pytest.raises(BadSetting, match="has numbers of transfer"):
        find_papers(("laugros-table3.1",), ["correlate"])
    with pytest.raises(BadSetting, match="is named twice"):
        find_papers(("laugros-table3.1",) * 2, ["transfer"])
    with pytest.raises(BadSetting, match="there is none"):
        find_papers(("laugros-table3.1",), ["overlap"])
    scores = table(
        {"standard": {"clean": 0.9, "a": 0.5, "b": 0.5}}
        | {name: {"clean": 0.9, "a": 0.8, "b": 0.8} for name in "ab"}
    )
    assert numbers_of(overlap(scores)) == {}
