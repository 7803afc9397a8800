"""The adapter to auto_LiRPA: sound on sampled points, equal to our own rules, honest refusals."""

import importlib.util
import logging
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sensverify.bounds import Crown, Ibp, forward_pass
from sensverify.bounds.lirpa import Lirpa, _check_attained
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box
from sensverify.errors import BackendFailure, BackendMissing, BadSetting, MissingRule
from sensverify.formats.modules import from_module
from sensverify.network import NetworkBuilder
from sensverify.network.operators import Elementwise, Sigmoid
from tests.pairwise import pairwise

INSTALLED = importlib.util.find_spec("auto_LiRPA") is not None
needs_auto_lirpa = pytest.mark.skipif(
    not INSTALLED and "CI" not in os.environ,
    reason="auto_LiRPA is not installed: pip install --no-deps auto-LiRPA appdirs tqdm",
)
MODES = ("IBP", "CROWN", "CROWN-IBP", "alpha-CROWN")
OURS = {"IBP": Ibp(), "CROWN": Crown(), "CROWN-IBP": Crown(Ibp())}


class Residual(nn.Module):
    """Two convolutions with a skip connection, batch normalisation and average pooling."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Conv2d(2, 3, 3, padding=1)
        self.inner = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.pool = nn.AvgPool2d(2)
        self.leave = nn.Linear(12, 4)

    def forward(self, x):
        x = self.enter(x).relu()
        x = (self.norm(self.inner(x)) + x).relu()
        return self.leave(self.pool(x).flatten(1))


class Parts(nn.Module):
    """Products, sums and joined selections; its output has two axes."""

    def forward(self, x):
        y = torch.relu((x * 2 - 1) * torch.tensor([1.0, -2.0, 3.0, 4.0]).to(x) + 0.5)
        return torch.stack([y, x.flip(1) - y], 1)


class Expand(nn.Module):
    """Every entry of the input three times, weighted differently."""

    def forward(self, x):
        return x.expand(-1, 2, 3) * torch.tensor([1.0, -2.0, 0.5]).to(x)


def dense(*between):
    layers = []
    for layer in between:
        layers += [nn.Linear(5, 5), layer]
    return nn.Sequential(*layers, nn.Linear(5, 3))


def convolutions(*layers, features, outputs=3):
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(features, outputs))


# Of random weights, three networks in a thousand have no ReLU that is active on these boxes.
torch.manual_seed(0)

# What our rules bound alike: with ReLU alone, by construction.
EXACT = {
    "mlp": ((5,), dense(nn.ReLU(), nn.ReLU())),
    "affine": ((5,), nn.Linear(5, 2)),
    "conv": (
        (1, 8, 8),
        convolutions(nn.Conv2d(1, 3, 4, 2, 1), nn.ReLU(), nn.Conv2d(3, 4, 4, 2, 1), features=16),
    ),
    "conv1d": ((2, 6), convolutions(nn.Conv1d(2, 3, 3, stride=2, padding=1), features=9)),
    "conv-transpose": ((2, 2, 2), convolutions(nn.ConvTranspose2d(2, 2, 3), features=32)),
    "residual": ((2, 4, 4), Residual()),
    "repeated": ((2, 1), nn.Sequential(Expand(), nn.ReLU(), nn.Flatten(), nn.Linear(6, 2))),
    "padded": ((1, 3, 3), convolutions(nn.ConstantPad2d((1, 0, 2, 1), 0.5), features=24)),
    "two-axes": ((3, 4), nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))),
    "parts": ((4,), Parts()),
}
OTHERS = {
    "leaky": ((5,), dense(nn.LeakyReLU(0.2), nn.PReLU(5))),
    "clip": ((5,), dense(nn.Hardtanh(), nn.ReLU6())),
    "overlapping-pool": (
        (1, 5, 5),
        convolutions(nn.Conv2d(1, 1, 1), nn.MaxPool2d(3, stride=1, padding=1), features=25),
    ),
    "max-pool": ((1, 6, 6), convolutions(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), features=8)),
}
# auto_LiRPA 0.7 prepares tables for these, for half a minute.
SLOW = {"smooth": ((5,), dense(nn.Sigmoid(), nn.Tanh()))}


def prepared(shape, module, dtype=torch.float64):
    """The network, boxes of three widths around three samples, the last one a point."""
    torch.manual_seed(1)
    network = from_module(module.to(dtype), shape)
    network = tensor_network(network, dtype=dtype, device=torch.device("cpu"))
    center = torch.randn(3, *shape, dtype=dtype)
    widths = torch.tensor([0.3, 0.05, 0.0], dtype=dtype).reshape(3, *(1 for _ in shape))
    radius = torch.rand(3, *shape, dtype=dtype) * widths
    return network, Box(center - radius, center + radius)


def objectives_for(network, per_sample, dtype=torch.float64):
    outputs = int(np.prod(network.output_shape))
    if per_sample:
        return torch.randn(3, 2, outputs, dtype=dtype)
    return torch.eye(outputs, dtype=dtype).unsqueeze(0)


def assert_contains_samples(enclosure, network, box, objectives):
    shape = box.lower.shape
    corners = torch.randint(0, 2, (100, *shape)).to(box.lower)
    inside = torch.rand(100, *shape, dtype=box.lower.dtype)
    points = box.lower + torch.cat([corners, inside]) * box.widths
    values = forward_pass(network, points.flatten(0, 1)).flatten(1).reshape(200, 3, -1)
    values = torch.einsum("bro,sbo->sbr", objectives.expand(3, -1, -1), values).detach()
    slack = 1e-5 if box.lower.dtype == torch.float32 else 1e-12
    slack = slack * (1 + float(values.abs().max()))
    assert bool((values >= enclosure.lower - slack).all())
    assert bool((values <= enclosure.upper + slack).all())


@needs_auto_lirpa
@pairwise(name=[*EXACT, *OTHERS], mode=MODES, per_sample=[False, True])
def test_contains_sampled_outputs(name, mode, per_sample):
    network, box = prepared(*(EXACT | OTHERS)[name])
    objectives = objectives_for(network, per_sample)
    enclosure = Lirpa(mode, steps=3).bound(network, box, objectives)
    assert enclosure.lower.shape == (3, objectives.shape[1])
    assert enclosure.lower.dtype == torch.float64
    assert_contains_samples(enclosure, network, box, objectives)


@pytest.mark.slow
@needs_auto_lirpa
@pytest.mark.parametrize("mode", MODES)
def test_contains_sampled_outputs_of_smooth_networks(mode):
    network, box = prepared(*SLOW["smooth"])
    objectives = objectives_for(network, False)
    enclosure = Lirpa(mode, steps=3).bound(network, box, objectives)
    assert_contains_samples(enclosure, network, box, objectives)


@needs_auto_lirpa
@pairwise(name=[*EXACT], mode=[*OURS], per_sample=[False, True])
def test_equals_our_own_bounds_and_gradients(name, mode, per_sample):
    ours = OURS[mode]
    shape, module = EXACT[name]
    network, box = prepared(shape, module)
    objectives = objectives_for(network, per_sample)
    theirs = Lirpa(mode).bound(network, box, objectives)
    expected = ours.bound(network, box, objectives)
    torch.testing.assert_close(theirs.lower, expected.lower, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(theirs.upper, expected.upper, rtol=1e-10, atol=1e-12)
    parameters = list(module.parameters())
    if parameters:
        # The point box stands on kinks of the slopes; gradients are compared on the others.
        gradients = [
            torch.autograd.grad(
                (e.upper - e.lower)[:2].sum(), parameters, allow_unused=True, retain_graph=True
            )
            for e in (theirs, expected)
        ]
        for one, two in zip(*gradients, strict=True):
            one, two = (torch.zeros(()) if g is None else g for g in (one, two))
            assert float((one - two).abs().max()) <= 1e-9


@needs_auto_lirpa
@pytest.mark.parametrize("mode", MODES)
def test_a_last_layer_without_a_bias(mode):
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3, bias=False))
    network, box = prepared((4,), module)
    objectives = objectives_for(network, False)
    enclosure = Lirpa(mode, steps=2).bound(network, box, objectives)
    assert_contains_samples(enclosure, network, box, objectives)


@needs_auto_lirpa
def test_gradients_reach_the_box():
    network, box = prepared(*EXACT["mlp"])
    lower, upper = box.lower.requires_grad_(), box.upper.requires_grad_()
    enclosure = Lirpa("CROWN").bound(network, Box(lower, upper), objectives_for(network, False))
    gradients = torch.autograd.grad(enclosure.upper.sum(), [lower, upper])
    assert all(bool(gradient.abs().sum() > 0) for gradient in gradients)


@needs_auto_lirpa
@pytest.mark.parametrize("mode", MODES)
def test_float32(mode):
    network, box = prepared(*EXACT["conv"], dtype=torch.float32)
    objectives = objectives_for(network, True, torch.float32)
    enclosure = Lirpa(mode, steps=3).bound(network, box, objectives)
    assert enclosure.upper.dtype == torch.float32
    assert_contains_samples(enclosure, network, box, objectives)
    EXACT["conv"][1].double()


@needs_auto_lirpa
def test_alpha_crown_is_no_worse_than_crown_and_works_without_gradients():
    network, box = prepared(*EXACT["mlp"])
    objectives = objectives_for(network, False)
    with torch.no_grad():
        plain = Lirpa("CROWN").bound(network, box, objectives)
        optimised = Lirpa("alpha-CROWN", steps=10).bound(network, box, objectives)
    assert bool((optimised.lower >= plain.lower - 1e-12).all())
    assert bool((optimised.upper <= plain.upper + 1e-12).all())
    assert not optimised.lower.requires_grad


@needs_auto_lirpa
def test_leaves_the_process_as_it_was(capsys):
    network, box = prepared(*EXACT["conv"])
    root = logging.getLogger()
    before = (
        list(root.handlers),
        root.level,
        logging.root.manager.disable,
        list(warnings.filters),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        hasattr(torch._C.Node, "__getitem__"),
        "numpy.lib.arraysetops" in sys.modules,
        [p.requires_grad for p in EXACT["conv"][1].parameters()],
    )
    Lirpa("CROWN-Optimized", steps=2).bound(network, box, objectives_for(network, False))
    after = (
        list(root.handlers),
        root.level,
        logging.root.manager.disable,
        list(warnings.filters),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        hasattr(torch._C.Node, "__getitem__"),
        "numpy.lib.arraysetops" in sys.modules,
        [p.requires_grad for p in EXACT["conv"][1].parameters()],
    )
    assert after == before
    assert capsys.readouterr().out == ""


@needs_auto_lirpa
def test_importing_it_changes_nothing_else():
    code = (
        "import logging, sys, warnings, torch, torch.onnx.symbolic_helper as helper\n"
        "before = list(warnings.filters), list(logging.getLogger().handlers)\n"
        "opset = hasattr(helper, '_set_opset_version')\n"
        "from sensverify.bounds.lirpa_compat import import_auto_lirpa\n"
        "assert 'auto_LiRPA' not in sys.modules\n"
        "before = list(warnings.filters), list(logging.getLogger().handlers)\n"
        "import_auto_lirpa()\n"
        "assert (list(warnings.filters), list(logging.getLogger().handlers)) == before\n"
        "assert hasattr(helper, '_set_opset_version') == opset\n"
        "assert 'numpy.lib.arraysetops' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "mode", ["forward", "Forward+Backward", "forward-optimized", "dynamic-forward", "beta", 3]
)
def test_refuses_other_modes(mode):
    with pytest.raises(BadSetting, match="has no mode"):
        Lirpa(mode)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_refuses_steps_below_one(steps):
    with pytest.raises(BadSetting, match="steps"):
        Lirpa("CROWN", steps=steps)


@needs_auto_lirpa
def test_names_an_operator_without_counterpart():
    network, box = prepared((1, 3, 3, 3), nn.Conv3d(1, 1, 2))
    with pytest.raises(MissingRule, match=r"Conv over three axes .*node"):
        Lirpa().bound(network, box, objectives_for(network, False))

    class Gelu(Elementwise):
        pass

    builder = NetworkBuilder((5,))
    custom = builder.build(builder.add(Gelu(), builder.input, name="act3"))
    custom_box = Box(torch.zeros(3, 5), torch.ones(3, 5))
    with pytest.raises(MissingRule, match=r"Gelu \(node 'act3'\)"):
        Lirpa().bound(custom, custom_box, torch.eye(5).unsqueeze(0))


def test_bounds_that_exclude_an_attained_output_are_refused():
    builder = NetworkBuilder((2,))
    network = builder.build(builder.add(Sigmoid(), builder.input))
    box = Box(torch.zeros(1, 2), torch.ones(1, 2))
    rows = torch.eye(2).unsqueeze(0)
    good = torch.full((1, 2), 0.5), torch.full((1, 2), 0.75)
    _check_attained(network, box, rows, *good)
    for bad in (torch.full((1, 2), 0.6), torch.full((1, 2), torch.nan)):
        with pytest.raises(BackendFailure, match="exclude the attained value"):
            _check_attained(network, box, rows, good[0], bad)


def test_says_how_to_install_what_is_missing(monkeypatch):
    for name in [n for n in sys.modules if n.split(".")[0] == "auto_LiRPA"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "auto_LiRPA", None)
    network, box = prepared(*EXACT["mlp"])
    with pytest.raises(BackendMissing, match="pip install --no-deps auto-LiRPA"):
        Lirpa().bound(network, box, objectives_for(network, False))
