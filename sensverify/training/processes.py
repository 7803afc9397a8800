"""How Fabric starts several processes: imported, as Fabric is, when a training begins.

At the top of a module, as what processes are started with goes through a pipe by its name.
"""

from __future__ import annotations

from lightning_fabric.strategies.ddp import DDPStrategy

from sensverify.training.engine import quiet


class QuietProcesses(DDPStrategy):
    """Processes that find each other without a word."""

    def setup_environment(self) -> None:
        """Called in every process at its beginning."""
        with quiet():
            super().setup_environment()
