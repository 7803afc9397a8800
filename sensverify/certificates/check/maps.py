"""Linear maps in the numbers of one arithmetic: applied, pulled back, and cut to what is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from flint import arb, fmpq

from sensverify.certificates.check.arithmetic import FLOOR, SMALL, Arithmetic, Numbers, ends
from sensverify.certificates.check.program import Block, Blocks, Gather, Map
from sensverify.errors import Unbounded

_DENSE = 1 << 20
"""Entries up to which a part of a map is kept as one matrix."""


@dataclass(frozen=True, eq=False)
class Sum:
    """A sum of blocks; ``size`` outputs, ``width`` inputs."""

    size: int
    width: int
    blocks: tuple[Block, ...]
    spread = None
    repeats = True

    @property
    def numbers(self) -> int:
        return sum(block.weight.size for block in self.blocks)

    @cached_property
    def fore_terms(self) -> int:
        """Most products that make up one output."""
        counts = np.zeros(self.size, np.int64)
        for block in self.blocks:
            counts[block.rows] += len(block.columns)
        return int(counts.max(initial=0))

    @cached_property
    def back_terms(self) -> int:
        """Most products that make up one coefficient on the input."""
        counts = np.zeros(self.width, np.int64)
        for block in self.blocks:
            counts[block.columns] += len(block.rows)
        return int(counts.max(initial=0))

    def apply(self, arithmetic: Arithmetic, x: Numbers, *, absolute: bool = False) -> Numbers:
        """``M x`` for x ``[cells, width]``, or ``|M| x``."""
        result = arithmetic.numbers(np.zeros((len(x), self.size)))
        for block in self.blocks:
            weight = abs(block.weight) if absolute else block.weight
            result[:, block.rows] += arithmetic.matmul(x[:, block.columns], weight.T)
        return result

    def pull(self, arithmetic: Arithmetic, rows: Numbers) -> Numbers:
        """``rows @ M`` for rows ``[cells, rows, size]``."""
        if len(self.blocks) == 1 and len(self.blocks[0].columns) == self.width:
            block = self.blocks[0]
            result = arithmetic.matmul(rows[..., block.rows], block.weight)
            order = np.argsort(block.columns)
            return result if (order[1:] > order[:-1]).all() else result[..., order]
        result = arithmetic.numbers(np.zeros((*rows.shape[:2], self.width)))
        for block in self.blocks:
            result[..., block.columns] += arithmetic.matmul(rows[..., block.rows], block.weight)
        return result

    def matrix(self, arithmetic: Arithmetic) -> Numbers:
        """All of it, ``[size, width]``; exact, as no entry has two blocks."""
        result = arithmetic.numbers(np.zeros((self.size, self.width)))
        for block in self.blocks:
            result[np.ix_(block.rows, block.columns)] = block.weight
        return result

    @cached_property
    def _owner(self) -> np.ndarray | None:
        """The block of every row, where each has just one."""
        owner = np.full(self.size, -1)
        for number, block in enumerate(self.blocks):
            if (owner[block.rows] >= 0).any():
                return None
            owner[block.rows] = number
        return owner

    def _touched(self, rows: np.ndarray) -> Iterator[Block]:
        """The blocks that these rows, sorted, are in; rows as places among them."""
        if not len(rows):
            return
        owner = self._owner
        chosen = range(len(self.blocks)) if owner is None else np.unique(owner[rows])
        for number in chosen:
            if number < 0:
                continue
            block = self.blocks[number]
            place = np.searchsorted(rows, block.rows)
            place = np.minimum(place, len(rows) - 1)
            kept = rows[place] == block.rows
            if kept.all():
                yield Block(place, block.columns, block.weight)
            elif kept.any():
                yield Block(place[kept], block.columns, block.weight[kept])

    def support(self, rows: np.ndarray) -> np.ndarray:
        """Inputs that some outputs depend on, sorted."""
        parts = [block.columns for block in self._touched(rows)]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

    def cut(self, arithmetic: Arithmetic, rows: np.ndarray, columns: np.ndarray) -> Sum:
        """The map of some outputs alone; ``columns`` hold their support."""
        blocks = tuple(
            Block(block.rows, np.searchsorted(columns, block.columns), block.weight)
            for block in self._touched(rows)
        )
        part = Sum(len(rows), len(columns), blocks)
        if len(blocks) > 1 and len(rows) * len(columns) <= _DENSE:
            every = (np.arange(len(rows)), np.arange(len(columns)))
            return Sum(len(rows), len(columns), (Block(*every, part.matrix(arithmetic)),))
        return part

    def labels(self, source: np.ndarray) -> np.ndarray:
        """A number for every output; those with one number depend on the same inputs."""
        owner = self._owner
        return np.zeros(self.size, np.int64) if owner is None else owner


@dataclass(frozen=True, eq=False)
class Pick:
    """``y[i] = r[i] x[index[i]]`` with ``|r - scale| <= spread``; None is one, and zero."""

    index: np.ndarray
    width: int
    scale: Numbers | None
    spread: Numbers | None

    @property
    def size(self) -> int:
        return len(self.index)

    @property
    def numbers(self) -> int:
        return self.size

    @property
    def fore_terms(self) -> int:
        return 0 if self.scale is None else 1

    @cached_property
    def back_terms(self) -> int:
        most = int(self._groups[2].max(initial=0))
        return 0 if most <= 1 and self.scale is None else most + 1

    @property
    def repeats(self) -> bool:
        """True where a number of the input is read several times."""
        return bool(self._groups[2].max(initial=0) > 1)

    @cached_property
    def _in_order(self) -> bool:
        """True where every number is read once, in order."""
        return self.size == self.width and bool((self.index == np.arange(self.size)).all())

    @cached_property
    def _groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Outputs in the order of what they read, where each group starts, and its length."""
        order = np.argsort(self.index, kind="stable")
        order = order[self.index[order] >= 0]
        _, starts, counts = np.unique(self.index[order], return_index=True, return_counts=True)
        return order, starts, counts

    def apply(self, arithmetic: Arithmetic, x: Numbers, *, absolute: bool = False) -> Numbers:
        result = x[:, np.maximum(self.index, 0)]
        if self.scale is not None:
            result = result * (abs(self.scale) if absolute else self.scale)
        result[:, self.index < 0] = 0 * result[:, self.index < 0]
        return result

    def pull(self, arithmetic: Arithmetic, rows: Numbers) -> Numbers:
        if self.scale is not None:
            rows = rows * self.scale
        if self._in_order:
            return rows
        order, starts, counts = self._groups
        result = arithmetic.numbers(np.zeros((*rows.shape[:2], self.width)))
        if not len(order):
            return result
        places = self.index[order[starts]]
        if (counts == 1).all():
            result[..., places] = rows[..., order]
        else:
            result[..., places] = np.add.reduceat(rows[..., order], starts, axis=-1)
        return result

    def matrix(self, arithmetic: Arithmetic) -> Numbers:
        result = arithmetic.numbers(np.zeros((self.size, self.width)))
        some = np.flatnonzero(self.index >= 0)
        one = arithmetic.numbers(np.ones(len(some)))
        result[some, self.index[some]] = one if self.scale is None else self.scale[some]
        return result

    def support(self, rows: np.ndarray) -> np.ndarray:
        index = self.index[rows]
        return np.unique(index[index >= 0])

    def cut(self, arithmetic: Arithmetic, rows: np.ndarray, columns: np.ndarray) -> Pick:
        index = self.index[rows]
        place = np.where(index < 0, -1, np.searchsorted(columns, index))
        scale, spread = (None if v is None else v[rows] for v in (self.scale, self.spread))
        return Pick(place, len(columns), scale, spread)

    def labels(self, source: np.ndarray) -> np.ndarray:
        if not len(source):
            return np.zeros(self.size, np.int64)
        return np.where(self.index < 0, 0, source[np.maximum(self.index, 0)])


Part = Sum | Pick


def compiled(arithmetic: Arithmetic, given: Map, width: int) -> Part:
    """A map of the program in the numbers of an arithmetic."""
    if isinstance(given, Blocks):
        blocks = (Block(b.rows, b.columns, arithmetic.numbers(b.weight)) for b in given.blocks)
        return Sum(given.size, width, tuple(blocks))
    scale, spread = _ratio(arithmetic, given)
    return Pick(given.index, width, scale, spread)


def _ratio(arithmetic: Arithmetic, given: Gather) -> tuple[Numbers | None, Numbers | None]:
    """``factor / divisor`` as numbers, and how far they may be off."""
    factor = None if given.factor is None else arithmetic.numbers(given.factor)
    if given.divisor is None and given.under_root is None:
        return factor, None
    if factor is None:
        factor = arithmetic.numbers(np.ones(given.size))
    if given.divisor is not None:
        ratio = factor / arithmetic.numbers(given.divisor)
        return ratio, 2 * arithmetic.unit * abs(ratio) + FLOOR if arithmetic.unit else None
    assert given.under_root is not None
    first, second = (arithmetic.numbers(part) for part in given.under_root)
    if arithmetic.unit:
        # The sum under the root, the root of it and the division: four units at most.
        with np.errstate(over="ignore", invalid="ignore"):
            under = first + second
            ratio = factor / np.sqrt(under)
        # An overflow under the root leaves nothing to say.
        known = np.isfinite(under) & (under >= SMALL)
        return ratio, np.where(known, 8 * arithmetic.unit * abs(ratio) + FLOOR, np.inf)
    ratio, spread = np.frompyfunc(_root_ratio, 2, 2)(factor, first + second)
    return ratio, spread


def _root_ratio(factor: fmpq, square: fmpq) -> tuple[fmpq, fmpq]:
    """``factor / sqrt(square)`` as a rational number, and how far it may be off."""
    if square <= 0:
        raise Unbounded("a variance plus its epsilon is not positive, so its root divides by zero")
    low, high = ends(arb(factor) / arb(square).sqrt())
    return (low + high) / 2, (high - low) / 2
