"""Images that are made smaller for a page."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.report.pixels import smaller


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_made_smaller_by_means(channels: int) -> None:
    image = np.zeros((4, 6, channels), dtype=np.uint8)
    image[0, 0], image[3, 5] = 200, 100
    found = smaller(image, 3)
    assert found.shape == (2, 3, channels)
    assert (found[0, 0] == 50).all()
    assert (found[1, 2] == 25).all()
    assert found.sum() == channels * 75


@pytest.mark.parametrize("channels", [1, 3])
def test_a_difference_that_goes_up_and_down_stays_seen(channels: int) -> None:
    moved = np.full((64, 64, channels), 128, dtype=np.uint8)
    moved[:32, ::2], moved[:32, 1::2] = 255, 0
    moved[40, 41, 0], moved[50, 51, -1] = 0, 140
    found = smaller(moved, 16, peaks=True)
    assert found.shape == (16, 16, channels)
    assert (np.abs(found[:8].astype(int) - 128) >= 127).all()
    assert (found[10, 10, 0], found[12, 12, -1]) == (0, 140)
    assert np.count_nonzero(found[8:] != 128) == 2
    assert (smaller(moved, 16)[:8] == 128).all()
    assert smaller(moved, 64, peaks=True) is moved
