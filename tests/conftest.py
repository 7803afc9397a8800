"""What tests of every part share."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

DATA_VARIABLE = "SENSVERIFY_DATA"

# Random inputs: the same ones in every run where $CI is set, fresh ones elsewhere. No deadlines:
# the first call of anything in torch is slow, and so is a busy machine.
settings.register_profile(
    "sensverify",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("sensverify")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real data and networks, from ``$SENSVERIFY_DATA``.

    Without it a test is skipped, and fails where ``$CI`` is set: a skipped test must not look
    green where its requirement is meant to be there.
    """
    value = os.environ.get(DATA_VARIABLE)
    if value and Path(value).is_dir():
        return Path(value)
    reason = f"${DATA_VARIABLE} names no folder; set it to the folder with the development data"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
