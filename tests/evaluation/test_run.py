"""Whole evaluations: nothing is dropped, nothing depends on how the work is cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sensverify as sv
from sensverify.bounds.forward import forward_pass
from sensverify.core.numbers import RangeShare
from sensverify.errors import BadBox, BadSetting, BadShape, InputError, Unbounded
from sensverify.evaluation.curves import (
    attack_curve,
    attack_names,
    certified_curve,
    clean_rate,
    method_names,
    worst_curve,
)
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.evaluation.run import evaluate
from sensverify.measures.curvature import average_sharpness
from sensverify.runs.progress import Progress
from sensverify.runs.watch import Watch
from tests.evaluation.networks import linear, mlp, request, timeless

IMAGES: dict[str, Any] = {"count": 10, "certify": ("ibp", "crown"), "sigmas": (0.1, 0.02)}


@pytest.fixture(scope="module")
def shipped() -> Evaluation:
    """A shipped network on its own sample, quickly."""
    return evaluate(request("mnist-conv1", **IMAGES))


def keys(model: ModelEvaluation) -> set[str]:
    """What is there, by the keys of the plan."""
    return {
        *(f"clean/{row.part}" for row in model.clean),
        *(f"attack/{row.attack}/{row.radius!r}" for row in model.attacks),
        *(f"certified/{row.method}/{row.radius!r}" for row in model.certified),
        *(f"corruption/{row.corruption}/{row.severity}" for row in model.corruptions),
        *(f"sequence/{row.sequence}" for row in model.sequences),
        *(f"measure/{row.measure}" for row in model.measures),
        *(missing.key for missing in model.missing),
    }


def test_everything_asked_for_is_there(shipped: Evaluation) -> None:
    (model,) = shipped.models
    radii = [0.02, 0.1]
    assert shipped.radii == tuple(radii)
    assert keys(model) == {
        "clean/test",
        *(f"attack/{name}/{r}" for name in ("fgsm", "pgd(steps=3)") for r in radii),
        *(f"certified/{name}/{r}" for name in ("ibp", "crown") for r in radii),
        *(f"corruption/{c}/{s}" for c in ("gaussian-noise", "contrast") for s in (1, 5)),
        "sequence/translation",
        *(f"measure/{m}" for m in ("parameters", "l2", "inverse-margin", "input-gradient")),
    }
    (missing,) = model.missing
    assert missing.key == "measure/inverse-margin"
    assert "no training part" in missing.reason
    assert missing.final
    assert not shipped.interrupted
    assert shipped.chosen == "evenly spread over the test part"
    assert shipped.samples == 10 < shipped.available
    assert set(shipped.examples) == {"clean", "gaussian-noise", "contrast"}
    assert [len(each) for each in shipped.examples.values()] == [1, 2, 2]


def test_curves_are_in_order(shipped: Evaluation) -> None:
    (model,) = shipped.models
    worst = {point.radius: point.rate.count for point in worst_curve(model, shipped.radii)}
    assert len(worst) == 3
    for name in attack_names(model):
        for point in attack_curve(model, name):
            assert worst[point.radius] <= point.rate.count <= clean_rate(model).count
    for name in method_names(model):
        for point in certified_curve(model, name):
            assert point.rate.count <= worst[point.radius]


def test_confidence_under_attack_is_that_at_the_attacks_points(files: Path) -> None:
    """Of a sample that keeps its label, too, and not that of the sample as it is."""
    data = np.load(files / "data.npz")
    x, y = torch.from_numpy(data["x_test"]), torch.from_numpy(data["y_test"]).long()
    asked = {"data": str(files / "data.npz"), "count": None, "radii": (0.05,), "clip": (0.0, 1.0)}
    (model,) = evaluate(request(files / "a.onnx", **asked)).models
    network = sv.load(files / "a.onnx")
    box = sv.Box((x - 0.05).clamp(0, 1), (x + 0.05).clamp(0, 1))
    clean = sure(forward_pass(network, x)).mean().item()
    for row in model.attacks:
        found = sv.attack(network, x, y, box, row.attack, seed=0)
        assert row.classified.confidence == pytest.approx(sure(found.outputs).mean().item())
        assert row.classified.confidence != pytest.approx(clean, rel=1e-3)
        kept = ~found.broken
        assert bool((sure(found.outputs)[kept] != sure(forward_pass(network, x))[kept]).any())


def sure(outputs: torch.Tensor) -> torch.Tensor:
    """The largest probability of each sample."""
    return outputs.double().softmax(dim=1).amax(dim=1)


def test_the_same_however_the_work_is_cut(shipped: Evaluation) -> None:
    whole, parts = (
        timeless(shipped),
        timeless(evaluate(request("mnist-conv1", memory=1, **IMAGES))),
    )
    for one, other in zip(whole.models[0].attacks, parts.models[0].attacks, strict=True):
        assert one.classified.confusion == other.classified.confusion
        assert one.broken == other.broken
        for name in ("l2", "linf", "reach"):
            pair = known(getattr(one, name)), known(getattr(other, name))
            assert pair[0] == pytest.approx(pair[1], rel=1e-4)
    for kind in ("certified", "corruptions", "sequences", "clean"):
        for one, other in zip(
            getattr(whole.models[0], kind), getattr(parts.models[0], kind), strict=True
        ):
            assert shape_of(one) == shape_of(other)
    for here, there in zip(whole.models[0].measures, parts.models[0].measures, strict=True):
        assert here.value == pytest.approx(there.value, rel=1e-5)
    assert parts.examples == whole.examples


def known(values: tuple[float | None, ...]) -> list[float]:
    """Those that are there; which they are, is known already."""
    return [value for value in values if value is not None]


def shape_of(row: Any) -> Any:
    """What rounding does not change of a row."""
    if hasattr(row, "classified"):
        return row.classified.confusion
    return getattr(row, "certified", None) or getattr(row, "flip_rate", None)


def test_radii_in_percent_are_of_the_datas_own_range() -> None:
    asked = {"attacks": (), "certify": ("ibp",), "corruptions": (), "measures": (), "count": 2}
    radii = (RangeShare(0.05), 0.02)
    found = evaluate(request("digits", data="digits", radii=radii, **asked))
    assert found.radii == (0.02, 0.05)
    with pytest.raises(BadSetting):
        evaluate(request("iris", data="iris", radii=radii, **asked))


def test_radii_of_the_card() -> None:
    found = evaluate(
        request("iris", attacks=("fgsm",), certify=(), corruptions=(), sequences=(), measures=())
    )
    assert found.radii == (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
    assert "range" in found.radius_unit
    assert [row.radius for row in found.models[0].attacks] == list(found.radii)


def test_twice_the_same(shipped: Evaluation) -> None:
    state = torch.random.get_rng_state()
    again = evaluate(request("mnist-conv1", **IMAGES))
    assert timeless(again) == timeless(shipped)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_networks_side_by_side(files: Path) -> None:
    data = str(files / "data.npz")
    both = evaluate(
        request(files / "a.onnx", files / "b.onnx", data=data, radii=(0.05,), reference="a.onnx")
    )
    alone = [
        evaluate(request(files / name, data=data, radii=(0.05,))) for name in ("a.onnx", "b.onnx")
    ]
    assert [model.model.name for model in both.models] == ["a.onnx", "b.onnx"]
    assert timeless(both).models == tuple(timeless(each).models[0] for each in alone)
    assert both.reference == "a.onnx"
    assert both.train_samples == 80


def test_a_reference_is_evaluated_too(files: Path) -> None:
    other = str(files / "b.onnx")
    found = evaluate(
        request(files / "a.onnx", data=str(files / "data.npz"), radii=(0.05,), reference=other)
    )
    assert [model.model.name for model in found.models] == ["a.onnx", "b.onnx"]
    assert found.reference == "b.onnx"


def test_files_of_one_name_are_told_apart(tmp_path: Path, files: Path) -> None:
    paths = [mlp(tmp_path / "net.onnx", seed=3), files / "a.onnx"]
    (tmp_path / "other").mkdir()
    paths.append(mlp(tmp_path / "other" / "net.onnx", seed=4))
    found = evaluate(request(*paths, data=str(files / "data.npz"), attacks=(), certify=()))
    names = [model.model.name for model in found.models]
    assert names == [str(paths[0]), "a.onnx", str(paths[2])]


def test_attacks_through_a_surrogate(files: Path) -> None:
    """Through itself an attack is the same; square follows no gradients."""
    changes: dict[str, Any] = {
        "data": str(files / "data.npz"),
        "radii": (0.1,),
        "attacks": ("fgsm", "pgd(steps=3)", "square(queries=5)"),
    }
    itself = evaluate(request(files / "a.onnx", surrogate=str(files / "a.onnx"), **changes))
    rows = {row.attack: row for row in itself.models[0].attacks}
    assert set(rows) == {
        *changes["attacks"],
        "fgsm through a.onnx",
        "pgd(steps=3) through a.onnx",
    }
    for name in ("fgsm", "pgd(steps=3)"):
        assert rows[f"{name} through a.onnx"].broken == rows[name].broken
    other = evaluate(request(files / "a.onnx", surrogate=str(files / "b.onnx"), **changes))
    again = {row.attack: row for row in other.models[0].attacks}
    assert again["fgsm"].broken == rows["fgsm"].broken
    assert len(again["fgsm through b.onnx"].broken) <= len(rows["fgsm"].broken)


def test_the_nearest_input_of_a_linear_network(tmp_path: Path) -> None:
    """The border of x1 = x2 is sqrt(2) * 0.25 from (0.75, 0.25); its box has the radius 0.25."""
    net = linear(tmp_path / "net.onnx", [[1, 0], [0, 1]], [0, 0])
    data = tmp_path / "data.npz"
    np.savez(data, x=np.array([[0.75, 0.25], [0.25, 0.75]], np.float32), y=[0, 0])
    asked = request(
        net, data=str(data), attacks=("cw",), radii=(0.1, 0.4), clip=(0.0, 1.0), certify=("crown",)
    )
    (model,) = evaluate(asked).models
    (row,) = model.attacks
    assert row.radius is None
    assert row.reach[1] == 0
    assert row.reach[0] is not None
    assert 0.25 <= row.reach[0] <= 0.2625
    assert row.l2[0] == pytest.approx(0.25 * 2**0.5, rel=0.05)
    assert [row.certified for row in model.certified] == [(0,), ()]
    (model,) = evaluate(replace(asked, clip=None)).models
    assert "`clip=" in {each.key: each.reason for each in model.missing}["attack/cw"]


def test_factors_for_features(tmp_path: Path) -> None:
    """Only the second feature moves: the label of (0.5, 0.3) changes at 0.2."""
    net = linear(tmp_path / "net.onnx", [[1, 0], [0, 1]], [0, 0])
    data, factors = tmp_path / "data.npz", tmp_path / "factors.npy"
    np.savez(data, x=np.array([[0.5, 0.3]], np.float32), y=[0])
    np.save(factors, np.array([0.0, 0.5]))
    for given in (factors, str(factors), [0.0, 0.5], torch.tensor([[0.0], [0.5]])):
        asked = request(net, data=str(data), radii=(0.39, 0.41), per_feature=given)
        found = evaluate(asked)
        (model,) = found.models
        assert [row.certified for row in model.certified] == [(0,), ()]
        assert [row.broken for row in model.attacks if row.attack == "fgsm"] == [(), (0,)]
        words = "factors.npy" if isinstance(given, str | Path) else "an array (2 numbers from 0 to"
        assert f"times the factors in {words}" in found.radius_unit


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ([0.5], None),
        ([0.5, 0.5, 0.5], BadShape),
        ([0.5, -0.5], BadBox),
        ([0.5, float("nan")], BadBox),
        ([], BadSetting),
        (["a", "b"], BadSetting),
        (range, BadSetting),
    ],
    ids=str,
)
def test_factors_that_are_none(given: Any, error: type[Exception] | None, tmp_path: Path) -> None:
    net = linear(tmp_path / "net.onnx", [[1, 0], [0, 1]], [0, 0])
    np.savez(tmp_path / "data.npz", x=np.array([[0.5, 0.3]], np.float32), y=[0])
    asked = {"data": str(tmp_path / "data.npz"), "radii": (0.1,)}
    if error is None:
        assert evaluate(request(net, per_feature=given, **asked)).models
        return
    with pytest.raises(error, match="per_feature"):
        evaluate(request(net, per_feature=given, **asked))


def test_no_card_and_no_radii(files: Path) -> None:
    found = evaluate(request(files / "a.onnx", data=str(files / "data.npz")))
    (model,) = found.models
    assert found.radii == ()
    assert not model.attacks
    assert not model.certified
    reasons = {each.key: each.reason for each in model.missing}
    for key in ("attack/fgsm", "attack/pgd(steps=3)", "certified/crown"):
        assert "`radii`" in reasons[key]
    assert "images" in reasons["corruption/contrast"]
    assert "images" in reasons["sequence/translation"]


def test_measures_of_the_weights_before_training(files: Path) -> None:
    changes: dict[str, Any] = {"data": str(files / "data.npz"), "measures": ("l2-init", "l2")}
    (model,) = evaluate(request(files / "a.onnx", **changes)).models
    (missing,) = (each for each in model.missing if each.key.startswith("measure"))
    assert "`initial=" in missing.reason
    (model,) = evaluate(request(files / "a.onnx", initial=str(files / "b.onnx"), **changes)).models
    assert {row.measure for row in model.measures} == {"l2-init", "l2"}
    with pytest.raises(InputError, match="itself"):
        evaluate(request(files / "a.onnx", initial=str(files / "a.onnx"), **changes))
    with pytest.raises(InputError, match="other layers"):
        evaluate(request(files / "a.onnx", initial="iris", **changes))


def test_the_initial_weights_of_a_run_are_found(tmp_path: Path, files: Path) -> None:
    """Beside a model with a card only: any folder may hold a file of that name."""
    changes: dict[str, Any] = {"data": str(files / "data.npz"), "measures": ("l2-init",)}
    model = mlp(tmp_path / "model.onnx", seed=0)
    mlp(tmp_path / "initial.onnx", seed=1)
    assert not evaluate(request(model, **changes)).models[0].measures
    asked = request(model, initial=str(tmp_path), **changes)
    assert len(evaluate(asked).models[0].measures) == 1


def test_one_class_only_is_said(tmp_path: Path, files: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, x=np.full((3, 4), 0.5, np.float32), y=[1, 1, 1])
    found = evaluate(request(files / "a.onnx", data=str(data)))
    assert "label 1" in found.settings["note"]


@pytest.fixture
def fragile(tmp_path: Path) -> Path:
    """A network whose first output overflows where the features add up to more than 1.13."""
    return linear(tmp_path / "net.onnx", [[3e38, 3e38], [0, 0]], [0, 3.3e38])


def test_outputs_that_are_no_numbers_at_a_sample(tmp_path: Path, fragile: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, x=np.array([[0.1, 0], [0.9, 0.9]], np.float32), y=[1, 1])
    with pytest.raises(Unbounded, match=r"'net\.onnx'.* sample 1 "):
        evaluate(request(fragile, data=str(data), radii=(0.1,)))


def test_outputs_that_are_no_numbers_under_attack(tmp_path: Path, fragile: Path) -> None:
    data = tmp_path / "data.npz"
    np.savez(data, x=np.array([[0.4, 0.45]], np.float32), y=[1])
    attacks = ("fgsm", "square(queries=20)")
    found = evaluate(request(fragile, data=str(data), radii=(0.01, 0.3), attacks=attacks))
    (model,) = found.models
    reasons = {each.key: each.reason for each in model.missing}
    assert "not finite" in reasons["attack/square(queries=20)/0.3"]
    assert "overflows" in reasons["certified/crown/0.3"]
    assert {row.radius for row in model.attacks if row.attack != "fgsm"} == {0.01}
    assert not found.interrupted


def test_the_time_budget(tmp_path: Path) -> None:
    """What is left is missing, not final, and made up for later."""
    asked = request("mnist-conv1", out=tmp_path / "out", **IMAGES)
    cut = evaluate(replace(asked, timeout=1e-9))
    (model,) = cut.models
    assert cut.interrupted
    assert [row.part for row in model.clean] == ["test"]
    assert not model.attacks
    late = [each for each in model.missing if not each.final]
    assert {each.key for each in late} == keys(model) - {"clean/test"}
    whole = evaluate(replace(asked, resume=True))
    assert not whole.interrupted
    assert timeless(whole) == timeless(evaluate(request("mnist-conv1", **IMAGES)))


def test_an_estimate_that_was_stopped_is_made_up_for(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reported as far as it came, and is not what later runs go on with."""
    asked = request(
        files / "a.onnx",
        data=str(files / "data.npz"),
        out=tmp_path / "out",
        **{"sequences": (), "measures": ("l2", "sharpness-l2-0.1")},
    )
    watch = Watch()
    losses = average_sharpness._loss
    done: list[int] = []

    def stopping(*arguments: Any) -> float:
        done.append(1)
        if len(done) == 20:
            watch.stop()
        return losses(*arguments)

    with monkeypatch.context() as before:
        before.setattr(average_sharpness, "_loss", stopping)
        cut = evaluate(asked, watch=watch)
    assert cut.interrupted
    (_, row) = cut.models[0].measures
    assert row.measure == "sharpness-l2-0.1"
    assert "until the time was up" in row.note
    whole = evaluate(replace(asked, resume=True))
    assert not whole.interrupted
    assert "50 pairs" in whole.models[0].measures[1].note
    assert timeless(whole) == timeless(evaluate(replace(asked, out=None)))


def test_a_stop_keeps_what_is_done(tmp_path: Path) -> None:
    watch = Watch()
    seen: list[Progress] = []

    def progress(now: Progress) -> None:
        seen.append(now)
        if "mnist-conv1: corruption/" in "".join(now.running):
            watch.stop()

    asked = request("mnist-conv1", out=tmp_path / "out", **IMAGES)
    cut = evaluate(asked, progress=progress, watch=watch)
    assert cut.interrupted
    assert cut.models[0].attacks
    assert not cut.models[0].corruptions
    assert [now.done for now in seen[:-1]] == list(range(len(seen) - 1))
    assert seen[-1].done == seen[-2].done < seen[-1].total
    again: list[Progress] = []
    whole = evaluate(replace(asked, resume=True), progress=again.append)
    done = {task for now in seen[:-2] for task in now.running}
    assert len(done) > 5
    assert not done & {task for now in again for task in now.running}
    assert again[-1].done == again[-1].total
    assert timeless(whole) == timeless(evaluate(request("mnist-conv1", **IMAGES)))


def test_more_may_be_asked_later(tmp_path: Path, files: Path) -> None:
    asked = request(
        files / "a.onnx", data=str(files / "data.npz"), radii=(0.05,), out=tmp_path / "out"
    )
    evaluate(replace(asked, measures=("l2",)))
    with pytest.raises(InputError, match="`resume`"):
        evaluate(asked)
    seen: list[Progress] = []
    more = replace(
        asked,
        models=(*asked.models, str(files / "b.onnx")),
        measures=("l2", "sparsity"),
        resume=True,
    )
    found = evaluate(more, progress=seen.append)
    assert len(found.models) == 2
    tasks = {task for now in seen for task in now.running}
    assert {task for task in tasks if task.startswith("a.onnx")} == {"a.onnx: measure/sparsity"}
    evaluate(replace(more, radii=(0.05, 0.1, 0.2)))
    with pytest.raises(InputError, match="seed is 0 there and 5 now"):
        evaluate(replace(more, seed=5))
    with pytest.raises(InputError, match="test"):
        evaluate(replace(more, count=5))


def test_other_versions_are_told(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(files / "a.onnx", data=str(files / "data.npz"), out=tmp_path / "out")
    module = "sensverify.evaluation.folder.versions"
    with monkeypatch.context() as before:
        before.setattr(module, lambda: {"torch": "1.0", "sensverify": "0.0"})
        assert "torch 1.0" in evaluate(asked).settings["begun with"]
    assert "torch 1.0" in evaluate(replace(asked, resume=True)).settings["begun with"]
    other = replace(asked, out=tmp_path / "other")
    assert "begun with" not in evaluate(other).settings


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_the_same_on_cuda(shipped: Evaluation) -> None:
    there = evaluate(request("mnist-conv1", device="cuda", **IMAGES))
    for kind in ("clean", "attacks", "corruptions"):
        for one, other in zip(
            getattr(shipped.models[0], kind), getattr(there.models[0], kind), strict=True
        ):
            right = [row.classified.accuracy.count for row in (one, other)]
            assert abs(right[0] - right[1]) <= 1
    for here, other in zip(shipped.models[0].measures, there.models[0].measures, strict=True):
        assert here.value == pytest.approx(other.value, rel=1e-3)
