"""When work stops, and whom it tells."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from time import perf_counter, sleep

import pytest

from sensverify.errors import BadSetting
from sensverify.runs.watch import STOPPING, TimeUp, Watch


def test_without_a_limit_work_goes_on() -> None:
    watch = Watch()
    assert not watch.over
    assert not watch.stopped
    assert watch.left == float("inf")


def test_time_runs_out() -> None:
    watch = Watch(0.05)
    assert not watch.over
    assert 0 < watch.left <= 0.05
    sleep(0.06)
    assert watch.over
    assert watch.left == 0
    assert not watch.stopped
    assert Watch(0.0).over


@pytest.mark.parametrize("seconds", [-1.0, -0.001, float("nan")])
def test_limits_that_are_none(seconds: float) -> None:
    with pytest.raises(BadSetting, match="time limit"):
        Watch(seconds)
    with pytest.raises(BadSetting, match="time limit"):
        Watch().within(seconds)


def test_a_part_ends_with_the_whole() -> None:
    whole = Watch(100.0)
    assert whole.within(1000.0).left <= 100
    assert whole.within(1.0).left <= 1
    assert whole.within(None).left <= 100
    assert Watch().within(None).left == float("inf")
    assert whole.within(1.0).within(0.0).over
    assert not whole.over


def test_a_stop_reaches_every_part_and_the_whole() -> None:
    whole = Watch()
    part = whole.within(100.0)
    deeper = part.within(None)
    part.stop()
    for watch in (whole, part, deeper, whole.within(50.0)):
        assert watch.over
        assert watch.stopped
        assert watch.left == 0


def test_a_stop_from_another_thread() -> None:
    watch = Watch(20.0)
    began = perf_counter()
    threading.Timer(0.05, watch.within(None).stop).start()
    while not watch.over:
        sleep(0.005)
    assert perf_counter() - began < 10
    assert watch.stopped


def test_a_listener_hears_every_part() -> None:
    heard: list[str] = []
    watch = Watch(listener=heard.append)
    watch.say("one")
    watch.within(1.0).within(None).say("two")
    Watch().say("nobody")
    assert heard == ["one", "two"]


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    # Python looks at signals between two steps of its own.
    sleep(0.1)


@pytest.fixture
def usual_handler() -> Iterator[None]:
    """Python's own handler: a process that was started in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_another_clock_tells_the_time() -> None:
    now = 0.0
    watch = Watch(5.0, clock=lambda: now)
    part = watch.within(2.0)
    assert (watch.left, part.left) == (5.0, 2.0)
    now = 2.0
    assert part.over
    assert not watch.over
    watch.check()
    now = 5.0
    with pytest.raises(TimeUp):
        watch.check()


@pytest.mark.usefixtures("usual_handler")
def test_sigterm_stops_the_work_too_and_what_comes_is_said_once() -> None:
    said: list[str] = []
    watch = Watch()
    before = signal.signal(signal.SIGTERM, lambda *_: said.append("as before"))
    try:
        with watch.stopping_on_signals(said.append):
            signal.raise_signal(signal.SIGTERM)
            assert watch.stopped
            signal.raise_signal(signal.SIGTERM)
        assert said == [STOPPING[signal.SIGTERM], "as before"]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("usual_handler")
def test_an_interrupt_stops_the_work_and_a_second_one_is_as_usual() -> None:
    watch, before = Watch(), signal.getsignal(signal.SIGINT)
    with watch.stopping_on_signals() as same:
        assert same is watch
        interrupt()
        assert watch.stopped
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_usual_handler_is_put_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="inside"), Watch().stopping_on_signals():
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_of_the_main_thread_signals_are_left_alone() -> None:
    done: list[bool] = []

    def work() -> None:
        watch = Watch()
        with watch.stopping_on_signals() as same:
            done.append(same is watch)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
