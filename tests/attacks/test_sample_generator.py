"""Random numbers of samples: the published generator, one stream for each, on whichever device."""

from __future__ import annotations

import pytest
import torch

from sensverify.attacks import SampleGenerator
from sensverify.attacks.ascent import random_point
from sensverify.core.box import Box

# Of SplitMix64 started at 1234567, as listed with its reference implementation.
PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def test_the_published_numbers() -> None:
    generator = SampleGenerator(torch.tensor([1234567]), torch.tensor([0]))
    first, rest = generator.bits(2), generator.bits(3)
    assert [bits % 2**64 for bits in torch.cat([first, rest], dim=1)[0].tolist()] == PUBLISHED


def test_a_float_is_made_of_the_highest_digits() -> None:
    generator = SampleGenerator(torch.tensor([1234567]), torch.tensor([0]))
    drawn = generator.uniform((5,), torch.float64)[0].tolist()
    assert drawn == [(bits >> 11) / 2**53 for bits in PUBLISHED]
    generator = SampleGenerator(torch.tensor([1234567]), torch.tensor([0]))
    drawn = generator.uniform((5,), torch.float32)[0].tolist()
    assert drawn == [(bits >> 40) / 2**24 for bits in PUBLISHED]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_numbers_are_spread_evenly_and_never_reach_one(dtype) -> None:
    drawn = SampleGenerator.seeded(0, torch.arange(100)).uniform((50, 40), dtype)
    assert drawn.shape == (100, 50, 40)
    assert drawn.dtype == dtype
    assert float(drawn.min()) >= 0
    assert float(drawn.max()) < 1
    # 200,000 numbers: the mean is within 5 deviations, also of every tenth of the range.
    assert abs(float(drawn.double().mean()) - 0.5) < 5 * (1 / 12 / 200_000) ** 0.5
    counts = torch.histc(drawn.float(), 10, 0, 1)
    assert float((counts - 20_000).abs().max()) < 5 * (200_000 * 0.1 * 0.9) ** 0.5
    # Neither samples nor numbers of a sample go together.
    flat = drawn.flatten(1).double()
    together = torch.corrcoef(flat) - torch.eye(100)
    assert float(together.abs().max()) < 6 / flat.shape[1] ** 0.5
    follow = torch.corrcoef(torch.stack([flat[:, :-1].flatten(), flat[:, 1:].flatten()]))[0, 1]
    assert abs(float(follow)) < 5 / flat.numel() ** 0.5


def test_a_part_goes_on_where_the_whole_was() -> None:
    whole = SampleGenerator.seeded(7, torch.arange(10, 20))
    part = SampleGenerator.seeded(7, torch.tensor([13, 17]))
    for generator in (whole, part):
        generator.bits(3)
    chosen = whole[torch.tensor([3, 7])]
    assert chosen.positions.tolist() == [13, 17]
    assert len(chosen) == 2
    expected = part.bits(4)
    assert torch.equal(chosen.bits(4), expected)
    assert torch.equal(whole.bits(4)[[3, 7]], expected)


def test_seeds_and_positions_give_other_numbers() -> None:
    positions = torch.arange(1000)
    seeds = (0, 1, -1, 2**63, 2**64 - 2)
    drawn = torch.cat([SampleGenerator.seeded(seed, positions).bits(3) for seed in seeds])
    assert len(drawn.flatten().unique()) == drawn.numel()
    again = SampleGenerator.seeded(2**64 + 1, positions).bits(3)
    assert torch.equal(again, SampleGenerator.seeded(1, positions).bits(3))


def test_starts_fill_the_box() -> None:
    x = torch.zeros(2000, 2, dtype=torch.float64)
    box = Box(x - torch.tensor([1.0, 0.0]), x + torch.tensor([3.0, 0.0]))
    points = random_point(box, SampleGenerator.seeded(0, torch.arange(2000)))
    assert bool(box.contains(points).all())
    assert float(points[:, 0].min()) < -0.99
    assert float(points[:, 0].max()) > 2.98
    assert not bool(points[:, 1].any())
