"""Metrics while and after a model is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sensverify.bounds import forward_pass
from sensverify.bounds.tensors import flattened
from sensverify.classification.samples import Samples
from sensverify.errors import TrainingFailed, Unbounded
from sensverify.measures.metrics import Metrics, measure
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.training.loop.collapse import CollapseAlarm
from sensverify.training.plan import Plan

_LOOKED_AT = 1000
"""How many training samples the alarm for collapsed networks looks at."""

_CHUNK = 1000


@dataclass(frozen=True, eq=False)
class Measuring:
    """Takes metrics of one network, with the radius of the training.

    Parameters
    ----------
    network : Network
        Live.
    plan : Plan
    device : torch.device
        That of the network.
    """

    network: Network
    plan: Plan
    device: torch.device

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what `epoch` gives: ``train CE``, ..., ``test CE``, ..."""
        if not self.plan.settings.metric_samples:
            return ()
        names = self.plan.settings.metric_names()
        return tuple(f"{p} {n}" for p in ("train", self.plan.watched_name) for n in names)

    def due(self, epoch: int) -> bool:
        """Whether metrics are taken after this epoch, counted from 1."""
        settings = self.plan.settings
        last = epoch == settings.epochs
        return settings.metric_samples > 0 and (last or epoch % settings.metric_every == 0)

    def due_at(self, step: int) -> bool:
        """Whether metrics are taken after this step, counted from 1, whatever its epoch."""
        every = self.plan.settings.metric_every_steps
        return every is not None and step > 0 and step % every == 0

    def watched(self, watch: Watch) -> dict[str, float | None]:
        """The metrics in the course of the training, by column.

        Raises
        ------
        TrainingFailed
            An output or a bound is not finite.
        UnsoundResult
            See `take`.
        """
        count = self.plan.settings.metric_samples
        row: dict[str, float | None] = {}
        parts = {"train": self.plan.train, self.plan.watched_name: self.plan.watched}
        for part, samples in parts.items():
            found = self.take(samples[:count], watch).row()
            row |= {f"{part} {name}": value for name, value in found.items()}
        return {name: row[name] for name in self.columns}

    def take(self, samples: Samples, watch: Watch, *, final: bool = False) -> Metrics:
        """The metrics of some samples; of some of them only where the watch is over meanwhile.

        Raises
        ------
        TrainingFailed
            An output or a bound is not finite.
        UnsoundResult
            An attack refutes what was proven: no fault of the training's.
        """
        plan, (x, y) = self.plan, samples.tensors(self.device)
        try:
            return measure(
                self.network,
                x,
                y,
                radius=None if plan.radius is None else plan.radius.to(self.device),
                clip=plan.settings.clip,
                metrics=plan.settings.metric_names(final=final),
                method=plan.settings.metric_method,
                pgd_steps=plan.settings.pgd_steps,
                seed=plan.settings.seed,
                progress=lambda done, total: watch.say(f"metrics of {done:,} of {total:,} samples"),
                watch=watch,
            )
        except Unbounded as error:
            raise TrainingFailed(f"metrics cannot be taken: {error}") from error

    def look(self, alarm: CollapseAlarm, step: int) -> None:
        """Show the alarm how the network does on the first 1000 training samples.

        Parameters
        ----------
        alarm : CollapseAlarm
        step : int
            Steps done.

        Raises
        ------
        TrainingFailed
            The network has collapsed.
        """
        x, y = self.plan.train[:_LOOKED_AT].tensors(self.device)
        outputs = self._outputs(x)
        loss = float(functional.cross_entropy(outputs, y))
        predictions = outputs.argmax(dim=1).cpu().numpy()
        steps = self.plan.batches.count * self.plan.settings.epochs
        alarm.look(predictions, y.cpu().numpy(), loss, step, done=step / steps)

    def _outputs(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            parts = [flattened(forward_pass(self.network, part)) for part in x.split(_CHUNK)]
        return torch.cat(parts)
