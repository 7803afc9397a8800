"""Ends of spectra by Lanczos iteration, against matrices whose eigenvalues are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sensverify.errors import BadSetting
from sensverify.measures.curvature.lanczos import extreme_eigenvalues
from tests.measures.classifiers import drawn


def with_spectrum(values: Tensor, seed: int = 0) -> Tensor:
    basis, _ = torch.linalg.qr(drawn(len(values), len(values), seed=seed))
    return basis @ torch.diag(values.double()) @ basis.T


def product_of(matrices: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda vectors: (matrices @ vectors[:, :, None])[:, :, 0]


SPECTRA = {
    "both signs": torch.linspace(-3, 5, 40),
    "negative": torch.linspace(-9, -1, 40),
    "far end below": torch.cat([torch.tensor([-100.0]), torch.linspace(0, 1, 39)]),
    "low rank": torch.cat([torch.zeros(37), torch.tensor([1.0, 2.0, 3.0])]),
    "double": torch.cat([torch.linspace(0, 1, 38), torch.tensor([4.0, 4.0])]),
    "one": torch.tensor([-2.0]),
    "zero": torch.zeros(6),
    "identity": torch.ones(6),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_the_ends_of_a_known_spectrum(name: str) -> None:
    values = SPECTRA[name].double()
    matrix = with_spectrum(values)[None]
    found = extreme_eigenvalues(
        product_of(matrix), drawn(1, len(values), seed=3), accuracy=1e-9, steps=200
    )
    scale = float(values.abs().max())
    assert float(found.largest) == pytest.approx(float(values.max()), abs=1e-8 * scale + 1e-12)
    assert float(found.error) <= 1e-8 * scale + 1e-12
    assert found.steps <= len(values)
    # The other end is no promise, but lies within the spectrum.
    assert float(values.min()) - 1e-9 <= float(found.smallest) <= float(found.largest)


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 40])
def test_the_error_reaches_an_eigenvalue_and_the_value_never_passes_the_largest(steps: int) -> None:
    values = drawn(60, seed=5) * 10
    found = extreme_eigenvalues(
        product_of(with_spectrum(values)[None]), drawn(1, 60, seed=1), accuracy=0.0, steps=steps
    )
    assert found.steps == steps
    nearest = float((values - found.largest).abs().min())
    assert nearest <= float(found.error) + 1e-9
    assert float(found.largest) <= float(values.max()) + 1e-9
    assert float(found.smallest) >= float(values.min()) - 1e-9


def test_many_steps_leave_the_ends_where_they_are() -> None:
    """Also long after all orthogonality is lost to rounding."""
    values = torch.cat([torch.linspace(0, 1, 300), torch.tensor([50.0, 100.0])]).double()
    found = extreme_eigenvalues(
        product_of(with_spectrum(values)[None]), drawn(1, 302), accuracy=0.0, steps=300
    )
    assert float(found.largest) == pytest.approx(100.0, rel=1e-12)
    assert float(found.smallest) >= -1e-10


def test_every_matrix_of_a_batch_is_its_own() -> None:
    spectra = [SPECTRA["both signs"], SPECTRA["low rank"], torch.zeros(40), SPECTRA["negative"]]
    matrices = torch.stack([with_spectrum(s, seed) for seed, s in enumerate(spectra)])
    start = drawn(4, 40, seed=7)

    def largest(chosen: list[int]) -> Tensor:
        product = product_of(matrices[chosen])
        return extreme_eigenvalues(product, start[chosen], accuracy=1e-8, steps=80).largest

    together = largest([0, 1, 2, 3])
    expected = torch.stack([s.max() for s in spectra]).double()
    torch.testing.assert_close(together, expected, atol=1e-7, rtol=0)
    alone = torch.cat([largest([place]) for place in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-7, rtol=0)


def test_what_is_done_waits_for_the_others() -> None:
    """Behind its last direction there is nothing, whose eigenvalue would be 0."""
    matrices = torch.stack([-2 * torch.eye(40), with_spectrum(SPECTRA["both signs"])])
    start = torch.stack([torch.eye(40)[0], drawn(40)]).double()
    found = extreme_eigenvalues(product_of(matrices), start, accuracy=1e-8, steps=40)
    assert found.steps > 5
    assert float(found.largest[0]) == float(found.smallest[0]) == -2.0
    assert float(found.error[0]) == 0.0


def test_what_is_not_finite_ends_it_and_stays_so() -> None:
    found = extreme_eigenvalues(
        lambda vectors: vectors * torch.nan, drawn(1, 5), accuracy=1e-3, steps=100
    )
    assert found.steps == 1
    assert bool(found.largest.isnan())


def test_it_can_be_stopped_after_any_step() -> None:
    matrix = with_spectrum(torch.linspace(0, 1, 50))[None]
    left = iter([False, False, True])
    found = extreme_eigenvalues(
        product_of(matrix), drawn(1, 50), accuracy=0.0, steps=50, over=lambda: next(left)
    )
    assert found.steps == 3


def test_no_steps_are_refused() -> None:
    with pytest.raises(BadSetting, match="at least 1"):
        extreme_eigenvalues(lambda v: v, drawn(1, 2), accuracy=1e-3, steps=0)
