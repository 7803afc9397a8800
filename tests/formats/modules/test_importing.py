"""Networks imported from live modules: equal outputs, live parameters, clear refusals."""

import logging
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from sensverify.bounds import Crown, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.errors import BadShape, UnsupportedOperator
from sensverify.formats.modules import from_module
from sensverify.network.operators import Affine, BatchNorm, Conv, LeakyRelu, Scale


class Function(nn.Module):
    """A module of one function, with parameters and buffers to use in it."""

    def __init__(self, function, **arrays):
        super().__init__()
        self.function = function
        for name, values in arrays.items():
            if isinstance(values, nn.Parameter):
                self.register_parameter(name, values)
            else:
                self.register_buffer(name, values)

    def forward(self, x):
        return self.function(self, x)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.inner = nn.Sequential(
            nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4, affine=False)
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.norm(self.enter(x))
        y = self.inner(x)
        y += x
        y = functional.adaptive_avg_pool2d(functional.relu(y), 1)
        return self.head(torch.flatten(y, 1))


def parameter(*shape):
    return nn.Parameter(torch.randn(*shape))


def prelu(count):
    layer = nn.PReLU(count)
    nn.init.uniform_(layer.weight, -1.5, 1.5)
    return layer


def cross_shaped(m, x):
    """Many shape operators in a row, on [batch, 4, 6]."""
    a, b = x.chunk(2, dim=1)
    x = torch.cat([a, b.flip(2)], 1).transpose(1, 2).reshape(x.size(0), 3, 8)
    p, q, r = x.split([2, 4, 2], dim=-1)
    y = torch.stack([p, r], dim=-1).unsqueeze(1).squeeze(1)
    y = y.permute(0, 3, 1, 2)[:, :, 1:, ::2].expand(-1, 2, 2, 5)
    z = q.index_select(2, torch.tensor([0, 0, 3])).select(1, 1)
    w = q[:, :, [2, 1]].repeat(1, 2, 1).roll(1, 2).unbind(1)[4]
    return torch.cat([y.flatten(1), z, w, q.narrow(2, 1, 2).movedim(2, 1).flatten(1)], -1)


def reductions(m, x):
    """Sums, means and maxima on [batch, 3, 4, 5]."""
    parts = [
        x.mean((2, 3)),
        x.sum(1).flatten(1),
        x.mean(-1, keepdim=True).flatten(1),
        x.amax((1, 3)),
        x.max(2).values.flatten(1),
        x.amin(1).flatten(1),
        x.min(dim=3, keepdim=True)[0].flatten(1),
        torch.maximum(x[:, 0], x[:, 1]).flatten(1),
        torch.minimum(x[:, :1], x[:, 1:2]).flatten(1),
    ]
    return torch.cat(parts, 1)


def arithmetic(m, x):
    """Constants and live arrays on [batch, 3, 4]."""
    x = (x - m.mean) / m.deviation + m.shift * 2 - torch.tensor([1.0, 2.0, 3.0, 4.0]).to(x)
    x = 1 - x * m.gain / 3 - (2.5 - x)
    x = -x + torch.sub(x, x.mean(2, keepdim=True), alpha=0.5) + m.shift.view(1, 1, 4)
    return x @ m.weight + functional.linear(x, m.weight.t()) + m.left @ x


def partly_set(x):
    y = torch.empty_like(x)
    y[:, 1:] = x[:, 1:]
    return y


def functional_style(m, x):
    x = functional.pad(x, (1, 0, 2, -1))
    x = functional.conv2d(x, m.weight, stride=(2, 1), padding="valid")
    x = functional.leaky_relu_(x, -0.3)
    x = functional.dropout(functional.max_pool2d(x, 2), 0.5, training=m.training)
    return x.view(x.shape[0], -1).clamp(min=-0.2).clamp_(-1, 3)


CONVOLUTIONS = {
    "conv1d-same": ((2, 9), nn.Conv1d(2, 4, 4, padding="same", dilation=3)),
    "conv1d-groups": ((4, 9), nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2)),
    "conv2d-dilation": ((2, 8, 9), nn.Conv2d(2, 3, (2, 3), dilation=(1, 2), padding=(0, 2))),
    "conv2d-circular": ((2, 5, 5), nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")),
    "conv2d-reflect": ((2, 5, 5), nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect")),
    "conv2d-replicate": ((2, 5, 5), nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate")),
    "conv3d": ((2, 4, 4, 4), nn.Conv3d(2, 3, 2, stride=2, bias=False)),
    "transpose1d": ((4, 5), nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2, output_padding=1)),
    "transpose2d": ((3, 4, 4), nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, dilation=2)),
    "transpose3d": ((2, 3, 3, 3), nn.ConvTranspose3d(2, 2, 2)),
}
POOLS = {
    "max1d": ((2, 9), nn.MaxPool1d(3, stride=2, padding=1)),
    "max2d-ceil": ((2, 8, 7), nn.MaxPool2d(3, stride=2, ceil_mode=True)),
    "max2d-padded": ((2, 8, 7), nn.MaxPool2d((3, 2), padding=1, dilation=(2, 1), ceil_mode=True)),
    "max3d": ((2, 4, 4, 5), nn.MaxPool3d(2, stride=1)),
    "max-adaptive": ((2, 6, 4), nn.AdaptiveMaxPool2d((3, 1))),
    "avg1d": ((2, 9), nn.AvgPool1d(2)),
    "avg2d-padded": ((2, 8, 7), nn.AvgPool2d(3, stride=2, padding=1)),
    "avg2d-inside": ((2, 8, 7), nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)),
    "avg2d-ceil": ((2, 8, 8), nn.AvgPool2d(3, 2, padding=1, ceil_mode=True)),
    "avg2d-ceil-inside": ((2, 6, 8), nn.AvgPool2d(3, 2, ceil_mode=True, count_include_pad=False)),
    "avg2d-divisor": ((2, 6, 6), nn.AvgPool2d(2, divisor_override=3)),
    "avg3d": ((2, 4, 4, 4), nn.AvgPool3d(2)),
    "avg-adaptive": ((2, 6, 4), nn.AdaptiveAvgPool2d((3, None))),
    "avg-global": ((2, 6, 4), nn.AdaptiveAvgPool2d(1)),
    "avg-whole": ((2, 3, 3), nn.AvgPool2d(3)),
}
ACTIVATIONS = (
    nn.ReLU(),
    nn.LeakyReLU(-0.2),
    nn.RReLU(),
    nn.Hardtanh(-0.5, 0.25),
    nn.ReLU6(),
    nn.Sigmoid(),
    nn.Tanh(),
    nn.Hardsigmoid(),
    nn.Dropout(),
    nn.Dropout1d(),
    nn.AlphaDropout(),
    nn.Identity(),
)


class Beside(nn.Module):
    """Layers on one input, their outputs stacked."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        return torch.stack([layer(x) for layer in self.layers], 1)


ZOO = {
    "mlp": ((4,), nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3, bias=False))),
    "residual": ((2, 6, 6), Residual()),
    "prelu": ((3, 4), nn.Sequential(prelu(3), prelu(1))),
    "prelu-vector": ((3,), nn.Sequential(nn.Linear(3, 4), prelu(4))),
    "batchnorm1d": ((3,), nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 2))),
    "batchnorm3d": ((3, 2, 2, 2), nn.BatchNorm3d(3)),
    "linear-3d": ((2, 4), nn.Sequential(nn.Linear(4, 3), nn.Flatten(), nn.Linear(6, 1))),
    "no-parameters": ((3,), nn.Flatten()),
    "upsample": ((2, 3, 3), nn.Sequential(nn.Upsample(scale_factor=2), nn.PixelUnshuffle(2))),
    "shapes": ((4, 6), Function(cross_shaped)),
    "reductions": ((3, 4, 5), Function(reductions)),
    "functional": ((2, 7, 7), Function(functional_style, weight=parameter(4, 2, 2, 3))),
    "arithmetic": (
        (3, 4),
        Function(
            arithmetic,
            mean=torch.randn(1, 3, 1),
            deviation=torch.rand(3, 1) + 0.5,
            shift=parameter(4),
            gain=parameter(1),
            weight=parameter(4, 4),
            left=parameter(3, 3),
        ),
    ),
    "weight-norm": ((4,), nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))),
    "spectral-norm": ((4,), nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))),
    "broadcast": ((3, 1), Function(lambda m, x: x + m.row, row=parameter(5))),
    "view-alias": ((6,), Function(lambda m, x: (x * 2).view(-1, 2, 3).relu_().flatten(1) + x)),
    **CONVOLUTIONS,
    **POOLS,
    "activations": ((3, 4), Beside(*ACTIVATIONS)),
}


def prepared(module):
    """The module in float64, with random batch-norm statistics, in training mode."""
    torch.manual_seed(0)
    module = module.double()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return module.train()


def assert_equal_outputs(network, module, shape):
    x = torch.randn(5, *shape, dtype=torch.float64)
    flags = [part.training for part in module.modules()]
    module.eval()
    expected = module(x).detach()
    for part, flag in zip(module.modules(), flags, strict=True):
        part.training = flag
    assert (5, *network.output_shape) == expected.shape
    tolerance = 1e-12 * (1 + float(expected.abs().max()))
    torch.testing.assert_close(forward_pass(network, x).detach(), expected, rtol=0, atol=tolerance)


def assert_equal_gradients(network, module, shape):
    x = torch.randn(5, *shape, dtype=torch.float64)
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(forward_pass(network, x).square().sum(), parameters)
    again = torch.autograd.grad(forward_pass(network, x).square().sum(), parameters)
    expected = torch.autograd.grad(module.eval()(x).square().sum(), parameters)
    for one, two, three in zip(gradients, again, expected, strict=True):
        torch.testing.assert_close(one, three, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(two, three, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ZOO)
def test_outputs_equal_the_modules(name):
    """Also after changes of its numbers in place; and so do gradients."""
    shape, module = ZOO[name]
    module = prepared(module)
    network = from_module(module, shape)
    assert network.input_shape == shape
    assert all(part.training for part in module.modules())
    assert_equal_outputs(network, module, shape)
    state = [v for v in (*module.parameters(), *module.buffers()) if v.is_floating_point()]
    if not state:
        return
    with torch.no_grad():
        for values in state:
            values.mul_(1.5).add_(0.1)
    assert_equal_outputs(network, module, shape)
    if name in ("arithmetic", "prelu", "residual", "weight-norm"):
        assert_equal_gradients(network, module, shape)


def test_operators_hold_the_modules_own_tensors():
    module = nn.Sequential(nn.Conv1d(1, 2, 1), nn.BatchNorm1d(2), nn.PReLU(), nn.Flatten())
    module.append(nn.Linear(6, 2)).append(Function(lambda m, x: x + m.shift, shift=parameter(2)))
    held = {type(n.operator): n.operator for n in from_module(module, (1, 3)).nodes}
    assert held[Conv].weight is module[0].weight
    assert held[Conv].bias is module[0].bias
    assert held[BatchNorm].mean is module[1].running_mean
    assert held[BatchNorm].variance is module[1].running_var
    assert held[BatchNorm].weight is module[1].weight
    assert held[LeakyRelu].slope is module[2].weight
    assert held[Affine].weight is module[4].weight
    assert held[Scale].shift is module[5].shift


def test_batch_norm_statistics_are_followed():
    module = prepared(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU()))
    network = from_module(module, (3,))
    for _ in range(3):
        module(torch.randn(16, 3, dtype=torch.float64))
    assert_equal_outputs(network, module, (3,))


def test_an_optimiser_step_is_followed():
    module = prepared(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))
    network = from_module(module, (3,))
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    forward_pass(network, torch.randn(5, 3, dtype=torch.float64)).sum().backward()
    optimiser.step()
    assert_equal_outputs(network, module, (3,))


def test_every_part_keeps_its_own_training_flag():
    module = Residual()
    module.norm.eval()
    before = [part.training for part in module.modules()]
    from_module(module, (2, 6, 6))
    assert [part.training for part in module.modules()] == before
    module.head = nn.Linear(5, 3)
    with pytest.raises(UnsupportedOperator, match="cannot trace the module Residual"):
        from_module(module, (2, 6, 6))
    assert [part.training for part in module.modules()] == before


def test_leaves_the_module_and_torch_as_they_were():
    module = Residual()
    state = {name: values.clone() for name, values in module.state_dict().items()}
    identities = {name: id(values) for name, values in module.named_parameters()}
    grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    filters = list(warnings.filters)
    generator = torch.get_rng_state()
    from_module(module, (2, 6, 6))
    assert {name: id(values) for name, values in module.named_parameters()} == identities
    assert all(torch.equal(values, state[name]) for name, values in module.state_dict().items())
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == (grad, dtype)
    assert list(warnings.filters) == filters
    assert torch.equal(torch.get_rng_state(), generator)


def test_nodes_are_named_by_the_modules_path():
    names = [node.name for node in from_module(Residual(), (2, 6, 6)).nodes]
    assert {"enter", "norm", "inner.1", "head"} <= set(names)
    assert len(set(names)) == len(names)


REFUSED = {
    "asinh": ((3,), Function(lambda m, x: x.asinh()), "operator asinh"),
    "layer-norm": ((3,), nn.LayerNorm(3, eps=0), "operator layer_norm .*epsilon"),
    "three-factors": (
        (3,),
        Function(lambda m, x: torch.einsum("bi,bi,bi->b", x, x, x)),
        "several values",
    ),
    "flip-batch": ((3,), Function(lambda m, x: x.flip(0)), "operator flip .*across the samples"),
    "roll-batch": ((3,), Function(lambda m, x: x.roll(1, 0)), "across the samples"),
    "sum-batch": ((3,), Function(lambda m, x: x + x.sum(0)), "operator sum .*across the samples"),
    "sum-all": ((3,), Function(lambda m, x: x + x.mean()), "operator mean .*across the samples"),
    "slice-batch": ((3,), Function(lambda m, x: x[:1]), "operator slice .*across the samples"),
    "merge-batch": ((3,), Function(lambda m, x: x.reshape(-1)), "across the samples"),
    "transpose-batch": (
        (3,),
        Function(lambda m, x: m.w @ x.T, w=torch.eye(3)),
        "across the samples",
    ),
    "batch-size": ((3,), Function(lambda m, x: x / x.shape[0]), "number of samples"),
    "batch-statistics": (
        (3,),
        nn.BatchNorm1d(3, track_running_stats=False),
        # torch 2.6 fails to trace it.
        "statistics of the batch|cannot trace",
    ),
    "always-dropout": ((3,), Function(lambda m, x: functional.dropout(x)), "drops out at random"),
    "select-batch": ((3,), Function(lambda m, x: x[0]), "operator select .*across the samples"),
    "mean-batch": ((3,), Function(lambda m, x: x - x.mean(0)), "operator mean .*across"),
    "softmax-batch": ((3,), nn.Softmax(0), "operator softmax .*across the samples"),
    "flatten-batch": ((3, 2), Function(lambda m, x: x.flatten()), "across the samples"),
    "stack-batch": ((3,), Function(lambda m, x: torch.vstack([x, x])), "across the samples"),
    "mask-batch": ((3,), Function(lambda m, x: x[x[:, 0] > 0]), "cannot trace|across"),
    "mask-of-input": (
        (3,),
        Function(lambda m, x: torch.where(x > 0, x, -torch.inf)),
        "operator where .*not finite",
    ),
    "own-index": (
        (3,),
        Function(lambda m, x: m.table[x.long().clamp(0, 3)], table=torch.randn(4)),
        "operator _to_copy|operator to .*torch.int64|torch.int64",
    ),
    "lookup": (
        (3,),
        Function(lambda m, x: m.at[torch.bucketize(x, m.at) - 1], at=torch.arange(4.0)),
        "operator bucketize .*jumps",
    ),
    "trained-index": (
        (3,),
        Function(lambda m, x: x[:, m.w.argsort()], w=parameter(3)),
        "values of parameters",
    ),
    "trained-mask": (
        (3,),
        Function(lambda m, x: torch.where(m.w > 0, x, 0), w=parameter(3)),
        "values of parameters",
    ),
    "random-mask": (
        (3,),
        Function(lambda m, x: x[:, torch.rand(3) < 0.5].sum(1)),
        "random|cannot trace",
    ),
    "never-set": ((3,), Function(lambda m, x: torch.empty_like(x) + x), "never set"),
    "partly-set": ((3,), Function(lambda m, x: partly_set(x)), "never set"),
    "minus-infinity": (
        (3,),
        Function(lambda m, x: x.masked_fill(torch.tensor([True, False, True]), -torch.inf)),
        "infinite",
    ),
    "adding-writes": (
        (3,),
        Function(lambda m, x: x.index_put((torch.arange(len(x)),), x, accumulate=True)),
        "adds up",
    ),
    "jump": ((3,), Function(lambda m, x: x.trunc()), "operator trunc .*jumps"),
    "empty": ((3,), Function(lambda m, x: x[:, 3:]), "no entries"),
    "zero-divisor": ((3,), Function(lambda m, x: x / torch.tensor([1.0, 0, 1])), "by zero"),
    "item": ((3,), Function(lambda m, x: x * x.max().item()), "across the samples"),
    "data": ((3,), Function(lambda m, x: x.data * 2), "detach"),
    "vmap": ((3,), Function(lambda m, x: torch.vmap(torch.relu)(x)), "none of torch's"),
    "batches-of-factors": (
        (3,),
        Function(lambda m, x: torch.einsum("bi,ci->bc", x, x)),
        "across the samples",
    ),
    "max-indices": ((3,), Function(lambda m, x: x.max(1).indices), "positions of a maximum"),
    "integers": ((3,), Function(lambda m, x: x.long()), "torch.int64"),
    "two-outputs": ((3,), Function(lambda m, x: (x, "y")), "something else than tensors"),
    "constant-output": ((3,), Function(lambda m, x: m.w, w=torch.ones(3)), "does not"),
    "control-flow": ((3,), Function(lambda m, x: x if x.sum() > 0 else -x), "cannot trace"),
    "wrong-shape": ((4,), nn.Linear(3, 2), "cannot trace the module Linear"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_has_no_counterpart(name):
    shape, module, message = REFUSED[name]
    with pytest.raises(UnsupportedOperator, match=message):
        from_module(module, shape)


def test_names_the_line_of_the_module():
    for function in (lambda m, x: x.sort(1)[0], lambda m, x: x.sum().item() and x):
        with pytest.raises(UnsupportedOperator, match=r"test_importing.py:\d+: "):
            from_module(Function(function), (3,))


def test_a_mask_that_is_written_to_is_not_taken_as_it_was():
    def late(m, x):
        mask = torch.tensor([True, False, True])
        mask[1] = True
        return x[:, mask].relu()

    module = Function(late)
    try:
        network = from_module(module, (3,))
    except UnsupportedOperator:
        return
    assert_equal_outputs(network, module, (3,))


@pytest.mark.parametrize("shape", [(0,), (-1, 3), (2.5,), 16, "3"])
def test_refuses_a_shape_that_is_none(shape):
    with pytest.raises(BadShape, match="input_shape"):
        from_module(nn.Flatten(), shape)


def test_bounds_are_differentiable_in_the_parameters_and_follow_them():
    module = prepared(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)))
    network = from_module(module, (3,))
    box = Box(torch.zeros(2, 3, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64))
    before = compute_bounds(network, box, Crown())
    gradients = torch.autograd.grad(before.outer.widths.sum(), list(module.parameters()))
    assert bool(gradients[0].abs().sum() > 0)
    with torch.no_grad():
        module[-1].weight.mul_(2)
    after = compute_bounds(network, box, Crown())
    torch.testing.assert_close(after.outer.widths, 2 * before.outer.widths)


RANDOM = {
    "noise": lambda self, x: x + torch.randn(3),
    "mask": lambda self, x: x * torch.bernoulli(torch.full((3,), 0.5)),
    "dropout of a parameter": lambda self, x: x * functional.dropout(self.scale),
}


@pytest.mark.parametrize("name", RANDOM)
def test_refuses_random_numbers(name):
    """One draw, taken at import, is not the function that the module computes."""
    with pytest.raises(UnsupportedOperator, match="random"):
        from_module(Function(RANDOM[name], scale=nn.Parameter(torch.ones(3))), (3,))


BATCH_SIZE = {
    "factor": lambda self, x: x * (x.shape[0] + 1),
    "divisor": lambda self, x: x / (x.shape[0] * 2),
    "sum of positions": lambda self, x: x + torch.arange(x.shape[0]).sum(),
    "negated": lambda self, x: x + 3 * -x.shape[0],
    "clip": lambda self, x: x.clamp(max=x.shape[0] / 1000),
    "branch": lambda self, x: x if x.shape[0] > 1500 else -x,
}


@pytest.mark.parametrize("name", BATCH_SIZE)
def test_refuses_what_depends_on_the_batch_size(name):
    with pytest.raises(UnsupportedOperator, match="another number of samples"):
        from_module(Function(BATCH_SIZE[name]), (3,))


def test_the_batch_size_may_shape_constants():
    module = Function(lambda self, x: x + torch.ones(x.shape[0], 3).mul(2).reshape(len(x), -1))
    assert_equal_outputs(from_module(module, (3,)), module, (3,))


def count_up(self, x):
    self.calls += 1
    return x * self.calls


def moving_average(self, x):
    self.mean.mul_(0.9).add_(0.1)
    return x - self.mean


@pytest.mark.parametrize(
    ("function", "buffer"),
    [(count_up, "calls"), (moving_average, "mean")],
    ids=["count-up", "moving-average"],
)
def test_refuses_modules_that_change_their_buffers(function, buffer):
    module = Function(function, **{buffer: torch.ones(())})
    with pytest.raises(UnsupportedOperator, match=f"changes its buffer '{buffer}'"):
        from_module(module, (3,))


def test_a_failure_is_told_once(capfd, caplog):
    """torch writes twenty lines about it of its own."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    with pytest.raises(UnsupportedOperator, match="cannot trace"):
        from_module(nn.Linear(5, 3), (4,))
    assert "fake_tensor" not in capfd.readouterr().err
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert not logger.disabled
