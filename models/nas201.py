"""The cells of NAS-Bench-201, by index and by string, and which of them are the same.

Source: Dong & Yang 2020, *NAS-Bench-201: Extending the scope of reproducible neural architecture
search*. Importing this module imports neither numpy nor torch.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from sensverify.errors import BadSetting
from sensverify.registry.names import did_you_mean

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""What an edge does, in the bench's order; ``none`` drops it."""

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Nodes that each edge leads from and to: from the input, 0, to the output, 3."""

COUNT = len(OPERATIONS) ** len(EDGES)
"""Cells: 15,625."""

UNIQUE = 6466
"""Cells that are left where of isomorphic ones, as the bench tells them, one is kept."""

PREFIX = "nas201:"
"""Before an index or a string, in names of architectures and of networks."""

_ORDER = 88
"""Seed of the order in which the bench numbers its cells."""

_STRING = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|", re.ASCII)
_NAMED = re.compile(
    rf"nas201[:-](?:(?P<index>\d{{1,6}})(?!\d)|(?P<string>{_STRING.pattern}))", re.ASCII
)


@dataclass(frozen=True)
class Cell:
    """One cell: four nodes, whose edges carry an operation each.

    Parameters
    ----------
    operations : tuple of str
        Six of `OPERATIONS`, in the order of `EDGES`.
    """

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        for each in self.operations:
            if each not in OPERATIONS:
                raise BadSetting(
                    f"a cell has no operation '{each}'{did_you_mean(each, OPERATIONS)}",
                    f"there are {', '.join(OPERATIONS)}",
                )
        if len(self.operations) != len(EDGES):
            raise BadSetting(f"a cell has six operations, got {len(self.operations)}")

    def __str__(self) -> str:
        """The string that the bench has for it, ``|A~0|+|B~0|C~1|+|D~0|E~1|F~2|``."""
        nodes: dict[int, str] = {}
        for (begin, end), operation in zip(EDGES, self.operations, strict=True):
            nodes[end] = nodes.get(end, "|") + f"{operation}~{begin}|"
        return "+".join(nodes.values())

    @property
    def index(self) -> int:
        """Its place among all, as the bench counts them."""
        return _places()[self.operations]

    @property
    def representative(self) -> int:
        """The lowest index of those that are isomorphic to it, its own among them."""
        return representatives()[self.index]

    @property
    def name(self) -> str:
        """``nas201:INDEX``."""
        return f"{PREFIX}{self.index}"

    def count(self, operation: str) -> int:
        """The number of edges that have an operation."""
        return self.operations.count(operation)


def cell_at(index: int) -> Cell:
    """The cell of an index of the bench.

    Raises
    ------
    BadSetting
        There is none.
    """
    if isinstance(index, bool) or not 0 <= index < COUNT:
        raise BadSetting(
            f"there is no cell {index} of NAS-Bench-201", f"its indices are 0 to {COUNT - 1}"
        )
    return all_cells()[index]


def read_cell(text: str | int) -> Cell:
    """The cell of an index, a string, or a name ``nas201:`` with either.

    Raises
    ------
    BadSetting
        It is none of these.
    """
    if isinstance(text, int):
        return cell_at(text)
    bare = text.strip().removeprefix(PREFIX)
    if re.fullmatch(r"\d{1,6}", bare, re.ASCII):
        return cell_at(int(bare))
    match = _STRING.fullmatch(bare)
    if match is None:
        raise BadSetting(
            f"'{text}' is no cell of NAS-Bench-201",
            f"give an index from 0 to {COUNT - 1}, or a string such as '{cell_at(0)}'",
        )
    return Cell(match.groups())


def cell_in(name: str) -> Cell | None:
    """The cell that a network's name tells: ``nas201:7``, ``nas201-7_adam-seed0``, a string.

    None where it tells of none.

    Raises
    ------
    BadSetting
        It tells of one that does not exist.
    """
    match = _NAMED.match(name)
    if match is not None:
        return read_cell(match["index"] or match["string"])
    match = _STRING.match(name)
    return None if match is None else read_cell(match[0])


@lru_cache(maxsize=1)
def all_cells() -> tuple[Cell, ...]:
    """All cells, by their index.

    The bench makes them node by node, the last edge fastest, and shuffles them once, as Python's
    `random.shuffle` does after ``random.seed(88)``.
    """
    found = [Cell(each) for each in product(OPERATIONS, repeat=len(EDGES))]
    random.Random(_ORDER).shuffle(found)
    return tuple(found)


@lru_cache(maxsize=1)
def representatives() -> tuple[int, ...]:
    """By index: the lowest index of the isomorphic cells."""
    first: dict[str, int] = {}
    return tuple(
        first.setdefault(isomorphism(cell), index) for index, cell in enumerate(all_cells())
    )


def unique_cells() -> tuple[Cell, ...]:
    """One of isomorphic cells each, that of the lowest index, by index: 6,466."""
    return tuple(
        cell
        for index, (cell, first) in enumerate(zip(all_cells(), representatives(), strict=True))
        if index == first
    )


def isomorphism(cell: Cell) -> str:
    """A text that isomorphic cells share, by the bench's own rule.

    A node is the sum of what its edges give, in any order; ``skip_connect`` gives the node that it
    comes from, and ``none``, or an edge from a node that is a single zero, gives the zero ``#``.
    A zero in a sum stays there, and so does a sum of zeros: the rule tells cells apart that compute
    the same. Without these remains there would be 5,390.
    """
    nodes = {0: "0"}
    sums: dict[int, list[str]] = {}
    for (begin, end), operation in zip(EDGES, cell.operations, strict=True):
        # Edges stand by the node they lead to, so that what they come from is complete.
        if begin not in nodes:
            nodes[begin] = "+".join(sorted(sums[begin]))
        sums.setdefault(end, []).append(_given(nodes[begin], operation))
    return "+".join(sorted(sums[EDGES[-1][1]]))


def _given(node: str, operation: str) -> str:
    if operation == "none" or node == "#":
        return "#"
    return node if operation == "skip_connect" else f"({node})@{operation}"


@lru_cache(maxsize=1)
def _places() -> dict[tuple[str, ...], int]:
    return {cell.operations: index for index, cell in enumerate(all_cells())}
