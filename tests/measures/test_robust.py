"""The robust cross-entropy against the cross-entropy it bounds."""

from __future__ import annotations

import torch
from torch.nn import functional

from sensverify.measures import robust_cross_entropy


def test_of_margins_at_a_point_it_is_the_cross_entropy() -> None:
    outputs = torch.randn(
        6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    margins = outputs.gather(1, labels[:, None]) - outputs
    others = functional.one_hot(labels, 5) == 0
    margins = margins[others].reshape(6, 4)
    ours = robust_cross_entropy(margins)
    expected = functional.cross_entropy(outputs, labels, reduction="none")
    torch.testing.assert_close(ours, expected)
    gradients = (torch.autograd.grad(loss.sum(), outputs)[0] for loss in (ours, expected))
    torch.testing.assert_close(*gradients)


def test_smaller_margins_never_give_less() -> None:
    margins = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    less = margins - torch.rand(20, 4, generator=torch.Generator().manual_seed(1))
    assert bool((robust_cross_entropy(less) >= robust_cross_entropy(margins)).all())


def test_far_margins_neither_overflow_nor_fall_below_zero() -> None:
    margins = torch.tensor([[-1e30, 1.0], [1e30, 1e30], [-500.0, -500.0]])
    losses = robust_cross_entropy(margins)
    torch.testing.assert_close(losses, torch.tensor([1e30, 0.0, 500.6931472]))
