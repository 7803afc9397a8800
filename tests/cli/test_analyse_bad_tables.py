"""Tables that an analysis cannot answer: for every kind a clear line, and never a number."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from sensverify.scores import read_scores
from sensverify.scores.catalog import ANALYSES

Run = Callable[..., Result]
Rows = Mapping[str, Mapping[str, int]]

SHIFTS = ("clean", "fog", "rain", "tilt", "turn")
KINDS = {
    "correlate": "",
    "transfer": "",
    "overlap": "",
    "balance": "",
    "coverage": "benchmark=(fog)",
    "categories": "",
    "agreement": "categories=((fog, rain), (tilt, turn))",
    "prediction": "targets=(tilt)",
    "effective-robustness": "baselines=(other0, other1, other2)",
    "benchmarks": "categories=((fog), (rain)), targets=(tilt)",
    "selection": "categories=((fog, rain), (tilt, turn))",
    "scatter": "columns=(fog), against=(tilt)",
    "explain": "targets=(tilt), measures=(fog)",
}

CELLS = {"nas-search", "nas-top"}
"""Kinds of tables of cells alone: see ``test_nas.py``."""


def test_every_kind_is_here() -> None:
    assert set(ANALYSES.own) == set(KINDS) | CELLS


def good() -> dict[str, dict[str, int]]:
    """Networks that are named for their shifts, and some others."""
    rng = np.random.default_rng(0)
    rows = {"standard": dict(zip(SHIFTS, (90, 40, 45, 50, 42), strict=True))}
    for k, name in enumerate(SHIFTS[1:], 1):
        gains = [0, 5, 5, 5, 5]
        gains[k] = 40
        rows[name] = {s: rows["standard"][s] + g for s, g in zip(SHIFTS, gains, strict=True)}
    for k in range(8):
        rows[f"other{k}"] = dict(zip(SHIFTS, rng.integers(30, 95, 5).tolist(), strict=True))
    return rows


def text(rows: Rows, *, digests: str = "") -> str:
    """A table as CSV; with digests of the networks and of the samples where there are some."""
    more = ",network_sha256,samples_sha256" if digests else ""
    lines = [f"network,shift,severity,right,total{more}"]
    for name, row in rows.items():
        own = f",{name.encode().hex().ljust(64, '0')},{digests}" if digests else ""
        lines += [f"{name},{shift},,{right},100{own}" for shift, right in row.items()]
    return "\n".join(lines) + "\n"


@pytest.fixture
def analyse(run: Run, tmp_path: Path) -> Callable[..., Result]:
    def call(kind: str, *texts: str) -> Result:
        files = []
        for place, content in enumerate(texts):
            files.append(tmp_path / f"table{place}.csv")
            files[-1].write_text(content)
        settings = f"({KINDS[kind]})" if KINDS[kind] else ""
        done = run("study", "analyse", *files, "--kind", kind + settings)
        assert "nan" not in done.stdout.split()
        assert "Traceback" not in done.output
        return done

    return call


def refused(done: Result, words: str = "") -> None:
    assert (done.exit_code, done.stdout) == (2, ""), done.output
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_table_is_answered(analyse: Callable[..., Result], kind: str) -> None:
    done = analyse(kind, text(good()))
    assert done.exit_code == 0, done.output
    halves = [
        {n: {s: r[s] for s in r if (s in SHIFTS[:3]) is one} for n, r in good().items()}
        for one in (True, False)
    ]
    joined = analyse(kind, *(text(each, digests="5" * 64) for each in halves))
    assert joined.stdout == done.stdout


HOSTILE = 'a,b"c\n<script>alert(1)</script>\u202e[bold]=x'


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_name_is_text_everywhere(run: Run, tmp_path: Path, kind: str) -> None:
    """It needs quotes in CSV, marks up nothing, and is read again as it was."""
    rows = {HOSTILE if name == "other7" else name: row for name, row in good().items()}
    file, page, out = tmp_path / "table.csv", tmp_path / "page.html", tmp_path / "out"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("network", "shift", "severity", "right", "total"))
        for name, row in rows.items():
            writer.writerows((name, shift, "", right, 100) for shift, right in row.items())
    settings = f"({KINDS[kind]})" if KINDS[kind] else ""
    args = ("study", "analyse", file, "--kind", kind + settings, "--csv", out, "--report", page)
    done = run(*args)
    assert done.exit_code == 0, done.output
    assert "\u202e" not in done.stdout
    assert "<script>alert" not in page.read_text(encoding="utf-8")
    again = read_scores([out / "scores.csv"])
    assert [each.name for each in again.networks] == [*rows]


@pytest.mark.parametrize("kind", KINDS)
def test_different_samples(analyse: Callable[..., Result], kind: str) -> None:
    one, other = (text(good(), digests=digest * 64) for digest in "56")
    refused(analyse(kind, one, other), "different samples")


@pytest.mark.parametrize("kind", KINDS)
def test_samples_that_nobody_names(analyse: Callable[..., Result], kind: str) -> None:
    refused(analyse(kind, text(good()), text(good())), "nothing says that")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", ["nan", "inf", "", "-1", "101", "50.5", "1e400", "abc"])
def test_counts_that_are_none(analyse: Callable[..., Result], kind: str, bad: str) -> None:
    refused(analyse(kind, text(good()).replace(",40,100", f",{bad},100", 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_one_network(analyse: Callable[..., Result], kind: str) -> None:
    refused(analyse(kind, text({"standard": good()["standard"]})))


@pytest.mark.parametrize("kind", KINDS)
def test_no_shift(analyse: Callable[..., Result], kind: str) -> None:
    refused(analyse(kind, text({name: {"clean": row["clean"]} for name, row in good().items()})))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_clean_cells_of_some_and_shifts_of_others(
    analyse: Callable[..., Result], kind: str
) -> None:
    """No network has two cells, so that nothing can be said of any."""
    rows = {n: {SHIFTS[k % 5]: r[SHIFTS[k % 5]]} for k, (n, r) in enumerate(good().items())}
    refused(analyse(kind, text(rows)))


CONSTANT = {
    "correlate": "is constant",
    "agreement": "is constant",
    "prediction": "is constant",
    "benchmarks": "constant",
    "explain": "constant",
    "overlap": "within noise",
    "balance": "within noise",
    "coverage": "within noise",
    "categories": "those of 0 are known",
    "selection": "is not measured",
    "effective-robustness": "no two baselines have different clean accuracies",
}


@pytest.mark.parametrize("kind", KINDS)
def test_constant_columns(analyse: Callable[..., Result], kind: str) -> None:
    """Gains of 0 are an answer, and so are dots in one place; nothing else is."""
    done = analyse(kind, text({name: dict.fromkeys(SHIFTS, 50) for name in good()}))
    if kind in CONSTANT:
        refused(done, CONSTANT[kind])
    else:
        assert done.exit_code == 0, done.output


HOLES = {
    "correlate": "tau-b",
    "transfer": "–",
    "overlap": "Not measured: 'rain' has a hole",
    "balance": "not known",
    "coverage": "not measured",
    "categories": "Not measured: 'rain' has a hole",
    "agreement": None,
    "prediction": None,
    "effective-robustness": "–",
    "benchmarks": None,
    "selection": "is not measured: 'rain' has a hole",
    "scatter": None,
    "explain": None,
}
"""What is said; None where the others answer as they would without that network."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_is_missing_in_one_file(analyse: Callable[..., Result], kind: str) -> None:
    first = {n: {s: r[s] for s in SHIFTS[:2]} for n, r in good().items()}
    second = {n: {s: r[s] for s in SHIFTS[2:]} for n, r in good().items() if n != "rain"}
    done = analyse(kind, *(text(each, digests="5" * 64) for each in (first, second)))
    words = HOLES[kind]
    if kind == "selection":
        refused(done, str(words))
        return
    assert done.exit_code == 0, done.output
    if words is not None:
        assert words in " ".join(done.stdout.split())
    else:
        without = text({name: row for name, row in good().items() if name != "rain"})
        assert analyse(kind, without).stdout == done.stdout
