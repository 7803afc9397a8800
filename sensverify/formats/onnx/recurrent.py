"""ONNX recurrent layers and loops of a fixed length, written out step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto

from sensverify.formats.cells import Cell, State, Step, gru, lstm, outputs_of, plain
from sensverify.formats.onnx.call import Call, Result, Value, ValueSequence, Variable, handles
from sensverify.formats.onnx.lowering import rearranged, reshaped, transposed
from sensverify.formats.onnx.shapes import concatenated
from sensverify.network.operators import Affine, Clip, Elementwise, Relu, Scale, Sigmoid, Tanh

_FUNCTIONS: dict[bytes, Elementwise] = {b"Relu": Relu(), b"Sigmoid": Sigmoid(), b"Tanh": Tanh()}


@dataclass(frozen=True)
class _Kind:
    """A kind of layer: its gates in the order of their weights, and the functions it has."""

    step: Step
    gates: tuple[str, ...]
    functions: tuple[bytes, ...]


_KINDS = {
    "LSTM": _Kind(lstm, ("input", "output", "forget", "cell"), (b"Sigmoid", b"Tanh", b"Tanh")),
    "GRU": _Kind(gru, ("update", "reset", "new"), (b"Sigmoid", b"Tanh")),
    "RNN": _Kind(plain, ("new",), (b"Tanh",)),
}

LONGEST = 1000
"""Steps that a loop may take."""


@handles(*_KINDS)
def recurrent(call: Call) -> Sequence[Result]:
    """An LSTM, a GRU or a plain recurrent layer, as many steps as the input is long."""
    layout = int(call.attribute("layout", 0))
    x = call.variable(0)
    if len(x.shape) != 3:
        raise call.invalid(f"expected a sequence of batches of vectors, got {x.shape}")
    if layout:
        x = transposed(call, x, (1, 0, 2))  # type: ignore[assignment]
    length, batch, _ = x.shape
    lengths = call.optional_constant(4, "the lengths")
    if lengths is not None and not (lengths == length).all():
        raise call.refusal("sequences shorter than the input are not supported")
    directions = {b"forward": (False,), b"reverse": (True,), b"bidirectional": (False, True)}
    turns = directions[call.attribute("direction", b"forward")]
    rows = [_entry(call, x, time) for time in range(length)]
    columns: list[list[int]] = []
    last: list[State] = []
    for place, (cell, backwards) in enumerate(zip(_cells(call, len(turns)), turns, strict=True)):
        state = _initial(call, place, len(turns), batch, layout=bool(layout))
        outputs, state = outputs_of(call, cell, rows, state, backwards=backwards)
        columns.append(outputs)
        last.append(state)
    stacked = [_stacked(call, _variables(call, step)) for step in zip(*columns, strict=True)]
    found = [_stacked(call, stacked)]
    found += [_stacked(call, _variables(call, part)) for part in zip(*last, strict=True)]
    if layout:
        axes = [(2, 0, 1, 3), *[(1, 0, 2)] * (len(found) - 1)]
        found = [transposed(call, v, a) for v, a in zip(found, axes, strict=True)]
    return found


def _cells(call: Call, directions: int) -> list[Cell]:
    """The cell of every direction."""
    kind = _KINDS[call.operator_type]
    count, inputs, hidden = len(kind.gates), *(call.constant(i, "the weights") for i in (1, 2))
    shifts, size = call.optional_constant(3, "the shifts"), hidden.shape[-1]
    peepholes = call.optional_constant(7, "the peepholes") if kind.step is lstm else None
    if call.attribute("hidden_size", size) != size or hidden.shape != (
        directions,
        count * size,
        size,
    ):
        raise call.invalid(f"weights of shape {hidden.shape} do not fit")
    if call.attribute("input_forget", 0):
        raise call.refusal("coupled gates are not supported")
    clip = _clip(call)
    reset_last = kind.step is gru and bool(call.attribute("linear_before_reset", 0))
    functions = _functions(call, kind, directions)
    both: list[list[np.ndarray | None]] = [[None] * 2] * directions
    if shifts is not None:
        both = [list(shifts[k].reshape(2, count * size)) for k in range(directions)]
    return [
        Cell(
            step=kind.step,
            input=_gates(kind, inputs[k], both[k][0]),
            hidden=_gates(kind, hidden[k], both[k][1]),
            functions=functions[k],
            peepholes={} if peepholes is None else _peepholes(call, peepholes[k]),
            clip=clip,
            reset_last=reset_last,
        )
        for k in range(directions)
    ]


def _gates(kind: _Kind, weights: np.ndarray, shifts: np.ndarray | None) -> dict[str, Affine]:
    """The terms that one side of a cell adds to its gates."""
    count = len(kind.gates)
    parts = [None] * count if shifts is None else list(shifts.reshape(count, -1))
    rows = weights.reshape(count, -1, weights.shape[-1])
    return {gate: Affine(rows[i], parts[i]) for i, gate in enumerate(kind.gates)}


def _peepholes(call: Call, values: np.ndarray) -> dict[str, Scale]:
    gates = ("input", "output", "forget")
    return {g: Scale(call.real(v)) for g, v in zip(gates, values.reshape(3, -1), strict=True)}


def _clip(call: Call) -> Clip | None:
    most = call.attribute("clip")
    if most is None or most == np.inf:
        return None
    if not most > 0:
        raise call.invalid(f"cannot clip to [{-most}, {most}]")
    return Clip(-most, most)


def _functions(call: Call, kind: _Kind, directions: int) -> list[tuple[Elementwise, ...]]:
    """The functions of every direction."""
    count = len(kind.functions)
    names = call.attribute("activations") or kind.functions * directions
    if len(names) != count * directions or not set(names) <= set(_FUNCTIONS):
        shown = ", ".join(name.decode(errors="replace") for name in names)
        raise call.refusal(f"the functions {shown} are not supported; Sigmoid, Tanh and Relu are")
    found = [_FUNCTIONS[name] for name in names]
    return [tuple(found[k * count : (k + 1) * count]) for k in range(directions)]


def _initial(call: Call, place: int, directions: int, batch: int, *, layout: bool) -> State:
    """The state that a direction begins with: zeros, or what is given."""
    found = []
    for index in (5, 6) if call.operator_type == "LSTM" else (5,):
        value = call.optional(index)
        if value is None:
            size = call.constant(2, "the weights").shape[-1]
            value = np.zeros((directions, batch, size), call.dtype)
        elif layout:
            value = transposed(call, value, (1, 0, 2))
        found.append(_entry(call, value, place))
    return tuple(found)


def _entry(call: Call, value: Value, place: int) -> int:
    """A node of one entry of the first axis, which disappears."""
    entry = call.as_variable(rearranged(call, value, lambda values: values[place]))
    return call.node_of(entry, entry.shape)


def _variables(call: Call, nodes: Sequence[int]) -> list[Value]:
    return [Variable(node, call.shape(node)) for node in nodes]


def _stacked(call: Call, values: Sequence[Value]) -> Any:
    """Values along a new first axis."""
    return concatenated(call, [reshaped(call, v, (1, *v.shape)) for v in values], 0)


@handles("Loop", folds=True)
def loop(call: Call) -> Sequence[Result]:
    """A graph that is repeated a constant number of times, or while a constant condition holds."""
    count = call.optional_constant(0, "the number of steps")
    condition = call.optional_constant(1, "the condition")
    body: GraphProto = call.attribute("body")
    assert call.walk is not None, "only the output itself has no way into graphs"
    carried: list[Result] = []
    for value in call.inputs[2:]:
        if value is None:
            raise call.invalid("what the loop begins with is missing")
        carried.append(value)
    scans: list[list[Value]] = [[] for _ in range(call.outputs - len(carried))]
    going, done = condition is None or bool(condition.reshape(())), 0
    while going and (count is None or done < int(count.reshape(()))):
        if done >= LONGEST:
            raise call.refusal(f"a loop of more than {LONGEST} steps is not written out")
        arguments: list[Result] = [np.array(done, np.int64), np.array(True), *carried]
        (proceed, *results), _ = call.walk(body, arguments)
        if not isinstance(proceed, np.ndarray):
            raise call.refusal("whether it goes on depends on the network's input")
        going, done = bool(proceed.reshape(())), done + 1
        carried = results[: len(carried)]
        for scan, value in zip(scans, results[len(carried) :], strict=True):
            if isinstance(value, ValueSequence):
                raise call.invalid("the graph makes a sequence; expected arrays")
            scan.append(value)
    if any(not scan for scan in scans) and not done:
        raise call.refusal("a loop of no steps that collects values is not supported")
    return [*carried, *(_stacked(call, scan) for scan in scans)]


@handles("Scan", folds=True)
def scan(call: Call) -> Sequence[Result]:
    """A graph that is applied to every entry along the first axis of its inputs."""
    body: GraphProto = call.attribute("body")
    read = int(call.attribute("num_scan_inputs"))
    states = len(call.inputs) - read
    turned = [call.attribute(f"scan_{side}_directions") or [] for side in ("input", "output")]
    axes = [call.attribute(f"scan_{side}_axes") or [] for side in ("input", "output")]
    if any(any(part) for part in (*turned, *axes)):
        raise call.refusal("only scans forward along the first axis are supported")
    assert call.walk is not None, "only the output itself has no way into graphs"
    carried: list[Result] = [call.input(i) for i in range(states)]
    sources = [call.input(i) for i in range(states, len(call.inputs))]
    lengths = {value.shape[0] for value in sources}
    if len(lengths) != 1 or not 0 < min(lengths) <= LONGEST:
        raise call.invalid(f"cannot scan lengths {sorted(lengths)}")
    collected: list[list[Value]] = [[] for _ in range(call.outputs - states)]
    for place in range(min(lengths)):
        entries = [rearranged(call, v, lambda values, k=place: values[k]) for v in sources]  # type: ignore[misc]
        results, _ = call.walk(body, [*carried, *entries])
        carried = results[:states]
        for column, value in zip(collected, results[states:], strict=True):
            if isinstance(value, ValueSequence):
                raise call.invalid("the graph makes a sequence; expected arrays")
            column.append(value)
    return [*carried, *(_stacked(call, column) for column in collected)]
