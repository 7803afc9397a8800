"""Convolutional layers through windows give what the dense backward pass gives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sensverify.bounds import Crown, LpDual, compute_bounds, layerwise, tiles, window_plan
from sensverify.bounds.tensors import tensor_network
from sensverify.bounds.windows import Windows
from sensverify.core.box import Box
from sensverify.formats.windows import Windows as Pooling
from sensverify.network import Network, NetworkBuilder
from sensverify.network.operators import (
    Add,
    Conv,
    Elementwise,
    Max,
    Pad,
    Permute,
    Relu,
    Reshape,
    Scale,
    Select,
    Sigmoid,
)
from tests.contracts.networks import Case, cases, conv_nets, numbers, random_box, residual_nets


@pytest.fixture(autouse=True)
def forgotten_plans() -> Iterator[None]:
    """Plans are cached, and the tests below change what makes one pay."""
    window_plan._plan.cache_clear()
    yield
    window_plan._plan.cache_clear()


def both_ways(network: Network, box: Box, method: LpDual | Crown) -> tuple[dict, dict, list[int]]:
    """Intermediate bounds without windows, with them wherever they exist, and where that is."""
    live = tensor_network(network, dtype=torch.float64, device=torch.device("cpu"))
    used = []
    plan_of = window_plan.window_plan

    def watched(small: Network, target: int, samples: int) -> window_plan.WindowPlan | None:
        plan = plan_of(small, target, samples)
        used.extend([target] if plan is not None else [])
        return plan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layerwise, "window_plan", lambda *_: None)
        dense = method.pre_activations(live, box)
    with pytest.MonkeyPatch.context() as patch:
        window_plan._plan.cache_clear()
        patch.setattr(window_plan, "_pays", lambda *_: True)
        patch.setattr(layerwise, "window_plan", watched)
        # Interval arithmetic would answer for the first layers.
        patch.setattr(layerwise, "interval_is_exact", lambda network, target: target == 0)
        windowed = method.pre_activations(live, box)
    window_plan._plan.cache_clear()
    return dense, windowed, used


def assert_agree(dense: dict, windowed: dict) -> None:
    assert dense.keys() == windowed.keys()
    for position in dense:
        size = 1 + max(float(end.abs().max()) for end in dense[position])
        for a, b in zip(dense[position], windowed[position], strict=True):
            assert a.shape == b.shape
            assert float((a - b).abs().max()) <= 1e-12 * size, position


@given(
    cases(st.one_of(conv_nets(head=False), residual_nets(pooling=False, head=False))),
    st.sampled_from([LpDual(), Crown()]),
)
@settings(max_examples=60)
def test_windows_agree_with_the_dense_pass(case: Case, method: LpDual | Crown) -> None:
    dense, windowed, used = both_ways(case.network, case.box_of(torch.float64), method)
    assume(used)
    assert_agree(dense, windowed)


def conv(out: int, inputs: int, kernel: int, *, stride: int = 1, padding: int = 0) -> Conv:
    rng = np.random.default_rng([out, inputs, kernel])
    return Conv(
        numbers(rng, out, inputs, kernel, kernel),
        numbers(rng, out),
        (stride, stride),
        (padding, padding),
        (1, 1),
    )


def assert_windows_agree(network: Network) -> None:
    box = random_box(np.random.default_rng(0), network.input_shape, 2, 0.3)
    box = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    for method in (LpDual(), Crown()):
        dense, windowed, used = both_ways(network, box, method)
        assert used
        assert_agree(dense, windowed)


def test_a_source_read_through_windows_of_two_sizes() -> None:
    """The convolution of a residual block looks further than the shortcut beside it."""
    builder = NetworkBuilder((2, 7, 7))
    first = builder.add(Relu(), builder.add(conv(3, 2, 3, padding=1), builder.input))
    scaled = builder.add(Scale(np.full((3, 1, 1), 0.5), np.full((3, 1, 1), 0.1)), first)
    padded = builder.add(Pad((0, 1, 0), (0, 1, 2)), first)
    long = builder.add(conv(3, 3, 3), padded)
    short = builder.add(conv(3, 3, 1, stride=1), first)
    cut = builder.add(conv(3, 3, 1), scaled)
    wide = builder.add(conv(3, 3, 3, padding=1), cut)
    total = builder.add(Add(), wide, builder.add(Add(), short, cut))
    assert builder.shape(long) == (3, 7, 7)
    total = builder.add(Add(), total, long)
    last = builder.add(conv(2, 3, 3, stride=2, padding=1), builder.add(Relu(), total))
    assert_windows_agree(builder.build(builder.add(Relu(), last)))


def test_convolutions_without_a_nonlinear_node_between_are_masked_outside() -> None:
    """Padding around the second sees zeros, not the first one's bias."""
    builder = NetworkBuilder((1, 6, 6))
    node = builder.add(conv(2, 1, 3, padding=2), builder.input)
    node = builder.add(conv(2, 2, 3, padding=2), node)
    node = builder.add(Relu(), builder.add(conv(2, 2, 3, stride=2, padding=2), node))
    node = builder.add(Relu(), builder.add(conv(1, 2, 2), node))
    assert_windows_agree(builder.build(node))


@pytest.mark.parametrize("shape", [(5,), (5, 5), (1, 5), (1, 1, 5), (2, 1, 5)])
def test_a_scale_that_differs_from_column_to_column_is_no_channel_scale(
    shape: tuple[int, ...],
) -> None:
    """Its shape ``[width]`` looks like that of one number for each channel when they are equal."""
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((2, 5, 5))
    channels = 2 if shape[0] == 2 else 5
    node = builder.add(Relu(), builder.add(conv(channels, 2, 3, padding=1), builder.input))
    node = builder.add(Scale(numbers(rng, *shape), numbers(rng, *shape)), node)
    node = builder.add(Relu(), builder.add(conv(2, channels, 3, padding=1), node))
    network = builder.build(node)
    box = random_box(np.random.default_rng(1), (2, 5, 5), 2, 0.3)
    box = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    dense, windowed, _ = both_ways(network, box, Crown())
    assert_agree(dense, windowed)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (3, 1, 1), (1, 1, 1)], ids=str)
def test_a_scale_for_channels_may_have_any_shape_that_broadcasts(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((2, 5, 5))
    node = builder.add(Relu(), builder.add(conv(3, 2, 3, padding=1), builder.input))
    node = builder.add(Scale(numbers(rng, *shape), numbers(rng, *shape)), node)
    node = builder.add(Relu(), builder.add(conv(2, 3, 3, padding=1), node))
    assert_windows_agree(builder.build(node))


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(2, 2, 0), (3, 2, 0), (2, 1, 0), (3, 3, 0), (3, 2, 1), (2, 2, 1), (3, 1, 1), (5, 2, 2)],
)
@pytest.mark.parametrize("function", [Relu(), Sigmoid()], ids=repr)
def test_max_pools_are_reached(size: int, stride: int, padding: int, function: Elementwise) -> None:
    builder = NetworkBuilder((2, 9, 9))
    node = builder.add(function, builder.add(conv(3, 2, 3, padding=1), builder.input))
    pad = (padding, padding)
    windows = Pooling((9, 9), (size, size), (stride, stride), pad, pad, (1, 1))
    node = builder.add(Max(), builder.add(Select(windows.indices((3,))), node))
    node = builder.add(function, builder.add(conv(2, 3, 3, padding=1), node))
    other = builder.add(conv(2, 2, 1), node)
    node = builder.add(Add(), builder.add(conv(2, 2, 3, padding=1), node), other)
    assert_windows_agree(builder.build(builder.add(Relu(), node)))


def test_windows_end_at_a_maximum_over_anything_else() -> None:
    rng = np.random.default_rng(0)
    builder = NetworkBuilder((2, 6, 6))
    node = builder.add(Relu(), builder.add(conv(3, 2, 3, padding=1), builder.input))
    picked = rng.integers(0, 108, (3, 5, 5, 2))
    node = builder.add(Max(), builder.add(Select(picked), node))
    node = builder.add(Relu(), builder.add(conv(2, 3, 3, padding=1), node))
    assert_windows_agree(builder.build(node))


def test_an_input_in_another_order_is_a_view() -> None:
    """Networks from TensorFlow take channels last and transpose first; some take a flat image."""
    builder = NetworkBuilder((72,))
    node = builder.add(Permute((2, 0, 1)), builder.add(Reshape((6, 6, 2)), builder.input))
    node = builder.add(Select(np.arange(72).reshape(2, 6, 6)[:, ::-1]), node)
    node = builder.add(Relu(), builder.add(conv(3, 2, 3, padding=1), node))
    node = builder.add(Relu(), builder.add(conv(2, 3, 3, stride=2, padding=1), node))
    assert_windows_agree(builder.build(node))


def test_an_input_that_is_repeated_is_no_view() -> None:
    """Windows take their entries for independent; copies of one input entry are not."""
    builder = NetworkBuilder((1, 6, 6))
    indices = np.arange(36).reshape(1, 6, 6)
    indices = np.concatenate([indices[:, :3], indices[:, :3]], axis=1)
    node = builder.add(Select(indices), builder.input)
    node = builder.add(Relu(), builder.add(conv(2, 1, 3, padding=1), node))
    node = builder.add(Relu(), builder.add(conv(2, 2, 3, padding=1), node))
    box = random_box(np.random.default_rng(1), (1, 6, 6), 2, 0.3)
    box = Box(torch.from_numpy(box.lower), torch.from_numpy(box.upper))
    assert_agree(*both_ways(builder.build(node), box, Crown())[:2])


def test_a_layer_that_sees_everything_gets_no_plan() -> None:
    builder = NetworkBuilder((1, 4, 4))
    node = builder.add(Relu(), builder.add(conv(2, 1, 3, padding=1), builder.input))
    node = builder.add(Relu(), builder.add(conv(2, 2, 3, padding=1), node))
    node = builder.add(conv(2, 2, 3, padding=1), node)
    assert window_plan.window_plan(builder.build(node), node) is None


def test_a_large_image_gets_a_plan() -> None:
    """The case that windows are there for: the second layer of a strided convolutional net."""
    builder = NetworkBuilder((1, 28, 28))
    node = builder.add(Relu(), builder.add(conv(16, 1, 4, stride=2, padding=1), builder.input))
    node = builder.add(conv(32, 16, 4, stride=2, padding=1), node)
    plan = window_plan.window_plan(builder.build(node), node)
    assert plan is not None
    assert plan.positions == 49
    (phase,) = plan.phases
    # Four outputs along an axis read (4 - 1) * 2 + 4 inputs.
    assert phase.index[0].shape == (49, 100)
    assert phase.sizes[0] == (1, 10, 10)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_windows_are_cut_by_index_and_zero_outside(
    batch: int, channels: int, size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = torch.from_numpy(numbers(rng, batch, channels, size))
    index = torch.from_numpy(rng.integers(0, size + 1, (4, 3)))
    windows = Windows((channels, size), values, 2 * values)
    beyond = torch.cat([values, torch.zeros(batch, channels, 1, dtype=torch.float64)], dim=2)
    expected = beyond[:, :, index].transpose(1, 2)
    for factor, cut in zip((1, 2), windows.cut(index), strict=True):
        assert torch.equal(cut.reshape(expected.shape), factor * expected)
    samples = torch.from_numpy(rng.integers(0, batch, 4))
    found = windows.at(samples, index)[0].reshape(4, channels, 3)
    assert torch.equal(found, expected[samples, torch.arange(4)])


def test_tiles_over_positions_and_samples_change_nothing() -> None:
    builder = NetworkBuilder((1, 12, 12))
    node = builder.add(Relu(), builder.add(conv(4, 1, 3, stride=2, padding=1), builder.input))
    node = builder.add(Relu(), builder.add(conv(4, 4, 3, stride=2, padding=1), node))
    network = builder.build(node)
    box = random_box(np.random.default_rng(2), (1, 12, 12), 3, 0.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_plan, "_pays", lambda *_: True)
        whole = compute_bounds(network, box, Crown()).outer
        for entries in (1, 500, 2000):
            patch.setattr(tiles, "_TILE", {"cpu": entries})
            tiled = compute_bounds(network, box, Crown()).outer
            torch.testing.assert_close(tiled.lower, whole.lower, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(tiled.upper, whole.upper, rtol=1e-12, atol=1e-12)
