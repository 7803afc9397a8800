"""Interpolation against onnxruntime: every mode and every kind of coordinates."""

import numpy as np
import pytest
from onnx import helper

from sensverify.errors import UnsupportedOperator
from tests.pairwise import pairwise

SHAPE = (1, 2, 5, 6)
NONE = np.zeros(0, np.float32)
COORDINATES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
]
SCALES = [(2, 3), (1.5, 0.5), (0.7, 1), (0.5, 0.3)]
SIZES = [(7, 9), (3, 11), (1, 1), (5, 4)]


def scales(*factors):
    return np.array([1, 1, *factors], np.float32)


@pairwise(mode=["linear", "cubic"], coordinates=COORDINATES, factors=SCALES)
def test_scales(mode, coordinates, factors, check_node):
    """Linear weights are fractions that are kept exactly; those of cubic ones may be too long."""
    exact = True if mode == "linear" else None
    names = {"mode": mode, "coordinate_transformation_mode": coordinates}
    check_node("Resize", SHAPE, NONE, scales(*factors), opset=19, exact=exact, **names)


@pairwise(mode=["linear", "cubic"], coordinates=COORDINATES, lengths=SIZES)
def test_sizes(mode, coordinates, lengths, check_node):
    names = {"mode": mode, "coordinate_transformation_mode": coordinates}
    check_node("Resize", SHAPE, NONE, None, np.array([1, 2, *lengths]), opset=19, **names)


@pytest.mark.parametrize("factors", SCALES[:2], ids=str)
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_coordinates_for_nearest_neighbours(mode, factors, check_node):
    names = {"mode": mode, "coordinate_transformation_mode": "tf_half_pixel_for_nn"}
    names |= {"nearest_mode": "floor"} if mode == "nearest" else {}
    exact = None if mode == "cubic" else True
    check_node("Resize", SHAPE, NONE, scales(*factors), opset=12, exact=exact, **names)


@pytest.mark.parametrize("target", [(7, 4), (3, 9), (1, 2)], ids=str)
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
def test_crops(mode, target, check_node):
    """Outside of the input lies one number, on whichever axis."""
    region = np.array([0, 0, 0.125, -0.25, 1, 1, 0.8125, 1.1875], np.float32)
    names = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize"}
    names |= {"nearest_mode": "floor"} if mode == "nearest" else {}
    sizes = np.array([1, 2, *target])
    exact = None if mode == "cubic" else True
    options = {"extrapolation_value": 2.5, "exact": exact, "opset": 18}
    check_node("Resize", SHAPE, region, None, sizes, **options, **names)


def test_a_crop_at_the_edge_is_refused_unless_it_is_the_edge(check_node):
    names = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    whole = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.float32)
    check_node("Resize", SHAPE, whole, None, np.array([1, 2, 7, 4]), opset=18, **names)
    nearly = np.array([0, 0, 1e-6, 0, 1, 1, 1, 1], np.float32)
    with pytest.raises(UnsupportedOperator, match="close to the edge"):
        check_node("Resize", SHAPE, nearly, None, np.array([1, 2, 7, 4]), opset=18, **names)


@pairwise(factors=[(0.5, 0.25), (2, 1.5)], mode=["linear", "cubic"], exclude=[0, 1])
def test_antialiasing(factors, mode, exclude, check_node):
    names = {"mode": mode, "antialias": 1, "exclude_outside": exclude}
    shape = (1, 2, 8, 8)
    check_node("Resize", shape, NONE, scales(*factors), opset=18, **names)


def test_cubic_coefficient_and_entries_outside(check_node):
    names = {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}
    check_node("Resize", SHAPE, NONE, scales(2, 1.5), opset=18, **names)


@pytest.mark.parametrize("shape", [(1, 2, 5), (1, 2, 3, 4, 3)], ids=str)
def test_other_numbers_of_axes(shape, check_node):
    lengths = np.array([*shape[:2], *(2 * n - 1 for n in shape[2:])])
    check_node("Resize", shape, None, None, lengths, mode="linear", opset=18)


def test_some_axes(check_node):
    check_node("Resize", SHAPE, None, None, np.array([7, 9]), axes=[2, 3], mode="linear", opset=18)


def test_old_operators(check_node):
    check_node("Upsample", SHAPE, mode="linear", scales=[1.0, 1.0, 2.0, 3.0], opset=7)
    check_node("Upsample", SHAPE, scales(2, 3), mode="linear", opset=9)
    check_node("Resize", SHAPE, scales(2, 0.5), mode="linear", opset=10)


def test_weights_are_whole_numbers_over_one_divisor(check_node):
    """Thirds, which no binary number is: kept as whole numbers and a division."""
    names = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    check_node("Resize", (1, 1, 1, 3), None, None, np.array([1, 1, 1, 4]), opset=18, **names)


def test_an_unknown_mode_is_refused(make_model, save):
    from sensverify.formats.onnx import load_onnx

    node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="lanczos")
    path = save(make_model([node], SHAPE, {"s": scales(2, 2)}))
    with pytest.raises(UnsupportedOperator, match="lanczos"):
        load_onnx(path)
