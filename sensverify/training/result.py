"""The result of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from sensverify.core.brief import count_of
from sensverify.core.record import RunRecord
from sensverify.core.shown import Shown
from sensverify.measures.metrics import Metrics
from sensverify.network import Network
from sensverify.training.directory.log import EpochRow


@dataclass(frozen=True, eq=False)
class TrainResult(Shown):
    """A trained model.

    Attributes
    ----------
    module : torch.nn.Module
        The one that was given, with its new parameters, in evaluation mode and where it was.
    network : Network
        The same parameters, live.
    metrics_train, metrics_test : Metrics or None
        At the end, on the samples trained on (the first 10,000 at most, unless
        ``final_samples`` says otherwise) and on the test samples: those that the settings ask for.
        None where the training was interrupted.
    epochs : int
        Done.
    seconds : float
        That the training took, over all runs, metrics after epochs included and final ones not.
    interrupted : bool
        Whether the watch stopped it before its end.
    directory : Path or None
        Where everything was written.
    steps : int
        Done.
    resumed : tuple of int
        Steps after which a later run went on with the training.
    course : tuple of mapping
        A row for every epoch, as in ``metrics.csv``; what was not measured has no key.
    config : mapping
        Everything that decided it, as in ``config.json``.
    parts : str
        Training and test samples that the data have, in words, and which are which.
    record : RunRecord
    """

    module: nn.Module
    network: Network
    metrics_train: Metrics | None
    metrics_test: Metrics | None
    epochs: int
    seconds: float
    interrupted: bool
    directory: Path | None
    steps: int = 0
    resumed: tuple[int, ...] = ()
    course: tuple[EpochRow, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    parts: str = ""
    record: RunRecord = field(default_factory=RunRecord.now)

    @property
    def missed(self) -> str | None:
        """In words, which goals were not reached in all epochs; None without any, or with them."""
        settings = self.config.get("settings", {})
        if self.interrupted or self._waited(settings.get("patience")):
            return None
        last = self.course[-1] if self.course else {}
        texts = []
        for what, column, goal in (
            ("a cross-entropy", "train CE", settings.get("until_cross_entropy")),
            ("an error", "train ERR", settings.get("until_error")),
        ):
            found = last.get(column)
            if goal is not None and not (found is not None and found <= goal):
                shown = "" if found is None else f": it is {found:.3g}"
                epochs = count_of(self.epochs, "epoch")
                texts.append(f"{what} of {goal:g} was not reached in {epochs}{shown}")
        return "; ".join(texts) or None

    @property
    def kept(self) -> int | None:
        """The epoch whose weights the module has, where ``patience`` has chosen it."""
        if self.interrupted or self.config.get("settings", {}).get("patience") is None:
            return None
        return self._best

    @property
    def _best(self) -> int | None:
        """The first epoch with the smallest error on held-out samples."""
        errors = {
            number: row["held-out ERR"]
            for number, row in enumerate(self.course, start=1)
            if "held-out ERR" in row
        }
        return min(errors, key=errors.__getitem__) if errors else None

    def _waited(self, patience: int | None) -> bool:
        """Whether it has stopped because it got no better."""
        return patience is not None and self.epochs - (self._best or 0) >= patience

    @property
    def unverifiable(self) -> str | None:
        """Why no bounds of the module can be had; None where they can."""
        return None if self.network.opaque is None else self.network.opaque.reason

    def __repr__(self) -> str:
        parts = [
            type(self.module).__name__,
            count_of(self.epochs, "epoch"),
            f"{self.seconds:.1f} s",
        ]
        for part, found in (("training", self.metrics_train), ("test", self.metrics_test)):
            if found is not None:
                parts.append(f"{100 * found.err:.1f} % of {found.samples:,} {part} samples wrong")
        parts += [*["interrupted"][: self.interrupted], *map(str, filter(None, [self.directory]))]
        return f"TrainResult({', '.join(parts)})"
