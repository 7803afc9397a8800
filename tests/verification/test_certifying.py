"""What is left of a run after rigorous arithmetic, and what is never claimed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.bounds.tensors import tensor_box
from sensverify.certificates import StoredModel, check_certificate, read_certificate
from sensverify.core.box import Box
from sensverify.core.proof import Cells, Proof
from sensverify.core.queries import Verdict
from sensverify.core.results import Bounds, Guarantee, Status
from sensverify.errors import BadModelFile, BadSetting, UnsoundResult
from sensverify.formats.vnnlib import load_property
from sensverify.models.loading import LoadedModel, load_model
from sensverify.runs.watch import Watch
from sensverify.verification import (
    PropertyRequest,
    VerifyReport,
    VerifyRequest,
    check_property,
    verify,
)
from sensverify.verification import asking as module
from sensverify.verification.certifying import Certifier

SaveProperty = Callable[..., Path]


@pytest.fixture
def model(relu: Path) -> LoadedModel:
    return load_model(str(relu))


@pytest.fixture
def box() -> Box:
    """One box on which both ReLUs are unstable."""
    return Box(np.full((1, 2, 1), -0.1), np.full((1, 2, 1), 0.3))


@pytest.fixture
def proposed(model: LoadedModel, box: Box) -> Bounds:
    live = tensor_box(box, dtype=torch.float32, device=torch.device("cpu"))
    return compute_bounds(model.network, live, Crown(), proof=True)


def read_back(report: Any, folder: Path) -> Any:
    path = folder / "report.cert"
    path.write_bytes(report.certification.data)
    return read_certificate(path)


def test_checked_bounds(model: LoadedModel, box: Box, proposed: Bounds, tmp_path: Path) -> None:
    certifier = Certifier(model)
    found = certifier.bounds(proposed, box, None)
    assert certifier.problems == 1
    assert found.bounds.guarantee is Guarantee.CERTIFIED
    assert found.bounds.outer.lower.dtype == torch.float64
    lower, upper = (end.numpy() for end in (found.bounds.outer.lower, found.bounds.outer.upper))
    # relu(x0) + relu(x1) and relu(x0) - relu(x1) for inputs in [-0.1, 0.3].
    assert (lower <= [[0.0, -0.3]]).all()
    assert (upper >= [[0.6, 0.3]]).all()
    assert lower == pytest.approx(proposed.outer.lower.numpy(), abs=1e-6)
    assert upper == pytest.approx(proposed.outer.upper.numpy(), abs=1e-6)
    assert np.array_equal(found.proposed.lower, proposed.outer.lower.double().numpy())
    assert (found.float32 > 0).all()
    certification = certifier.finish({"method": "crown", "largest": float("inf")})
    assert certification.checked.problems == 1
    path = tmp_path / "a.cert"
    path.write_bytes(certification.data)
    certificate = read_certificate(path)
    assert certificate.provenance == {"method": "crown", "largest": "Infinity"}
    assert np.array_equal(certificate.claims.limits[0, :2], lower[0])
    assert check_certificate(certificate, model.path, arithmetic="exact").claims == 4


def test_what_the_check_refuses_is_never_claimed(
    model: LoadedModel, box: Box, proposed: Bounds
) -> None:
    certifier = Certifier(model)
    certifier.bounds(proposed, box, None)
    (part,) = certifier._parts
    raised = replace(part.claims, limits=part.claims.limits + 1e-3)
    certifier._parts = [replace(part, claims=raised)]
    with pytest.raises(UnsoundResult, match=r"nothing is claimed: .* its proof gives"):
        certifier.finish({})


def test_a_file_that_changes_meanwhile(model: LoadedModel, save_relu: Any) -> None:
    changed = replace(model, sha256="0" * 64)
    with pytest.raises(BadModelFile, match="changed while it was used"):
        Certifier(changed)


@pytest.mark.parametrize(("gap", "exact"), [(1e-9, False), (1e-3, True)])
def test_a_bound_stays_optimal_within_the_gap_alone(
    model: LoadedModel, box: Box, proposed: Bounds, gap: float, exact: bool
) -> None:
    """The ends that are called exact lie 1e-5 inside of what the multipliers prove."""
    lower, upper = proposed.outer.lower.double() + 1e-5, proposed.outer.upper.double() - 1e-5
    optimal = torch.ones(1, 2, dtype=torch.bool)
    claimed = replace(proposed, inner=Box(lower, upper), optimal=optimal)
    found = Certifier(model).bounds(claimed, box, None, gap=gap).bounds
    assert found.optimal is not None
    assert bool(found.optimal.all()) is exact
    assert np.array_equal(found.inner.lower, lower)


def test_attained_values_stay_inside(model: LoadedModel, box: Box, proposed: Bounds) -> None:
    lower, upper = proposed.outer.lower.double() - 1e-3, proposed.outer.upper.double() + 1e-3
    claimed = replace(proposed, inner=Box(lower, upper))
    found = Certifier(model).bounds(claimed, box, None).bounds
    assert found.inner is not None
    assert torch.equal(found.inner.lower, found.outer.lower)
    assert torch.equal(found.inner.upper, found.outer.upper)


def test_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST_BATCH", 4)
    plain = verify(VerifyRequest("iris", samples=(0, 10)))
    report = verify(VerifyRequest("iris", samples=(0, 10), rigorous=True))
    assert plain.certification is None
    assert report.guarantee is Guarantee.CERTIFIED
    certificate = read_back(report, tmp_path)
    assert certificate.claims.problems == 10
    for before, sample in zip(plain.samples, report.samples, strict=True):
        assert sample.proposed_lower == pytest.approx(before.lower, abs=1e-5)
        assert sample.lower == pytest.approx(before.lower, abs=1e-4)
        assert sample.certified is before.certified
        assert sample.widening is not None
        assert (sample.widening < 1e-5).all()
    # The certificate holds in arithmetic that shares no rounding with the one that made it.
    exact = check_certificate(certificate, report.model.path, arithmetic="exact")
    assert exact.problems == 10


def test_the_certificate_covers_what_was_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LARGEST_BATCH", 2)
    watch = Watch()

    def stop(done: int, total: int) -> None:
        if done == 2:
            watch.stop()

    request = VerifyRequest("iris", samples=(0, 6), rigorous=True)
    report: VerifyReport = verify(request, progress=stop, watch=watch)
    assert report.interrupted
    assert len(report.samples) == 2
    assert read_back(report, tmp_path).claims.problems == 2


def test_exact_methods(tmp_path: Path) -> None:
    request = VerifyRequest("iris", samples=(0, 1), method="branch-and-bound", rigorous=True)
    report = verify(request)
    (sample,) = report.samples
    assert sample.status is Status.OPTIMAL
    assert sample.inner_lower is not None
    assert sample.inner_upper is not None
    assert (sample.inner_lower >= sample.lower).all()
    assert (sample.inner_upper <= sample.upper).all()
    assert sample.attained_widths == pytest.approx(sample.widths, rel=1e-5)


def test_methods_without_proofs() -> None:
    with pytest.raises(BadSetting, match="lirpa"):
        verify(VerifyRequest("iris", method="lirpa", rigorous=True))


def test_every_case_of_a_property(relu: Path, save_property: SaveProperty, tmp_path: Path) -> None:
    boxes = "(or (and (<= -1 X_0 0.1) (<= -1 X_1 1)) (and (<= 0.1 X_0 1) (<= -1 X_1 0.1)))"
    asked = save_property("(or (>= Y_0 2.1) (and (>= Y_1 0.9) (<= Y_0 0.8)))", box=boxes)
    report = check_property(PropertyRequest(str(relu), asked, rigorous=True))
    assert (report.verdict, report.guarantee) == (Verdict.UNSAT, Guarantee.CERTIFIED)
    assert report.unsat_cases == report.cases == 2
    certificate = read_back(report, tmp_path)
    found = check_certificate(certificate, relu, arithmetic="exact", property=load_property(asked))
    assert (found.problems, found.claims) == (2, 4)


def test_a_proof_that_does_not_survive(model: LoadedModel, save_property: SaveProperty) -> None:
    """Neither constraint fails on the whole box: the tree of one leaf has to be grown."""
    (case,) = load_property(save_property("(and (>= Y_1 0.9) (<= Y_0 0.8))")).cases
    leaf = Proof.of(Cells.roots(np.zeros(1, np.int64)), entries=2)
    certifier, over = Certifier(model), Watch(0.0)
    why = certifier.refute(case, leaf, model.network, watch=over)
    assert why is not None
    assert "the time was up" in why
    assert certifier.problems == 0
    assert certifier.refute(case, leaf, model.network, watch=Watch()) is None
    assert certifier.problems == 1
    # Without any proof, the time that is left is not enough for one.
    why = certifier.refute(case, None, model.network, watch=over)
    assert why is not None
    assert "found none in the time left" in why


def test_the_model_is_the_one_that_is_stored(relu: Path, box: Box, proposed: Bounds) -> None:
    """Not the simplified one: nothing that rewrites a network is believed."""
    stored = StoredModel.read(relu)
    certifier = Certifier(load_model(str(relu)))
    assert len(certifier._model.network.nodes) == len(stored.network.nodes)


@pytest.fixture
def gelu(tmp_path: Path) -> Path:
    """A GELU network as exporters write it before operator set 20: with Erf and a product."""
    torch.manual_seed(3)
    module = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.GELU(), torch.nn.Linear(5, 2))
    path = tmp_path / "gelu.onnx"
    axes = {"x": {0: "batch"}}
    options = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
    torch.onnx.export(module, (torch.zeros(1, 2),), path, opset_version=17, dynamo=False, **options)
    return path


def test_a_function_that_a_file_writes_in_parts_is_certified_in_parts(gelu: Path) -> None:
    loaded = load_model(str(gelu))
    own = Certifier(loaded).bounded(loaded.network)
    assert own is not loaded.network
    points = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(forward_pass(own, points), forward_pass(loaded.network, points))
    x = np.array([[0.3, -0.2], [0.1, 0.4]], dtype=np.float32)
    report = verify(gelu, x, [0, 0], radius=0.05, rigorous=True)
    assert report.guarantee is Guarantee.CERTIFIED
    at = torch.tensor(x).double()[:, None] + 0.05 * (2 * torch.rand(2, 300, 2).double() - 1)
    values = forward_pass(loaded.network, at.reshape(-1, 2)).reshape(2, 300, 2).numpy()
    for sample, found in zip(report.samples, values, strict=True):
        assert (found >= sample.lower).all()
        assert (found <= sample.upper).all()
    assert report.certification is not None
    assert report.certification.checked.problems == 2


def test_a_property_of_such_a_file_is_certified(gelu: Path, tmp_path: Path) -> None:
    asked = tmp_path / "p.vnnlib"
    declared = "".join(f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1"))
    box = "".join(f"(assert (>= X_{i} 0.1))(assert (<= X_{i} 0.2))" for i in range(2))
    asked.write_text(f"{declared}{box}(assert (>= Y_0 50.0))")
    report = check_property(PropertyRequest(str(gelu), asked, rigorous=True))
    assert (report.verdict, report.guarantee) == (Verdict.UNSAT, Guarantee.CERTIFIED)
