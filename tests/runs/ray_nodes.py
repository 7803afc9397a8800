"""A Ray cluster of several nodes on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

ROOM = 100 << 20
"""Bytes of a node's memory for objects: rows are small."""


def needs_ray() -> Any:
    return pytest.importorskip("ray", reason="the package ray is not installed")


@contextmanager
def nodes(count: int) -> Iterator[Any]:
    """A cluster of nodes with one CPU each; the first is never to be removed."""
    needs_ray()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.ERROR)
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": ROOM}
    head = {**node, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(count - 1):
            cluster.add_node(**node)
        yield cluster
    finally:
        cluster.shutdown()


@contextmanager
def joined(cluster: Any) -> Iterator[None]:
    """Within, this process is a driver of it already: that takes seconds."""
    import ray

    ray.init(
        address=cluster.address, log_to_driver=False, logging_level="ERROR", configure_logging=False
    )
    try:
        yield
    finally:
        ray.shutdown()


def kill_workers(count: int) -> list[int]:
    """Kill so many of this process's clusters' workers; their numbers."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if len(found) < count and "ray::Actor" in " ".join(process.cmdline()):
                process.send_signal(signal.SIGKILL)
                found.append(process.pid)
    return found
