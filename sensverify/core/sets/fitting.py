"""Parameters whose images are nearest to given inputs, where images are cut to a range."""

from __future__ import annotations

import numpy as np

_ROUNDS = 30
"""Changes of the set of features that take part in a fit."""

_AT_END = 2.0**-22
"""Share of a range's ends within which a number counts as one that was cut."""


def fitted(
    patterns: np.ndarray,
    moved: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
    room: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Parameters t in a box with ``clip(t @ patterns, *room)`` near to moves, ``[parameters]``.

    Features that lie between the ends of their range are fitted by least squares, and of those at
    an end the ones that the images would not reach.

    Parameters
    ----------
    patterns : numpy array, shape ``[parameters, features]``
    moved : numpy array, shape ``[features]``
        In the room of every feature.
    ends : two numpy arrays, shape ``[parameters]``
    room : two numpy arrays, shape ``[features]``
        How far each feature may move down and up; infinite where it is not cut.
    """
    low, high = room
    at_low, at_high = _at_ends(moved, room)
    taken = ~(at_low | at_high)
    found = np.zeros(len(patterns))
    for _ in range(_ROUNDS):
        part = np.linalg.lstsq(patterns[:, taken].T, moved[taken], rcond=None)[0]
        found = np.clip(part, *ends)
        image = found @ patterns
        wanted = (at_low & (image > low)) | (at_high & (image < high)) | ~(at_low | at_high)
        if (wanted == taken).all():
            break
        taken = wanted
    return found


def fitted_by_program(
    patterns: np.ndarray,
    moved: np.ndarray,
    ends: tuple[np.ndarray, np.ndarray],
    room: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """As `fitted`, by the linear program of the largest difference: exact for moves of images."""
    from scipy.optimize import linprog

    at_low, at_high = _at_ends(moved, room)
    # An image may go on below the lower end, and above the upper one.
    rows = np.concatenate([-patterns.T[~at_low], patterns.T[~at_high]])
    limits = np.concatenate([-moved[~at_low], moved[~at_high]])
    found = linprog(
        np.append(np.zeros(len(patterns)), 1.0),
        A_ub=np.column_stack([rows, -np.ones(len(rows))]),
        b_ub=limits,
        bounds=[*zip(*ends, strict=True), (0.0, None)],
        method="highs",
    )
    if found.x is None:
        return fitted(patterns, moved, ends, room)
    return np.clip(found.x[:-1], *ends)


def _at_ends(
    moved: np.ndarray, room: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    near = [_AT_END * (1 + np.where(np.isfinite(end), abs(end), 0.0)) for end in room]
    return moved <= room[0] + near[0], moved >= room[1] - near[1]
