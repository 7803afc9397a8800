"""auto_LiRPA, the field's reference for linear relaxations, as one more method."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, prod
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor

from sensverify.bounds.forward import forward_pass
from sensverify.bounds.lirpa_compat import (
    LOCK,
    default_dtype,
    graph_indexing,
    import_auto_lirpa,
    quiet,
)
from sensverify.bounds.lirpa_module import TracedNetwork
from sensverify.bounds.method import Method
from sensverify.bounds.rounding import slack
from sensverify.bounds.tensors import flattened
from sensverify.core.box import Box
from sensverify.core.results import Enclosure, Guarantee
from sensverify.errors import BackendFailure, BadSetting, SensverifyError
from sensverify.network import Network
from sensverify.network.operators import Linear
from sensverify.registry.ranges import Count
from sensverify.runs.watch import Watch

MODES = {
    "ibp": "IBP",
    "crown": "CROWN",
    "crown-ibp": "CROWN-IBP",
    "ibp+backward": "CROWN-IBP",
    "alpha-crown": "CROWN-Optimized",
    "crown-optimized": "CROWN-Optimized",
}
"""auto_LiRPA's names of its backward and interval modes, in lower case, and what they mean."""

_PLAIN = {
    "sparse_intermediate_bounds": False,
    "sparse_conv_intermediate_bounds": False,
    "sparse_intermediate_bounds_with_ibp": False,
    "sparse_features_alpha": False,
    "sparse_spec_alpha": False,
}
"""Bound every neuron by CROWN, also those that intervals already show to be stable."""


@dataclass(frozen=True)
class Lirpa(Method):
    """Bounds computed by auto_LiRPA (0.3 or 0.7), for comparison and for its own modes.

    Parameters
    ----------
    mode : str
        ``"IBP"``, ``"CROWN"`` (CROWN intermediate bounds), ``"CROWN-IBP"`` (intervals as
        intermediate bounds) or ``"alpha-CROWN"``, also called ``"CROWN-Optimized"``; upper or
        lower case. Forward modes are not offered: those of 0.7.1 have excluded attained outputs
        of networks with leaky ReLU.
    steps : int
        Of the optimisation in alpha-CROWN.

    Notes
    -----
    Guarantee SOUND, as auto_LiRPA claims it: in real arithmetic, computed in floating-point
    numbers. This package does not own that proof, so every answer is checked against the network's
    outputs at the centre and the two end corners of every box. auto_LiRPA 0.3 runs dropout as in
    training; a network here has none.

    Gradients flow into the box and into the parameters, except in alpha-CROWN.
    Leaky ReLU, clipping and maxima are spelled with ReLUs for it, which bounds them soundly but
    not always as tightly as this package's own rules.

    Source: Xu et al. 2020, *Automatic perturbation analysis for scalable certified robustness and
    beyond*; Xu et al. 2021, *Fast and complete* (alpha-CROWN).
    """

    mode: str = "CROWN"
    steps: Count = 20

    name: ClassVar[str] = "lirpa"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND

    def __post_init__(self) -> None:
        if not isinstance(self.mode, str) or self.mode.lower() not in MODES:
            forward = isinstance(self.mode, str) and "forward" in self.mode.lower()
            why = "; its forward modes have given wrong bounds" if forward else ""
            raise BadSetting(
                f"method lirpa has no mode {self.mode!r}{why}",
                "there are IBP, CROWN, CROWN-IBP and alpha-CROWN",
            )
        super().__post_init__()

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """See `sensverify.bounds.method.Method.bound`.

        Raises
        ------
        BackendMissing
            auto_LiRPA is not installed.
        BackendFailure
            auto_LiRPA fails on the network, or its bounds exclude an attained output.
        MissingRule
            An operator of the network has no counterpart in auto_LiRPA.
        """
        package = import_auto_lirpa()
        rows = objectives.expand(box.batch, -1, -1)
        module = TracedNetwork(network, box.lower.dtype, box.lower.device)
        with torch.no_grad():
            module(box.lower[:1])  # Names an operator without counterpart.
        try:
            with LOCK, quiet(), default_dtype(box.lower.dtype):
                lower, upper = self._bound(package, module, box, rows)
        except SensverifyError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or ["no message"]
            raise BackendFailure(
                f"auto_LiRPA {package.__version__} fails on this network in mode {self.mode}: "
                f"{type(error).__name__}: {lines[0]}",
                "use `method` crown or ibp",
            ) from error
        _check_attained(network, box, rows, lower, upper)
        return Enclosure(lower, upper)

    def extra_entries(self, network: Network, rows: int) -> int:
        """Numbers that the coefficients of one sample take at once: both sides, and as many again.

        CROWN keeps a matrix from every neuron of a layer to every neuron of an earlier one.
        """
        mode = MODES[self.mode.lower()]
        if mode == "IBP":
            return 0
        sizes = [prod(node.shape) for node in network.nodes]
        targets = [rows]
        if mode != "CROWN-IBP":
            targets += [
                sizes[source]
                for node in network.nodes
                if not isinstance(node.operator, Linear)
                for source in node.inputs
            ]
        return 4 * max(targets) * max(sizes)

    def _bound(
        self, package: ModuleType, module: TracedNetwork, box: Box, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        mode = MODES[self.mode.lower()]
        optimized = mode == "CROWN-Optimized"
        # 0.3 fails on its patches' slopes.
        patches = module.patches_are_safe and not (
            optimized and package.__version__.startswith("0.3")
        )
        options = {
            "optimize_bound_args": {"iteration": self.steps},
            "conv_mode": "patches" if patches else "matrix",
            **_PLAIN,
        }
        center = box.center.detach()
        with graph_indexing():
            bounded = package.BoundedModule(
                module, center, bound_opts=options, device=center.device
            )
        # 0.3 takes the dtype of an identity matrix from the first parameter, and there is none.
        marker = torch.nn.Parameter(center.new_empty(0), requires_grad=False)
        bounded._parameters["dtype_marker"] = marker
        lower, upper = box.lower, box.upper
        if optimized:
            # Every step of the optimisation goes backward: nothing else may be in its graph.
            lower, upper, rows = lower.detach(), upper.detach(), rows.detach()
        else:
            _attach(bounded, module.arrays())
        perturbation = package.PerturbationLpNorm(norm=inf, eps=0.0, x_L=lower, x_U=upper)
        inputs = (package.BoundedTensor(center, perturbation),)
        with torch.set_grad_enabled(optimized or torch.is_grad_enabled()):
            lower, upper = bounded.compute_bounds(x=inputs, C=rows, method=mode)
        return (lower.detach(), upper.detach()) if optimized else (lower, upper)


def _attach(bounded: Any, arrays: dict[str, Tensor]) -> None:
    """Give auto_LiRPA's detached copies of the arrays their autograd history back."""
    for node in bounded.modules():
        original = arrays.get(getattr(node, "ori_name", None) or "")
        if original is not None and hasattr(node, "buffer"):
            node.buffer = original
            node.forward_value = original


def _check_attained(network: Network, box: Box, rows: Tensor, lower: Tensor, upper: Tensor) -> None:
    """Refuse bounds that exclude an output at the centre or an end corner of a box."""
    with torch.no_grad():
        allowed = 2 * slack(network, box, rows)
        for point in (box.center, box.lower, box.upper):
            outputs = flattened(forward_pass(network, point)).unsqueeze(-1)
            values = (rows @ outputs).squeeze(-1)
            # Written so that a NaN fails it.
            inside = (values >= lower - allowed) & (values <= upper + allowed)
            if not bool(inside.all()):
                sample, row = (int(i) for i in (~inside).nonzero()[0])
                raise BackendFailure(
                    f"auto_LiRPA's bounds [{float(lower[sample, row]):.6g}, "
                    f"{float(upper[sample, row]):.6g}] exclude the attained value "
                    f"{float(values[sample, row]):.6g} of objective {row} of sample {sample}",
                    "use `method` crown or ibp",
                )
