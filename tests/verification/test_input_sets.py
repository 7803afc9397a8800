"""Input sets in a verification run: the sets of samples, their evidence, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sensverify as sv
from sensverify.errors import BadBox, BadData, BadSetting, BadShape, InputError, SensverifyError
from sensverify.report.verification.json import report_to_dict
from sensverify.verification import VerifyRequest
from sensverify.verification.input_sets import AskedSet, variations

X = np.random.default_rng(0).random((3, 1, 4, 4))


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3))


@pytest.fixture
def constraints(tmp_path: Path) -> Path:
    path = tmp_path / "sum.npz"
    np.savez(path, equal_matrix=np.ones((1, 16)))
    return path


def asked(name: str, constraints: Path) -> dict[str, Any]:
    return {
        "euclidean": {"radius": 0.4, "norm": 2},
        "sum": {"radius": 0.4, "norm": 1.0},
        "pixels": {"pixels": 2, "clip": (0, 1)},
        "patch": {"patch": (2, 2), "radius": 0.4, "clip": (0, 1)},
        "constraints": {"constraints": constraints, "radius": 0.4},
        "vary": {"vary": {"brightness": 0.5, "contrast": 0.5, "bias-field": 0.3}},
        "vary in a range": {"vary": {"brightness": 0.8, "contrast": 0.5}, "clip": (0, 1)},
    }[name]


NAMES = ("euclidean", "sum", "pixels", "patch", "constraints", "vary", "vary in a range")


def sets(request: VerifyRequest) -> sv.InputSet:
    asked_set = AskedSet.of(request)
    assert asked_set is not None
    inside = dataclasses.replace(asked_set, clip=request.clip)
    radius = request.radius if isinstance(request.radius, float) else 1.0
    box = sv.Box.around(X, radius, clip=request.clip)
    return inside.around(X, box, radius)


@pytest.mark.parametrize("name", NAMES)
def test_bounds_hold_on_the_set_and_counterexamples_are_in_it(
    name: str, module: nn.Module, constraints: Path
) -> None:
    settings = asked(name, constraints)
    report = sv.verify(module, X, [0, 1, 2], dtype="float64", **settings)
    inside = sets(VerifyRequest("m", **settings))
    with torch.no_grad():
        values = module(torch.from_numpy(inside.sample(300)).flatten(0, 1).float()).numpy()
    values = values.reshape(300, 3, 3)
    for number, sample in enumerate(report.samples):
        assert (sample.lower <= values[:, number].min(0) + 1e-5).all()
        assert (sample.upper >= values[:, number].max(0) - 1e-5).all()
        example = sample.counterexample
        if example is not None:
            assert inside[number : number + 1].contains(example.input[None]).all()
            low, high = settings.get("clip", (-np.inf, np.inf))
            assert low <= example.input.min()
            assert example.input.max() <= high
    assert any(sample.counterexample is not None for sample in report.samples)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("vary")])
def test_fewer_inputs_are_never_less_certain(
    name: str, module: nn.Module, constraints: Path
) -> None:
    settings = asked(name, constraints)
    report = sv.verify(module, X, [0, 1, 2], **settings)
    box = {"radius": settings.get("radius", 1.0), "clip": settings.get("clip")}
    whole = sv.verify(module, X, [0, 1, 2], **box)
    for sample, other in zip(report.samples, whole.samples, strict=True):
        assert (sample.widths <= other.widths + 1e-5).all()
        assert not (other.certified and not sample.certified)


def test_what_is_asked_stands_in_the_json_and_in_words(
    module: nn.Module, constraints: Path
) -> None:
    told = {}
    for name in NAMES:
        report = sv.verify(module, X[:1], **asked(name, constraints))
        told[name] = report_to_dict(report)["input"]["set"]
        page = " ".join(report.to_html().split())
        assert told[name].pop("words") in page
        # Nothing is said of the rest of the box.
        assert "input in the set" in page
        assert "input in the box" not in page
        assert "whole input box" not in page
    assert told["euclidean"] == {"kind": "ball", "norm": 2, "sha256": None}
    assert told["pixels"] == {"kind": "patch", "pixels": 2, "sha256": None}
    assert told["patch"] == {"kind": "patch", "patch": [2, 2], "sha256": None}
    assert told["vary"]["vary"] == {"brightness": 0.5, "contrast": 0.5, "bias-field": 0.3}
    assert len(told["constraints"]["sha256"]) == 64
    plain = sv.verify(module, X[:1], radius=0.1, norm=math.inf)
    assert "set" not in report_to_dict(plain)["input"]


def test_constraints_on_boxes_need_no_samples(module: nn.Module, tmp_path: Path) -> None:
    boxes, limits = tmp_path / "boxes.npz", tmp_path / "limits.npz"
    np.savez(boxes, lower=X * 0, upper=X * 0 + 1)
    np.savez(limits, matrix=np.ones((1, 16)), limits=np.array([1.0]))
    report = sv.verify(module, input_shape=(1, 4, 4), box=boxes, constraints=limits)
    whole = sv.verify(module, input_shape=(1, 4, 4), box=boxes)
    assert report.samples[0].widths.max() < 0.7 * whole.samples[0].widths.max()
    np.savez(limits, matrix=np.ones((1, 16)), limits=np.array([-1.0]))
    with pytest.raises(BadBox, match="empty"):
        sv.verify(module, input_shape=(1, 4, 4), box=boxes, constraints=limits)


def test_patterns_of_a_file_are_varied_along(module: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "tilt.npz"
    pattern = np.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    np.savez(path, patterns=pattern, least=np.array([-0.1]), most=np.array([0.2]))
    report = sv.verify(module, X, vary=str(path))
    assert report.perturbation.set is not None
    assert "tilt-0 from -0.1 to 0.2" in report.perturbation.set["words"]
    np.savez(path, patterns=pattern, least=np.array([-0.1, 0]), most=np.array([0.2]))
    with pytest.raises(BadData, match="as many numbers"):
        sv.verify(module, X, vary=str(path))


def test_exact_methods_answer_or_refuse_by_name(module: nn.Module) -> None:
    few = sv.verify(module, X[:1], pixels=1, clip=(0, 1), method="milp")
    crown = sv.verify(module, X[:1], pixels=1, clip=(0, 1))
    assert (few.samples[0].widths <= crown.samples[0].widths + 1e-5).all()
    ball = sv.verify(module, X[:1], radius=0.1, norm=2, method="branch-and-bound")
    crown = sv.verify(module, X[:1], radius=0.1, norm=2)
    assert (ball.samples[0].widths <= crown.samples[0].widths + 1e-5).all()
    with pytest.raises(BadSetting, match="splits no inputs"):
        sv.verify(module, X[:1], radius=0.1, norm=2, method="branch-and-bound(split=inputs)")
    with pytest.raises(SensverifyError, match="Euclidean"):
        sv.verify(module, X, radius=0.1, norm=2, method="milp")


BAD: dict[str, tuple[dict[str, Any], type[InputError]]] = {
    "two": ({"norm": 2, "pixels": 1, "radius": 0.1}, BadSetting),
    "norm": ({"norm": 3, "radius": 0.1}, BadSetting),
    "nan": ({"norm": math.nan, "radius": 0.1}, BadSetting),
    "sigma": ({"norm": 2, "sigma": 0.1}, BadSetting),
    "radii": ({"norm": 2, "radius": np.full(16, 0.1)}, BadSetting),
    "pixels": ({"pixels": -1, "clip": (0, 1)}, BadSetting),
    "too-many-pixels": ({"pixels": 17, "clip": (0, 1)}, BadSetting),
    "no-range": ({"pixels": 1}, BadSetting),
    "patch": ({"patch": (2,), "radius": 0.1}, BadSetting),
    "large-patch": ({"patch": (5, 5), "radius": 0.1}, BadSetting),
    "vary": ({"vary": "blur=0.1"}, BadSetting),
    "vary-nan": ({"vary": "brightness=nan"}, InputError),
    "vary-word": ({"vary": "brightness=much"}, InputError),
    "vary-negative": ({"vary": "brightness=-0.1"}, BadSetting),
    "vary-twice": ({"vary": ["brightness=0.1", "brightness=0.2"]}, BadSetting),
    "vary-nothing": ({"vary": ()}, BadSetting),
    "vary-and-radius": ({"vary": "brightness=0.1", "radius": 0.1}, BadSetting),
    "no-file": ({"constraints": "none.npz", "radius": 0.1}, BadData),
}


def test_images_are_cut_to_the_range_that_is_given(module: nn.Module) -> None:
    cut = sv.verify(module, X, vary={"brightness": 0.5}, clip=(0, 1))
    assert report_to_dict(cut)["input"]["clip"] == [0.0, 1.0]
    assert "cut to 0 to 1" in cut.to_html()
    free = sv.verify(module, X, vary={"brightness": 0.5}, clip=(-math.inf, math.inf))
    assert "cut to" not in free.to_html()
    with pytest.raises(BadBox, match="clip range"):
        sv.verify(module, X, vary={"brightness": 0.5}, clip=(0, 0.5))


@pytest.mark.parametrize("name", BAD)
def test_bad_sets_are_refused(name: str, module: nn.Module) -> None:
    settings, error = BAD[name]
    with pytest.raises(error):
        sv.verify(module, X, **settings)


def test_bad_files_of_constraints_are_refused(module: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    bad: list[tuple[dict[str, Any], type[InputError]]] = [
        ({"limits": np.ones(1)}, BadData),
        ({"matrix": np.ones((1, 15)), "limits": np.ones(1)}, BadShape),
        ({"matrix": np.ones((1, 16)), "limits": np.ones(2)}, BadShape),
        ({"matrix": np.ones((1, 16)), "limits": np.array([-100.0])}, BadBox),
        ({"matrix": np.full((1, 16), np.nan), "limits": np.ones(1)}, InputError),
    ]
    for arrays, error in bad:
        np.savez(path, **arrays)
        with pytest.raises(error):
            sv.verify(module, X, radius=0.1, constraints=path)


def test_texts_are_amounts_and_files() -> None:
    found = variations(["brightness=8/255", "a.npz"])
    assert found == {"brightness": 8 / 255, "a.npz": Path("a.npz")}
