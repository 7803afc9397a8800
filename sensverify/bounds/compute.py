"""Bounds of a network over boxes: every method is called through `compute_bounds`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from math import isinf, prod
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sensverify.bounds.domains import remedy_of_overflow, require_defined
from sensverify.bounds.ibp import Interval, interval_bounds
from sensverify.bounds.memory import DEFAULT_BUDGET, samples_within
from sensverify.bounds.method import (
    Method,
    ProvingMethod,
    proving_names,
    require_known_set,
    require_proof_over_set,
)
from sensverify.bounds.rounding import check_rounding, slack
from sensverify.bounds.tensors import find_device, tensor_box, tensor_network
from sensverify.bounds.varied import over_parameters
from sensverify.core.box import Array, Box
from sensverify.core.proof import joined
from sensverify.core.provenance import Provenance, settings_of
from sensverify.core.record import versions
from sensverify.core.results import Bounds, Enclosure, Guarantee
from sensverify.core.sets import Varied
from sensverify.errors import BadBox, BadSetting, BadShape, Unbounded
from sensverify.formats.modules import from_module
from sensverify.network import Network
from sensverify.runs.watch import Watch

_DTYPES = {"float32": torch.float32, "float64": torch.float64}

Progress = Callable[[int, int], None]
"""Called with the number of samples done and their total."""

_SOLVER_SHARE = 1e-7
"""Share of an end by which a solver's tolerances may move it."""


def compute_bounds(
    network: Network | nn.Module,
    box: Box,
    method: Method,
    objectives: Array | None = None,
    *,
    dtype: torch.dtype | str | None = None,
    device: str | torch.device | None = None,
    memory_budget: int = DEFAULT_BUDGET,
    progress: Progress | None = None,
    watch: Watch | None = None,
    proof: bool = False,
) -> Bounds:
    """Bound linear functions of a network's output over a batch of input boxes.

    Parameters
    ----------
    network : Network, or torch.nn.Module
        A module is imported by ``from_module`` for the shape of the box.
    box : Box, shape ``[batch, *network.input_shape]``
        Numpy or torch; per-feature widths may differ, also between samples.
    method : Method
        ``Ibp()``, ``LpDual()``, ``Crown()``, ``AlphaCrown()``, ...
    objectives : array ``[rows, outputs]`` or ``[batch, rows, outputs]``, optional
        Rows c of the functions ``c · f(x)``, with the output flattened in row-major order.
        Default: the identity, one row for each output.
    dtype : torch.float32 or torch.float64, optional
        Of the computation, or its name; default that of the box.
    device : str or torch.device, optional
        Default: that of the box (numpy: the CPU).
    memory_budget : int
        Bytes that the computation may take beside the network, the box and the result; samples
        are taken in chunks that fit. With gradients the autograd graph comes on top.
    progress : callable, optional
        Called with ``(samples done, samples)`` after every chunk.
    watch : Watch, optional
        When to stop, for methods that can be stopped (``anytime``); they return what is
        proven by then. Others run to their end.
    proof : bool
        Ask for the multipliers behind the bounds: the result's certificate is then a `Proof` of
        lower bounds on the rows ``[C, -C]``, one problem for each sample. Only of methods that
        can (`ProvingMethod`).

    Returns
    -------
    Bounds
        Its outer box ``[batch, rows]`` contains every value that the functions take, with the
        method's guarantee; differentiable in the box and in a live module's parameters. A method
        with guarantee SOUND is sound in real arithmetic and evaluated in floating-point numbers:
        rounding can leave an attained value outside, by `sensverify.bounds.rounding.slack` at
        most (on random networks a seventh of it was the most seen). Where products cancel that
        are far larger than their sum, bounds lose accuracy with them, as a forward pass does.

    Raises
    ------
    BadShape, BadBox, BadSetting
        The arguments do not fit together, or the method hands out no proofs.
    MissingRule
        The method does not know an operator of the network.
    Unbounded
        A bound overflowed.
    UnsoundResult
        The method's ends cross by more than rounding explains, or by so much that cancellation
        leaves nothing of them.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> box = sv.Box.around(np.array([[5.1, 3.5, 1.4, 0.2]]), 0.1)
    >>> bounds = sv.compute_bounds(sv.load("iris"), box, sv.Crown())
    >>> print(bounds.guarantee)
    SOUND
    >>> margins = np.array([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]])  # of output 0 over the others
    >>> bounds = sv.compute_bounds(sv.load("iris"), box, sv.Crown(), margins)
    >>> bool((bounds.outer.lower > 0).all())  # so output 0 stays the largest
    True
    """
    start = perf_counter()
    if not isinstance(method, Method):
        raise BadSetting(
            f"a method is an object of a class that derives from Method, such as Crown(), got "
            f"{method!r}",
            "make_method makes one by name",
        )
    if not memory_budget > 0:
        raise BadSetting(f"memory_budget needs a number of bytes above 0, got {memory_budget!r}")
    if proof:
        _check_proves(method)
    network = _network(network, box)
    network.require_operators()
    if proof:
        require_proof_over_set(method, box)
    if isinstance(box, Varied) and not isinstance(box, method.sets):
        if proof:
            raise BadSetting(
                f"{method.name} hands out no proofs over the parameters of varied inputs",
                "use `method=crown`, or `method=alpha-crown`, which is tighter",
            )
        ask = partial(
            compute_bounds, method=method, dtype=dtype, device=device, memory_budget=memory_budget
        )
        return over_parameters(network, box, objectives, ask, _watch(method, watch))
    require_known_set(method.name, method.sets, box)
    box, objectives = _accept(network, box, objectives, _dtype(dtype), device)
    live = tensor_network(network, dtype=box.lower.dtype, device=box.lower.device)
    itemsize, rows_each = box.lower.element_size(), objectives.shape[1]
    step = samples_within(memory_budget, live, method, rows_each, itemsize, proof=proof)
    parts = []
    watch = _watch(method, watch)
    for first in range(0, box.batch, step):
        chunk = slice(first, first + step)
        rows = objectives[chunk] if len(objectives) > 1 else objectives
        # Without anything to differentiate, no history is kept: faster, and far less memory.
        with torch.set_grad_enabled(torch.is_grad_enabled() and _tracked(live, box, objectives)):
            chosen = box if step >= box.batch else box[chunk]
            share = _share(watch, step / (box.batch - first))
            part = _bound(method, live, chosen, rows, share, proof)
        try:
            parts.append(_checked(part, method, first, partial(slack, network, chosen, rows)))
        except Unbounded:
            _require_domains(live, chosen)
            raise
        if progress is not None:
            progress(min(first + step, box.batch), box.batch)
    result = _joined(parts, proof)
    return Bounds(
        outer=Box(result.lower, result.upper),
        guarantee=method.guarantee if result.guarantee is None else result.guarantee,
        provenance=_provenance(network, box, method, perf_counter() - start),
        inner=result.inner,
        witness_lower=result.witness_lower,
        witness_upper=result.witness_upper,
        optimal=result.optimal,
        unstable=result.unstable,
        certificate=result.certificate,
        stopped=result.stopped,
    )


def _watch(method: Method, watch: Watch | None) -> Watch:
    """A method's own time limit is for the whole call, however many chunks there are."""
    watch = watch or Watch()
    return watch.within(method.seconds) if method.anytime else watch


def _share(watch: Watch, share: float) -> Watch:
    """Every chunk gets its share of the time that is left."""
    left = watch.left
    return watch.within(None if isinf(left) else left * min(1.0, share))


def _bound(
    method: Method, network: Network, box: Box, objectives: Tensor, watch: Watch, proof: bool
) -> Enclosure:
    if proof:
        assert isinstance(method, ProvingMethod)
        return method.prove(network, box, objectives, watch=watch)
    stops = {"watch": watch} if method.anytime else {}
    return method.bound(network, box, objectives, **stops)


def _check_proves(method: Method) -> None:
    if not isinstance(method, ProvingMethod):
        raise BadSetting(
            f"method {method.name} hands out no proof of its bounds",
            f"those that do are {', '.join(proving_names())}",
        )


def _network(network: Any, box: Any) -> Network:
    """The network, also of a module, or a clear error where one of the two is something else."""
    if not isinstance(box, Box):
        remedy = "give its .outer" if hasattr(box, "outer") else "Box(lower, upper) makes one"
        raise BadBox(f"bounds are over a Box of inputs, got {type(box).__name__}", remedy)
    if isinstance(network, nn.Module):
        return from_module(network, box.shape)
    if not isinstance(network, Network):
        raise BadSetting(
            f"bounds are of a Network, got {type(network).__name__}",
            "load(name_or_path), load_onnx(path) and from_module(module, input_shape) make one",
        )
    return network


def _dtype(dtype: Any) -> torch.dtype | None:
    """A dtype of torch, of numpy, or by its name."""
    if dtype is None:
        return None
    found = _DTYPES.get(str(dtype).removeprefix("torch."))
    if found is None and isinstance(dtype, type) and issubclass(dtype, np.floating):
        found = _DTYPES.get(dtype.__name__)
    if found is None:
        raise BadSetting(f"bounds are computed in torch.float32 or torch.float64, got {dtype!r}")
    return found


def _batchless(network: Network, box: Box) -> str:
    whole = tuple(int(n) for n in box.lower.shape)
    return "give a batch axis: lower[None] and upper[None]" if whole == network.input_shape else ""


def _accept(
    network: Network,
    box: Box,
    objectives: Array | None,
    dtype: torch.dtype | None,
    device: str | torch.device | None,
) -> tuple[Box, Tensor]:
    """The arguments as tensors of one dtype and device, or a clear error."""
    if box.shape != network.input_shape:
        raise BadShape(
            f"the network takes inputs of shape {network.input_shape}, the box has samples of "
            f"shape {box.shape}",
            _batchless(network, box),
        )
    if box.batch == 0:
        raise BadShape("the box holds no samples")
    if device is None:
        device = box.lower.device if isinstance(box.lower, Tensor) else "cpu"
    device = find_device(device)
    own = box.lower.dtype
    if dtype is None and str(own).split(".")[-1] not in ("float32", "float64"):
        raise BadSetting(
            f"bounds are not computed in {own}", "give `dtype=float32` or `dtype=float64`"
        )
    box = tensor_box(box, dtype=dtype, device=device)
    outputs = prod(network.output_shape)
    if objectives is None:
        return box, torch.eye(outputs, dtype=box.lower.dtype, device=device).unsqueeze(0)
    rows = torch.as_tensor(objectives).to(device=device, dtype=box.lower.dtype)
    if rows.ndim == 2:
        rows = rows.unsqueeze(0)
    if rows.ndim != 3 or rows.shape[2] != outputs or rows.shape[0] not in (1, box.batch):
        raise BadShape(
            f"objectives of shape {tuple(rows.shape)} do not fit {box.batch} samples and "
            f"{outputs} outputs: expected [rows, {outputs}] or [{box.batch}, rows, {outputs}]"
        )
    if rows.shape[1] == 0 or not bool(torch.isfinite(rows).all()):
        raise BadShape("objectives need at least one row and finite coefficients")
    return box, rows


def _tracked(network: Network, box: Box, objectives: Tensor) -> bool:
    """True where a tensor among them requires gradients."""
    tensors = [box.lower, box.upper, objectives, *(values for _, values in network.arrays())]
    return any(values.requires_grad for values in tensors)


def _checked(
    part: Enclosure, method: Method, first: int, allowed: Callable[[], Tensor]
) -> Enclosure:
    """The enclosure with its ends in order, or an error: NaN never becomes a claim.

    ``allowed`` is how far rounding may move an end, asked for only where something is amiss.
    """
    lower, upper = part.lower, part.upper
    for name, end in (("lower", lower), ("upper", upper)):
        finite = torch.isfinite(end)
        if not bool(finite.all()):
            sample, row = (int(i) for i in (~finite).nonzero()[0])
            raise Unbounded(
                f"method {method.name} cannot bound objective {row} of sample {first + sample}: "
                f"its {name} end overflows {end.dtype}, so it is unbounded",
                remedy_of_overflow(end.dtype),
            )
    size, what = lower.abs() + upper.abs(), f"method {method.name} returned"
    if bool((lower > upper).any()):
        most = _allowed(part, method, allowed)
        check_rounding(lower - upper, most, size, f"{what} a lower bound above its upper bound")
    # Ends of a very thin interval can cross by rounding; their hull keeps what both have proven.
    lower, upper = torch.minimum(lower, upper), torch.maximum(lower, upper)
    if part.inner is not None:
        # What is attained lies inside by more than rounding, or the proof is wrong.
        below, above = part.inner.lower, part.inner.upper
        outside = torch.maximum(lower - below, above - upper)
        if not bool((outside <= 0).all()):
            most = _allowed(part, method, allowed)
            broken = f"{what} bounds that an input it found itself breaks"
            check_rounding(outside, most, size, broken)
        lower, upper = torch.minimum(lower, below), torch.maximum(upper, above)
    return Enclosure(lower, upper, **{f.name: getattr(part, f.name) for f in fields(part)[2:]})


def _require_domains(network: Network, box: Box) -> None:
    """Raise where an interval leaves what a function is defined on, and name the node."""

    def see(position: int, bounds: Interval) -> None:
        for reader in network.consumers[position]:
            node = network.nodes[reader]
            require_defined(node.operator, *bounds, node.name)

    interval_bounds(network, (box.lower, box.upper), keep=(), seen=see)


def _allowed(part: Enclosure, method: Method, allowed: Callable[[], Tensor]) -> Tensor:
    """The most that two ends may cross: both of their roundings, and a solver's tolerances."""
    most = 2 * allowed()
    if method.guarantee <= Guarantee.SOLVER:
        most = most + _SOLVER_SHARE * (1 + part.lower.abs() + part.upper.abs())
    return most


def _joined(parts: list[Enclosure], proof: bool) -> Enclosure:
    if len(parts) == 1:
        return parts[0]

    def cat(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else torch.cat(values)

    inner = None
    if parts[0].inner is not None:
        inner = Box(
            torch.cat([p.inner.lower for p in parts if p.inner]),
            torch.cat([p.inner.upper for p in parts if p.inner]),
        )
    certificate: Any = [p.certificate for p in parts]
    if proof:
        certificate = joined(certificate, [len(part.lower) for part in parts])
    elif certificate[0] is None:
        certificate = None
    return Enclosure(
        cat("lower"),
        cat("upper"),
        inner=inner,
        witness_lower=cat("witness_lower"),
        witness_upper=cat("witness_upper"),
        optimal=cat("optimal"),
        unstable=cat("unstable"),
        certificate=certificate,
        guarantee=min((p.guarantee for p in parts if p.guarantee is not None), default=None),
        stopped=any(part.stopped for part in parts),
    )


def _provenance(network: Network, box: Box, method: Method, seconds: float) -> Provenance:
    return Provenance(
        method=method.name,
        settings=settings_of(method),
        network=network,
        box=box,
        dtype=str(box.lower.dtype).removeprefix("torch."),
        device=str(box.lower.device),
        seconds=seconds,
        versions=versions(),
    )
