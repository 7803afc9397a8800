"""The estimate of the time that is left."""

from __future__ import annotations

import pytest

from sensverify.runs.progress import Pace


def test_parts_take_what_others_of_their_kind_took() -> None:
    """Of two kinds one is known to take a second and the other three; a third is not known."""
    kinds = {
        "a": ("x", "any"),
        "b": ("x", "any"),
        "c": ("y", "any"),
        "d": ("y", "any"),
        "e": ("z",),
    }
    pace = Pace(kinds)  # type: ignore[arg-type]
    assert pace.state().seconds_left is None
    pace.end("a", 1.0)
    assert pace.end("c", 3.0, "row").row == "row"
    now = pace.state()
    assert (now.done, now.total, now.running, now.row) == (2, 5, {}, None)
    assert now.seconds_left == pytest.approx(1 + 3 + 2)


def test_parts_that_were_done_before_tell_nothing() -> None:
    pace = Pace({"a": ("x",), "b": ("x",)})
    assert pace.end("a", None).seconds_left is None
    assert pace.state().done == 1


def test_what_is_in_hand_tells_its_own_pace() -> None:
    now = [100.0]
    pace = Pace({"a": ("x",), "b": ("x",), "c": ("y",)}, timer=lambda: now[0])
    # Half of it was done before a stop.
    assert pace.go_on("a", 0.5).seconds_left is None
    now[0] += 2.0
    state = pace.go_on("a", 0.75)
    assert state.running == {"a": 0.75}
    assert state.seconds_left == pytest.approx(8 * (0.25 + 1 + 1))
    pace.leave("a")
    assert pace.state().running == {}
    assert pace.state().total == 3


def test_several_at_once_end_no_sooner_than_the_longest() -> None:
    pace = Pace({str(n): ("long" if n < 2 else "short",) for n in range(6)}, at_once=4)
    pace.end("0", 10.0)
    left = pace.end("2", 1.0).seconds_left
    assert left == pytest.approx(10.0)
