"""Certified accuracy: between what is proven and what is refuted."""

from __future__ import annotations

import numpy as np
import pytest

import sensverify as sv
from sensverify.errors import BadData, BadSetting, NotMeasured
from sensverify.verification.accuracy import CertifiedAccuracy
from tests.verification.test_objects import X, Y, identity


def test_counts_by_hand() -> None:
    found = sv.certified_accuracy(identity(), X, Y, radius=0.1)
    assert (found.proven.count, found.kept.count, found.proven.total) == (1, 1, 3)
    assert float(found) == found.interval[0] == found.interval[1] == 1 / 3
    assert "33.3 %" in repr(found)


def test_the_interval_holds_the_exact_share() -> None:
    loose, exact = (
        sv.certified_accuracy("iris", sigma=0.05, method=method) for method in ("ibp", "exact")
    )
    assert loose.interval[0] <= exact.interval[0] <= exact.interval[1] <= loose.interval[1]
    assert loose.interval[0] < loose.interval[1]


def test_it_shrinks_with_the_radius() -> None:
    shares = [float(sv.certified_accuracy("iris", sigma=sigma)) for sigma in (0.0, 0.02, 0.05)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[2]


def test_what_is_no_share() -> None:
    with pytest.raises(BadData, match="label"):
        sv.certified_accuracy(identity(), X, radius=0.1)
    with pytest.raises(BadData):
        sv.certified_accuracy(identity(), X, [0.5, 0.1, 0.2], radius=0.1)
    with pytest.raises(BadData):
        sv.certified_accuracy(identity(), np.zeros((0, 2)), [], radius=0.1)
    with pytest.raises(BadSetting, match="watch"):
        sv.certified_accuracy(identity(), X, Y, radius=0.1, watch=sv.Watch())


def test_a_method_that_proves_nothing_gives_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from sensverify.verification import accuracy

    report = replace(sv.verify("iris", sigma=0.02), guarantee=sv.Guarantee.ESTIMATE)
    monkeypatch.setattr(accuracy, "verify", lambda *arguments, **settings: report)
    with pytest.raises(NotMeasured):
        sv.certified_accuracy("iris", sigma=0.02)


def test_its_class_is_public() -> None:
    assert sv.CertifiedAccuracy is CertifiedAccuracy
