"""From a module to a graph of ATen operators, with nothing of the module changed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.export import ExportedProgram, export

from sensverify.errors import UnsupportedOperator
from sensverify.formats.modules.emitting import Shape


def trace(module: nn.Module, input_shape: Shape, batch: int) -> ExportedProgram:
    """The module's evaluation-mode graph over a batch of inputs, free of in-place operators."""
    example = _example(module, (batch, *input_shape))
    with evaluating(module), _quiet(), warnings.catch_warnings():
        # torch warns about its own use of what it has deprecated.
        warnings.simplefilter("ignore")
        try:
            program = export(module, (example,), strict=False)
            if any(_mutates(node) for node in program.graph.nodes):
                program = program.run_decompositions({})
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise UnsupportedOperator(
                f"cannot trace the module {type(module).__name__} for inputs of shape "
                f"{tuple(input_shape)}: {reason[0]}; it must run on one tensor "
                "[batch, *input_shape] for any batch size, without control flow on values"
            ) from error
    if changed := sorted(program.graph_signature.buffers_to_mutate.values()):
        raise UnsupportedOperator(
            f"the module {type(module).__name__} changes its buffer '{changed[0]}' in evaluation "
            "too, so that it is another function at every call; bounds hold for one fixed function"
        )
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch writes about a failure before it raises: the error says it."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode; every part gets its own flag back.

    The flags are set directly: ``eval()`` and ``train()`` may be overridden, and ``train()`` would
    set every part alike.
    """
    flags = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in flags:
            part.training = False
        yield
    finally:
        for part, flag in flags:
            part.training = flag


def _example(module: nn.Module, shape: Shape) -> torch.Tensor:
    state = [*module.parameters(), *module.buffers()]
    floats = [values for values in state if values.is_floating_point()]
    dtype = floats[0].dtype if floats else torch.get_default_dtype()
    device = floats[0].device if floats else "cpu"
    # Left uninitialised, the memory is never touched: the values play no part in the trace.
    return torch.empty(shape, dtype=dtype, device=device)


def _mutates(node: torch.fx.Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    # Literal tensors are detached in place; that alone changes no value.
    return schema is not None and schema.is_mutable and schema.name != "aten::detach_"
