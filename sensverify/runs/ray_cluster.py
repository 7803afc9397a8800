"""A connection to a Ray cluster, made in bounded time, and what it has room for."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from sensverify.errors import BackendFailure, BadSetting, missing
from sensverify.runs.watch import STOPPING

REACH = 10.0
"""Seconds in which a machine has to take a connection."""

HEALTH = 30.0
"""Seconds in which a cluster has to say that it is one: Ray itself waits for minutes."""

_REMEDY = "start one there with 'ray start', or give the address that this prints"


def ray_package(user: str) -> Any:
    """The module ``ray``.

    Raises
    ------
    BackendMissing
        It is not installed.
    """
    try:
        import ray
    except ImportError:
        raise missing("ray", "ray", user) from None
    return ray


def check_address(address: str) -> tuple[str, int]:
    """Host and port of an address such as ``10.0.0.1:6379``.

    Raises
    ------
    BadSetting
        It is something else.
    """
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise BadSetting(
            f"'{address}' is no address of a Ray cluster: expected HOST:PORT, such as "
            "10.0.0.1:6379",
            "'ray start' prints it",
        )
    return host, int(port)


def check_there(address: str | None) -> None:
    """Refuse an address, or that in ``RAY_ADDRESS``, at which there is no cluster.

    Raises
    ------
    BackendMissing
        Ray is not installed.
    BadSetting
        It is no address.
    BackendFailure
        Nobody answers there, or not as a cluster does.
    """
    ray = ray_package("a Ray cluster")
    address = address or os.environ.get("RAY_ADDRESS")
    if not address or address == "auto" or ray.is_initialized():
        return
    host, port = check_address(address)
    try:
        socket.create_connection((host, port), timeout=REACH).close()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise BackendFailure(f"no Ray cluster at '{address}': {reason}", _REMEDY) from None
    asked = ("health-check", *_option("address", address))
    command = (sys.executable, "-m", "ray.scripts.scripts", *asked)
    try:
        healthy = not subprocess.run(command, capture_output=True, timeout=HEALTH).returncode
    except subprocess.TimeoutExpired:
        healthy = False
    if not healthy:
        problem = f"what is at '{address}' does not answer as a Ray cluster"
        raise BackendFailure(problem, _REMEDY)


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[tuple[Any, bool]]:
    """Within, this process is a driver of a cluster; `check_there` comes first.

    Parameters
    ----------
    address : str or None
        ``HOST:PORT``; None for the one that ``RAY_ADDRESS`` names or that runs on this machine,
        else for one on this machine that is there only within. A process that is connected
        already stays so.

    Yields
    ------
    ray : module
    own : bool
        Whether it is there only within.

    Raises
    ------
    BackendMissing
        Ray is not installed.
    BackendFailure
        There is no cluster at that address.
    """
    ray = ray_package("a Ray cluster")
    if ray.is_initialized():
        yield ray, False
        return
    with _handlers_kept():
        own = _connect(ray, address or os.environ.get("RAY_ADDRESS") or None)
    try:
        yield ray, own
    finally:
        with _handlers_kept():
            ray.shutdown()


def room(ray: Any, cpus: float, gpus: float) -> int:
    """The number of workers that fit the nodes that are there, whoever else is at work on them."""
    return sum(
        _times(node["Resources"], cpus, gpus) for node in ray.nodes() if node.get("Alive", False)
    )


def _times(resources: dict[str, float], cpus: float, gpus: float) -> int:
    needs = {name: share for name, share in (("CPU", cpus), ("GPU", gpus)) if share}
    # Shares are decimal fractions: a tenth goes ten times into one.
    return min(math.floor(resources.get(name, 0.0) / share + 1e-9) for name, share in needs.items())


def _option(name: str, value: str) -> tuple[str, str]:
    """An option of Ray's own command line."""
    return f"--{name}", value


def _connect(ray: Any, address: str | None) -> bool:
    """Whether the cluster was started here."""
    quiet: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": "ERROR",
        "configure_logging": False,
    }
    try:
        try:
            ray.init(address=address or "auto", **quiet)
        except ConnectionError:
            if address is not None:
                raise
            # Nobody is told of it.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(address="local", include_dashboard=False, **quiet)
            return True
    except Exception as error:
        reason = " ".join(str(error).split())
        where = "" if address is None else f" at '{address}'"
        raise BackendFailure(f"no connection to a Ray cluster{where}: {reason}") from None
    return False


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Within, Ray may take over signals; afterwards they are whose they were."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
