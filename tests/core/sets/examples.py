"""One input set of every kind, around the same four samples of six features."""

from __future__ import annotations

import numpy as np

import sensverify as sv

_random = np.random.default_rng(5)
X = _random.random((4, 6))
_ROWS = _random.normal(size=(2, 6))
_SAME = np.broadcast_to(_ROWS[:1], (4, 1, 6))
_FIVE = _random.normal(size=(5, 6))
_BOX = sv.Box(X - 0.3, X + 0.3)

SETS: dict[str, sv.InputSet] = {
    "sum": sv.Ball.around(X, 0.3, order=1),
    "euclidean": sv.Ball.around(X, 0.3, clip=(0.0, 1.0)),
    "pixels": sv.Patch(X - 0.3, X + 0.3, X, count=2),
    "window": sv.Patch(X - 0.3, X + 0.3, X, window=(1, 2)),
    "inequality": sv.Constrained(
        X - 0.3, X + 0.3, X, _SAME, (_SAME @ X[..., None])[..., 0] + 0.02, (False,)
    ),
    "mixed": sv.Constrained.of(
        _BOX, _ROWS, (X @ _ROWS.T).max(0) + 0.1, equal_matrix=np.ones((1, 6)), point=X
    ),
    "sum in a range": sv.Ball.around(X, 0.4, order=1, clip=(0.0, 1.0)),
    "mixed in a range": sv.Constrained.of(
        sv.Box.around(X, 0.3, clip=(0.0, 1.0)),
        _ROWS,
        (X @ _ROWS.T).max(0) + 0.1,
        equal_matrix=np.ones((1, 6)),
        point=X,
    ),
    "five": sv.Constrained.of(
        sv.Box.around(X, 0.3, clip=(0.0, 1.0)),
        _FIVE,
        (X @ _FIVE.T).max(0) + 0.05,
        equal_matrix=np.ones((1, 6)),
        point=X,
    ),
    "varied in a range": sv.Varied.along(
        X, [sv.brightness(X, 0.2), sv.contrast(X, 0.3)], clip=(0.0, 1.0)
    ),
    "brightness in a range": sv.Varied.along(X, [sv.brightness(X, 0.4)], clip=(0.0, 1.0)),
    "varied": sv.Varied.along(X, [sv.brightness(X, 0.2), sv.contrast(X, 0.1)]),
}
