"""Input sets as certificates hold them."""

from __future__ import annotations

import numpy as np

from sensverify.certificates.check.sets import InputSets
from sensverify.core.box import Box, to_numpy
from sensverify.core.sets import Ball, Constrained, InputSet, Patch, Varied
from sensverify.errors import BadSetting


def sets_of(box: Box) -> InputSets | None:
    """The input sets of a batch, exactly; None of plain boxes.

    Raises
    ------
    BadSetting
        Certificates know no sets of that kind.
    """
    if not isinstance(box, InputSet):
        return None
    batch = box.batch
    point = _wide(box.point).reshape(batch, -1)
    if isinstance(box, Ball):
        order = np.full(batch, box.order, np.int64)
        return InputSets(point=point, reach=_wide(box.reach), order=order)
    if isinstance(box, Constrained):
        equal = np.array(box.equal, np.int64)
        return InputSets(matrix=_wide(box.matrix), limits=_wide(box.limits), equal=equal)
    if isinstance(box, Patch):
        sides = (1, 1) if box.window is None else box.window
        count = -1 if box.count is None else box.count
        window = np.tile(np.array([*sides, *box.grid], np.int64), (batch, 1))
        return InputSets(point=point, count=np.full(batch, count, np.int64), window=window)
    if isinstance(box, Varied):
        least, most = _wide(box.least), _wide(box.most)
        ends = None if box.clip is None else np.tile(_finite(box.clip), (batch, 1))
        patterns = _wide(box.patterns)
        return InputSets(point=point, patterns=patterns, least=least, most=most, cut=ends)
    raise BadSetting(f"certificates know no input sets of the kind '{box.kind}'")


def _finite(clip: tuple[float, float]) -> np.ndarray:
    """Both ends; for an infinite one the last finite number, beyond which no image goes."""
    return np.nan_to_num(np.array(clip, np.float64))


def _wide(values: object) -> np.ndarray:
    return np.array(to_numpy(values), np.float64)
