"""ATen recurrent layers, written out step by step: as many as the sequence is long."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from sensverify.formats.cells import Cell, Step, gru, lstm, outputs_of, plain
from sensverify.formats.modules.emitting import Emitter, Variable, rule
from sensverify.formats.modules.expressions import Expression
from sensverify.network.operators import Affine, Concat, Elementwise, Relu, Sigmoid, Tanh


@dataclass(frozen=True)
class _Kind:
    """A kind of layer: its gates in the order of their weights, and their functions."""

    step: Step
    gates: tuple[str, ...]
    functions: tuple[Elementwise, ...]


_KINDS = {
    "lstm": _Kind(lstm, ("input", "forget", "cell", "output"), (Sigmoid(), Tanh(), Tanh())),
    "gru": _Kind(gru, ("reset", "update", "new"), (Sigmoid(), Tanh())),
    "rnn_tanh": _Kind(plain, ("new",), (Tanh(),)),
    "rnn_relu": _Kind(plain, ("new",), (Relu(),)),
}


@rule("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(
    emit: Emitter,
    input: Variable,
    hx: Any,
    params: list[Any],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> list[Variable]:
    """All outputs, and the last state of every layer and direction."""
    if not batch_first or len(input.shape) != 2:
        emit.refuse("has the sequence in front of the batch", "use batch_first=True")
    if train and dropout:
        emit.refuse("drops out at random in evaluation too")
    kind = _KINDS[emit.operator]
    given = hx if isinstance(hx, list | tuple) else [hx]
    directions, each = 1 + bidirectional, 4 if has_biases else 2
    if len(params) != each * directions * num_layers:
        emit.refuse("projects its state, which is not supported")
    rows = [_row(emit, input, t) for t in range(input.shape[0])]
    for layer in range(num_layers):
        columns = []
        for direction in range(directions):
            place = layer * directions + direction
            own = params[each * place : each * (place + 1)]
            state = tuple(_initial(emit, part, place) for part in given)
            cell = _cell(emit, kind, own)
            columns.append(outputs_of(emit, cell, rows, state, backwards=direction == 1)[0])
        rows = [
            pair[0] if len(pair) == 1 else emit.emit(Concat(0), *pair)
            for pair in zip(*columns, strict=True)
        ]
    outputs = _stacked(emit, [emit.node(row) for row in rows])
    # Torch puts the layers in front of the batch; whoever reads that meets a refusal.
    return [outputs, *(None for _ in given)]  # type: ignore[list-item]


def _cell(emit: Emitter, kind: _Kind, own: list[Any]) -> Cell:
    """The cell of one direction, whose weights stay those of the module."""
    return Cell(
        step=kind.step,
        input=_gates(emit, kind, own[0::2]),
        hidden=_gates(emit, kind, own[1::2]),
        functions=kind.functions,
    )


def _gates(emit: Emitter, kind: _Kind, own: list[Any]) -> dict[str, Affine]:
    """The terms that one side of a cell adds to its gates."""
    count = len(kind.gates)
    arrays = [emit.array(values) for values in own]
    return {
        gate: Affine(
            *(Expression.of(lambda v, i=i: v.chunk(count)[i], values) for values in arrays)
        )
        for i, gate in enumerate(kind.gates)
    }


def _initial(emit: Emitter, given: Any, place: int) -> int:
    """The state that a layer begins with, the same for every sample."""
    if isinstance(given, Variable):
        emit.refuse("begins with a state that is computed from the input, which is not supported")
    rows = Expression.of(lambda values: values[place], emit.array(given))
    return emit.as_variable(emit.sample(rows), rows.shape[1:]).position


def _row(emit: Emitter, sequence: Variable, time: int) -> int:
    places = np.arange(prod(sequence.shape)).reshape(sequence.shape)
    return emit.select(sequence, places[time]).position


def _stacked(emit: Emitter, rows: list[Variable]) -> Variable:
    """The outputs as a sequence again."""
    if len(rows) == 1:
        return emit.reshape(rows[0], (1, *rows[0].shape))
    return emit.add(Concat(0), *(emit.reshape(row, (1, *row.shape)) for row in rows))
