"""Lightning Fabric, set up for one process or for several; imported when a training begins.

`QuietProcesses` stands at the top of a module, as processes are started with it by its name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from sensverify.training.settings import TrainSettings

_PATIENCE = timedelta(days=7)
"""Most time that processes wait for the first one, which takes the metrics alone."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without Fabric's notes on what it was just told to do."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


class QuietProcesses(DDPStrategy):
    """Processes that find each other without a word."""

    def setup_environment(self) -> None:
        """Called in every process at its beginning."""
        with quiet():
            super().setup_environment()


def make_fabric(settings: TrainSettings) -> Fabric:
    """Fabric with the devices and the precision of a training."""
    several = QuietProcesses(start_method="spawn", timeout=_PATIENCE)
    precisions: dict[str, Any] = {"32": "32-true"}
    return Fabric(
        accelerator="cuda" if settings.device == "cuda" else "cpu",
        devices=settings.devices,
        strategy="auto" if settings.devices == 1 else several,
        precision=precisions.get(settings.precision, settings.precision),
        # Not the one of a cluster that this process may happen to run in.
        plugins=[LightningEnvironment()],
    )
