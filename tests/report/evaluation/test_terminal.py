"""An evaluation in a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sensverify.evaluation.results import Evaluation, Missing
from sensverify.report.evaluation.accuracy import RADII
from sensverify.report.evaluation.document import blind_words
from tests.report.shown import evaluation_page
from tests.report.shown import evaluation_text as printed

Make = Callable[..., Evaluation]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"names": ("a", "b", "c")},
        {"network": {"attacks": {}, "methods": {}, "corruptions": {}, "radii": ()}},
        {"network": {"samples": 1, "classes": 1}},
        {"network": {"radii": tuple(k / 100 for k in range(1, 31))}},
        {"names": ("a-name-that-is-far-too-long-for-a-column-of-a-table",)},
    ],
)
def test_it_fits_and_is_no_number_that_is_none(make_evaluation: Make, asked: Any) -> None:
    text = printed(make_evaluation(**asked))
    assert max(map(len, text.splitlines())) <= 80
    assert "nan" not in text
    assert "None" not in text


def test_accuracy_by_radius(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    (model,) = evaluation.models
    lines = printed(evaluation).splitlines()
    (header,) = (line for line in lines if line.split()[:1] == ["clean"])
    assert header.split() == ["clean", "0.05", "0.1", "0.15", "0.2", "0.3"]
    (line,) = (line for line in lines if line.startswith("certified, crown"))
    samples = evaluation.samples
    shares = [
        100 * len(row.certified) / samples for row in model.certified if row.method == "crown"
    ]
    assert line.split()[3:] == [f"{share:.1f}" for share in shares]


def test_of_many_radii_the_ends_are_shown(make_evaluation: Make) -> None:
    radii = tuple(k / 100 for k in range(1, 31))
    text = printed(make_evaluation(network={"radii": radii}))
    (header,) = (line for line in text.splitlines() if line.split()[:1] == ["clean"])
    assert len(header.split()) == RADII + 1
    assert header.split()[1] == "0.01"
    assert header.split()[-1] == "0.3"


def test_what_is_proven_and_what_is_missing(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    text = " ".join(printed(replace(evaluation, interrupted=True)).split())
    assert "a stronger attack may find more" in text
    assert "(SOUND)" in text
    assert "6 measures" in text
    for missing in evaluation.models[0].missing:
        assert f"{missing.key}: {missing.reason}" in text
    assert "interrupted" in text


def test_names_are_no_markup(make_evaluation: Make) -> None:
    assert "[bold]net[/bold]" in printed(make_evaluation(("[bold]net[/bold]",)))


def test_measures_have_a_time_of_their_own(make_evaluation: Make) -> None:
    evaluation = replace(make_evaluation(), seconds=7200.0)
    (model,) = evaluation.models
    rows = tuple(replace(row, seconds=2.0) for row in model.measures)
    timed = replace(evaluation, models=(replace(model, measures=rows),))
    assert f"{len(rows)} measures taken in 12 s; everything took 2 h" in printed(timed)
    none = replace(evaluation, models=(replace(model, measures=()),))
    assert "measures taken" not in printed(none)


@pytest.mark.parametrize(("count", "width"), [(2, 80), (3, 120), (7, 80), (7, 120)])
def test_no_name_and_no_interval_is_cut_off(make_evaluation: Make, count: int, width: int) -> None:
    names = tuple(f"a-long-name-that-ends-in-{place}" for place in range(count))
    evaluation = make_evaluation(names=names)
    text = printed(evaluation, width=width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    whole = "".join(text.split())
    for model in evaluation.models:
        lower, upper = model.clean[0].classified.accuracy.interval
        assert f"{100 * lower:.1f}to{100 * upper:.1f}%" in whole
    beside = (width - 28) // 17
    assert text.count("Clean accuracy") == -(-count // beside)


def test_what_shares_a_reason_stands_together(make_evaluation: Make) -> None:
    evaluation = make_evaluation()
    (model,) = evaluation.models
    small = "is for images of at least 24 x 24 pixels"
    missing = (
        *(
            Missing(key=f"corruption/{name}", reason=f"'{name}' {small}")
            for name in ("snow", "fog")
        ),
        *(Missing(key=f"corruption/jpeg/{k}", reason="it needs pillow") for k in range(1, 6)),
    )
    changed = replace(evaluation, models=(replace(model, missing=missing),))
    text = " ".join(printed(changed).split())
    assert f"missing: corruption/snow, corruption/fog: it {small}" in text
    assert "missing: corruption/jpeg (5 times): it needs pillow" in text


def test_a_note_is_told(make_evaluation: Make) -> None:
    evaluation = replace(make_evaluation(), settings={"note": "all samples have the label 3"})
    assert "Note: all samples have the label 3" in printed(evaluation)
    assert "Note:" not in printed(make_evaluation())


def test_attacks_without_a_gradient_are_warned_of(make_evaluation: Make) -> None:
    evaluation = make_evaluation(("one", "two"))
    words = "finds no gradient at 3 samples of two"
    assert words not in evaluation_page(evaluation)
    first, second = evaluation.models
    rows = tuple(replace(row, blind=(1, 2, 5)) for row in second.attacks[:1])
    changed = replace(second, attacks=(*rows, *second.attacks[1:]))
    evaluation = replace(evaluation, models=(first, changed))
    name = second.attacks[0].attack
    assert blind_words(evaluation)[0].startswith(f"{name} {words}")
    assert len(blind_words(evaluation)) == 1
    assert f"warning: {name} {words}" in printed(evaluation, width=400)
    assert words in evaluation_page(evaluation)
