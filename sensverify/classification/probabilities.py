"""Probabilities of classes over a box of logits: exact ranges, rounded outward."""

from __future__ import annotations

import numpy as np

from sensverify.core.box import Box

_ROUNDING = 1e-12
"""Relative error, far above that of a few exponentials and a sum of some thousand terms."""

_LEAST = 1e-300
"""Above every probability that underflows."""


def probability_box(logits: Box, function: str | None = "softmax") -> Box:
    """The least and the largest probability of every class while the logits move in a box.

    Each probability grows with its own logit and falls with the others, so that both its ends are
    at a corner of the box: no box around all probabilities is tighter. What is known of logits
    beyond their box (that they move together) is not used.

    Parameters
    ----------
    logits : Box of numpy arrays, shape ``[batch, logits]``
    function : str or None
        ``softmax``, ``sigmoid`` or ``shares``: see `sensverify.formats.onnx.heads.Head`; None for
        a file with labels alone, to which a softmax is as good as any.

    Returns
    -------
    Box of numpy arrays, shape ``[batch, classes]``, float64
        Within 0 and 1; inherits the guarantee of the logits' box, also in floating point.

    Examples
    --------
    >>> import numpy as np
    >>> from sensverify.core.box import Box
    >>> box = Box(np.array([[0.0, 1.0]]), np.array([[0.5, 2.0]]))
    >>> found = probability_box(box)
    >>> found.lower.round(3), found.upper.round(3)
    (array([[0.119, 0.622]]), array([[0.378, 0.881]]))
    """
    low, high = (np.asarray(end, np.float64) for end in (logits.lower, logits.upper))
    if function == "sigmoid":
        least, most = _sigmoid(low), _sigmoid(high)
    else:
        # A sigmoid divided by the sum of all is a softmax of logarithms of sigmoids.
        if function == "shares":
            low, high = -np.logaddexp(0, -low), -np.logaddexp(0, -high)
        least, most = _share(low, high), _share(high, low)
    return Box(
        np.maximum(least * (1 - _ROUNDING), 0.0), np.minimum(most * (1 + _ROUNDING) + _LEAST, 1.0)
    )


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -values))


def _share(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Softmax of every entry of ``own`` among those of ``others``, ``[batch, classes]``."""
    largest = np.maximum(own, others).max(axis=1, keepdims=True)
    with np.errstate(under="ignore"):
        mine, theirs = np.exp(own - largest), np.exp(others - largest)
    # A sum without the own entry; a difference from the whole sum would cancel.
    count = own.shape[1]
    rest = np.stack([theirs[:, np.arange(count) != i].sum(axis=1) for i in range(count)], axis=1)
    total = mine + rest
    return np.divide(mine, total, out=np.zeros_like(mine), where=total > 0)
