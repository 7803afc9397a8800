"""Operators of torch as modules use them: the imported network is the module, or a refusal."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sensverify.bounds import Crown, Ibp, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.formats.modules import from_module


class Forms(nn.Module):
    """Several uses of one operator on ``[batch, 3, 4]``, side by side."""

    def __init__(self, *forms):
        super().__init__()
        self.forms = forms
        self.scale = nn.Parameter(torch.randn(4))
        self.gain = nn.Parameter(torch.randn(4))
        self.rows = nn.Parameter(torch.randn(3, 1))
        self.weight = nn.Parameter(torch.randn(4, 2))
        self.left = nn.Parameter(torch.randn(2, 3))
        self.stack = nn.Parameter(torch.randn(3, 4, 2))
        self.register_buffer("shift", torch.randn(4))
        self.register_buffer("mask", torch.tensor([True, False, True, True]))
        self.register_buffer("order", torch.tensor([2, 0, 1]))
        self.plain = torch.randn(4)
        self.even = torch.tensor([True, False, True])

    def forward(self, x):
        x = x * self.scale
        return torch.cat([form(self, x).flatten(1) for form in self.forms], 1)


def column_of_zero(m, x):
    y = x.clone()
    y[:, 0] = 0
    y[:, 1, 2] = y[:, 1, 2] * 2 - 1
    y[:, [1, 2]] += m.gain
    return y


def filled_buffer(m, x):
    y = torch.zeros(x.shape[0], 5, 4, dtype=x.dtype)
    y[:, 1:4] = x
    y[:, 4] = m.gain
    return y


def filled_empty(m, x):
    y = torch.empty_like(x)
    y[:, ::2] = x[:, 1:]
    y[:, 1] = 3
    return y


def reused(m, x):
    """In-place operators whose input is read again."""
    y = x * 1
    z = y.view(-1, 12)
    z.mul_(2)
    y.add_(1).sub_(m.gain).add_(x.relu())
    return y + z.view(-1, 3, 4) * 0.5


def without_gradients(m, x):
    with torch.no_grad():
        y = x * 2 + 1
        y.view(-1, 12)[:, :5].relu_()
        y.clamp_(max=1)
    return y.relu() + y


FORMS = {
    "products of variables": (
        lambda m, x: x * x.relu() + x[:, :1] * x[..., :1],
        lambda m, x: x @ x.transpose(1, 2) + x.transpose(1, 2)[:, :3, :] @ x[:, :, :3],
        lambda m, x: torch.bmm(x, x.mT) + x[:, None].matmul(x.mT[:, None]).squeeze(1),
        lambda m, x: torch.einsum("bij,bkj->bik", x, x * m.gain),
        lambda m, x: torch.einsum("bij, bkl -> blki", x[:, :2], x.relu()),
        lambda m, x: torch.einsum("bii,bij->bj", x[:, :, :3], x),
    ),
    "select": (
        lambda m, x: x[:, 0],
        lambda m, x: torch.stack([x[:, 0, 0], x[:, 2, 1]], 1),
        lambda m, x: torch.stack([x[:, 0, 0], m.gain[0].expand(len(x))], -1).relu(),
        lambda m, x: x[..., 1] - x[:, :, -1],
        lambda m, x: x[:, 0, 0].unsqueeze(1) * 3 + x[:, 1, :1],
        lambda m, x: x[:, 0, 0][:, None].sum(-1)[:, None].abs(),
        lambda m, x: x.sum((1, 2)).relu().reshape(-1, 1),
    ),
    "mask": (
        lambda m, x: x[:, torch.tensor([True, False, True])],
        lambda m, x: x[:, m.even].relu() + 1,
        lambda m, x: x[:, :, m.mask] - x[:, :, ~m.mask],
        lambda m, x: functional.linear(x[..., m.shift > -9], m.weight.t()),
        lambda m, x: x * m.mask,
        lambda m, x: x[:, m.even][:, :, m.mask].flatten(1).mean(1, keepdim=True),
    ),
    "where": (
        lambda m, x: torch.where(m.mask, x, 0.5),
        lambda m, x: torch.where(m.mask, m.gain, x.relu()),
        lambda m, x: torch.where(m.even[:, None], x, x.flip(1) * 2),
        lambda m, x: x.masked_fill(m.mask, 2.0).masked_fill(~m.mask, m.gain[0]),
        lambda m, x: torch.where(torch.ones_like(x, dtype=torch.bool), x, torch.zeros_like(x)),
        lambda m, x: x.tril() + x.triu(1),
    ),
    "assignment": (
        column_of_zero,
        filled_buffer,
        filled_empty,
        reused,
        lambda m, x: x.select_scatter(m.gain.expand(len(x), 4), 1, 0),
        lambda m, x: x.index_fill(2, torch.tensor([0, 3]), 1.5),
        lambda m, x: torch.zeros_like(x).scatter(1, m.order[None, :, None].expand_as(x), x),
    ),
    "joins": (
        lambda m, x: torch.hstack([x, x.relu()]),
        lambda m, x: torch.hstack([x[:, 0], m.gain.expand(len(x), 4)]),
        lambda m, x: torch.dstack([x, 2 * x]),
        lambda m, x: torch.column_stack([x[:, 0, 0], x[:, 1, 1], x[:, 2]]),
        lambda m, x: torch.concat([x, x.new_zeros(len(x), 1, 4), x.new_ones(len(x), 1, 4)], 1),
        lambda m, x: torch.cat([m.rows.expand(len(x), -1, -1), x], 2),
        lambda m, x: torch.stack([x, torch.full_like(x, 2.5), x.new_full(x.shape, -1)], 2),
        lambda m, x: functional.pad(x, (1, 2), value=3.0) + functional.pad(x, (3, 0)),
    ),
    "pieces": (
        lambda m, x: torch.cat(x.tensor_split(3, 2)[::-1], 2),
        lambda m, x: x.chunk(2, -1)[1] + torch.split(x, [1, 2, 1], 2)[1],
        lambda m, x: x.unbind(1)[2] - x.unbind(2)[0][:, :1],
        lambda m, x: x.narrow(2, 1, 2).repeat(1, 2, 1).tile((1, 1, 2)),
        lambda m, x: x.roll((1, -1), (1, 2)).flip(-1).rot90(1, (1, 2)),
        lambda m, x: x.unfold(2, 2, 1) * 2,
        lambda m, x: x.diff(dim=2) + x.diff(dim=2).repeat_interleave(1, dim=1),
        lambda m, x: torch.diag_embed(x)[:, :, 1],
        lambda m, x: torch.atleast_3d(x).squeeze(1),
    ),
    "shaped": (
        lambda m, x: x.sum(2, keepdim=True).expand_as(x) * x,
        lambda m, x: x[:, :, 1:].flatten(1).view_as(x.flatten(1)[:, 3:]),
        lambda m, x: functional.normalize(x + 2, dim=1),
        lambda m, x: torch.arange(4.0).expand_as(x) + x,
    ),
    "indexed": (
        lambda m, x: x[:, m.order] + x.index_select(1, m.order),
        lambda m, x: x.gather(1, m.order[None, :, None].expand(len(x), 3, 4)),
        lambda m, x: x.take_along_dim(m.order[None, :, None], 1),
        lambda m, x: x[torch.arange(len(x)), 1],
        lambda m, x: x[:, [0, 2], [1, 3]],
        lambda m, x: x.flatten(1).unflatten(1, (2, 6)).swapaxes(1, 2).movedim(2, 1),
    ),
    "filled": (
        lambda m, x: x + torch.zeros_like(x) + torch.ones_like(x[:, :1]) - torch.full_like(x, 2),
        lambda m, x: x + x.new_zeros(4) + x.new_full((3, 1), 0.25) + x.new_ones(1),
        lambda m, x: x * m.gain.detach() + x.clone().contiguous() + torch.arange(4),
        lambda m, x: x / torch.tensor([3, 7, 1, 2]) + x.size(1) + m.plain,
    ),
    "without-gradients": (
        without_gradients,
        lambda m, x: x.detach().relu() * m.gain,
        lambda m, x: x * m.gain[1].item() + m.shift[2].item(),
    ),
    "products": (
        lambda m, x: torch.matmul(x, m.weight) + torch.linalg.matmul(x, m.weight),
        lambda m, x: torch.matmul(m.left, x),
        lambda m, x: torch.bmm(m.left.expand(len(x), 2, 3), x) + m.left @ x,
        lambda m, x: x.bmm(m.weight.expand(len(x), 4, 2)),
        lambda m, x: x.unsqueeze(2) @ m.stack,
        lambda m, x: x @ m.gain + torch.mv(x[:, 0], m.gain)[:, None] + m.rows[:, 0] @ x[:, :, :3],
        lambda m, x: torch.addmm(m.shift[:2], x[:, 0], m.weight, beta=2, alpha=3),
        lambda m, x: torch.mm(x[:, 1], m.weight).addmm(x[:, 0], m.weight),
        lambda m, x: torch.inner(x, m.weight.t()) + torch.tensordot(x, m.weight, 1),
        lambda m, x: torch.baddbmm(m.shift[:2], x, m.weight.expand(len(x), 4, 2)),
        lambda m, x: functional.linear(x, m.weight.t(), m.shift[:2]),
        lambda m, x: torch.outer(x[:, 0, 0], m.gain) + torch.kron(x[:, 0, :1], m.gain[None]),
        lambda m, x: torch.addcmul(x, m.gain, m.shift, value=2).lerp(x * 2, 0.25),
    ),
    "einsum": (
        lambda m, x: torch.einsum("bij,jk->bik", x, m.weight),
        lambda m, x: torch.einsum("bij,ki->bkj", x, m.left),
        lambda m, x: torch.einsum("bij,ijk->bk", x, m.stack),
        lambda m, x: torch.einsum("bij,ijk->bik", x, m.stack),
        lambda m, x: torch.einsum("...j,j->...", x, m.gain),
        lambda m, x: torch.einsum("bij->bji", x),
        lambda m, x: torch.einsum("ki,bij,jl->bkl", m.left, x, m.weight),
        lambda m, x: (
            x.cumsum(1) + x.index_add(2, torch.tensor([0, 0]), m.rows.expand(len(x), 3, 2))
        ),
    ),
    "clips": (
        lambda m, x: torch.maximum(x, m.gain) + torch.minimum(m.shift, x),
        lambda m, x: torch.maximum(x, torch.zeros_like(x)) + torch.max(x, x.flip(2)),
        lambda m, x: torch.minimum(x, torch.tensor(0.25)) + torch.fmin(x, 2 * x),
        lambda m, x: x.clamp(min=m.gain) + x.clamp(m.shift - 3, m.shift + 3) + x.clip(max=m.rows),
        lambda m, x: x.clamp(-0.5, 0.5) + x.clamp_min(0.1) + x.clamp_max(torch.tensor(0.2)),
        lambda m, x: functional.threshold(x, 0.3, 0.3) + functional.hardtanh(x, -0.1, 2),
        lambda m, x: functional.relu6(4 * x) + functional.hardsigmoid(x),
        lambda m, x: functional.softshrink(x, 0.3) + functional.tanhshrink(x),
        lambda m, x: functional.leaky_relu(x, 0.2) + functional.prelu(x, m.gain[:3]),
    ),
    "functions": (
        lambda m, x: x.sin() + x.cos() + torch.atan(m.gain * x) + torch.special.erf(x),
        lambda m, x: x.exp() + (x.abs() + 1).log() + (x.abs() + 1).sqrt() + 1 / (x.abs() + 1),
        lambda m, x: x.square() + x**2 + x * x + x**3 + torch.expm1(x) + x.abs().log1p(),
        lambda m, x: (x.abs() + 1) ** 1.5 + (x.abs() + 1) ** -0.5 + (x.abs() + 1).rsqrt(),
        lambda m, x: functional.gelu(x) + functional.gelu(x, approximate="tanh"),
        lambda m, x: functional.silu(x) + x * torch.sigmoid(x) + functional.mish(x),
        lambda m, x: (
            functional.hardswish(3 * x) + functional.softsign(x) + functional.logsigmoid(x)
        ),
        lambda m, x: functional.elu(x) + functional.elu(x, 0.5) + functional.elu(x, 1.75),
        lambda m, x: functional.selu(x) + functional.celu(x, 0.5),
        lambda m, x: functional.softplus(x) + functional.softplus(x, beta=3),
    ),
    "jumps": (
        lambda m, x: torch.sign(x) + torch.floor(2 * x) + torch.ceil(2 * x) + torch.round(2 * x),
        lambda m, x: functional.threshold(x, 0.3, -1.0) + functional.hardshrink(x, 0.4),
        lambda m, x: torch.heaviside(x.detach(), torch.tensor(0.5, dtype=x.dtype)),
    ),
    "reductions": (
        lambda m, x: x.mean(1) + x.sum(1),
        lambda m, x: x.mean((1, 2), keepdim=True) + x.sum(-1, keepdim=True),
        lambda m, x: x.amax(2) + x.amin((1, 2)).unsqueeze(1) + x.max(2)[0] + x.min(2).values,
        lambda m, x: torch.aminmax(x, dim=1).max[:, None],
        lambda m, x: x.sum(2).sum(1, keepdim=True),
    ),
    "pools": (
        lambda m, x: functional.adaptive_avg_pool1d(x, 3),
        lambda m, x: functional.adaptive_max_pool1d(x, 3),
        lambda m, x: functional.adaptive_avg_pool2d(x[:, None], (2, 3)),
        lambda m, x: functional.adaptive_max_pool2d(x[:, None], (2, 3)),
        lambda m, x: functional.adaptive_avg_pool2d(x[:, None], (5, None)),
        lambda m, x: functional.interpolate(x, scale_factor=2, mode="linear"),
        lambda m, x: functional.interpolate(x[:, None], size=(5, 7), mode="bilinear"),
        lambda m, x: functional.interpolate(x[:, None], size=(6, 3), mode="nearest-exact"),
        lambda m, x: functional.unfold(x[:, None], 2, padding=1),
        lambda m, x: functional.fold(x.flatten(1).reshape(-1, 4, 3), (2, 4), 2),
        lambda m, x: functional.instance_norm(
            x, m.shift[:3], m.shift[:3] ** 2 + 1, None, None, False
        ),
        lambda m, x: functional.pixel_shuffle(x.unsqueeze(2).transpose(1, 3), 2),
    ),
}


def imported(name, dtype):
    torch.manual_seed(0)
    module = Forms(*FORMS[name]).to(dtype)
    module.plain = module.plain.to(dtype)
    return module, from_module(module, (3, 4))


def assert_equal_outputs(name, module, network, dtype):
    tolerance = 1e-13 if dtype is torch.float64 else 2e-5
    for batch in (1, 2, 7):
        x = torch.randn(batch, 3, 4, dtype=dtype)
        given = x.clone()
        want = module(given)
        got = forward_pass(network, x)
        assert got.shape == want.shape
        # A quotient is multiplied by its reciprocal.
        bound = tolerance * (10 + want.abs())
        wrong = ((got - want).abs() > bound).any(0).nonzero().flatten().tolist()
        assert not wrong, f"{name}: outputs {wrong} of {want.shape[1]}"
        assert torch.equal(given, x), "these forms leave their input as it is"


def assert_equal_gradients(module, network):
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    parameters = list(module.parameters())
    expected, found = (
        torch.autograd.grad(values.square().sum(), parameters, allow_unused=True)
        for values in (module(x), forward_pass(network, x))
    )
    for one, other in zip(expected, found, strict=True):
        if one is not None or other is not None:
            torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-9)


def assert_bounds_contain_samples(module, network):
    center = torch.randn(3, 3, 4, dtype=torch.float64)
    box = Box(center - 0.3, center + 0.3)
    samples = center + 0.3 * (2 * torch.rand(40, *center.shape, dtype=torch.float64) - 1)
    with torch.no_grad():
        values = torch.stack([module(x) for x in samples])
    for method in (Ibp(), Crown()):
        outer = compute_bounds(network, box, method).outer
        assert bool((values >= outer.lower - 1e-9).all())
        assert bool((values <= outer.upper + 1e-9).all())


@pytest.mark.parametrize("name", FORMS)
def test_the_network_is_the_module(name):
    """In outputs, gradients and bounds: the import takes longer than all of them."""
    module, network = imported(name, torch.float64)
    assert_equal_outputs(name, module, network, torch.float64)
    # What cuts the module's gradients does not cut those of the function.
    if name != "without-gradients":
        assert_equal_gradients(module, network)
    assert_bounds_contain_samples(module, network)


@pytest.mark.parametrize("name", ["assignment", "filled", "products", "clips"])
def test_the_network_is_the_module_in_single_precision(name):
    assert_equal_outputs(name, *imported(name, torch.float32), torch.float32)
