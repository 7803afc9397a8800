"""The boxes that a request means."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from sensverify.bounds.tensors import tensor_box
from sensverify.classification.perturbation import Perturbation
from sensverify.classification.samples import Samples
from sensverify.core.box import Box
from sensverify.data import Dataset
from sensverify.errors import BadBox, BadData, BadSetting
from sensverify.models.loading import LoadedModel, given_model, load_model
from sensverify.network import NetworkBuilder
from sensverify.verification import InputFacts, VerifyRequest
from sensverify.verification.question import Question, make_question

ASKED = InputFacts("d", 0.1, None, None, None)


def samples(x: np.ndarray) -> Samples:
    return Samples.of(Dataset("d", x), 2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("data", [np.float32, np.float64])
def test_boxes_contain_the_exact_ones(dtype: str, data: type) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(data)
    question = Question(ASKED, samples(x), dtype, Perturbation(np.ones(())), 0.1)
    narrowed = tensor_box(
        question.box(slice(10, 40)), dtype=getattr(torch, dtype), device=torch.device("cpu")
    )
    box = Box(narrowed.lower.numpy(), narrowed.upper.numpy())
    for name, end, sign in (("lower", box.lower, -1), ("upper", box.upper, 1)):
        for given, found in zip(x[10:40].ravel(), end.ravel(), strict=True):
            exact = Fraction(float(given)) + sign * Fraction(0.1)
            assert (Fraction(float(found)) - exact) * sign >= 0, name
    assert box.contains(question.center(slice(10, 40))).all()


def test_clip_is_not_cut_into() -> None:
    moved = Perturbation(np.ones(()), (0.1, 0.7))
    box = Question(ASKED, samples(np.full((1, 1), 0.3)), "float32", moved).box(slice(None))
    assert float(box.lower[0, 0]) <= 0.1
    assert float(box.upper[0, 0]) >= 0.7
    assert box.widths[0, 0] == pytest.approx(0.6)


def test_given_boxes_are_taken_as_they_are() -> None:
    given = Box(np.zeros((3, 1)), np.ones((3, 1)))
    asked = InputFacts(None, None, None, None, "b.npz")
    question = Question(asked, samples(given.center), "float64", given)
    assert question.box(slice(1, 2)).upper.tolist() == [[1.0]]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"radius": 1.0, "sigma": 1.0}, BadSetting),
        ({"radius": -1.0}, BadBox),
        ({"sigma": float("nan")}, BadBox),
        ({"clip": (1.0, 0.0)}, BadBox),
        ({"clip": (float("nan"), 0.0)}, BadBox),
        ({"clip": (0.0, 1.0, 2.0)}, BadSetting),
        ({"samples": 3}, BadSetting),
        ({"samples": "0:3"}, BadSetting),
        ({"output_range": 1.0}, BadSetting),
        ({"costs": np.ones((3, 3))}, BadSetting),
        ({"timeout": 0.0}, BadSetting),
        ({"timeout": float("nan")}, BadSetting),
        ({"max_width": float("nan")}, BadSetting),
    ],
)
def test_requests_that_contradict_themselves(changes: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        VerifyRequest("iris", **changes)


def test_boxes_of_integers_keep_them(tmp_path: Path) -> None:
    """float32 holds 16777217 as 16777216, which would cut the box."""
    np.savez(tmp_path / "box.npz", lower=np.array([[0]]), upper=np.array([[16777217]]))
    request = VerifyRequest(model="m", box=tmp_path / "box.npz")
    network = NetworkBuilder((1,)).build(0)
    model = LoadedModel("m", tmp_path, "", network, None, None)
    assert make_question(request, model).box(slice(None)).upper[0, 0] >= 16777217


def test_targets_of_a_regression_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    for y in (x[:, 0], x[:, :3], np.eye(4)[[0, 1, 2, 3, 0]] / 2):
        np.savez(tmp_path / "d.npz", x=x, y=y)
        request = VerifyRequest("iris", data=str(tmp_path / "d.npz"), radius=0.1)
        question = make_question(request, load_model("iris"))
        assert question.labels is None
        assert "holds targets and no labels" in str(question.facts.note)


@pytest.mark.parametrize(("scale", "noted"), [(255, True), (1, False), (0.5, False)])
def test_whole_pixels_are_spoken_of(scale: float, noted: bool, tmp_path: Path) -> None:
    """A radius of 8/255 is next to nothing where pixels go up to 255."""
    pixels = np.random.default_rng(0).integers(0, 2, size=(5, 1, 8, 8))
    np.savez(tmp_path / "d.npz", x=(scale * pixels).astype(np.float32))
    request = VerifyRequest("digits", data=str(tmp_path / "d.npz"), radius=8 / 255, clip=(0, 255))
    note = make_question(request, load_model("digits")).facts.note
    assert ("radii are in these units" in str(note)) == noted


def test_an_order_of_names_that_nobody_gave_is_spoken_of() -> None:
    network = NetworkBuilder((2,))
    given = given_model(network.build(network.input), lambda: (2,))
    assert not isinstance(given, str)
    pair = np.eye(2, dtype=np.float32), np.array(["b", "a"])
    question = make_question(VerifyRequest(given, data=pair, radius=0.1), load_model(given))
    assert "does not name its classes" in str(question.facts.note)
    assert question.labels is not None
    assert question.labels.tolist() == [1, 0]


def test_rows_with_a_single_one_are_labels(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    y = [0, 1, 2, 2, 0]
    np.savez(tmp_path / "d.npz", x=x, y=np.eye(3)[y])
    np.savez(tmp_path / "b.npz", lower=x, upper=x, y=np.eye(3)[y])
    for request in (
        VerifyRequest("iris", data=str(tmp_path / "d.npz"), radius=0.1),
        VerifyRequest("iris", box=str(tmp_path / "b.npz")),  # type: ignore[arg-type]
    ):
        question = make_question(request, load_model("iris"))
        assert question.labels is not None
        assert question.labels.tolist() == y
        assert question.facts.note is None
    np.savez(tmp_path / "d.npz", x=x, y=np.eye(5)[y])
    with pytest.raises(BadData, match="3 outputs"):
        make_question(
            VerifyRequest("iris", data=str(tmp_path / "d.npz"), radius=0.1), load_model("iris")
        )


def test_a_share_of_a_range_is_rounded_up(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((5, 4))
    spread = np.random.default_rng(1).random(4)
    np.savez(tmp_path / "d.npz", x=x, feature_range=spread)
    request = VerifyRequest("iris", data=str(tmp_path / "d.npz"), sigma=0.1, clip=(-9.0, 9.0))
    question = make_question(request, load_model("iris"))
    assert isinstance(question.perturbation, Perturbation)
    radius = question.perturbation.radius(question.scale)
    for found, wide in zip(radius.tolist(), spread.tolist(), strict=True):
        assert Fraction(found) >= Fraction(0.1) * Fraction(wide)
