"""What tests of every part share."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

DATA_VARIABLE = "SENSVERIFY_DATA"

_COUNTS = pytest.StashKey[Counter[str]]()
"""Tests that were left out, by their mark."""

# One thread a worker: threads on top of workers only get in each other's way. Read by torch and
# OpenMP when they are loaded, here and in processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# onnxruntime, which some tests import themselves, writes and sends nothing about this machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Random inputs are the same ones in every run, so that a run says something about the code alone;
# `--draw` draws fresh ones. No deadlines: the first call of anything in torch is slow, and so is a
# busy machine.
settings.register_profile(
    "sensverify",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("sensverify")

_SETTINGS = "_hypothesis_internal_use_settings"
"""Where hypothesis keeps the settings of a test."""

_LEFT_OUT = {"slow": "pytest -m slow", "benchmark": "pytest -m benchmark -n 0"}
"""Marks of tests that do not run unasked, and the command that runs them."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--draw",
        type=int,
        metavar="TIMES",
        help="run only the tests that draw random inputs, with fresh ones, TIMES as many as usual",
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    times = config.getoption("--draw")
    if times is None:
        return
    drawing = [item for item in items if is_hypothesis_test(getattr(item, "obj", None))]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(drawing)])
    items[:] = drawing
    # Parametrised tests are one function many times.
    for test in {getattr(item.obj, "__func__", item.obj) for item in drawing}:
        usual = getattr(test, _SETTINGS)
        count = times * usual.max_examples
        setattr(test, _SETTINGS, settings(usual, max_examples=count, derandomize=False))


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items:
        counts = items[0].config.stash.setdefault(_COUNTS, Counter())
        for item in items:
            counts.update(mark for mark in _LEFT_OUT if item.get_closest_marker(mark))


def pytest_sessionfinish(session: pytest.Session) -> None:
    # Of a worker: what it left out, for the process that writes the summary.
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left out"] = dict(session.config.stash.get(_COUNTS, Counter()))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # Every worker leaves out the same tests.
    node.config.stash[_COUNTS] = Counter(getattr(node, "workeroutput", {}).get("left out", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for mark, count in sorted(config.stash.get(_COUNTS, Counter()).items()):
        terminalreporter.write_line(f"not run: {count} tests marked {mark} ({_LEFT_OUT[mark]})")


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


@pytest.fixture(autouse=True, scope="session")
def _results_keep_their_schemas() -> Iterator[None]:
    """Hold every result that a test lets be written against its published schema."""
    from sensverify.report import record
    from tests.report.schemas import check_result

    laid_out = record._text

    def checked(value: Any, indent: str) -> str:
        text = laid_out(value, indent)
        if not indent:
            check_result(value)
        return text

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "_text", checked)
        yield
