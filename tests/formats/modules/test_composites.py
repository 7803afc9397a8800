"""Softmax, normalisation, attention and recurrent layers of torch: equal, and within bounds."""

from __future__ import annotations

from math import ceil

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sensverify.bounds import Crown, Ibp, compute_bounds, forward_pass
from sensverify.core.box import Box
from sensverify.errors import UnsupportedOperator
from sensverify.formats.modules import from_module

attend = functional.scaled_dot_product_attention
MASK = torch.tensor([[True, False, True], [True, True, True], [False, False, True]])


class Function(nn.Module):
    """A function of a layer and an input."""

    def __init__(self, function, layer=None):
        super().__init__()
        self.function, self.layer = function, layer

    def forward(self, x):
        return self.function(self.layer, x)


def last_of(layer):
    return Function(lambda layer, x: layer(x)[0][:, -1], layer)


def of_itself(layer, **settings):
    return Function(lambda layer, x: layer(x, x, x, **settings)[0], layer)


def encoder(layers=1, **settings):
    each = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="relu", **settings)
    return each if layers == 1 else nn.TransformerEncoder(each, layers)


MODULES = {
    "softmax": ((3,), lambda: nn.Sequential(nn.Linear(3, 3), nn.Softmax(-1), nn.Linear(3, 2))),
    "softmax of rows": (
        (2, 3),
        lambda: Function(lambda _, x: x.softmax(1) + functional.softmin(x, 2)),
    ),
    "logarithm": ((2, 3), lambda: nn.LogSoftmax(1)),
    "sums": ((3, 4), lambda: Function(lambda _, x: x.logsumexp(2) + x.logsumexp((1, 2))[:, None])),
    "layer": ((2, 4), lambda: nn.LayerNorm(4, eps=0.1)),
    "plain layer": ((2, 4), lambda: nn.LayerNorm((2, 4), elementwise_affine=False, eps=0.1)),
    "groups": ((4, 3), lambda: nn.GroupNorm(2, 4, eps=0.1)),
    "instance": ((4, 3), lambda: nn.InstanceNorm1d(4, affine=True, eps=0.1)),
    "root mean square": ((4, 3), lambda: nn.RMSNorm(3, eps=0.1)),
    "heads": ((3, 8), lambda: of_itself(nn.MultiheadAttention(8, 2, batch_first=True))),
    "heads alone": (
        (3, 8),
        lambda: of_itself(nn.MultiheadAttention(8, 2, batch_first=True), need_weights=False),
    ),
    "hidden heads": (
        (3, 8),
        lambda: of_itself(nn.MultiheadAttention(8, 2, batch_first=True), attn_mask=~MASK),
    ),
    "weights": (
        (3, 8),
        lambda: Function(
            lambda layer, x: layer(x, x, x)[1], nn.MultiheadAttention(8, 2, batch_first=True)
        ),
    ),
    "encoder": ((3, 8), encoder),
    "encoder, norm first": ((2, 8), lambda: encoder(2, norm_first=True)),
    "attention": ((2, 3, 4), lambda: Function(lambda _, x: attend(x, x * 2, x - 1))),
    "causal": ((2, 3, 4), lambda: Function(lambda _, x: attend(x, x * 2, x, is_causal=True))),
    "masked": ((2, 3, 4), lambda: Function(lambda _, x: attend(x, x, x, attn_mask=MASK))),
    "shifted": (
        (3, 4),
        lambda: Function(lambda _, x: attend(x, x, x, attn_mask=MASK + 0.5, scale=1)),
    ),
    "lstm": ((8, 3), lambda: last_of(nn.LSTM(3, 4, batch_first=True))),
    "two lstms": ((3, 3), lambda: last_of(nn.LSTM(3, 2, 2, batch_first=True, bidirectional=True))),
    "gru": ((3, 3), lambda: last_of(nn.GRU(3, 4, batch_first=True, bias=False))),
    "rnn": ((3, 3), lambda: last_of(nn.RNN(3, 4, batch_first=True))),
    "relu rnn": ((3, 3), lambda: last_of(nn.RNN(3, 4, nonlinearity="relu", batch_first=True))),
    "quotients": (
        (3,),
        lambda: Function(lambda _, x: x / (1 + x.exp()) + 1 / (2 + x.square()) - x * x),
    ),
    "variance": ((3, 4), lambda: Function(lambda _, x: x.var(2) + x.var(dim=2, unbiased=False))),
    "norm": ((3, 4), lambda: Function(lambda _, x: (x + 4).norm(dim=2) + (x + 4).std(2))),
    "products": ((3, 5), lambda: Function(lambda _, x: x.prod(2) + x[:, :, :1].prod(2))),
    "gate": ((3, 4), lambda: nn.GLU()),
    "finite mask": (
        (2, 3, 4),
        lambda: Function(lambda _, x: attend(x, x, x, attn_mask=(MASK.float() - 1.0) * 1e9)),
    ),
    "filled": (
        (3, 3),
        lambda: Function(lambda _, x: (4 * x).masked_fill(~MASK, -1e9).softmax(-1)),
    ),
    "hidden": (
        (3, 3),
        lambda: Function(lambda _, x: (4 * x).masked_fill(~MASK, -torch.inf).softmax(-1)),
    ),
    "chosen": (
        (3, 4),
        lambda: Function(lambda _, x: torch.where(x > 0.5, x, 0.1 * x) + (x >= x.flip(1)) * x),
    ),
    "logic": (
        (3, 4),
        lambda: Function(
            lambda _, x: torch.where(((x < 0.4) | (x > 0.6)) ^ (x.roll(1, 2) != x), 2 * x, x * x)
        ),
    ),
}


def inside(box: Box) -> Tensor:
    """Corners and other points, ``[points, *shape]``."""
    generator = torch.Generator().manual_seed(1)
    share = torch.rand(64, *box.lower.shape[1:], generator=generator, dtype=torch.float64)
    share[::2] = share[::2].round()
    return box.lower + share * (box.upper - box.lower)


@pytest.mark.parametrize("name", MODULES)
def test_the_network_is_the_module_and_its_bounds_hold(name: str) -> None:
    shape, make = MODULES[name]
    torch.manual_seed(3)
    module = make().eval()
    x = torch.rand(1, *shape, dtype=torch.float64)
    network = from_module(module, shape)
    with torch.no_grad():
        expected, found = module(x.float()).flatten(1), forward_pass(network, x.float()).flatten(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    box = Box(x - 0.02, x + 0.02)
    with torch.no_grad():
        values = forward_pass(network, inside(box)).flatten(1)
        for method in (Ibp(), Crown()):
            if method == Ibp() and "encoder" in name:
                continue
            outer = compute_bounds(network, box, method).outer
            slack = 1e-9 * (1 + values.abs().amax())
            assert bool((values >= outer.lower - slack).all()), method
            assert bool((values <= outer.upper + slack).all()), method


def test_attention_is_traced_as_it_was() -> None:
    """The layer has its own forward pass afterwards, and gives the same in training."""
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    from_module(of_itself(layer), (3, 8))
    assert "forward" not in vars(layer)


@pytest.mark.parametrize(
    "layer",
    [nn.LSTM(3, 4), nn.LSTM(3, 4, proj_size=2, batch_first=True)],
    ids=["first", "projected"],
)
def test_layers_that_mix_samples_or_project_are_refused(layer: nn.LSTM) -> None:
    with pytest.raises(UnsupportedOperator):
        from_module(last_of(layer), (3, 3))


@pytest.mark.parametrize("how", ["added", "attention"])
def test_a_mask_of_nan_hides_nothing(how: str) -> None:
    mask = torch.where(MASK, 0.0, torch.nan)
    functions = {
        "added": lambda _, x: (x + mask).softmax(-1),
        "attention": lambda _, x: attend(x, x, x, attn_mask=mask),
    }
    with pytest.raises(UnsupportedOperator, match="NaN"):
        from_module(Function(functions[how]), (3, 3))


def test_slopes_are_differentiable_in_live_parameters() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 8), nn.Unflatten(1, (2, 4)), nn.LayerNorm(4), nn.Flatten())
    network = from_module(module, (3,))
    box = Box(torch.full((1, 3), 0.1), torch.full((1, 3), 0.2))
    outer = compute_bounds(network, box, Crown()).outer
    (outer.upper - outer.lower).sum().backward()
    weight = module[0].weight.grad
    assert weight is not None
    assert bool(weight.isfinite().all())
    assert bool((weight != 0).any())


@pytest.mark.parametrize("width", [2, 5, 8])
@pytest.mark.parametrize("centre", [True, False])
def test_no_normalised_entry_is_larger_than_the_root_of_their_number(width, centre):
    kind = nn.LayerNorm if centre else nn.RMSNorm
    module = nn.Sequential(nn.Linear(4, width), kind(width, eps=1e-5, elementwise_affine=False))
    network = from_module(module.double(), (4,))
    x = 100 * torch.randn(400, 4, dtype=torch.float64)
    attained = module(x).detach()
    assert float(attained.abs().max()) <= (width - centre) ** 0.5
    # Nothing is cut off, not even where one entry is all there is.
    torch.testing.assert_close(forward_pass(network, x), attained, rtol=1e-12, atol=1e-12)
    for method in (Ibp(), Crown()):
        for radius in (1e-3, 1.0, 30.0):
            outer = compute_bounds(network, Box.around(x[:3], radius), method).outer
            near = x[:3] + radius * (2 * torch.rand(400, 3, 4, dtype=torch.float64) - 1)
            values = module(near.flatten(0, 1)).detach().view(400, 3, width)
            assert bool(((outer.lower - 1e-9 <= values) & (values <= outer.upper + 1e-9)).all())
            if method == Ibp():
                assert float((outer.upper - outer.lower).detach().max()) <= 2 * ceil(width**0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_epsilon_that_is_left_out_is_that_of_the_numbers(dtype: torch.dtype) -> None:
    module = nn.RMSNorm(3).to(dtype)
    x = torch.tensor([[1e-4, -3e-4, 2e-4]], dtype=dtype)
    found = forward_pass(from_module(module, (3,)), x)
    torch.testing.assert_close(found, module(x), rtol=1e-5, atol=0)
