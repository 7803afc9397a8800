"""Stronger is further away: the mean distance to the clean image, on real images of three sizes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from torch import Tensor

from sensverify.corruptions import CORRUPTIONS, corrupt

# Tables, or images, that do not make every severity further away than the one before.
EXCEPTIONS: dict[str, tuple[str, ...]] = {
    # Of glass, severity 2 has no more rounds than 1, and 5 no more than 4; a wider blur then evens
    # out. Severities 3 and 4 of motion differ in radius alone, and their sigma cuts both off. Ice
    # that replaces more of an image can be closer to it. Elastic goes from large and smooth
    # displacements to small and rough ones. Of a digit that has left its place nothing is left to
    # be further away.
    "digits": ("glass-blur", "motion-blur", "frost", "elastic", "translation"),
    "objects": ("glass-blur", "motion-blur", "frost", "elastic"),
    # Glass and snow as in the authors' functions (test_library.py).
    "photographs": ("glass-blur", "frost", "elastic", "snow"),
}

BOTH_SIDES = ("brightness-factor",)
"""Levels on either side of the clean image, which is between the two in the middle."""


@pytest.fixture(scope="module")
def images(digits: Tensor, objects: Tensor, photographs: Tensor) -> dict[str, Tensor]:
    return {"digits": digits, "objects": objects[:50], "photographs": photographs}


def test_distance_to_the_clean_image_grows_with_severity(
    name: str, images: dict[str, Tensor]
) -> None:
    entry = CORRUPTIONS[name]
    for kind, x in images.items():
        if entry.incompatibility(tuple(x.shape[1:])):
            continue
        severities = range(1, entry.severities + 1)
        distances = [float((corrupt(x, name, s) - x).abs().mean()) for s in severities]
        assert distances[0] > 0, kind
        assert max(distances) < 0.6 or name == "invert", (kind, distances)
        if name in BOTH_SIDES:
            middle = len(distances) // 2
            halves = distances[middle - 1 :: -1], distances[middle:]
            assert all(a < b for half in halves for a, b in pairwise(half)), (kind, distances)
            continue
        growing = all(a < b for a, b in pairwise(distances))
        assert growing == (name not in EXCEPTIONS[kind]), (kind, distances)
        # Even so, the last is not the weakest.
        assert len(distances) == 1 or distances[-1] > distances[0] or name == "elastic", kind
