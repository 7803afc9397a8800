"""Cells of NAS-Bench-201: their numbers, their strings, which are the same, and their networks."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from sensverify import load
from sensverify.errors import BadSetting, BadShape
from sensverify.models.architectures import build_for
from sensverify.models.nas201 import (
    COUNT,
    EDGES,
    OPERATIONS,
    UNIQUE,
    Cell,
    all_cells,
    cell_at,
    cell_in,
    isomorphism,
    read_cell,
    representatives,
    unique_cells,
)
from sensverify.models.nas201_network import CellModule
from sensverify.training.directory.export import export_onnx

THREES = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+"
NOTHING = Cell(("none",) * 6)
SKIPS = Cell(("skip_connect",) * 6)


@pytest.mark.parametrize(
    ("index", "text"),
    [
        # Asserted by the program that wrote the bench (exps/NAS-Bench-201/main.py).
        (0, "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|"
            "skip_connect~2|"),
        (9, "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"),
        (123, "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|"
              "nor_conv_3x3~2|"),
        # The best on CIFAR-10, as its authors print it.
        (6111, f"{THREES}|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"),
    ],
)  # fmt: skip
def test_indices_are_those_of_the_bench(index: int, text: str) -> None:
    cell = cell_at(index)
    assert str(cell) == text
    assert read_cell(text) == read_cell(f"nas201:{text}") == read_cell(str(index)) == cell
    assert cell.index == read_cell(text).index == index
    assert cell.name == f"nas201:{index}"


def test_index_and_string_are_each_other_s_inverse() -> None:
    cells = all_cells()
    assert len(cells) == COUNT == len(set(map(str, cells))) == 15_625
    assert [cell.index for cell in cells] == list(range(COUNT))
    assert all(read_cell(str(cell)) is not None for cell in cells[::97])
    assert {cell.operations for cell in cells} == set(product(OPERATIONS, repeat=6))


def test_unique_cells_are_as_many_as_the_bench_says() -> None:
    # Dong & Yang 2020, Section 2.1; Jung, Lukasik & Keuper 2023, Section 2.1.
    assert len(unique_cells()) == UNIQUE == 6466
    kept = [cell.index for cell in unique_cells()]
    assert kept == sorted(set(representatives()))
    assert all(cell.representative == cell.index for cell in unique_cells())


def test_isomorphic_cells_have_one_representative() -> None:
    # A skip in front, and one behind, of a convolution: node 1 is node 0, or the output is node 1.
    none, skip, conv = "none", "skip_connect", "nor_conv_3x3"
    first = Cell((skip, none, conv, none, none, skip))
    second = Cell((skip, none, none, none, conv, none))
    assert isomorphism(first) != isomorphism(second)  # a node of zeros in the sum tells them apart
    left = Cell((conv, conv, none, none, skip, skip))
    right = Cell((conv, none, none, skip, conv, none))
    assert isomorphism(left) != isomorphism(right)
    one = Cell((conv, "nor_conv_1x1", "none", none, skip, skip))
    other = Cell(("nor_conv_1x1", conv, "none", none, skip, skip))
    assert isomorphism(one) != isomorphism(other)
    assert isomorphism(NOTHING) == "#+#+#"


def test_the_rule_agrees_with_what_cells_compute() -> None:
    """Isomorphic cells give the same numbers where the same operations have the same weights."""
    groups: dict[int, list[Cell]] = {}
    for cell in all_cells():
        groups.setdefault(cell.representative, []).append(cell)
    several = [group for group in groups.values() if len(group) > 1]
    x = torch.linspace(-1, 1, 2 * 2 * 25, dtype=torch.float64).reshape(2, 2, 5, 5)
    for group in several[::60]:
        found = [alike(cell)(x) for cell in group[:4]]
        for each in found[1:]:
            torch.testing.assert_close(each, found[0])


def alike(cell: Cell) -> nn.Module:
    """The module with weights that are the same for all edges of an operation."""
    module = CellModule(cell, 2).double().eval()
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            size = part.weight.numel()
            part.weight.data = torch.linspace(-1, 1, size).double().reshape(part.weight.shape)
    return module


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("nas201:7", 7),
        ("nas201-7", 7),
        ("nas201-7-channels-4-repeats-1-seed0", 7),
        ("nas201:7 (abcdef01)", 7),
        (f"nas201:{cell_at(7)}", 7),
        (f"{cell_at(7)}-seed3", 7),
        ("resnet18", None),
        ("nas201", None),
        ("7", None),
    ],
)
def test_names_tell_cells(name: str, index: int | None) -> None:
    found = cell_in(name)
    assert (None if found is None else found.index) == index


@pytest.mark.parametrize(
    "text",
    ["", "x", "-1", "15625", "999999999", "7.5", "\u0667",
     "|none~0|", str(NOTHING).replace("~2", "~1"),
     str(NOTHING).replace("none~2", "conv~2"), 15625, -1, True],
)  # fmt: skip
def test_what_is_no_cell_is_refused(text: str | int) -> None:
    with pytest.raises(BadSetting, match=r"indices|index from 0|operation"):
        read_cell(text)


def test_operations_are_checked() -> None:
    with pytest.raises(BadSetting, match="did you mean 'nor_conv_3x3'"):
        Cell(("nor_conv_3x4", *("none",) * 5))
    with pytest.raises(BadSetting, match="six operations"):
        Cell(("none",) * 5)


def test_the_network_of_convolutions_has_as_many_weights_as_the_bench_s() -> None:
    text = f"{THREES}|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    assert read_cell(text).index == 1462
    module = build_for("nas201", (3, 32, 32), 10)
    # 1.531546 million in NAS-Bench-201.
    assert sum(each.numel() for each in module.parameters()) == 1_531_546


def test_a_cell_is_the_sum_over_its_paths() -> None:
    x = torch.rand(2, 3, 6, 5)
    assert torch.equal(CellModule(NOTHING, 3)(x), torch.zeros_like(x))
    # Skips alone: 1, 2 and 4 times the input at the nodes.
    torch.testing.assert_close(CellModule(SKIPS, 3)(x), 4 * x)
    pool = Cell(("none", "none", "none", "avg_pool_3x3", "none", "none"))
    # The border is no part of the mean.
    torch.testing.assert_close(CellModule(pool, 3)(torch.ones_like(x)), torch.ones_like(x))
    assert len(EDGES) == 6


@pytest.mark.parametrize(
    "name",
    [
        "nas201:7",
        "nas201(cell=7)",
        f"nas201:{cell_at(7)}",
        f"nas201(cell='{cell_at(7)}')",
        "nas201(cell='nas201:7')",
    ],
)
def test_all_ways_of_naming_a_cell_are_one_network(name: str) -> None:
    expected = build_for("nas201:7", (1, 8, 8), 10, seed=1).state_dict()
    found = build_for(name, (1, 8, 8), 10, seed=1).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_sizes_are_settings() -> None:
    module = build_for("nas201:7(channels=3, repeats=2, stages=2)", (1, 9, 7), 4)
    assert sum(isinstance(part, CellModule) for part in module.modules()) == 4
    assert module[-1].in_features == 6
    assert module(torch.zeros(2, 1, 9, 7)).shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nas201:x", BadSetting, "'x' is no cell"),
        ("nas201:15625", BadSetting, "0 to 15624"),
        ("nas201:7(cell=3)", BadSetting, "cell is given twice"),
        ("nas201:7(chanels=3)", BadSetting, "did you mean 'channels'"),
        ("nas201:7(channels=0)", BadSetting, "channels takes a whole number"),
        ("nas201(cell=true)", BadSetting, "cell takes"),
        ("nas201:7(stages=5)", BadShape, "at least 16 rows"),
    ],
)
def test_bad_names_of_networks(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_for(name, (1, 8, 8), 10)


def test_inputs_have_to_be_images() -> None:
    with pytest.raises(BadShape, match="takes images"):
        build_for("nas201:7", (4,), 3)
    with pytest.raises(BadShape, match="channels last"):
        build_for("nas201:7", (32, 32, 3), 3)


@pytest.mark.parametrize("cell", [NOTHING, SKIPS, cell_at(0), cell_at(9), cell_at(6111)])
def test_files_of_cells_are_read_as_they_run(cell: Cell, tmp_path: Path) -> None:
    module = build_for(f"{cell.name}(channels=2, repeats=1)", (1, 8, 8), 3, seed=0).eval()
    path = tmp_path / "cell.onnx"
    export_onnx(module, (1, 8, 8), path)
    # Reading compares every node with onnxruntime.
    network = load(path)
    assert network.input_shape == (1, 8, 8)
    x = torch.rand(2, 1, 8, 8)
    outputs = onnxruntime.InferenceSession(path).run(None, {"input": x.numpy()})[0]
    np.testing.assert_allclose(outputs, module(x).detach().numpy(), atol=1e-5)


def test_cells_are_counted_without_torch() -> None:
    code = (
        "import sys, sensverify.models.nas201 as n; n.unique_cells(); print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
