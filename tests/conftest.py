"""What tests of every part share."""

import os
import shutil
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


@pytest.fixture
def fake_deciders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installs what ``tests/fake_deciders.py`` holds, as a package of somebody else would be.

    Found by entry point, also in processes that are started by this one.
    """
    folder = tmp_path_factory.mktemp("site-packages")
    shutil.copy(Path(__file__).with_name("fake_deciders.py"), folder)
    info = folder / "fake_deciders-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-deciders\nVersion: 1.0\n")
    names = "sampling = fake_deciders:Sampling\nfaulty = fake_deciders:Faulty\n"
    (info / "entry_points.txt").write_text(f"[sensverify.deciders]\n{names}")
    monkeypatch.syspath_prepend(folder)
