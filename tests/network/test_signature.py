"""Names of several inputs and outputs."""

import numpy as np
import pytest

from sensverify.errors import BadShape
from sensverify.network.signature import Port, Signature

SIGNATURE = Signature.of(
    [Port("image", (1, 2, 2)), Port("pose", (1, 3)), Port("speed", ())],
    [Port("kind", (1, 2)), Port("risk", (1, 1))],
)
IMAGE, POSE, SPEED = np.arange(8).reshape(2, 2, 2), np.arange(6).reshape(2, 3), np.array([7, 8])


def test_places_follow_each_other():
    assert [(p.start, p.size) for p in SIGNATURE.inputs] == [(0, 4), (4, 3), (7, 1)]
    assert SIGNATURE.numbers == 8
    assert SIGNATURE.output_names == ("kind[0]", "kind[1]", "risk")


def test_numbers_are_named():
    assert SIGNATURE.numbered == (
        "x0 to x3 are image, x4 to x6 pose, x7 speed; y0 to y1 are kind, y2 risk"
    )


def test_samples_are_joined_and_parted_again():
    x = SIGNATURE.joined({"pose": POSE, "image": IMAGE, "speed": SPEED, "y": SPEED})
    assert x.tolist() == [[0, 1, 2, 3, 0, 1, 2, 7], [4, 5, 6, 7, 3, 4, 5, 8]]
    parts = SIGNATURE.inputs_of(x)
    for name, wanted in (("image", IMAGE), ("pose", POSE), ("speed", SPEED)):
        np.testing.assert_array_equal(parts[name], wanted)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"image": IMAGE, "poze": POSE, "speed": SPEED}, "'pose' .did you mean 'poze'"),
        ({"image": IMAGE, "pose": POSE[:, :2], "speed": SPEED}, "'pose' has the shape .2, 2."),
        ({"image": IMAGE, "pose": POSE[:1], "speed": SPEED}, "2 samples and 'pose' 1"),
        ({"image": IMAGE, "pose": POSE, "speed": 3.0}, "'speed' has the shape"),
        ({}, "no array for the input 'image'"),
    ],
)
def test_samples_that_do_not_fit(given, words):
    with pytest.raises(BadShape, match=words):
        SIGNATURE.joined(given)
