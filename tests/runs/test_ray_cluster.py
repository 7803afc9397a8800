"""Connections to Ray clusters, and what cannot be one: refused in bounded time."""

from __future__ import annotations

import socket
import sys
import time
from typing import Any

import pytest

from sensverify.errors import BackendFailure, BackendMissing, BadSetting
from sensverify.runs import ray_cluster
from sensverify.runs.ray_workers import Ray
from tests.runs.ray_nodes import needs_ray
from tests.runs.tasks import task
from tests.runs.test_workers import ends


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "10.0.0.1:", ":6379", "ray://host:1", "host:0", "host:99999", "a:b"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(BadSetting, match="HOST:PORT"):
        Ray(address)


@pytest.mark.parametrize(
    "settings",
    [
        {"cpus": 0.0},
        {"cpus": -1.0},
        {"cpus": float("nan")},
        {"gpus": float("inf")},
        {"gpus": 1.5},
        {"count": 0},
        {"retries": -1},
    ],
)
def test_what_no_worker_can_have(settings: dict[str, Any]) -> None:
    with pytest.raises(BadSetting):
        Ray(**settings)


def test_without_tasks_nobody_is_asked() -> None:
    assert ends(Ray("127.0.0.1:1")) == {}


def test_ray_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendMissing, match=r"sensverify\[ray\]"):
        ends(Ray(), task("a", number=1))


def test_nothing_listens_there() -> None:
    needs_ray()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(BackendFailure, match="no Ray cluster at"):
            ends(Ray(f"127.0.0.1:{port}"), task("a", number=1))
        assert time.monotonic() - began < 60


def test_something_else_listens_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bounded time: Ray alone waits for minutes."""
    needs_ray()
    monkeypatch.setattr(ray_cluster, "HEALTH", 5.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(BackendFailure, match="does not answer as a Ray cluster"):
            ends(Ray(f"127.0.0.1:{other.getsockname()[1]}"), task("a", number=1))


@pytest.mark.parametrize(
    ("cpus", "gpus", "room"),
    [(1.0, 0.0, 6), (0.1, 0.0, 60), (1.0, 0.25, 4), (0.4, 0.1, 10), (3.0, 1.0, 1)],
)
def test_room(cpus: float, gpus: float, room: int) -> None:
    """No worker is cut in two between nodes, and nobody works on one that is gone."""

    class Module:
        @staticmethod
        def nodes() -> list[dict[str, Any]]:
            return [
                {"Alive": True, "Resources": {"CPU": 2.0}},
                {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
                {"Alive": False, "Resources": {"CPU": 4.0, "GPU": 1.0}},
                {"Alive": True, "Resources": {}},
            ]

    assert ray_cluster.room(Module, cpus, gpus) == room
