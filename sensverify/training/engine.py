"""The machinery under a training step: devices, precision, several processes.

A thin layer over Lightning Fabric, which is imported when a training begins. What a training
asks of it is here, so that nothing else knows what is underneath.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sensverify.errors import BadSetting, missing
from sensverify.training.settings import TrainSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Result = TypeVar("Result")


class Engine:
    """One process of a training.

    Parameters
    ----------
    fabric : lightning_fabric.Fabric
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    @property
    def device(self) -> torch.device:
        """The device on which this process computes."""
        return self._fabric.device

    @property
    def rank(self) -> int:
        """Number of this process; the one with 0 writes files and takes metrics."""
        return self._fabric.global_rank

    @property
    def processes(self) -> int:
        return self._fabric.world_size

    @property
    def scales(self) -> bool:
        """True where gradients carry a factor against underflow, and a step may be left out."""
        return bool(self._fabric.strategy.precision.state_dict())

    def autocast(self) -> AbstractContextManager[Any]:
        """Within, layers compute in the precision of the training."""
        return self._fabric.autocast()

    def setup(self, optimiser: Optimizer) -> Optimizer:
        """The optimiser as steps are to be made with."""
        wrapped: Any = self._fabric.setup_optimizers(optimiser)
        return wrapped

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those of the parameters."""
        self._fabric.backward(loss)

    def unscale(self, optimiser: Optimizer) -> None:
        """Take the factor against underflow out of the gradients."""
        self._fabric.strategy.precision.unscale_gradients(optimiser)

    def average(self, module: nn.Module, share: float) -> None:
        """Replace gradients by their mean over all processes, and running statistics likewise.

        Done in one exchange rather than by `DistributedDataParallel`: the terms of a loss run the
        module several times a step, beside bounds that only read its parameters, and that wrapper
        overwrites buffers before every run, under the feet of a gradient that needs them.

        Parameters
        ----------
        module : torch.nn.Module
        share : float
            This process's samples as a share of the mini-batch.
        """
        if self.processes == 1:
            return
        gradients = [_gradient(p) for p in module.parameters() if p.requires_grad]
        # A part in evaluation mode changes nothing, and a mean may round.
        moving = [part for part in module.modules() if part.training]
        buffers = [b for part in moving for b in part.buffers(False) if b.is_floating_point()]
        flat = torch.cat([t.reshape(-1).float() for t in (*gradients, *buffers)]) * share
        summed: Any = self._fabric.all_reduce(flat, reduce_op="sum")
        parts = summed.split([t.numel() for t in (*gradients, *buffers)])
        with torch.no_grad():
            for tensor, part in zip((*gradients, *buffers), parts, strict=True):
                tensor.copy_(part.reshape(tensor.shape))

    def any(self, flag: bool) -> bool:
        """True where it is so in any process."""
        if self.processes == 1:
            return flag
        found: Any = self._fabric.all_reduce(
            torch.tensor(float(flag), device=self.device), reduce_op="sum"
        )
        return bool(found > 0)

    def state(self) -> dict[str, Any]:
        """Plain numbers that the precision keeps from step to step."""
        return self._fabric.strategy.precision.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        self._fabric.strategy.precision.load_state_dict(state)


def run(settings: TrainSettings, function: Callable[..., Result], *arguments: Any) -> Result:
    """Call ``function(engine, *arguments)`` in as many processes as the settings say.

    With one device that is this process; with more, new ones are started, all that is passed must
    be picklable, and what the first of them returns is returned.

    Raises
    ------
    BackendMissing
        Lightning Fabric is not installed.
    BadSetting
        There are no such devices.
    """
    check_engine(settings)
    from sensverify.training.processes import make_fabric, quiet

    with quiet():
        fabric = make_fabric(settings)
        if settings.devices == 1:
            return function(Engine(fabric), *arguments)
        entry: Callable[..., _Sealed] = _entry
        sealed: _Sealed = fabric.launch(entry, _Sealed((function, arguments)))
        return sealed.content


def check_engine(settings: TrainSettings) -> None:
    """Raise what `run` would raise before it starts.

    Raises
    ------
    BackendMissing, BadSetting
    """
    try:
        import lightning_fabric  # noqa: F401
    except ImportError:
        raise missing("lightning-fabric", "train", "training") from None
    if settings.device == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count < settings.devices:
            raise BadSetting(
                f"the training asks for {settings.devices} CUDA device"
                f"{'s' if settings.devices > 1 else ''}, and torch sees {count}",
                "use `device=cpu` or fewer `devices`",
            )


class _Sealed:
    """A value that Fabric hands on as it is: it looks into collections and data classes."""

    def __init__(self, content: Any) -> None:
        self.content = content


def _entry(fabric: Fabric, sealed: _Sealed) -> _Sealed:
    from sensverify.training.processes import quiet

    function, arguments = sealed.content
    with quiet():
        return _Sealed(function(Engine(fabric), *arguments))


def _gradient(parameter: nn.Parameter) -> Tensor:
    """A parameter's gradient, zero where this process has none."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
