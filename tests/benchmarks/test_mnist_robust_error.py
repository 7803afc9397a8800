"""Certified error of Wong and Kolter's MNIST network, against what its authors' code counts.

All 10,000 test images take minutes: run with ``-m slow``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from machine import in_fresh_process

SCRIPT = Path(__file__).with_name("mnist_robust_error.py")
MEMORY = 4e9
# By convex_adversarial 0.4.4, radius 0.1, clipped to [0, 1], all 10,000 images.
REFERENCE = 0.0564
# Misclassified test images, as published: 1.80 %.
ERROR = 0.0180

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000), pytest.mark.usefixtures("data_dir")]


@pytest.fixture(scope="module")
def result():
    """One call for all 10,000 images in a process of its own, so that its memory is known."""
    known: dict[str, dict] = {}

    def run(method: str) -> dict:
        if method not in known:
            known[method] = json.loads(in_fresh_process(SCRIPT, method, timeout=2900))
        return known[method]

    return run


def test_lp_dual_counts_what_its_authors_count(result) -> None:
    counted = result("lp-dual")
    assert counted["images"] == 10_000
    assert counted["error"] == pytest.approx(ERROR, abs=5e-5)
    assert counted["robust_error"] == pytest.approx(REFERENCE, abs=2e-4)


def test_crown_proves_more(result) -> None:
    assert result("crown")["robust_error"] < result("lp-dual")["robust_error"]


@pytest.mark.parametrize("method", ["lp-dual", "crown"])
def test_ten_thousand_images_at_once_fit(result, method) -> None:
    assert result(method)["peak_bytes"] < MEMORY
