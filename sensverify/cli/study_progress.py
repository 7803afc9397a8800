"""Progress of a study, as text."""

from __future__ import annotations

from sensverify.report.study.contents import Value
from sensverify.report.study.values import value_text
from sensverify.runs.progress import Progress, duration
from sensverify.studies.entries import Entry

_SHOWN = ("ERR", "ADV_ERR")


def finished_line(entry: Entry, state: Progress) -> str:
    """One line about a training that has ended."""
    count = f"{state.done} of {state.total}"
    left = "" if state.seconds_left is None else f", about {duration(state.seconds_left)} left"
    if state.done == state.total:
        left = ""
    name = f"{entry.run}, seed {entry.seed}"
    if entry.reason:
        return f"{name}: failed: {entry.reason} ({count}{left})"
    numbers = entry.metrics.get("test", {})
    missed = [entry.missed] if entry.missed else []
    shown = [
        f"{column} {value_text(column, Value(value))} %"
        for column in _SHOWN
        if (value := numbers.get(column)) is not None
    ]
    times = [duration(entry.seconds)]
    if entry.evaluation_seconds:
        times = [f"trained in {times[0]}", f"evaluated in {duration(entry.evaluation_seconds)}"]
    return f"{name}: {', '.join([*shown, *missed, *times])} ({count}{left})"


def running_text(state: Progress) -> str:
    """The trainings in hand, each with the share that is done."""
    return ", ".join(
        f"{each.name} seed {each.seed} {share:.0%}" for each, share in state.running.items()
    )
