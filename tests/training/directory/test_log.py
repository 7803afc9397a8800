"""Figures of a training in CSV files and TensorBoard's."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from sensverify.errors import InputError
from sensverify.training.directory.log import TrainingLog

COLUMNS = ("epoch", "step", "loss", "test ERR"), ("step", "epoch", "loss")


def log(folder: Path, resumed: tuple[int, int] | None = None) -> TrainingLog:
    return TrainingLog(folder, *COLUMNS, resumed)


def test_rows_after_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    """And the half of one that a killed process left."""
    path, steps = tmp_path / "metrics.csv", tmp_path / "steps.csv"
    path.write_text("epoch,step,loss,test ERR\n1,5,0.5,\n2,9,0.4,\n3,14,0.3,\n4,")
    steps.write_text("step,epoch,loss\n1,1,0.5\n51,3,0.2\n")
    with log(tmp_path, resumed=(2, 9)) as files:
        files.epoch({"epoch": 3, "step": 14, "loss": 0.1 + 0.2})
    assert path.read_text() == (
        "epoch,step,loss,test ERR\n1,5,0.5,\n2,9,0.4,\n3,14,0.30000000000000004,\n"
    )
    assert steps.read_text() == "step,epoch,loss\n1,1,0.5\n"
    with log(tmp_path):
        pass
    assert path.read_text() == "epoch,step,loss,test ERR\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epoch,b\n1,5\n", "something else"),
        ("epoch,step,loss,test ERR\nx,5,1,1\n", "line 2"),
        (None, "is gone"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    (tmp_path / "steps.csv").write_text("step,epoch,loss\n")
    path = tmp_path / "metrics.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=words):
        log(tmp_path, resumed=(2, 9))
    assert (path.read_text() if path.exists() else None) == text
    assert not (tmp_path / "tensorboard").exists()


def events(folder: Path) -> list[Event]:
    """What TensorBoard's files hold: records of a length, a checksum, an event, a checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            length, data = int.from_bytes(content[:8], "little"), content[12:]
            assert content[8:12] == masked_crc32c(content[:8]).to_bytes(4, "little")
            assert data[length : length + 4] == masked_crc32c(data[:length]).to_bytes(4, "little")
            found.append(Event.FromString(data[:length]))
            content = data[length + 4 :]
    return found


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    return [(v.tag, e.step, v.simple_value) for e in events(folder) for v in e.summary.value]


def test_tensorboard_is_told_the_same(tmp_path: Path) -> None:
    with log(tmp_path) as files:
        for step in range(1, 60):
            files.step({"step": step, "epoch": 1, "loss": 1.0 / step})
        files.epoch({"epoch": 1, "step": 59, "loss": 0.5, "test ERR": 0.25})
    assert scalars(tmp_path / "tensorboard") == [
        ("step/loss", 1, 1.0),
        ("step/loss", 51, pytest.approx(1 / 51)),
        ("epoch/loss", 59, 0.5),
        ("test/ERR", 59, 0.25),
    ]
    assert (tmp_path / "steps.csv").read_text().split() == [
        "step,epoch,loss",
        "1,1,1.0",
        f"51,1,{1 / 51!r}",
    ]


def test_a_checkpoint_has_tensorboard_s_rows_on_the_disk(tmp_path: Path) -> None:
    with log(tmp_path) as files:
        files.step({"step": 1, "epoch": 1, "loss": 2.0})
        files.sync()
        assert scalars(tmp_path / "tensorboard") == [("step/loss", 1, 2.0)]


def test_numbers_that_float32_does_not_hold(tmp_path: Path) -> None:
    with log(tmp_path) as files:
        files.epoch({"epoch": 1, "step": 9, "loss": 1e300, "test ERR": float("-inf")})
    values = [value for _, _, value in scalars(tmp_path / "tensorboard")]
    assert values == [float("inf"), float("-inf")]


def test_a_resumed_training_hides_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    """In a file that TensorBoard reads after the others, also where both began in one second."""
    for resumed in (None, (1, 50), (2, 100)):
        with log(tmp_path, resumed) as files:
            files.step({"step": 151, "epoch": 4, "loss": 1.0})
    assert len(list((tmp_path / "tensorboard").iterdir())) == 3
    found = events(tmp_path / "tensorboard")
    starts = [event.step for event in found if event.session_log.status == SessionLog.START]
    assert starts == [0, 51, 101]
    assert [event.file_version for event in found].count("brain.Event:2") == 3
    assert found[0].file_version == "brain.Event:2"


def fill(folder: Path, what: str) -> None:
    with log(folder) as files:
        for step in range(1, 20_000):
            getattr(files, what)({"step": 50 * step + 1, "epoch": step, "loss": 1.0 / step})
            if what == "step":
                files.sync()


@pytest.mark.parametrize(("what", "limit"), [("step", 2000), ("epoch", 20_000)])
def test_a_full_disk_ends_the_training_at_once(
    tmp_path: Path, what: str, limit: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The system itself refuses: files may not grow beyond some bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(InputError, match=r"File too large.*stays good"):
            fill(tmp_path, what)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert capfd.readouterr() == ("", "")


class _Full:
    """A stream on a full disk."""

    def write(self, content: bytes) -> None: ...

    def flush(self) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    close = flush


@pytest.mark.parametrize(
    "work", [lambda _: None, lambda files: files.epoch({"epoch": 1, "step": 3, "loss": 0.5})]
)
def test_a_refusal_while_files_are_closed_hides_no_error(
    tmp_path: Path, work: Callable[[TrainingLog], None]
) -> None:
    files = log(tmp_path)
    files._epochs._stream.close()
    files._epochs._stream = _Full()
    with pytest.raises(InputError, match="Disk quota exceeded") as caught, files:
        work(files)
    assert "metrics.csv" in str(caught.value)


def test_what_the_training_met_comes_before_what_closing_meets(tmp_path: Path) -> None:
    files = log(tmp_path)
    files._steps._stream.close()
    files._steps._stream = _Full()
    with pytest.raises(ZeroDivisionError), files:
        raise ZeroDivisionError
