"""A tiny study, run once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sensverify.studies.files import parse_study
from sensverify.studies.run import run_study
from sensverify.studies.study import Study

TINY: dict[str, Any] = {
    "study": {
        "title": "Tiny <study>",
        "data": "iris",
        "model": "mlp-6",
        "seeds": [0, 1],
        "figures": ["course", "seeds", "energy"],
    },
    "settings": {
        "epochs": 2,
        "batch_size": 60,
        "sigma": 0.1,
        "pgd_steps": 1,
        "threads": 1,
        "metric_samples": 20,
        "final_samples": 20,
    },
    "runs": [
        {"name": "base", "loss": "base"},
        {"name": "sm", "loss": "cross-entropy + 0.1*sensitivity(form=softplus, bounds=ibp)"},
    ],
    "paper": {"sm": {"source": "Somebody & Co.", "test": {"ERR": 0.5, "SENSE": 4.58e12}}},
}


@pytest.fixture(scope="session")
def tiny() -> Study:
    """Two losses, two seeds, two epochs."""
    return parse_study(TINY)


@pytest.fixture(scope="session")
def tiny_folder(tiny: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What running it leaves; not to be changed."""
    folder = tmp_path_factory.mktemp("studies") / "tiny"
    run_study(tiny, folder)
    return folder
