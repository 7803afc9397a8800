"""Mini-batches follow from the seed and the epoch alone."""

from __future__ import annotations

import pytest
import torch

from sensverify.training.batches import Batches, step_seed


@pytest.mark.parametrize(("samples", "size"), [(1, 5), (10, 10), (10, 3), (65, 64), (7, 1)])
def test_an_epoch_is_a_permutation_in_even_parts(samples: int, size: int) -> None:
    batches = Batches(samples, size, seed=0)
    for epoch in range(2):
        parts = [batches.at(epoch * batches.count + k) for k in range(batches.count)]
        assert sorted(torch.cat(parts).tolist()) == list(range(samples))
        sizes = {len(part) for part in parts}
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) == batches.smallest
        assert batches.count == -(-samples // size)


def test_any_step_can_be_asked_first() -> None:
    forth, back = Batches(20, 6, seed=3), Batches(20, 6, seed=3)
    expected = [forth.at(step) for step in range(12)]
    torch.manual_seed(11)
    for step in reversed(range(12)):
        assert torch.equal(back.at(step), expected[step])


def test_seeds_and_epochs_differ() -> None:
    orders = [tuple(Batches(50, 50, seed=s).at(e).tolist()) for s in range(3) for e in range(3)]
    assert len(set(orders)) == len(orders)


def test_every_step_and_process_draws_its_own() -> None:
    seeds = {step_seed(s, k, r) for s in range(3) for k in range(100) for r in range(2)}
    assert len(seeds) == 600
    # On the CPU torch's generator takes the lower half of a seed.
    assert len({seed % 2**32 for seed in seeds}) == 600
    assert all(0 <= seed < 2**63 for seed in seeds)
