"""Laws that hold of every database, whatever the energy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sensverify.landscape import Database, FunctionEnergy

ROUNDING = 1e-12
"""Of an energy of about 1: what a step of a path may rise by."""


def check_laws(energy: FunctionEnergy, database: Database) -> None:
    """Indices are those of whole Hessians, gradients are 0, and paths lead down to minima."""
    for point in database.points.values():
        weights = torch.tensor(point.weights)
        assert float(energy.gradient(weights[None])[1].norm()) <= 1e-8
        # By transforming the function, not by a closed form, and not as the search keeps it.
        values = torch.linalg.eigvalsh(FunctionEnergy.hessian(energy, weights)).numpy()
        assert int((values < -point.zero_tolerance).sum()) == int(point.key.startswith("s"))
        assert int((np.abs(values) <= point.zero_tolerance).sum()) == point.zero == 0
    assert {link.saddle for link in database.links} == {p.key for p in database.saddles}
    for link in database.links:
        for path, end in zip(link.paths, link.minima, strict=True):
            above = np.maximum(1.0, np.abs(path.energies[:-1]))
            assert (np.diff(path.energies) <= ROUNDING * above).all()
            assert (np.diff(path.lengths) > 0).all()
            assert path.energies[0] == pytest.approx(database.points[link.saddle].energy)
            assert path.energies[-1] == pytest.approx(database.points[end].energy)
