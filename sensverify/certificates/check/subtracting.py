"""Maps, constants and functions of two networks: the same or not, and their differences."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from sensverify.certificates.check.program import Block, Blocks, Gather, Map


def alike(old: Any, new: Any) -> bool:
    """Whether two operators are the same function, numbers included."""
    if type(old) is not type(new):
        return False
    for item in fields(old):
        values, others = getattr(old, item.name), getattr(new, item.name)
        if hasattr(values, "shape") or hasattr(others, "shape"):
            if not np.array_equal(np.asarray(values), np.asarray(others)):
                return False
        elif values != others:
            return False
    return True


def map_difference(old: Map, new: Map) -> list[Map]:
    """Maps whose sum is ``new - old`` exactly; none where the two are the same."""
    if isinstance(old, Blocks) and isinstance(new, Blocks):
        found = _block_differences(old, new)
        if found is not None:
            return found
    if isinstance(old, Gather) and isinstance(new, Gather):
        placed = np.array_equal(old.index, new.index) and all(
            _same(a, b)
            for a, b in (
                (old.divisor, new.divisor),
                *zip(old.under_root or (None,), new.under_root or (None,), strict=False),
            )
        )
        if placed and (old.under_root is None) == (new.under_root is None):
            factors = (np.ones(p.size) if p.factor is None else p.factor for p in (old, new))
            return [
                Gather(new.index, part, new.divisor, new.under_root)
                for part in difference(*factors)
                if part.any()
            ]
    # No float64 numbers hold the difference: both sides are added.
    return [new, _negated(old)]


def _block_differences(old: Blocks, new: Blocks) -> list[Map] | None:
    """Differences of weights that stand at the same places; None where some do not."""
    if len(old.blocks) != len(new.blocks) or old.size != new.size:
        return None
    parts: tuple[list[Block], list[Block]] = ([], [])
    for before, after in zip(old.blocks, new.blocks, strict=True):
        if not (_same(before.rows, after.rows) and _same(before.columns, after.columns)):
            return None
        for blocks, weight in zip(parts, difference(before.weight, after.weight), strict=True):
            blocks.append(Block(after.rows, after.columns, weight))
    return [
        Blocks(new.size, tuple(blocks))
        for blocks in parts
        if any(block.weight.any() for block in blocks)
    ]


def _negated(part: Map) -> Map:
    if isinstance(part, Gather):
        factor = np.ones(part.size) if part.factor is None else part.factor
        return Gather(part.index, -factor, part.divisor, part.under_root)
    blocks = (Block(block.rows, block.columns, -block.weight) for block in part.blocks)
    return Blocks(part.size, tuple(blocks))


def constant_difference(
    old: np.ndarray | None, new: np.ndarray | None, size: int
) -> list[np.ndarray]:
    ends = (np.zeros(size) if part is None else part for part in (old, new))
    return [part for part in difference(*ends) if part.any()]


def _same(old: np.ndarray | None, new: np.ndarray | None) -> bool:
    if old is None or new is None:
        return old is new
    return np.array_equal(old, new)


def difference(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``new - old`` as the exact sum of two arrays: Knuth's two-sum, or both where it overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = new - old
        back = total - new
        lost = (new - (total - back)) - (old + back)
    known = np.isfinite(lost)
    return np.where(known, total, new), np.where(known, lost, -old)
