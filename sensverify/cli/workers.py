"""``--workers``: who does the tasks of a run, from the text of the option."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from sensverify.errors import BadSetting

if TYPE_CHECKING:
    from sensverify.runs.ray_workers import Ray

_SETTINGS = ("cpus", "gpus", "retries")
_REMEDY = "for example ray:10.0.0.1:6379(gpus=0.25)"


def workers_option(count: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--workers``; the text says how many there are."""
    return click.option(
        "--workers",
        metavar="ray[:HOST:PORT]",
        help=f"Let the workers of a Ray cluster do it: that at HOST:PORT, else the one of "
        f"$RAY_ADDRESS or of this machine, else one that is started here. {count} Settings of a "
        "worker may follow in parentheses: 'ray(gpus=0.25)' puts four on a GPU, cpus=2 gives two "
        "threads, retries=3 does a task again whose worker or node dies. Needs 'sensverify[ray]'.",
    )


def check_shard(shard: object, **outputs: object) -> None:
    """Refuse, of a shard, options about the whole, by their names.

    Raises
    ------
    BadSetting
    """
    given = [name for name, value in outputs.items() if value is not None]
    if shard is not None and given:
        name = f"--{given[0].replace('_', '-')}"
        raise BadSetting(
            f"{name} is about the whole, and `shard` about a part of it",
            f"give {name} without `shard` when all are done",
        )


def read_workers(
    text: str | None, *, shard: object = None, jobs: int | None = None, **settings: Any
) -> Ray | None:
    """The workers of a text such as ``ray:10.0.0.1:6379(gpus=0.25)``; none of none.

    Parameters
    ----------
    text : str or None
    shard : Shard, optional
        That was asked for, too.
    jobs : int, optional
        Most workers at a time.
    **settings
        As `Ray` takes them, where the text does not say otherwise.

    Raises
    ------
    BadSetting
        It names something else, or a shard was asked for, too.
    BackendMissing, BackendFailure
        Ray is not installed, or there is no cluster at that address.
    """
    if text is None:
        return None
    from sensverify.registry.calls import parse_call
    from sensverify.registry.settings import fit_settings, settings_of
    from sensverify.runs.ray_workers import Ray

    head, paren, rest = text.strip().partition("(")
    name, _, address = head.strip().partition(":")
    if name != "ray":
        raise BadSetting(f"`workers` is 'ray', with an address or not, got '{text}'", _REMEDY)
    if shard is not None:
        raise BadSetting(
            "`shard` is a part for one machine, and `workers` share out everything themselves",
            "give one of the two",
        )
    known = {each: settings_of(Ray)[each] for each in _SETTINGS}
    call = parse_call(f"{name}{paren}{rest}")
    given = fit_settings("`workers`", known, call.settings)
    workers = Ray(address or None, count=jobs, **{**settings, **given})
    workers.check()
    return workers
