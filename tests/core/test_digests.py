"""Digests are those of the bytes, one part after another."""

from __future__ import annotations

import hashlib

import numpy as np

from sensverify.core.digests import array_parts, sha256, sha256_of_all


def test_parts_are_hashed_one_after_another() -> None:
    expected = hashlib.sha256("abü".encode()).hexdigest()
    assert sha256("a", b"b", "ü") == expected
    assert sha256_of_all(part for part in ("ab", "ü")) == expected
    assert sha256() == hashlib.sha256().hexdigest()


def test_arrays_differ_by_dtype_shape_and_values() -> None:
    arrays = [np.zeros(4), np.zeros((2, 2)), np.zeros(4, np.float32), np.array([0, 0, 0, -0.0])]
    assert len({sha256_of_all(array_parts(values)) for values in arrays}) == 4
    rows = np.arange(6.0).reshape(2, 3)
    assert sha256_of_all(array_parts(rows.T)) == sha256("float64(3, 2)", rows.T.tobytes())
