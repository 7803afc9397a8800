"""Cells of recurrent layers, step by step, as both importers write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sensverify.formats.graph import Graph, negated
from sensverify.formats.products import product
from sensverify.network.operators import Add, Affine, Clip, Elementwise, Scale

State = tuple[int, ...]
"""Nodes that a step hands to the next one: first its output, of an LSTM the cell's value beside."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Cell:
    """One direction of a recurrent layer: what enters its gates, by their names.

    Parameters
    ----------
    step : callable
        `lstm`, `gru` or `plain`.
    input, hidden : mapping of str to Affine
        ``W x + b`` and ``R h + b`` of every gate.
    functions : tuple of Elementwise
        Those of the gates, of what is new, and of an LSTM's value when it leaves.
    clip : Clip, optional
        What stands before the functions of the gates and of what is new.
    peepholes : mapping of str to Scale
        What the value of an LSTM adds to its gates.
    reset_last : bool
        A GRU resets ``R h + b`` rather than ``h``.
    """

    step: Step
    input: Mapping[str, Affine]
    hidden: Mapping[str, Affine]
    functions: tuple[Elementwise, ...]
    clip: Clip | None = None
    peepholes: Mapping[str, Scale] = field(default_factory=dict)
    reset_last: bool = True

    def summed(self, graph: Graph, gate: str, x: int, h: int, value: int | None = None) -> int:
        """The sum that enters the function of one gate."""
        terms = [graph.emit(self.input[gate], x), graph.emit(self.hidden[gate], h)]
        if value is not None and gate in self.peepholes:
            terms.append(graph.emit(self.peepholes[gate], value))
        return graph.emit(Add(), *terms)

    def activated(self, graph: Graph, which: int, node: int) -> int:
        """A gate's function, behind the clip."""
        if self.clip is not None:
            node = graph.emit(self.clip, node)
        return graph.emit(self.functions[which], node)


Step = Callable[[Graph, Cell, int, State], State]


def outputs_of(
    graph: Graph, cell: Cell, rows: Sequence[int], state: State, *, backwards: bool
) -> tuple[list[int], State]:
    """The output beside every row of a sequence, and the state after the last one that is read."""
    turn = -1 if backwards else 1
    outputs = []
    for row in rows[::turn]:
        state = cell.step(graph, cell, row, state)
        outputs.append(state[0])
    return outputs[::turn], state


def lstm(graph: Graph, cell: Cell, x: int, state: State) -> State:
    """``c' = f c + i tanh(g)`` and ``h' = o tanh(c')``: gates input, forget, cell and output."""
    h, c = state
    enter, forget = (
        cell.activated(graph, 0, cell.summed(graph, gate, x, h, c)) for gate in ("input", "forget")
    )
    new = cell.activated(graph, 1, cell.summed(graph, "cell", x, h))
    c = graph.emit(Add(), product(graph, forget, c), product(graph, enter, new))
    leave = cell.activated(graph, 0, cell.summed(graph, "output", x, h, c))
    return product(graph, leave, graph.emit(cell.functions[2], c)), c


def gru(graph: Graph, cell: Cell, x: int, state: State) -> State:
    """``h' = n + z (h - n)``: gates reset, update z and new n."""
    (h,) = state
    reset, update = (
        cell.activated(graph, 0, cell.summed(graph, gate, x, h)) for gate in ("reset", "update")
    )
    if cell.reset_last:
        old = product(graph, reset, graph.emit(cell.hidden["new"], h))
    else:
        old = graph.emit(cell.hidden["new"], product(graph, reset, h))
    entering = graph.emit(Add(), graph.emit(cell.input["new"], x), old)
    new = cell.activated(graph, 1, entering)
    apart = graph.emit(Add(), h, negated(graph, new))
    return (graph.emit(Add(), new, product(graph, update, apart)),)


def plain(graph: Graph, cell: Cell, x: int, state: State) -> State:
    """``h' = f(W x + R h + b)``: one gate, new."""
    return (cell.activated(graph, 0, cell.summed(graph, "new", x, state[0])),)
