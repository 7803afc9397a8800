"""A network over one box as a program that other optimisers read."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from scipy.sparse import hstack, identity, vstack

from sensverify.bounds.method import PreActivationBounds, Tighten
from sensverify.core.box import Box
from sensverify.core.results import Guarantee
from sensverify.errors import BadBox, MissingRule
from sensverify.formats.programs import Column, Neurons, Program, prefixes
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.solvers.brackets import Brackets
from sensverify.solvers.encoding import SEGMENTS, Encoder, Encoding, Form
from sensverify.solvers.encoding.expression import widened
from sensverify.solvers.encoding.piecewise import ROUNDING
from sensverify.solvers.hidden_layers import prepare
from sensverify.solvers.lp import sample_of
from sensverify.solvers.tightening import tightened


@dataclass(frozen=True)
class Writing:
    """Settings of a program that is written down.

    Parameters
    ----------
    intermediate : method or None
        As of `Milp`.
    tighten : {"none", "lp", "milp"}
        Linear programs prove their bounds; mixed-integer ones, which go on from there, claim them.
    relaxed : bool
        Leave out that binaries are integers.
    threads : int
    segments : int
        As of `Milp`.
    """

    intermediate: PreActivationBounds | None = None
    tighten: Tighten = "none"
    relaxed: bool = False
    threads: int = 1
    segments: int = SEGMENTS

    @property
    def guarantee(self) -> Guarantee:
        """The guarantee of the bounds that go into the program."""
        return Guarantee.SOLVER if self.tighten == "milp" else Guarantee.SOUND


def network_program(network: Network, box: Box, writing: Writing, watch: Watch) -> Program:
    """The program of a network over one box, with a column for every input and output.

    Parameters
    ----------
    network : Network
        Simplified, with tensors.
    box : Box of tensors, shape ``[1, *input_shape]``
    writing : Writing
    watch : Watch
        Tightening ends when it is over.

    Returns
    -------
    Program
        Without an objective.

    Raises
    ------
    MissingRule
        An operator has no program; names it and its node.
    BadBox
        The box is not one box.
    """
    if box.batch != 1:
        raise BadBox(f"a program is about one box, got {box.batch}", "give one sample")
    outputs = prod(network.output_shape)
    known = Brackets.start(network, box, torch.eye(outputs, dtype=torch.float64)[None])
    hidden = prepare(known, writing.intermediate, watch)
    bounds = sample_of(hidden.pre_activations, 0)
    encoder = Encoder(known.network, writing.segments)
    ends = known.box.lower[0].numpy(), known.box.upper[0].numpy()
    try:
        if writing.tighten != "none":
            args = (encoder, ends)
            bounds = tightened(*args, bounds, watch, integer=False, threads=writing.threads)
            if writing.tighten == "milp" and not writing.relaxed:
                bounds = tightened(*args, bounds, watch, integer=True, threads=writing.threads)
        encoding = encoder.encode(*ends, bounds, Form.RELAXED if writing.relaxed else Form.EXACT)
    except MissingRule as error:
        if writing.relaxed:
            raise
        raise MissingRule(error.problem, "give `relaxed` for its linear relaxation") from None
    proven = known.proven[0].numpy()
    low, high = proven[:outputs], -proven[outputs:]
    return _named(known.network, encoding, _wider(low, high), writing.guarantee)


def _wider(lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends with what rounding may have taken from them, as big-M constants have it."""
    margin = ROUNDING * np.maximum(1e-3, np.maximum(np.abs(lower), np.abs(upper)))
    return lower - margin, upper + margin


def _named(
    network: Network, encoding: Encoding, ends: tuple[np.ndarray, np.ndarray], guarantee: Guarantee
) -> Program:
    """The encoding with names, and with columns that equal the outputs."""
    words = prefixes(node.name for node in network.nodes)
    columns = _columns(network, encoding, words)
    last = network.nodes[-1]
    columns += [
        Column(f"output_{position}", "output", last.name, _index(position, last.shape))
        for position in range(len(encoding.output_offset))
    ]
    problem, outputs = encoding.problem, len(encoding.output_offset)
    before = widened(problem.matrix, problem.columns + outputs)
    matrix = vstack([before, hstack([-encoding.output_matrix, identity(outputs)])], format="csr")
    matrix.eliminate_zeros()
    names = [f"{words[node]}__row_{number}" for number, node in enumerate(encoding.rows)]
    names += [f"output_{position}__row" for position in range(outputs)]
    joined = np.concatenate
    return Program(
        tuple(columns),
        joined([problem.lower, ends[0]]),
        joined([problem.upper, ends[1]]),
        joined([problem.integer, np.zeros(outputs, dtype=bool)]),
        matrix,
        tuple(names),
        joined([problem.row_lower, encoding.output_offset]),
        joined([problem.row_upper, encoding.output_offset]),
        _neurons(network, encoding, words),
        guarantee,
        np.zeros(problem.columns + outputs),
    )


def _columns(network: Network, encoding: Encoding, words: tuple[str, ...]) -> list[Column]:
    """The encoding's columns with the neurons they stand for; those of none are numbered."""
    found, numbers = [], dict[tuple[int, str], int]()
    owners = encoding.columns
    for node, entry, role in zip(
        owners.node.tolist(), owners.entry.tolist(), owners.role, strict=True
    ):
        name = network.nodes[node].name
        if node == 0:
            index = _index(entry, network.input_shape)
            found.append(Column(f"input_{entry}", "input", name, index))
            continue
        if entry < 0:
            number = numbers[node, role] = numbers.get((node, role), -1) + 1
            found.append(Column(f"{words[node]}__{role}_{number}", role, name, ()))
            continue
        shape = network.nodes[network.nodes[node].inputs[0]].shape
        index = _index(entry, shape)
        found.append(Column(f"{words[node]}__{role}_{entry}", role, name, index))
    return found


def _neurons(network: Network, encoding: Encoding, words: tuple[str, ...]) -> tuple[Neurons, ...]:
    found = []
    for position, (lower, upper) in encoding.pre_activations.items():
        node = network.nodes[position]
        shape = network.nodes[node.inputs[0]].shape
        kind = type(node.operator).__name__
        ends = lower.reshape(shape), upper.reshape(shape)
        found.append(Neurons(node.name, kind, words[position], *ends))
    return tuple(found)


def _index(entry: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.unravel_index(entry, shape)) if shape else ()
