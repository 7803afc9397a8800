"""Square: its schedule, its proposals, and what it finds where gradients lead nowhere."""

from __future__ import annotations

import pytest
import torch

from sensverify.attacks import Pgd, SampleGenerator, Square, run_attack
from sensverify.attacks.ascent import margin_loss
from sensverify.attacks.square import share_at
from sensverify.core.box import Box


@pytest.mark.parametrize(
    ("query", "halvings"),
    [(10, 0), (11, 1), (50, 1), (51, 2), (201, 3), (501, 4), (1001, 5), (2001, 6), (4001, 7)],
)
def test_the_schedule_is_that_of_the_paper(query, halvings) -> None:
    assert share_at(query, 10_000, 0.8) == 0.8 / 2**halvings
    # Stretched to other numbers of queries.
    assert share_at(query * 3, 30_000, 0.8) == 0.8 / 2**halvings


def test_the_last_queries_change_the_least() -> None:
    assert share_at(6001, 10_000, 0.8) == 0.8 / 256
    assert share_at(8001, 10_000, 0.8) == 0.8 / 512
    assert share_at(4001, 5_000, 0.8) == 0.8 / 512


class Recorder:
    """A function that never lets the label lose, and keeps what it is asked."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.asked: list[torch.Tensor] = []
        self._weight = weight

    def __call__(self, points):
        self.asked.append(points.clone())
        away = (points.flatten(1) * self._weight).sum(dim=1)
        return torch.stack([torch.full_like(away, 100.0), away], dim=1)


def test_stripes_first_then_squares_at_the_ends_of_the_box() -> None:
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(5, 3, 9, 7, generator=draws)
    box = Box.around(x, 0.1, clip=(0.0, 1.0))
    record = Recorder(torch.randn(3 * 9 * 7, generator=draws))
    labels = torch.zeros(5, dtype=torch.long)
    generator = SampleGenerator.seeded(0, torch.arange(5))
    best = Square(queries=200).points(record, x, labels, box, generator=generator)
    asked = torch.stack(record.asked)
    assert len(asked) == 200
    high = asked == box.upper
    assert bool((high | (asked == box.lower)).all())
    # Each column of each channel at one end.
    assert bool((high[0] == high[0][:, :, :1]).all())
    assert len(high[0][:, :, 0].flatten().unique()) == 2
    kept, value = asked[0], record(asked[0])[:, 1]
    for query, point in enumerate(asked[1:], start=1):
        changed = (point != kept).flatten(2)
        assert bool(changed.any(dim=(1, 2)).all()), "a query that changes nothing is wasted"
        side = max(round((share_at(query, 200, 0.8) * 63) ** 0.5), 1)
        rows = (point != kept).any(dim=1).any(dim=2)
        columns = (point != kept).any(dim=1).any(dim=1)
        for sample in range(5):
            for places, most in ((rows[sample], min(side, 8)), (columns[sample], min(side, 6))):
                where = places.nonzero().flatten()
                assert int(where[-1] - where[0]) + 1 <= most
        better = record(point)[:, 1] > value
        kept = torch.where(better[:, None, None, None], point, kept)
        value = torch.maximum(value, record(point)[:, 1])
    assert torch.equal(best, kept)


def test_samples_that_are_done_are_not_asked_about_again(bent) -> None:
    net, x, y = bent
    sizes: list[int] = []

    def counted(points):
        sizes.append(len(points))
        return net(points)

    found = run_attack(counted, x, y, Box.around(x, 0.3), Square(queries=80))
    clean = int((net(x).argmax(dim=1) != y).sum())
    # The samples, the queries, the judgement.
    assert sizes[0] == 30
    assert sizes[1] == sizes[-1] == 30 - clean
    queries = sizes[1:-1]
    assert queries == sorted(queries, reverse=True)
    assert len(queries) == 80
    assert queries[-1] >= 30 - int(found.broken.sum())
    assert queries[-1] < queries[0]


@pytest.mark.parametrize("shape", [(7,), (2, 5), (1, 1, 6), (1, 1, 1), (2, 2, 2, 2)], ids=str)
def test_features_of_any_shape(shape) -> None:
    x = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    record = Recorder(torch.linspace(-1, 1, x[0].numel()) + 0.013)
    box = Box.around(x, 0.1)
    draws = SampleGenerator.seeded(0, torch.arange(4))
    labels = torch.zeros(4, dtype=torch.long)
    found = Square(queries=400).points(record, x, labels, box, generator=draws)
    flat = torch.where(record._weight > 0, box.upper.flatten(1), box.lower.flatten(1))
    assert torch.equal(found.flatten(1), flat)


def test_what_gradients_cannot_see_is_found(digits) -> None:
    """Pixels rounded to 33 levels: the same errors are there, no gradient leads to them."""
    function, x, y = digits

    def rounded(points):
        return function((points * 32).round() / 32)

    box = Box.around(x, 0.1, clip=(0.0, 1.0))
    blind = run_attack(rounded, x, y, box, Pgd(restarts=2))
    found = run_attack(rounded, x, y, box, Square(queries=300))
    assert int(found.broken.sum()) > 4 * int(blind.broken.sum())
    margins = margin_loss(found.outputs, y)
    assert bool((margins[found.broken] >= 0).all())
