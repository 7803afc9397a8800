"""ATen recurrent layers, written out step by step: as many as the sequence is long."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from sensverify.formats.modules.arithmetic import times
from sensverify.formats.modules.bilinear import product_of
from sensverify.formats.modules.emitting import Emitter, Variable, rule
from sensverify.formats.modules.expressions import Expression
from sensverify.network.operators import Add, Affine, Concat, Relu, Sigmoid, Tanh

State = tuple[Variable, ...]
Cell = Callable[[Emitter, list[Variable], list[Variable], State], State]


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
    cell, gates = _CELLS[emit.operator]
    given = hx if isinstance(hx, list | tuple) else [hx]
    directions, each = 1 + bidirectional, 4 if has_biases else 2
    if len(params) != each * directions * num_layers:
        emit.refuse("projects its state, which is not supported")
    rows = [_row(emit, input, t) for t in range(input.shape[0])]
    last: list[State] = []
    for layer in range(num_layers):
        columns = []
        for direction in range(directions):
            place = layer * directions + direction
            own = params[each * place : each * (place + 1)]
            state = tuple(_initial(emit, part, place, rows[0]) for part in given)
            turn = -1 if direction else 1
            column = []
            for row in rows[::turn]:
                left = _gates(emit, row, own[0::2], gates)
                state = cell(emit, left, _gates(emit, state[0], own[1::2], gates), state)
                column.append(state[0])
            columns.append(column[::turn])
            last.append(state)
        rows = [
            pair[0] if len(pair) == 1 else emit.add(Concat(0), *pair)
            for pair in zip(*columns, strict=True)
        ]
    outputs = _stacked(emit, rows)
    # Torch puts the layers in front of the batch; whoever reads that meets a refusal.
    return [outputs, *(None for _ in given)]  # type: ignore[list-item]


def _gates(emit: Emitter, x: Variable, own: list[Any], gates: int) -> list[Variable]:
    """``W x + b`` of every gate."""
    weight = own[0]
    bias = own[1] if len(own) > 1 else None
    whole = emit.add(Affine(emit.array(weight), emit.optional_array(bias)), x)
    places = np.arange(whole.shape[0]).reshape(gates, -1)
    return [emit.select(whole, part) for part in places]


def _lstm(emit: Emitter, left: list[Variable], right: list[Variable], state: State) -> State:
    """Gates in the order input, forget, cell, output."""
    sums = [emit.add(Add(), a, b) for a, b in zip(left, right, strict=True)]
    enter, forget, leave = (emit.add(Sigmoid(), sums[k]) for k in (0, 1, 3))
    kept = product_of(emit, forget, state[1])
    c = emit.add(Add(), kept, product_of(emit, enter, emit.add(Tanh(), sums[2])))
    return product_of(emit, leave, emit.add(Tanh(), c)), c


def _gru(emit: Emitter, left: list[Variable], right: list[Variable], state: State) -> State:
    """Gates in the order reset, update, new."""
    reset, update = (emit.add(Sigmoid(), emit.add(Add(), left[k], right[k])) for k in (0, 1))
    new = emit.add(Tanh(), emit.add(Add(), left[2], product_of(emit, reset, right[2])))
    # (1 - z) n + z h = n + z (h - n)
    apart = emit.add(Add(), state[0], times(emit, new, -1.0))
    return (emit.add(Add(), new, product_of(emit, update, apart)),)


def _tanh(emit: Emitter, left: list[Variable], right: list[Variable], state: State) -> State:
    return (emit.add(Tanh(), emit.add(Add(), left[0], right[0])),)


def _relu(emit: Emitter, left: list[Variable], right: list[Variable], state: State) -> State:
    return (emit.add(Relu(), emit.add(Add(), left[0], right[0])),)


_CELLS: dict[str, tuple[Cell, int]] = {
    "lstm": (_lstm, 4),
    "gru": (_gru, 3),
    "rnn_tanh": (_tanh, 1),
    "rnn_relu": (_relu, 1),
}


def _initial(emit: Emitter, given: Any, place: int, like: Variable) -> Variable:
    """The state that a layer begins with, the same for every sample."""
    if isinstance(given, Variable):
        emit.refuse("begins with a state that is computed from the input, which is not supported")
    rows = Expression.of(lambda values: values[place], emit.array(given))
    return emit.as_variable(emit.sample(rows), rows.shape[1:])


def _row(emit: Emitter, sequence: Variable, time: int) -> Variable:
    places = np.arange(prod(sequence.shape)).reshape(sequence.shape)
    return emit.select(sequence, places[time])


def _stacked(emit: Emitter, rows: list[Variable]) -> Variable:
    """The outputs as a sequence again."""
    if len(rows) == 1:
        return emit.reshape(rows[0], (1, *rows[0].shape))
    return emit.add(Concat(0), *(emit.reshape(row, (1, *row.shape)) for row in rows))
