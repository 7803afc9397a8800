"""ADV_LOSS and ADV_ERR against the robust loss of convex_adversarial 0.4.4, its authors' own."""

from __future__ import annotations

import pytest
import torch

from sensverify.bounds import LpDual, compute_bounds
from sensverify.classification.margins import with_margins
from sensverify.core.box import Box
from sensverify.formats.modules import from_module
from sensverify.measures import measure, robust_cross_entropy

pytestmark = pytest.mark.usefixtures("quiet_warnings")


@pytest.mark.parametrize("clip", [None, (0.0, 1.0)], ids=["whole-ball", "clipped"])
@pytest.mark.parametrize("name", ["mnist-conv1", "iris", "deep-mlp"])
def test_loss_and_error_are_theirs(wong_kolter, make_case, name, clip) -> None:
    module, x = make_case(name, torch.float32, 6)
    y = module(x).argmax(1)
    y[0] = (y[0] + 1) % y.max().clamp(min=2)
    with torch.no_grad():
        loss, error = wong_kolter.robust_loss(module, 0.02, x, y, bounded_input=clip is not None)
    network = from_module(module, tuple(x.shape[1:]))
    found = measure(network, x, y, radius=0.02, clip=clip, pgd_steps=5)
    assert found.adv_loss == pytest.approx(float(loss), rel=1e-5)
    assert found.adv_err == pytest.approx(float(error))


def test_the_gradient_in_the_weights_is_theirs(wong_kolter, make_case) -> None:
    module, x = make_case("deep-mlp", torch.float64, 4)
    y = torch.tensor([0, 2, 5, 6])
    loss, _ = wong_kolter.robust_loss(module, 0.02, x, y)
    theirs = torch.autograd.grad(loss, list(module.parameters()))
    rows = with_margins(y, 7, torch.float64)[:, 7:]
    outer = compute_bounds(from_module(module, (12,)), Box.around(x, 0.02), LpDual(), rows).outer
    mean = robust_cross_entropy(outer.lower).mean()
    assert float(mean.detach()) == pytest.approx(float(loss.detach()), rel=1e-10)
    ours = torch.autograd.grad(mean, list(module.parameters()))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-10)
