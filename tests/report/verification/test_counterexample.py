"""Pictures of counterexamples."""

from __future__ import annotations

import numpy as np
import pytest

from sensverify.report.verification.counterexample import FILES, panels


@pytest.mark.parametrize("channels", [1, 3])
def test_panels_are_the_sample_the_input_and_what_moved(channels: int) -> None:
    sample = np.full((channels, 2, 3), 1.0, dtype=np.float32)
    found = sample.copy()
    found[0, 0, 1], found[0, 1, 2] = 2.0, 0.5
    shown = panels(sample, found, (0.0, 2.0))
    assert {each.shape for each in shown} == {(2, 3, channels)}
    assert {each.dtype for each in shown} == {np.dtype(np.uint8)}
    assert (shown[0] == 128).all()
    assert (shown[1][0, 1, 0], shown[1][1, 2, 0]) == (255, 64)
    assert (shown[2][0, 1, 0], shown[2][1, 2, 0], shown[2][0, 0, 0]) == (255, 64, 128)


def test_nothing_that_moved_is_grey() -> None:
    sample = np.zeros((1, 4, 4))
    shown = panels(sample, sample, (0.0, 1.0))
    assert (shown[2] == 128).all()


def test_files_are_known_by_their_names() -> None:
    assert [FILES.named(name) for name in ("sample-3.npz", "sample-12.png")] == [True, True]
    assert not any(
        map(FILES.named, ("sample-3.txt", "my-sample-3.npz", "sample-x.npz", "sample.npz"))
    )
