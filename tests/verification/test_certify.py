"""Certified bounds from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import sensverify as sv
from sensverify.cli.main import main
from sensverify.errors import BadSetting

BOX = sv.Box.around(np.array([[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3]]), 0.1)


def test_bounds_lie_around_those_proposed() -> None:
    found = sv.certify("iris", BOX)
    plain = sv.compute_bounds(sv.load("iris"), BOX, sv.Crown())
    wide = 1e-9
    assert found.bounds.guarantee is sv.Guarantee.CERTIFIED
    assert bool((found.bounds.outer.lower <= plain.outer.lower + wide).all())
    assert bool((found.bounds.outer.upper >= plain.outer.upper - wide).all())
    assert bool((found.bounds.outer.lower >= plain.outer.lower - 1e-6).all())


@pytest.mark.parametrize("batched", [False, True])
def test_objectives(batched: bool) -> None:
    rows = np.array([[1.0, -1.0, 0.0]])
    rows = np.stack([rows, -rows]) if batched else rows
    found = sv.certify("iris", BOX, "crown(intermediate=ibp)", rows)
    assert found.bounds.outer.lower.shape == (2, 1)


def test_the_command_checks_what_is_written(tmp_path: Path) -> None:
    found = sv.certify("iris", BOX)
    found.write(tmp_path / "iris.cert")
    done = CliRunner().invoke(main, ["check", str(tmp_path / "iris.cert"), "iris"])
    assert done.exit_code == 0


def test_a_method_without_proofs_is_refused() -> None:
    with pytest.raises(BadSetting):
        sv.certify("iris", BOX, sv.Lirpa())


def test_a_request_takes_no_settings_beside_it() -> None:
    with pytest.raises(BadSetting):
        sv.verify(sv.VerifyRequest("iris"), sigma=0.1)
