"""Files of both PyTorch exporters, against the module itself and against onnxruntime."""

import onnx
import pytest
import torch
from torch import nn

from sensverify.bounds import forward_pass
from sensverify.errors import UnsupportedOperator
from sensverify.formats.onnx import load_onnx
from sensverify.network.operators import (
    Elementwise,
    Elu,
    Gelu,
    HardSwish,
    Mish,
    Pow,
    Silu,
    Softsign,
    Square,
    TanhGelu,
)


class Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x)))))


class Viewed(nn.Module):
    """Shapes computed from the input's."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 4)

    def forward(self, x):
        x = x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)
        first, second = self.linear(x).chunk(2, dim=1)
        return torch.cat([second, (first - 0.5) / 2.0, -first.abs()], dim=1)


class Beside(nn.Module):
    """Modules on one input, their outputs side by side: an export costs little more for many."""

    def __init__(self, *modules):
        super().__init__()
        self.parts = nn.ModuleList(modules)

    def forward(self, x):
        return torch.cat([part(x).flatten(1) for part in self.parts], dim=1)


def flat():
    """Linear layers and activations."""
    return Beside(
        nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)),
        nn.Sequential(
            nn.Linear(6, 5), nn.Tanh(), nn.PReLU(5), nn.Hardtanh(-0.3, 0.5), nn.Sigmoid()
        ),
        nn.Sequential(nn.Linear(6, 5), nn.LeakyReLU(0.2), nn.ReLU6()),
        nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU()),
        nn.Sequential(nn.Linear(6, 5), nn.Dropout(), nn.ReLU()),
    )


def image():
    """Layers on images of 7x7, each behind a convolution of its own."""

    def conv(*layers):
        return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), *layers)

    return Beside(
        conv(nn.ReLU(), nn.Flatten(), nn.Linear(98, 4)),
        conv(nn.BatchNorm2d(2), nn.ReLU()),
        conv(nn.MaxPool2d(3, 2, padding=1)),
        conv(nn.MaxPool2d(2, ceil_mode=True)),
        conv(nn.AvgPool2d(3, 2, padding=1)),
        conv(nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)),
        conv(nn.AdaptiveAvgPool2d(1)),
        conv(nn.ConvTranspose2d(2, 3, 3, 2, padding=1, output_padding=1)),
        nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(1, 2, 3)),
        conv(nn.Upsample(scale_factor=2)),
    )


MODULES = {
    "flat": (flat, (6,)),
    "image": (image, (1, 7, 7)),
    "residual": (lambda: nn.Sequential(Residual(2), Residual(2), nn.Flatten()), (2, 5, 5)),
    "shapes": (Viewed, (3, 2, 2)),
    "conv 1d": (lambda: nn.Sequential(nn.Conv1d(2, 3, 3, dilation=2), nn.ReLU()), (2, 9)),
    "conv 3d": (lambda: nn.Sequential(nn.Conv3d(1, 2, 2, stride=2), nn.ReLU()), (1, 4, 4, 4)),
}
DYNAMIC = ("flat", "image", "residual", "shapes")
"""Exported with a dynamic batch axis as well: the two exporters differ most in shapes."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize(
    ("name", "dynamic_batch"),
    [(name, False) for name in MODULES] + [(name, True) for name in DYNAMIC],
)
def test_exported_module(name, dynamic_batch, dynamo, tmp_path, check_equal):
    if dynamo:
        pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    make, shape = MODULES[name]
    module = make()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    module.eval()
    path = tmp_path / "exported.onnx"
    options = {"dynamo": dynamo, "verbose": False}
    # Specialising sizes of 0 and 1 keeps a batch of 1 from being dynamic.
    example = torch.randn(2 if dynamic_batch else 1, *shape)
    if dynamic_batch and dynamo:
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    elif dynamic_batch:
        options |= {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(module, (example,), path, **options)

    network = load_onnx(path)
    x = torch.randn(5, *shape)
    expected = torch.cat([module(x[i : i + 1]) for i in range(5)]).detach()
    tolerance = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(forward_pass(network, x), expected, rtol=0, atol=tolerance)
    check_equal(onnx.load(path))


@pytest.mark.filterwarnings("ignore")
def test_exported_external_data(tmp_path):
    pytest.importorskip("onnxscript")
    module = nn.Sequential(nn.Linear(60, 50), nn.ReLU(), nn.Linear(50, 3)).eval()
    path = tmp_path / "exported.onnx"
    example = torch.randn(1, 60)
    torch.onnx.export(module, (example,), path, dynamo=True, external_data=True, verbose=False)
    assert len(list(tmp_path.iterdir())) == 2
    torch.testing.assert_close(forward_pass(load_onnx(path), example), module(example).detach())


class Function(nn.Module):
    """A function of torch as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


FUNCTIONS = {
    "gelu": (nn.GELU(), Gelu),
    "gelu by tanh": (nn.GELU(approximate="tanh"), TanhGelu),
    "silu": (nn.SiLU(), Silu),
    "silu by hand": (Function(lambda x: x * torch.sigmoid(2 * x)), Silu),
    "mish": (nn.Mish(), Mish),
    "hardswish": (nn.Hardswish(), HardSwish),
    "relu6 by hand": (Function(lambda x: x * nn.functional.relu6(x + 3) / 6), HardSwish),
    "softsign": (nn.Softsign(), Softsign),
    "square": (Function(lambda x: x * x), Square),
    "cube": (Function(lambda x: x**3), Pow),
    "selu": (nn.SELU(), Elu),
    "celu": (nn.CELU(0.5), Elu),
}
"""Modules that exporters write as they like, and the one operator that they are read as."""


@pytest.mark.parametrize("dynamo", [False, True], ids=["script", "dynamo"])
def test_functions_of_one_number_are_read_as_one_operator(dynamo, tmp_path):
    if dynamo:
        pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    module = Beside(*(layer for layer, _ in FUNCTIONS.values())).eval()
    path = tmp_path / "exported.onnx"
    example = torch.randn(1, 5)
    options = {"dynamo": dynamo, "verbose": False}
    torch.onnx.export(module, (example,), path, **options)
    network = load_onnx(path)
    kinds = [type(n.operator) for n in network.nodes if isinstance(n.operator, Elementwise)]
    assert kinds == [kind for _, kind in FUNCTIONS.values()]
    x = 3 * torch.randn(50, 5)
    torch.testing.assert_close(forward_pass(network, x), module(x).detach(), rtol=1e-5, atol=1e-5)


def test_products_that_are_only_like_a_known_function_are_not_taken_for_it(tmp_path):
    """Constants that are a little off make another function."""
    close = [
        lambda x: x * 0.5 * (1.01 + torch.erf(x / 1.4142135)),
        lambda x: x * torch.sigmoid(x + 0.1),
        lambda x: x * nn.functional.relu6(x + 2.9) / 6,
        lambda x: x / (1.1 + x.abs()),
    ]
    for number, function in enumerate(close):
        path = tmp_path / f"{number}.onnx"
        torch.onnx.export(Function(function), (torch.randn(1, 5),), path, dynamo=False)
        known = (Gelu, Silu, HardSwish, Softsign)
        try:
            network = load_onnx(path)
        except UnsupportedOperator:
            continue
        assert not any(isinstance(node.operator, known) for node in network.nodes)
