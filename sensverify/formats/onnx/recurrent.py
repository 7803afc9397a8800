"""ONNX recurrent layers and loops of a fixed length, written out step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto

from sensverify.formats.onnx.activations import clipped
from sensverify.formats.onnx.arithmetic import negated, total
from sensverify.formats.onnx.bilinear import times
from sensverify.formats.onnx.call import Call, Result, Value, ValueSequence, Variable, handles
from sensverify.formats.onnx.lowering import (
    activated,
    multiplied,
    rearranged,
    reshaped,
    scaled,
    transposed,
)
from sensverify.formats.onnx.shapes import concatenated
from sensverify.network.operators import Elementwise, Relu, Sigmoid, Tanh

_FUNCTIONS: dict[bytes, Callable[[], Elementwise]] = {
    b"Relu": Relu,
    b"Sigmoid": Sigmoid,
    b"Tanh": Tanh,
}

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

LONGEST = 1000
"""Steps that a loop may take."""


@dataclass(frozen=True, eq=False)
class _Weights:
    """One direction: ``input [gates, hidden, inputs]``, ``hidden``, and their shifts.

    ``peepholes`` is ``[3, hidden]``, of an LSTM alone.
    """

    input: np.ndarray
    hidden: np.ndarray
    shifts: tuple[np.ndarray, np.ndarray] | None
    peepholes: np.ndarray | None
    functions: tuple[Callable[[], Elementwise], ...]
    clip: float | None

    def of_input(self, call: Call, gate: int, x: Variable) -> Variable:
        """``W x + b`` of one gate."""
        return multiplied(call, x, self.input[gate], self._shift(0, gate))

    def of_hidden(self, call: Call, gate: int, h: Variable) -> Variable:
        """``R h + b`` of one gate."""
        return multiplied(call, h, self.hidden[gate], self._shift(1, gate))

    def gate(self, call: Call, gate: int, x: Variable, h: Variable, *more: Value) -> Variable:
        """The sum that enters the function of one gate."""
        terms: list[Value] = [self.of_input(call, gate, x), self.of_hidden(call, gate, h), *more]
        return call.as_variable(total(call, terms))

    def function(self, call: Call, which: int, value: Variable) -> Variable:
        """A gate's function, behind the clip."""
        if self.clip is not None:
            value = clipped(call, value, -self.clip, self.clip)
        return activated(call, value, self.functions[which]())

    def _shift(self, side: int, gate: int) -> np.ndarray | None:
        return None if self.shifts is None else self.shifts[side][gate]


Step = Callable[[Call, _Weights, Variable, tuple[Variable, ...]], tuple[Variable, ...]]


@handles(*GATES)
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
    directions = {b"forward": (1,), b"reverse": (-1,), b"bidirectional": (1, -1)}
    turns = directions[call.attribute("direction", b"forward")]
    weights = _weights(call, len(turns))
    size = weights[0].hidden.shape[-1]
    steps: Step = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}[call.operator_type]
    columns: list[list[Variable]] = []
    last: list[tuple[Variable, ...]] = []
    for place, turn in enumerate(turns):
        state = _initial(call, place, len(turns), batch, size, bool(layout))
        rows = []
        for time in range(length)[::turn]:
            state = steps(call, weights[place], _entry(call, x, time), state)
            rows.append(state[0])
        columns.append(rows[::turn])
        last.append(state)
    stacked = [_stacked(call, [column[t] for column in columns]) for t in range(length)]
    outputs = [_stacked(call, stacked)]
    outputs += [_stacked(call, [each[i] for each in last]) for i in range(len(last[0]))]
    if layout:
        axes = [(2, 0, 1, 3), *[(1, 0, 2)] * (len(outputs) - 1)]
        outputs = [transposed(call, v, a) for v, a in zip(outputs, axes, strict=True)]
    return outputs


def _lstm(
    call: Call, weights: _Weights, x: Variable, state: tuple[Variable, ...]
) -> tuple[Variable, ...]:
    """Gates in the order input, output, forget, cell."""
    h, c = state
    peep: list[list[Value]] = [[], [], []]
    if weights.peepholes is not None:
        for k in (0, 2):
            peep[k] = [scaled(call, c, weights.peepholes[k])]
    enter = weights.function(call, 0, weights.gate(call, 0, x, h, *peep[0]))
    forget = weights.function(call, 0, weights.gate(call, 2, x, h, *peep[2]))
    cell = weights.function(call, 1, weights.gate(call, 3, x, h))
    kept: list[Value] = [times(call, forget, c), times(call, enter, cell)]
    c = call.as_variable(total(call, kept))
    if weights.peepholes is not None:
        peep[1] = [scaled(call, c, weights.peepholes[1])]
    leave = weights.function(call, 0, weights.gate(call, 1, x, h, *peep[1]))
    return times(call, leave, activated(call, c, weights.functions[2]())), c


def _gru(
    call: Call, weights: _Weights, x: Variable, state: tuple[Variable, ...]
) -> tuple[Variable, ...]:
    """Gates in the order update, reset, hidden."""
    (h,) = state
    update = weights.function(call, 0, weights.gate(call, 0, x, h))
    reset = weights.function(call, 0, weights.gate(call, 1, x, h))
    if call.attribute("linear_before_reset", 0):
        old = times(call, reset, weights.of_hidden(call, 2, h))
    else:
        old = weights.of_hidden(call, 2, times(call, reset, h))
    terms: list[Value] = [weights.of_input(call, 2, x), old]
    new = weights.function(call, 1, call.as_variable(total(call, terms)))
    # (1 - z) n + z h = n + z (h - n)
    apart = call.as_variable(total(call, [h, negated(call, new)]))
    return (call.as_variable(total(call, [new, times(call, update, apart)])),)


def _rnn(
    call: Call, weights: _Weights, x: Variable, state: tuple[Variable, ...]
) -> tuple[Variable, ...]:
    return (weights.function(call, 0, weights.gate(call, 0, x, state[0])),)


def _weights(call: Call, directions: int) -> list[_Weights]:
    gates = GATES[call.operator_type]
    inputs, hidden = call.constant(1, "the weights"), call.constant(2, "the weights")
    shifts, size = call.optional_constant(3, "the shifts"), hidden.shape[-1]
    peepholes = None if gates != 4 else call.optional_constant(7, "the peepholes")
    if call.attribute("hidden_size", size) != size or hidden.shape != (
        directions,
        gates * size,
        size,
    ):
        raise call.invalid(f"weights of shape {hidden.shape} do not fit")
    if call.attribute("input_forget", 0):
        raise call.refusal("coupled gates are not supported")
    clip = call.attribute("clip")
    defaults = {"LSTM": [b"Sigmoid", b"Tanh", b"Tanh"], "GRU": [b"Sigmoid", b"Tanh"]}
    own = defaults.get(call.operator_type, [b"Tanh"])
    names = call.attribute("activations") or own * directions
    if len(names) != len(own) * directions or not set(names) <= set(_FUNCTIONS):
        shown = ", ".join(name.decode(errors="replace") for name in names)
        raise call.refusal(f"the functions {shown} are not supported; Sigmoid, Tanh and Relu are")
    found = []
    for k in range(directions):
        pair = None
        if shifts is not None:
            first, second = shifts[k].reshape(2, gates, size)
            pair = (first, second)
        peep = None if peepholes is None else peepholes[k].reshape(3, size)
        functions = tuple(_FUNCTIONS[n] for n in names[k * len(own) : (k + 1) * len(own)])
        matrices = (inputs[k].reshape(gates, size, -1), hidden[k].reshape(gates, size, size))
        found.append(_Weights(*matrices, pair, peep, functions, clip))
    return found


def _initial(
    call: Call, place: int, directions: int, batch: int, size: int, layout: bool
) -> tuple[Variable, ...]:
    """The state that a direction begins with: zeros, or what is given."""
    found = []
    for index in (5, 6) if call.operator_type == "LSTM" else (5,):
        value = call.optional(index)
        if value is None:
            value = np.zeros((directions, batch, size), call.dtype)
        elif layout:
            value = transposed(call, value, (1, 0, 2))
        found.append(_entry(call, call.as_variable(value), place))
    return tuple(found)


def _entry(call: Call, value: Variable, place: int) -> Variable:
    """One entry of the first axis, which disappears."""
    return call.as_variable(rearranged(call, value, lambda values: values[place]))


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
