"""Trace of a module: a graph of ATen operators, with nothing of the module changed."""

from __future__ import annotations

import logging
import re
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.export import ExportedProgram, default_decompositions, export
from torch.fx import GraphModule, Node

from sensverify.errors import UnsupportedOperator
from sensverify.formats.modules.attending import batch_first
from sensverify.formats.modules.emitting import Shape
from sensverify.formats.modules.masks import SettledMasks


def trace(
    module: nn.Module, input_shape: Shape, batch: int, known: frozenset[str]
) -> ExportedProgram:
    """The module's evaluation-mode graph over a batch of inputs, free of in-place operators.

    Operators that are not among the ``known`` names are written out by torch, as far as it can.
    """
    example = _example(module, (batch, *input_shape))
    with evaluating(module), _quiet(), warnings.catch_warnings():
        # torch warns about its own use of what it has deprecated.
        warnings.simplefilter("ignore")
        try:
            with SettledMasks(module), batch_first(module):
                program = export(module, (example,), strict=False)
            if any(_mutates(node) for node in _nodes(program)):
                program = program.run_decompositions({})
            program = _written_out(program, known)
        except Exception as error:
            raise _untraceable(module, input_shape, error) from error
    if changed := sorted(program.graph_signature.buffers_to_mutate.values()):
        raise UnsupportedOperator(
            f"the module {type(module).__name__} changes its buffer '{changed[0]}' in evaluation "
            "too, so that it is another function at every call; bounds hold for one fixed function"
        )
    return program


def _written_out(program: ExportedProgram, known: frozenset[str]) -> ExportedProgram:
    """Operators without a rule replaced by what torch composes them of."""
    tried: set[Any] = set()
    while True:
        targets = {
            node.target
            for node in _depending(program)
            if isinstance(node.target, OpOverload)
            and node.target._schema.name.split("::")[-1] not in known
        }
        if targets <= tried:
            return program
        # It takes as long as a trace, and most modules need none of it.
        everything = default_decompositions()
        # With an empty table too: what only renames its input is replaced without being asked.
        table = {t: everything[t] for t in targets - tried if t in everything}
        tried |= targets
        program = program.run_decompositions(table)


def _nodes(program: ExportedProgram) -> Iterator[Node]:
    """Calls of operators, those in regions under ``no_grad`` included."""
    for part in program.graph_module.modules():
        if isinstance(part, GraphModule):
            yield from (node for node in part.graph.nodes if node.op == "call_function")


def _depending(program: ExportedProgram) -> Iterator[Node]:
    """The nodes whose values depend on the input, those of regions perhaps."""
    depending = set(program.graph_signature.user_inputs)
    for node in _nodes(program):
        inner = node.graph is not program.graph
        if inner or any(source.name in depending for source in node.all_input_nodes):
            depending.add(node.name)
            yield node


def source_line(node: Node) -> str:
    """``file:line: code`` of the call in the module's own source; empty where unknown."""
    trace = str(node.meta.get("stack_trace") or "")
    found = [
        f"{path}:{line}: {code.strip()}"
        for path, line, code in _FRAME.findall(trace)
        if not path.startswith(_TORCH)
    ]
    return found[-1] if found else ""


_FRAME = re.compile(r'File "([^"]+)", line (\d+), in [^\n]*\n([^\n]*)')
_TORCH = str(Path(torch.__file__).parent)
_PYTHON = str(Path(logging.__file__).parents[1])


def _untraceable(module: nn.Module, input_shape: Shape, error: Exception) -> UnsupportedOperator:
    """The error that says why torch cannot trace a module, and where in its source."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__
        and not frame.filename.startswith((_TORCH, "<eval"))
        and ("-packages" in frame.filename or not frame.filename.startswith(_PYTHON))
    ]
    where = f" at {frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}" if frames else ""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "data-dependent" in reason:
        reason = "a shape or a branch depends on values"
    elif "fake tensor" in reason:
        reason = "torch cannot follow all of it (x.data, say: use x.detach())"
    return UnsupportedOperator(
        f"cannot trace the module {type(module).__name__} for inputs of shape "
        f"{tuple(input_shape)}{where}: {reason}",
        "it must run on one tensor [batch, *input_shape] "
        "for any batch size, without control flow on values, and choose entries by fixed positions",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's log of a failure that it raises: the error says it."""
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
