"""Eigenvalues and traces of Hessians against dense ones, closed forms and PyHessian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import product
from math import prod
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import sensverify as sv
from sensverify.classification.preparation import prepare
from sensverify.data import load_split
from sensverify.errors import NotMeasured
from sensverify.measures.complexity.weights import Weights, converted, is_piecewise_linear
from sensverify.measures.curvature import input_hessian, weight_hessian
from sensverify.measures.curvature.input_hessian import (
    input_hessian_largest,
    iterated_eigenvalues,
    piecewise_linear_eigenvalues,
)
from sensverify.measures.curvature.weight_hessian import (
    WeightHessian,
    estimated_hessian_trace,
    exact_hessian_trace,
    hessian_largest,
    hessian_trace,
)
from sensverify.measures.measure import MeasuredClassifier, Reading
from sensverify.runs.watch import Watch
from tests.measures.classifiers import (
    convolutional,
    dense_input_hessians,
    dense_weight_hessian,
    drawn,
    filled,
    logistic,
    measured_of,
    mlp,
)

NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "relu": (mlp(), (4,)),
    "tanh": (mlp(nn.Tanh), (4,)),
    "sigmoid": (mlp(nn.Sigmoid), (4,)),
    "convolutional": (convolutional(), (1, 8, 8)),
    "logistic": (logistic(), (4,)),
}

MEASURES = {**weight_hessian.MEASURES, **input_hessian.MEASURES}


@cache
def hessian_of(name: str) -> tuple[MeasuredClassifier, Tensor]:
    module, shape = NETWORKS[name]
    measured = measured_of(module, shape)
    assert measured.train_x is not None
    assert measured.train_y is not None
    return measured, dense_weight_hessian(module, measured.train_x, measured.train_y)


def test_the_hessian_of_a_logistic_regression_in_closed_form() -> None:
    """With p the probabilities, ``mean (diag(p) - p p^T) x (x, 1)(x, 1)^T``, for any label."""
    module = logistic()
    measured = measured_of(module)
    assert measured.train_x is not None
    x = torch.cat([measured.train_x.double(), torch.ones(12, 1).double()], dim=1)
    p = module(measured.train_x.double()).detach().softmax(1)
    middle = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    whole = torch.einsum("sij,sk,sl->ikjl", middle, x, x).reshape(15, 15) / 12
    largest = float(torch.linalg.eigvalsh(whole)[-1])
    assert hessian_largest(measured).value == pytest.approx(largest, rel=1e-6)
    assert hessian_trace(measured).value == pytest.approx(float(whole.trace()), rel=1e-12)
    trace = ((1 - p.square().sum(1)) * x.square().sum(1)).mean()
    assert hessian_trace(measured).value == pytest.approx(float(trace), rel=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_products_are_those_of_the_dense_hessian(name: str) -> None:
    measured, dense = hessian_of(name)
    hessian = WeightHessian.of(measured)
    assert hessian.weights.count == len(dense)
    vector = drawn(len(dense), seed=4)
    torch.testing.assert_close(hessian.times(vector), dense @ vector, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_largest_eigenvalue_is_that_of_the_dense_hessian(name: str) -> None:
    measured, dense = hessian_of(name)
    values = torch.linalg.eigvalsh(dense)
    reading = hessian_largest(measured, accuracy=1e-6)
    assert reading.value == pytest.approx(float(values[-1]), rel=1e-6)
    assert reading.error is not None
    assert abs(reading.value - float(values[-1])) <= reading.error + 1e-12
    assert reading.samples == 12
    assert ("larger in magnitude" in reading.note) == bool(-values[0] > values[-1])


def test_a_negative_eigenvalue_that_is_larger_in_magnitude_is_told() -> None:
    """On one sample that a network is sure and wrong about, where ``tanh`` bends down the loss."""
    module = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 2)).double()
    with torch.no_grad():
        for parameter, value in zip(module.parameters(), (1.0, 0.0, 9.0, 0.0), strict=True):
            parameter.fill_(value)
        module[2].weight[1] = -9.0
    x, y = torch.ones(1, 1), torch.tensor([1])
    values = torch.linalg.eigvalsh(dense_weight_hessian(module, x, y))
    assert -values[0] > 2 * values[-1] > 0
    reading = hessian_largest(measured_of(module, (1,), train_x=x, train_y=y))
    assert reading.value == pytest.approx(float(values[-1]), rel=1e-4)
    assert "larger in magnitude" in reading.note
    assert f"{float(values[0]):.4g}" in reading.note


@pytest.mark.parametrize("lowest", [-2.001, -1.999])
def test_only_a_negative_eigenvalue_that_is_larger_is_told(
    lowest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    diagonal = torch.linspace(lowest, 2.0, 15, dtype=torch.float64)
    monkeypatch.setattr(WeightHessian, "times", lambda self, vector: diagonal * vector)
    reading = hessian_largest(measured_of(logistic()), accuracy=1e-9)
    assert reading.value == pytest.approx(2.0)
    assert ("larger in magnitude" in reading.note) == (lowest < -2)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_trace_is_that_of_the_dense_hessian(name: str) -> None:
    measured, dense = hessian_of(name)
    trace = float(dense.trace())
    reading = hessian_trace(measured)
    if is_piecewise_linear(measured.network):
        assert reading.error is None
        assert reading.value == pytest.approx(trace, rel=1e-9)
    else:
        assert reading.error is not None
        assert abs(reading.value - trace) < 4 * reading.error


def test_a_network_that_is_not_piecewise_linear_has_no_exact_trace() -> None:
    measured, dense = hessian_of("tanh")
    with pytest.raises(NotMeasured, match="piecewise linear"):
        exact_hessian_trace(measured)
    # The part that is left out is not zero there.
    second_part = float(dense.trace()) - gauss_newton_trace("tanh")
    assert abs(second_part) > 1e-3


def gauss_newton_trace(name: str) -> float:
    module, _ = NETWORKS[name]
    x = measured_of(module).train_x
    assert x is not None
    total = 0.0
    for sample in x.double():
        outputs = module(sample[None])[0]
        p = outputs.detach().softmax(0)
        gradients = [
            torch.autograd.grad(out, list(module.parameters()), retain_graph=True)
            for out in outputs
        ]
        rows = torch.stack([torch.cat([g.flatten() for g in each]) for each in gradients])
        total += float((rows.T @ (torch.diag(p) - p[:, None] * p) @ rows).trace())
    return total / len(x)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_hutchinson_s_error_covers_the_trace(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In about 95 of 100 seeds within two errors: 87 or fewer has a probability below 1e-3."""
    measured, dense = hessian_of(name)
    monkeypatch.setattr(WeightHessian, "times", lambda self, vector: dense @ vector)
    trace = float(dense.trace())
    covered = 0
    for seed in range(100):
        reading = estimated_hessian_trace(replace(measured, seed=seed), accuracy=0.0, vectors=40)
        assert reading.error is not None
        covered += abs(reading.value - trace) <= 1.96 * reading.error
    assert 87 < covered < 100


def test_hutchinson_stops_at_its_accuracy_or_its_last_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured, dense = hessian_of("tanh")
    monkeypatch.setattr(WeightHessian, "times", lambda self, vector: dense @ vector)
    rough = estimated_hessian_trace(measured, accuracy=0.5)
    fine = estimated_hessian_trace(measured, accuracy=0.05, vectors=2000)
    assert rough.error is not None
    assert fine.error is not None
    assert 0 < fine.error <= 0.05 * fine.value
    assert fine.error < rough.error <= 0.5 * rough.value
    assert "12 random" in estimated_hessian_trace(measured, accuracy=0.0, vectors=12).note


@pytest.mark.filterwarnings("ignore:Using backward")
def test_pyhessian_says_the_same() -> None:
    pyhessian = pytest.importorskip("pyhessian", reason="PyHessian 0.1 is a reference here")
    module = filled(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)))
    measured = measured_of(module, samples=40)
    assert measured.train_x is not None
    module.float()
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    reference = pyhessian.hessian(
        module, nn.CrossEntropyLoss(), data=(measured.train_x, measured.train_y), cuda=False
    )
    values, _ = reference.eigenvalues(maxIter=500, tol=1e-6)
    traces = torch.tensor(reference.trace(maxIter=300, tol=0.0))
    torch.random.set_rng_state(state)
    assert hessian_largest(measured).value == pytest.approx(values[0], rel=1e-3)
    spread = float(traces.std()) / len(traces) ** 0.5
    reading = hessian_trace(measured)
    assert reading.error is not None
    assert abs(reading.value - float(traces.mean())) < 4 * (spread + reading.error)


def few_vectors(measured: MeasuredClassifier) -> Reading:
    return estimated_hessian_trace(measured, accuracy=0.0, vectors=3)


@pytest.mark.parametrize(
    ("name", "take"),
    [
        *product(("relu", "tanh", "convolutional"), (hessian_largest, input_hessian_largest)),
        *product(("relu", "convolutional"), (exact_hessian_trace,)),
        ("tanh", few_vectors),
    ],
)
def test_chunks_change_nothing(name: str, take: Callable[[MeasuredClassifier], Reading]) -> None:
    module, shape = NETWORKS[name]
    measured = measured_of(module, shape, samples=6)
    whole = take(measured)
    small = take(replace(measured, memory_budget=1))
    assert small.value == pytest.approx(whole.value, rel=1e-9)
    assert small.samples == whole.samples


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_nothing_of_the_caller_s_changes(
    name: str, measure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partial(estimated_hessian_trace, vectors=10)
    monkeypatch.setattr(weight_hessian, "estimated_hessian_trace", few)
    measured, _ = hessian_of(name)
    live = measured.network.map_arrays(lambda values: values.clone().requires_grad_())
    measured = replace(measured, initial=measured.network)
    before = torch.random.get_rng_state()
    expected = MEASURES[measure].take(measured)
    with torch.no_grad():
        again = MEASURES[measure].take(replace(measured, network=live, initial=live))
        assert not torch.is_grad_enabled()
    assert again == expected
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(values.grad is None for _, values in live.arrays())
    assert not any(values.requires_grad for _, values in measured.network.arrays())
    assert not measured.x.requires_grad


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_no_time_no_number(name: str, measure: str) -> None:
    measured, _ = hessian_of(name)
    with pytest.raises(NotMeasured, match="time was up"):
        MEASURES[measure].take(replace(measured, initial=measured.network, watch=Watch(0.0)))


def test_an_estimate_that_is_stopped_late_says_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured, dense = hessian_of("tanh")
    watch = Watch()
    products = WeightHessian.times
    done: list[int] = []

    def stopping(self: WeightHessian, vector: Tensor) -> Tensor:
        done.append(1)
        if len(done) == 15:
            watch.stop()
        return products(self, vector)

    monkeypatch.setattr(WeightHessian, "times", stopping)
    reading = estimated_hessian_trace(replace(measured, watch=watch), accuracy=0.0)
    assert "15 random vectors" in reading.note
    assert reading.cut
    assert reading.error is not None
    assert abs(reading.value - float(dense.trace())) < 5 * reading.error


def test_an_iteration_that_is_stopped_late_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped at its last step it is as good as it would have been."""
    measured, _ = hessian_of("tanh")
    watch = Watch()
    products = WeightHessian.times
    done: list[int] = []

    def stopping(self: WeightHessian, vector: Tensor) -> Tensor:
        done.append(1)
        if len(done) == 8:
            watch.stop()
        return products(self, vector)

    monkeypatch.setattr(WeightHessian, "times", stopping)
    cut = hessian_largest(replace(measured, watch=watch), accuracy=1e-12)
    whole = hessian_largest(measured, accuracy=1e-12, steps=8)
    assert (cut.value, cut.error, cut.note) == (whole.value, whole.error, whole.note)
    assert "stopped early" in cut.note
    assert (cut.cut, whole.cut) == (True, False)
    assert not hessian_largest(measured).cut


def test_products_that_are_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, _ = hessian_of("tanh")
    monkeypatch.setattr(WeightHessian, "times", lambda self, vector: vector * torch.nan)
    with pytest.raises(NotMeasured, match="is nan"):
        estimated_hessian_trace(measured)
    with pytest.raises(NotMeasured, match="finite"):
        hessian_largest(measured)


def test_what_training_measures_need_is_named() -> None:
    measured = replace(measured_of(mlp()), train_x=None, train_y=None)
    for measure in ("hessian-largest", "hessian-trace"):
        with pytest.raises(NotMeasured, match="training part"):
            MEASURES[measure].take(measured)
        with pytest.raises(NotMeasured, match="training part"):
            MEASURES[measure].function(measured)
    with pytest.raises(NotMeasured, match="`initial="):
        MEASURES["input-hessian-largest-init"].take(measured)


def test_folded_batch_normalisation_is_part_of_its_layer() -> None:
    """A module and the network with its normalisation folded have one Hessian."""
    first, norm, last = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
    module = filled(nn.Sequential(first, norm, nn.ReLU(), last))
    with torch.no_grad():
        norm.running_mean.copy_(drawn(6, seed=9).float())
        norm.running_var.copy_(drawn(6, seed=8).float().abs() + 0.5)
    plain = mlp_of_folded(first, norm, last)
    measured = measured_of(module)
    assert Weights.of(measured.network, torch.float64).count == 6 * 4 + 6 + 3 * 6 + 3
    assert measured.train_x is not None
    assert measured.train_y is not None
    dense = dense_weight_hessian(plain, measured.train_x, measured.train_y)
    assert hessian_trace(measured).value == pytest.approx(float(dense.trace()), rel=1e-6)


def mlp_of_folded(first: nn.Linear, norm: nn.BatchNorm1d, last: nn.Linear) -> nn.Module:
    folded = nn.utils.fusion.fuse_linear_bn_eval(first.eval(), norm.eval())
    return nn.Sequential(folded, nn.ReLU(), last)


def test_average_pooling_has_no_weights() -> None:
    module = filled(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    )
    measured = measured_of(module, (1, 6, 6))
    assert Weights.of(measured.network, torch.float64).count == 2 * 9 + 2 + 8 * 3 + 3
    assert measured.train_x is not None
    assert measured.train_y is not None
    dense = dense_weight_hessian(module, measured.train_x, measured.train_y)
    assert hessian_trace(measured).value == pytest.approx(float(dense.trace()), rel=1e-9)


def test_a_network_without_weights_has_no_hessian() -> None:
    measured = measured_of(nn.Sequential(nn.ReLU()), (3,))
    for measure in ("hessian-largest", "hessian-trace"):
        with pytest.raises(NotMeasured, match="no layer with weights"):
            MEASURES[measure].take(measured)


@pytest.mark.parametrize("name", NETWORKS)
def test_input_eigenvalues_are_those_of_dense_hessians(name: str) -> None:
    module, shape = NETWORKS[name]
    measured = measured_of(module, shape)
    expected = torch.linalg.eigvalsh(dense_input_hessians(module, measured.x, measured.y))[:, -1]
    network = converted(measured.network, torch.float64)
    values, errors = iterated_eigenvalues(
        network, measured.x.double(), measured.y, accuracy=1e-8, steps=prod(shape)
    )
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-9)
    assert bool((errors <= 1e-6 * (1 + expected)).all())
    if is_piecewise_linear(network):
        exact = piecewise_linear_eigenvalues(network, measured.x.double())
        torch.testing.assert_close(exact, expected, rtol=1e-9, atol=1e-12)
    reading = input_hessian_largest(measured)
    assert reading.value == pytest.approx(float(expected.mean()), rel=1e-3)
    assert (reading.error is None) == is_piecewise_linear(network)


def test_the_input_hessian_of_two_classes_in_closed_form() -> None:
    """``p (1 - p) |w_1 - w_2|^2``, with p the probability of one of them."""
    module = logistic(classes=2)
    measured = measured_of(module, y=torch.zeros(12, dtype=torch.int64))
    p = module(measured.x.double()).detach().softmax(1)[:, 0]
    weight = module.weight.detach()
    expected = float((p * (1 - p)).mean() * (weight[0] - weight[1]).square().sum())
    assert input_hessian_largest(measured).value == pytest.approx(expected, rel=1e-12)


def test_a_confident_sample_still_has_its_small_curvature() -> None:
    """Where a probability is 1 in float32, the curvature is small, and not zero."""
    module = logistic(classes=2)
    with torch.no_grad():
        module.bias.copy_(torch.tensor([25.0, 0.0]))
    measured = measured_of(module, y=torch.zeros(12, dtype=torch.int64))
    outputs = module(measured.x.double()).detach()
    distance = outputs[:, 0] - outputs[:, 1]
    p, q = torch.sigmoid(distance), torch.sigmoid(-distance)
    weight = module.weight.detach()
    expected = float((p * q).mean() * (weight[0] - weight[1]).square().sum())
    assert 0 < expected < 1e-7
    assert input_hessian_largest(measured).value == pytest.approx(expected, rel=1e-5)


def test_many_classes_are_iterated(monkeypatch: pytest.MonkeyPatch) -> None:
    measured, dense = hessian_of("relu")
    exact = input_hessian_largest(measured)
    monkeypatch.setattr("sensverify.measures.curvature.input_hessian._MOST_CLASSES", 2)
    monkeypatch.setattr(weight_hessian, "_MOST_CLASSES", 2)
    iterated = input_hessian_largest(measured)
    assert iterated.value == pytest.approx(exact.value, rel=1e-3)
    assert iterated.error is not None
    estimated = hessian_trace(measured)
    assert estimated.error is not None
    assert abs(estimated.value - float(dense.trace())) < 5 * estimated.error


def test_the_initial_network_is_looked_at_alone() -> None:
    trained, initial = measured_of(mlp()), measured_of(mlp(seed=1))
    measured = replace(trained, initial=initial.network)
    before = MEASURES["input-hessian-largest-init"].take(measured)
    assert before == MEASURES["input-hessian-largest"].take(initial)
    assert before.value != MEASURES["input-hessian-largest"].take(trained).value


def test_outputs_that_are_not_finite_are_no_measure() -> None:
    measured = measured_of(logistic())
    huge = measured.network.map_arrays(lambda values: torch.full_like(values.double(), 1e300))
    measured = replace(measured, network=huge, train_x=torch.full((12, 4), 1e30))
    with pytest.raises(NotMeasured, match="no finite number"):
        MEASURES["hessian-largest"].take(measured)


def test_a_shipped_network_on_its_training_samples(data_dir: Path) -> None:
    """Double precision agrees with a power iteration in float32, to what float32 can say."""
    split = load_split("mnist")
    network = prepare(sv.load("mnist-conv2"))
    x = torch.from_numpy(split.train.x[:30])
    y = torch.from_numpy(split.train.y[:30]).long()
    measured = MeasuredClassifier(network, x, y, x, y)
    reading = hessian_largest(measured)
    module = nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1568, 10),
    )
    for parameter, values in zip(
        module.parameters(), Weights.of(network, torch.float32).tensors, strict=True
    ):
        parameter.data.copy_(values)
    loss = functional.cross_entropy(module(x), y)
    gradient = torch.autograd.grad(loss, list(module.parameters()), create_graph=True)
    vector = [torch.randn(p.shape, generator=torch.Generator().manual_seed(0)) for p in gradient]
    for _ in range(40):
        norm = torch.stack([v.square().sum() for v in vector]).sum().sqrt()
        vector = [v / norm for v in vector]
        vector = list(
            torch.autograd.grad(gradient, list(module.parameters()), vector, retain_graph=True)
        )
    norm = torch.stack([v.square().sum() for v in vector]).sum().sqrt()
    assert reading.value == pytest.approx(float(norm), rel=1e-3)
