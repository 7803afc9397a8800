"""Small and large changes to certificate files, most of which make them wrong."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from sensverify.core.proof import NONE

Arrays = dict[str, np.ndarray]
Random = np.random.Generator

FACTORS = (1 + 2.0**-52, 1 - 2.0**-53, 1 + 1e-12, 1 + 1e-6, 1.01, 0.5, 2.0, -1.0, 0.0, 1e6, 1e300)
STEPS = (0.0, 1e-12, 1e-9, 1e-6, 1e-3, 0.1, 1.0, 10.0)
"""By which numbers are moved; 0 is one unit in the last place."""


def unpacked(data: bytes) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays of a file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        header = json.loads(archive.read("header.json"))
        names = [name for name in archive.namelist() if name != "header.json"]
        arrays = {n.removesuffix(".npy"): np.load(io.BytesIO(archive.read(n))) for n in names}
    return header, arrays


def packed(header: dict[str, Any], arrays: Arrays) -> bytes:
    """A file of them, whatever they are."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("header.json", json.dumps(header))
        for name, values in arrays.items():
            buffer = io.BytesIO()
            values = np.ascontiguousarray(values)
            np.lib.format.write_array(buffer, values, version=(1, 0), allow_pickle=False)
            archive.writestr(f"{name}.npy", buffer.getvalue())
    return stream.getvalue()


def moved(rng: Random, value: float, sign: int = 0) -> float:
    """A number beside another: one unit in the last place away, or a small or large step."""
    sign, step = sign or int(rng.choice([-1, 1])), rng.choice(STEPS)
    return float(value + sign * step if step else np.nextafter(value, sign * np.inf))


def place(rng: Random, values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(rng.integers(n)) for n in values.shape)


def some(rng: Random, arrays: Arrays, *starts: str) -> str:
    """The name of an array with numbers in it."""
    names = [n for n, v in arrays.items() if v.size and n.startswith(starts or ("",))]
    return str(rng.choice(names))


# Changes to any array.


def flip_a_bit(rng: Random, arrays: Arrays) -> None:
    name = some(rng, arrays)
    data = bytearray(arrays[name].tobytes())
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    arrays[name] = np.frombuffer(bytes(data), arrays[name].dtype).reshape(arrays[name].shape)


def change_a_number(rng: Random, arrays: Arrays) -> None:
    values = arrays[some(rng, arrays)]
    at = place(rng, values)
    if values.dtype.kind == "i":
        values[at] = rng.choice([values[at] - 1, values[at] + 1, 0, NONE, 2**62, values.max() + 1])
    else:
        values[at] = rng.choice([values[at] * rng.choice(FACTORS), moved(rng, values[at])])


def poison(rng: Random, arrays: Arrays) -> None:
    values = arrays[some(rng, arrays)]
    if values.dtype.kind == "f":
        values[place(rng, values)] = rng.choice([np.nan, np.inf, -np.inf, 1.7e308, 5e-324])


def scale(rng: Random, arrays: Arrays) -> None:
    name = some(rng, arrays)
    if arrays[name].dtype.kind == "f":
        with np.errstate(over="ignore"):
            arrays[name] = (arrays[name] * rng.choice(FACTORS)).astype(arrays[name].dtype)


def negate(rng: Random, arrays: Arrays) -> None:
    name = some(rng, arrays)
    arrays[name] = -arrays[name]


def permute(rng: Random, arrays: Arrays) -> None:
    name = some(rng, arrays)
    arrays[name] = rng.permutation(arrays[name], axis=int(rng.integers(arrays[name].ndim)))


def exchange_numbers(rng: Random, arrays: Arrays) -> None:
    values = arrays[some(rng, arrays)]
    first, second = place(rng, values), place(rng, values)
    values[first], values[second] = values[second], values[first]


def shorten(rng: Random, arrays: Arrays) -> None:
    name = some(rng, arrays)
    axis = int(rng.integers(arrays[name].ndim))
    arrays[name] = np.delete(arrays[name], rng.integers(arrays[name].shape[axis]), axis=axis)


def lengthen(rng: Random, arrays: Arrays) -> None:
    name = some(rng, arrays)
    arrays[name] = np.concatenate([arrays[name], arrays[name][-1:]])


def exchange_arrays(rng: Random, arrays: Arrays) -> None:
    first = some(rng, arrays)
    like = [n for n, v in arrays.items() if v.shape == arrays[first].shape and n != first]
    if like:
        second = str(rng.choice(like))
        arrays[first], arrays[second] = arrays[second], arrays[first]


def recast(rng: Random, arrays: Arrays) -> None:
    name = some(rng, arrays)
    kind = str(rng.choice(["<f4", "<f8", "<i8", "<i4", ">f8", "<f2", "<u8", "|b1", "<c16"]))
    with np.errstate(all="ignore"):
        # Whatever else was done to it before: numpy complains where a complex number loses a part.
        arrays[name] = arrays[name].real.astype(kind)


def leave_out(rng: Random, arrays: Arrays) -> None:
    del arrays[some(rng, arrays)]


# Changes to what is claimed.


def raise_a_limit(rng: Random, arrays: Arrays) -> None:
    values = arrays["claims.limits"]
    at = place(rng, values)
    values[at] = moved(rng, values[at], 1)


def widen_a_box(rng: Random, arrays: Arrays) -> None:
    sign = int(rng.choice([-1, 1]))
    values = arrays["claims.lower" if sign < 0 else "claims.upper"]
    at = place(rng, values)
    values[at] = moved(rng, values[at], sign)


def change_a_row(rng: Random, arrays: Arrays) -> None:
    values = arrays["claims.rows"]
    at = place(rng, values)
    values[at] = moved(rng, values[at])


def change_a_group(rng: Random, arrays: Arrays) -> None:
    if "claims.groups" in arrays:
        values = arrays["claims.groups"]
        values[place(rng, values)] = rng.integers(-1, values.max() + 2)


def add_a_problem(rng: Random, arrays: Arrays) -> None:
    """Another box, that nothing or a cell of another one proves."""
    for name in ("claims.lower", "claims.upper", "claims.limits", "claims.groups"):
        if name in arrays:
            arrays[name] = np.concatenate([arrays[name], arrays[name][:1]])
    move = rng.normal() * rng.choice([0, 1e-3, 1])
    arrays["claims.lower"][-1] += move
    arrays["claims.upper"][-1] += move
    cells = arrays["cells.problem"]
    roots = np.flatnonzero(arrays["cells.parent"] == NONE)
    cells[rng.choice(roots)] = rng.integers(len(arrays["claims.lower"]))


def make_claims_false(rng: Random, arrays: Arrays) -> None:
    """By a little: one limit, or those of one group; whoever leaves anything out proves it."""
    limits = arrays["claims.limits"]
    problem, row = place(rng, limits)
    own = np.arange(limits.shape[1]) == row
    if "claims.groups" in arrays:
        groups = arrays["claims.groups"][problem]
        own = groups == groups[row]
    limits[problem, own] += rng.choice([1e-6, 1e-4])


# Changes to trees.


def cells_of(arrays: Arrays) -> list[str]:
    return [name for name in arrays if name.startswith("cells.")]


def remove_a_cell(rng: Random, arrays: Arrays) -> None:
    """Cells that come later move up, as their numbers do."""
    number = int(rng.integers(len(arrays["cells.parent"])))
    for name in cells_of(arrays):
        arrays[name] = np.delete(arrays[name], number)
    for name in ("cells.parent", "multiplier.cell", "multiplier.split"):
        arrays[name] = np.where(arrays[name] > number, arrays[name] - 1, arrays[name])
    if rng.random() < 0.5:
        # Its parent is a leaf now, if both are gone.
        children = np.bincount(
            arrays["cells.parent"] + 1, minlength=len(arrays["cells.parent"]) + 1
        )
        arrays["cells.split"] = np.where(children[1:] == 0, NONE, arrays["cells.split"])


def repeat_a_cell(rng: Random, arrays: Arrays) -> None:
    number = int(rng.integers(len(arrays["cells.parent"])))
    for name in cells_of(arrays):
        arrays[name] = np.concatenate([arrays[name], arrays[name][number : number + 1]])


def replace_a_sibling(rng: Random, arrays: Arrays) -> None:
    """A leaf becomes a copy of its sibling, with or without the side."""
    parent = arrays["cells.parent"]
    one = int(rng.integers(len(parent)))
    other = np.flatnonzero((parent == parent[one]) & (np.arange(len(parent)) != one))
    if len(other):
        for name in rng.permutation(cells_of(arrays))[: rng.integers(1, 9)]:
            arrays[name][one] = arrays[name][other[0]]


def move_a_cell(rng: Random, arrays: Arrays) -> None:
    parent = arrays["cells.parent"]
    number = int(rng.integers(len(parent)))
    parent[number] = rng.integers(NONE, max(number, 1) if rng.random() < 0.7 else len(parent))


def turn_a_side(rng: Random, arrays: Arrays) -> None:
    """Of one cell, or of both children of one."""
    side, parent = arrays["cells.side"], arrays["cells.parent"]
    number = int(rng.integers(len(side)))
    both = rng.random() < 0.7 and parent[number] != NONE
    chosen = parent == parent[number] if both else np.arange(len(side)) == number
    side[chosen] *= -1


def move_a_split(rng: Random, arrays: Arrays) -> None:
    split, at = arrays["cells.split"], arrays["cells.at"]
    inner = np.flatnonzero(split != NONE)
    if len(inner):
        number = rng.choice(inner)
        if rng.random() < 0.7:
            at[number] = moved(rng, at[number])
        else:
            split[number] = rng.integers(NONE, split.max() + 2)


def make_a_leaf(rng: Random, arrays: Arrays) -> None:
    """A root that is a leaf, and proves its rows alone."""
    for name in cells_of(arrays):
        arrays[name] = np.concatenate([arrays[name], arrays[name][:1]])
    arrays["cells.split"][-1] = NONE
    arrays["cells.group"][-1] = rng.integers(NONE, arrays["claims.limits"].shape[1])
    arrays["cells.problem"][-1] = rng.integers(len(arrays["claims.lower"]))
    arrays["cells.lines"][-1] = rng.integers(NONE, len(arrays["lines.lower"]) + 1)
    arrays["cells.hidden"][-1] = rng.integers(NONE, len(arrays["hidden.lower"]) + 1)


def exchange_about(rng: Random, arrays: Arrays) -> None:
    """A whole tree that is about another problem or group."""
    parent = arrays["cells.parent"]
    roots = np.flatnonzero(parent == NONE)
    number = rng.integers(len(roots))
    part = slice(int(roots[number]), int([*roots, len(parent)][number + 1]))
    if rng.random() < 0.5:
        arrays["cells.problem"][part] = rng.integers(len(arrays["claims.lower"]))
    else:
        arrays["cells.group"][part] = rng.integers(NONE, arrays["claims.limits"].shape[1])


def use_other_hidden_bounds(rng: Random, arrays: Arrays) -> None:
    hidden = arrays["cells.hidden"]
    one = slice(None) if rng.random() < 0.5 else rng.integers(len(hidden))
    hidden[one] = rng.integers(NONE, len(arrays["hidden.lower"]))
    if rng.random() < 0.5 and len(arrays["hidden.problem"]):
        arrays["hidden.problem"][:] = rng.integers(len(arrays["claims.lower"]))


# Changes to what proves.


def shrink_hidden_bounds(rng: Random, arrays: Arrays) -> None:
    lower, upper = arrays["hidden.lower"], arrays["hidden.upper"]
    if lower.size:
        at = place(rng, lower)
        if rng.random() < 0.4:
            # All of a set, by much.
            lower[at[0]] += rng.uniform(0, 0.5) * (upper - lower)[at[0]]
            return
        if rng.random() < 0.5:
            lower[at] = min(moved(rng, lower[at], 1), upper[at])
        else:
            upper[at] = max(moved(rng, upper[at], -1), lower[at])


def change_own_lines(rng: Random, arrays: Arrays) -> None:
    name = some(rng, arrays, "hidden.own", "hidden.lines", "hidden.problem", "cells.lines")
    values = arrays[name]
    values[rng.integers(len(values))] = rng.integers(-1, values.max() + 2)


def change_weights(rng: Random, arrays: Arrays) -> None:
    names = [n for n in ("weights", "multiplier.value") if n in arrays and arrays[n].size]
    if names:
        values = arrays[str(rng.choice(names))]
        at = place(rng, values)
        values[at] = rng.choice(
            [-values[at], moved(rng, values[at]), 0, 1e3, 1e200, abs(values[at])]
        )


def narrow_hidden_bounds(rng: Random, arrays: Arrays) -> None:
    """Bounds that do not follow, for all leaves."""
    lower, upper = arrays["hidden.lower"], arrays["hidden.upper"]
    if lower.size:
        order = np.argsort(arrays["hidden.problem"], kind="stable")
        first = np.searchsorted(arrays["hidden.problem"][order], arrays["cells.problem"])
        arrays["cells.hidden"] = order[np.minimum(first, len(order) - 1)]
        least, width = rng.uniform(0, 0.7), upper - lower
        lower += least * width
        upper -= rng.uniform(0, 1 - least) * 0.9 * width


def change_slopes(rng: Random, arrays: Arrays) -> None:
    values = arrays[some(rng, arrays, "lines", "cells.at")]
    at = place(rng, values)
    values[at] = rng.choice([-values[at], moved(rng, values[at]), 1e5, -1e200, 1e-200])


def exchange_multipliers(rng: Random, arrays: Arrays) -> None:
    name = str(rng.choice(["multiplier.cell", "multiplier.split"]))
    if arrays[name].size:
        values = arrays[name]
        values[rng.integers(len(values))] = rng.integers(len(arrays["cells.parent"]))


CLAIMS = (raise_a_limit, widen_a_box, change_a_row)
"""What makes most of tight claims wrong."""

MUTATIONS: tuple[Callable[[Random, Arrays], None], ...] = (
    *CLAIMS,
    *CLAIMS,
    flip_a_bit,
    flip_a_bit,
    change_a_number,
    change_a_number,
    poison,
    scale,
    negate,
    permute,
    exchange_numbers,
    shorten,
    lengthen,
    exchange_arrays,
    recast,
    leave_out,
    change_a_group,
    add_a_problem,
    remove_a_cell,
    repeat_a_cell,
    replace_a_sibling,
    move_a_cell,
    turn_a_side,
    move_a_split,
    make_a_leaf,
    exchange_about,
    use_other_hidden_bounds,
    shrink_hidden_bounds,
    change_own_lines,
    change_weights,
    change_slopes,
    exchange_multipliers,
)

BREAKING: tuple[Callable[[Random, Arrays], None], ...] = (
    remove_a_cell,
    replace_a_sibling,
    move_a_cell,
    turn_a_side,
    exchange_about,
    use_other_hidden_bounds,
    narrow_hidden_bounds,
)
"""What breaks a tree, or what it is built on."""
