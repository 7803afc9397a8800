"""Measurements of a landscape: journalled, gone on with after a kill, and never done twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensverify.bounds.threads import torch_threads
from sensverify.errors import BadData, BadSetting, InputError
from sensverify.formats.modules import from_module
from sensverify.landscape.course import Snapshot, training_course
from sensverify.landscape.energy import FunctionEnergy
from sensverify.landscape.findings import file_names, findings, tree_of
from sensverify.landscape.folder import Landscape
from sensverify.landscape.measuring import (
    FILE,
    ROWS,
    Entry,
    MeasuredLandscape,
    chosen_minima,
    measure_landscape,
)
from sensverify.landscape.points import Link
from sensverify.landscape.sensitivity import (
    AroundSamples,
    Column,
    SensitivitySettings,
    measure_network,
    names_of,
)
from sensverify.runs.journal import read_journal
from sensverify.runs.watch import Watch
from tests.landscape.folders import PATH, write_landscape
from tests.test_layers import ROOT

SETTINGS = SensitivitySettings(sigmas=(0.1,), methods=("exact", "crown"))
EXACT = Column("sensitivity", "exact", 0.1, "all").name


@pytest.fixture
def landscape(tmp_path: Path) -> Landscape:
    return write_landscape(tmp_path / "land", 4)


def measure(landscape: Landscape, folder: Path, watch: Watch | None = None) -> MeasuredLandscape:
    minima = chosen_minima(landscape)
    return measure_landscape(landscape, folder, SETTINGS, minima=minima, watch=watch)


def entries(folder: Path) -> list[Entry]:
    return read_journal(folder / FILE, ROWS)


def test_every_minimum_has_a_row_and_a_second_call_measures_nothing(
    landscape: Landscape, tmp_path: Path
) -> None:
    found = measure(landscape, tmp_path)
    assert found.complete
    assert list(found.rows) == [each.key for each in landscape.database.minima]
    again = measure(landscape, tmp_path)
    assert len(entries(tmp_path)) == 4
    assert dict(again.rows) == dict(found.rows)


def test_other_settings_are_measured_beside(landscape: Landscape, tmp_path: Path) -> None:
    measure(landscape, tmp_path)
    other = SensitivitySettings(sigmas=(0.2,), methods=("crown",))
    measure_landscape(landscape, tmp_path, other, minima=chosen_minima(landscape))
    assert len(entries(tmp_path)) == 8
    assert measure(landscape, tmp_path).complete


def test_another_radius_or_a_measure_leaves_what_is_measured(
    landscape: Landscape, tmp_path: Path
) -> None:
    measure(landscape, tmp_path)
    minima = chosen_minima(landscape)
    more = replace(SETTINGS, sigmas=(0.05, 0.1), measures=("l2",))
    found = measure_landscape(landscape, tmp_path, more, minima=minima)
    kept = entries(tmp_path)
    assert len(kept) == 4 + 4 + 4
    assert [each.name.partition(", ")[2] for each in kept].count("sigma 0.05") == 4
    assert [each.name.partition(", ")[2] for each in kept].count("measures") == 4
    network = from_module(landscape.module(minima[0].key), (4,))
    whole = measure_network(network, AroundSamples.of(landscape.split), more)
    assert whole is not None
    row = found.rows[minima[0].key]
    assert dict(row.values) == dict(whole.values)
    assert set(row.values) == set(names_of(more))
    assert dict(row.reasons) == dict(whole.reasons)
    # Another gap is another measurement.
    measure_landscape(landscape, tmp_path, replace(SETTINGS, gap=0.1), minima=minima)
    assert len(entries(tmp_path)) == 16


def test_who_stops_loses_nothing(landscape: Landscape, tmp_path: Path) -> None:
    watch, seen = Watch(), []

    def stop(state: object) -> None:
        seen.append(state)
        if entries(tmp_path):
            watch.stop()

    minima = chosen_minima(landscape)
    found = measure_landscape(
        landscape, tmp_path, SETTINGS, minima=minima, watch=watch, progress=stop
    )
    assert not found.complete
    assert 1 <= len(found.rows) < 4
    whole = measure(landscape, tmp_path)
    assert whole.complete
    assert len(entries(tmp_path)) == 4


SLOWLY = """
import sys, time
from pathlib import Path

from sensverify.landscape.folder import Landscape
from sensverify.landscape.measuring import chosen_minima, measure_landscape
from tests.landscape.test_measuring import SETTINGS

folder = Path(sys.argv[1])
landscape = Landscape.read(folder)
slowly = {"minima": chosen_minima(landscape), "progress": lambda state: time.sleep(0.2)}
measure_landscape(landscape, folder, SETTINGS, **slowly)
"""


def test_a_killed_measurement_goes_on_and_ends_the_same(
    landscape: Landscape, tmp_path: Path
) -> None:
    folder = tmp_path / "land"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, folder], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    until = time.monotonic() + 120
    while not (folder / FILE).exists() or not (folder / FILE).read_bytes().count(b"\n"):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    with (folder / FILE).open("ab") as stream:
        stream.write(b'{"digest": "cut o')
    resumed = measure(landscape, folder)
    assert resumed.complete
    assert len(entries(folder)) == 4
    undisturbed = measure(landscape, tmp_path)
    assert dict(resumed.rows) == dict(undisturbed.rows)


def test_a_network_is_measured_by_one_thread_and_others_are_left_as_they_are(
    landscape: Landscape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(*words: Any, **named: Any) -> Any:
        seen.append(torch.get_num_threads())
        return measure_network(*words, **named)

    monkeypatch.setattr("sensverify.landscape.measuring.measure_network", noted)
    with torch_threads(3):
        measure(landscape, tmp_path)
        assert torch.get_num_threads() == 3
    assert set(seen) == {1}


def test_jobs_change_nothing(landscape: Landscape, tmp_path: Path) -> None:
    minima = chosen_minima(landscape)
    found = measure_landscape(landscape, tmp_path, SETTINGS, minima=minima, jobs=2)
    other = tmp_path / "other"
    other.mkdir()
    assert dict(found.rows) == dict(measure(landscape, other).rows)


def test_a_course_is_measured_at_one_radius(landscape: Landscape, tmp_path: Path) -> None:
    settings = SensitivitySettings(sigmas=(0.05, 0.1), methods=("crown",), measures=("l2",))
    shot = Snapshot(3, 1.0, landscape.database.minima[0].weights)
    found = measure_landscape(
        landscape, tmp_path, settings, minima=chosen_minima(landscape, 1), course=[shot]
    )
    (kept, row), *rest = found.course
    assert (kept, rest) == (shot, [])
    assert row.values[Column("sensitivity", "crown", 0.1, "all").name] is not None
    assert Column("sensitivity", "crown", 0.05, "all").name not in row.values


def test_the_journal_of_something_else_is_left_alone(landscape: Landscape, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"what": 1}\n')
    with pytest.raises(InputError, match="no line of the journal"):
        measure(landscape, tmp_path)
    assert (tmp_path / FILE).read_text() == '{"what": 1}\n'


def test_some_minima_are_even_steps_from_the_lowest_to_the_highest(landscape: Landscape) -> None:
    every = landscape.database.minima
    assert chosen_minima(landscape) == chosen_minima(landscape, 9) == every
    assert chosen_minima(landscape, 2) == (every[0], every[-1])
    with pytest.raises(BadSetting, match="at least 1"):
        chosen_minima(landscape, 0)
    with pytest.raises(BadSetting, match="`jobs`"):
        measure_landscape(landscape, Path(), SETTINGS, minima=every, jobs=0)


def test_a_landscape_without_a_minimum_is_refused(tmp_path: Path) -> None:
    begun = write_landscape(tmp_path / "land", 0)
    with pytest.raises(BadData, match="no minimum yet"):
        chosen_minima(begun)
    with pytest.raises(BadData, match="every search was lost"):
        chosen_minima(replace(begun, complete=True))


def test_the_samples_are_all_flowers_of_which_thirty_are_for_tests(landscape: Landscape) -> None:
    samples = AroundSamples.of(landscape.split)
    assert samples.x.shape == (150, 4)
    assert samples.part("test").sum() == 30
    assert samples.part("all").all()
    assert np.allclose(samples.feature_range, np.ptp(samples.x, axis=0))


def test_findings_put_it_together(landscape: Landscape, tmp_path: Path) -> None:
    found = findings(landscape, measure(landscape, tmp_path), SETTINGS, resamples=20)
    assert [each.energy for each in found.minima] == sorted(each.energy for each in found.minima)
    assert found.tree.parts.tolist() == [0]
    assert (found.samples, found.test, len(found.refused)) == (150, 30, 0)
    norms = [each.weight_norm for each in found.minima]
    weights = [landscape.database.points[each.key].weights for each in found.minima]
    assert norms == [float(np.linalg.norm(each)) for each in weights]
    first, *_ = file_names(found.minima).values()
    assert first == f"0001-{found.minima[0].key}.onnx"


def test_a_saddle_below_its_minimum_is_kept_out_of_the_tree_and_told(landscape: Landscape) -> None:
    points = dict(landscape.database.points)
    minima = landscape.database.minima
    low = minima[0].key
    links = [Link(low, (minima[1].key, minima[2].key), (PATH, PATH)), *landscape.database.links]
    tree, refused = tree_of(minima, points, links)
    assert [each.saddle for each in refused] == [low]
    assert len(tree.parts) == 1


def test_a_training_goes_down_and_begins_at_the_start() -> None:
    energy = FunctionEnergy(lambda point: (point**2).sum(), 3)
    course = training_course(energy, steps=105, every=50, rate=0.05)
    assert [each.step for each in course] == [0, 50, 100, 105]
    assert course[-1].energy < 0.1 * course[0].energy
    again = training_course(energy, steps=105, every=50, rate=0.05)
    assert [each.energy for each in again] == [each.energy for each in course]
    other = training_course(energy, steps=105, every=50, rate=0.05, seed=4)
    assert other[0].energy != course[0].energy
    assert not {each.name for each in course} & {each.name for each in other}


def test_a_training_ends_where_its_energy_does() -> None:
    energy = FunctionEnergy(lambda point: point.log().sum(), 1, low=0.5, high=1.0)
    course = training_course(energy, steps=400, every=1, rate=0.1)
    assert 1 < len(course) < 50
    assert all(np.isfinite(each.energy) for each in course)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"every": 0}, {"rate": 0.0}, {"rate": nan}])
def test_a_training_that_cannot_be(wrong: dict[str, float]) -> None:
    energy = FunctionEnergy(lambda point: (point**2).sum(), 1)
    with pytest.raises(BadSetting, match="a training needs"):
        training_course(energy, **wrong)  # type: ignore[arg-type]
