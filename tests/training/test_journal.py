"""Figures of a training in CSV files and TensorBoard's."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from sensverify.errors import InputError
from sensverify.training.journal import Journal, Table


def test_rows_are_whole_and_floats_keep_every_digit(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    table = Table(path, ("epoch", "a", "b"))
    table.add({"epoch": 1, "a": 0.1 + 0.2, "b": None})
    table.add({"epoch": 2, "b": 1e-300, "other": 3})
    assert path.read_text() == "epoch,a,b\n1,0.30000000000000004,\n2,,1e-300\n"
    table.close()


def test_rows_after_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("epoch,a\n1,5\n2,6\n3,7\n4,")
    table = Table(path, ("epoch", "a"), last=2)
    table.add({"epoch": 3, "a": 9})
    table.close()
    assert path.read_text() == "epoch,a\n1,5\n2,6\n3,9\n"


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("epoch,b\n1,5\n")
    with pytest.raises(InputError, match="columns"):
        Table(path, ("epoch", "a"), last=2)
    path.write_text("epoch,a\nx,5\n")
    with pytest.raises(InputError, match="changed"):
        Table(path, ("epoch", "a"), last=2)


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """What TensorBoard's files hold: records of a length, a checksum, an event, a checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            length = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + length])
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
            content = content[16 + length :]
    return found


def test_tensorboard_is_told_the_same(tmp_path: Path) -> None:
    columns = ("epoch", "step", "loss", "test ERR"), ("step", "epoch", "loss")
    with Journal(tmp_path, *columns) as journal:
        for step in range(1, 60):
            journal.step({"step": step, "epoch": 1, "loss": 1.0 / step})
        journal.epoch({"epoch": 1, "step": 59, "loss": 0.5, "test ERR": 0.25})
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
