"""The table for a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.report.shown import verify_text as shown

Make = Callable[..., Any]


def test_few_outputs_show_every_width(make_sample: Make, make_report: Make) -> None:
    text = shown(make_report([make_sample(0, [0, 0], [1, 2], certified=True)]))
    assert "width 0" in text
    assert "width 1" in text
    assert "certified" in text


def test_many_outputs_show_the_spread(make_sample: Make, make_report: Make) -> None:
    text = shown(make_report([make_sample(0, [0] * 9, range(1, 10))]))
    assert "median" in text
    assert "width 8" not in text


def test_many_samples_are_counted(make_sample: Make, make_report: Make) -> None:
    text = shown(make_report([make_sample(k, [0], [1]) for k in range(1234)]))
    assert "1,214 more samples" in text


def test_brackets_are_no_markup(make_sample: Make, make_report: Make) -> None:
    text = shown(make_report([make_sample(0, [0], [1])], model={"name": "[bold]net[/bold]"}))
    assert "[bold]net[/bold]" in text


def test_without_labels_nothing_is_said_about_them(make_sample: Make, make_report: Make) -> None:
    text = shown(make_report([make_sample(0, [0, 0], [1, 1], label=None)]))
    assert "label" not in text
    assert "accuracy" not in text
