"""One training step after the other."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import hardshrink

from sensverify.errors import TrainingFailed, Unbounded, UnsoundResult
from sensverify.network import Network
from sensverify.training.batches import step_seed
from sensverify.training.engine import Engine
from sensverify.training.loop.dropout import dropout
from sensverify.training.loop.minibatches import MiniBatch, MiniBatches
from sensverify.training.losses.recipes import Stage
from sensverify.training.losses.step import Step
from sensverify.training.optimisers import OPTIMISERS
from sensverify.training.plan import Plan
from sensverify.training.schedules import Plateau, PlateauState, make_schedule
from sensverify.training.sharpness import SHARPNESS, frozen_statistics

TINY = 1e-30
"""Parameters below this are set to zero after every step."""

LEFT_OUT = 30
"""So many steps in a row may be left out in half precision.

The factor against underflow starts at 65536 and is halved every time: it is far below 1 by then.
"""


@dataclass(frozen=True)
class StepFigures:
    """Figures of one step.

    Attributes
    ----------
    samples : int
        In this process's share of the mini-batch, which the figures are of.
    losses : mapping from str to float
        ``loss`` and every term.
    error : float
        Share of the mini-batch that the model in training mode had wrong; NaN where the loss did
        not ask for its outputs.
    gradient_norm : float
    learning_rate, ramp : float
    """

    samples: int
    losses: Mapping[str, float]
    error: float
    gradient_norm: float
    learning_rate: float
    ramp: float


class Stepper:
    """Makes the steps of a training in one process.

    Everything a step does follows from the parameters, the state of the optimiser, of the terms and
    of the plateau, and its number: nothing else has to be kept to go on later.

    Parameters
    ----------
    engine : Engine
    module : torch.nn.Module
        On the engine's device.
    network : Network
        The same parameters, live.
    plan : Plan
    """

    def __init__(self, engine: Engine, module: nn.Module, network: Network, plan: Plan) -> None:
        settings = plan.settings
        self._engine, self._module, self._network, self._plan = engine, module, network, plan
        self._batches = MiniBatches(
            plan, engine.device, rank=engine.rank, processes=engine.processes
        )
        self._radius = None if plan.radius is None else plan.radius.to(engine.device)
        self.schedule = make_schedule(settings.schedule, settings.epochs)
        self.plateau = PlateauState()
        around = settings.sharpness
        self._sharpness = None if around is None else SHARPNESS.make(around)
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimiser = OPTIMISERS.make(settings.optimiser, self._parameters)
        self._rate = self.optimiser.param_groups[0]["lr"]
        self._stepping = engine.setup(self.optimiser)
        self.terms_state: dict[str, Tensor] = {}
        # Steps in a row whose gradient was not finite, which half precision leaves out.
        self.left_out = 0

    @property
    def steps(self) -> int:
        """Number of steps over all epochs."""
        return self._batches.count * self._plan.settings.epochs

    def make(self, number: int) -> StepFigures:
        """Make a step.

        Parameters
        ----------
        number : int
            Steps done before.

        Raises
        ------
        TrainingFailed
            The loss, a bound or the gradient is not finite, in half precision that of 30 steps in
            a row. The parameters are as before; running statistics, as of batch normalisation,
            have seen the mini-batch.
        """
        stage = self._plan.recipe.stage(number / self.steps)
        batch = self._batches.at(number)
        losses, error = self._gradient(number, stage, batch)
        if self._sharpness is not None:
            self._sharpness.perturb(self._module)
            try:
                with frozen_statistics(self._module):
                    self._gradient(number, stage, batch)
            finally:
                self._sharpness.restore(self._module)
        norm = self._clipped(number)
        rate = self._rate * self._share_of_rate(number)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self._stepping.step()
        self._sweep()
        return StepFigures(len(batch.x), losses, error, norm, rate, self._ramp(number))

    def _gradient(
        self, number: int, stage: Stage, batch: MiniBatch
    ) -> tuple[dict[str, float], float]:
        """The loss on a batch; its gradients are then in the parameters."""
        # Not left at None: a term may pass some parameters by, in one process or in all.
        self.optimiser.zero_grad(set_to_none=self._engine.processes == 1)
        seed = step_seed(self._plan.settings.seed, number, self._engine.rank)
        self._seed(seed)
        step = Step(
            module=self._module,
            network=self._network,
            x=batch.x,
            y=batch.y,
            radius=self._radius,
            clip=self._plan.settings.clip,
            ramp=self._ramp(number),
            progress=number / self.steps,
            generator=torch.Generator().manual_seed(seed),
            state=self.terms_state,
            asked=stage.loss.asks,
        )
        try:
            with ExitStack() as stack:
                stack.enter_context(dropout(self._module, stage.dropout))
                stack.enter_context(self._engine.autocast())
                total, values = stage.loss(step)
        except (Unbounded, UnsoundResult) as error:
            raise _failed(number, f"{error}") from error
        figures = _numbers({"loss": total, **values})
        if not isfinite(figures["loss"]):
            raise _failed(number, f"the loss is {figures['loss']} ({_listed(figures)})")
        self._engine.backward(total)
        self._engine.average(self._module, batch.weight)
        return figures, _error(step)

    def _seed(self, seed: int) -> None:
        """Seed torch's global generators here, for dropout and what users' modules draw."""
        # Not torch.manual_seed: without a CUDA device in use it notes every call for later.
        torch.default_generator.manual_seed(seed)
        if self._engine.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    @torch.no_grad()
    def _sweep(self) -> None:
        """Set parameters to zero that are too small to matter.

        An L2 penalty shrinks the weights of a neuron that no gradient reaches until they are
        denormal, and processors take several times as long for a convolution with such numbers.
        """
        for parameter in self._parameters:
            parameter.copy_(hardshrink(parameter, TINY))

    def _clipped(self, number: int) -> float:
        """The norm of the gradient, which is then at most what the settings allow."""
        limit = self._plan.settings.gradient_clip
        self._engine.unscale(self.optimiser)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        value = float(norm)
        # With a factor against underflow an overflow is expected now and then: the step is left
        # out and the factor made smaller.
        self.left_out = 0 if isfinite(value) else self.left_out + 1
        if self.left_out and not self._engine.scales:
            raise _failed(number, f"the gradient's norm is {value}")
        if self.left_out >= LEFT_OUT:
            raise _failed(
                number,
                f"the last {LEFT_OUT} steps were left out, as their gradients overflowed",
                "precision bf16-mixed or 32, ",
            )
        if limit is not None:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, limit, norm)
        return value

    def _share_of_rate(self, number: int) -> float:
        if isinstance(self.schedule, Plateau):
            return self.plateau.factor
        return self.schedule(number / self.steps)

    def _ramp(self, number: int) -> float:
        """Share of the radius in force: small at the first step, 1 from the end of the ramp on."""
        length = self._plan.ramp * self.steps
        # Never 0: the logarithm of a box without volume is no loss.
        return min(1.0, (number + 1) / length) if length else 1.0


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Scalars as floats: one transfer for all."""
    tensors = [torch.as_tensor(v).detach().double() for v in values.values()]
    return dict(zip(values, torch.stack(tensors).tolist(), strict=True))


def _error(step: Step) -> float:
    if "outputs" not in vars(step):
        return nan
    with torch.no_grad():
        return float((step.outputs.argmax(1) != step.y).double().mean())


def _failed(number: int, why: str, better: str = "") -> TrainingFailed:
    return TrainingFailed(
        f"the training stops before step {number + 1}: {why}; use {better}a smaller "
        "learning rate, features of like size (standardise), smaller weights for the terms of the "
        "loss, a ramp of the radius, or gradient_clip, and begin again in another directory"
    )


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in figures.items() if name != "loss")
