"""A line an epoch of a training."""

from __future__ import annotations

import pytest

from sensverify.cli.train_progress import EpochLines
from sensverify.training.loop.progress import Progress


def training(epochs: int, steps: int, *, every: int) -> list[str]:
    """Lines of a training with metrics after some epochs."""
    lines: list[str] = []
    show = EpochLines(lines.append)
    metrics = None
    for step in range(1, epochs * steps + 1):
        epoch = (step + steps - 1) // steps
        where = {"epoch": epoch, "epochs": epochs, "step": step, "steps": epochs * steps}
        losses = {"loss": 1 / step, "cross-entropy": 0.5}
        show(Progress(**where, losses=losses, learning_rate=0.1, metrics=metrics))
        if step % steps == 0 and every and epoch % every == 0:
            metrics = {"train ERR": 0.5, "test CE": 2.0, "test ERR": epoch / 100}
            show(Progress(**where, losses=losses, learning_rate=0.1, metrics=metrics))
    show.finish()
    show.finish()
    return lines


@pytest.mark.parametrize("every", [0, 1, 2])
def test_one_line_an_epoch_with_its_own_metrics(every: int) -> None:
    lines = training(4, 3, every=every)
    assert [line.split("  ")[0] for line in lines] == [f"epoch {k}/4" for k in range(1, 5)]
    for epoch, line in enumerate(lines, start=1):
        assert "cross-entropy 0.5" in line
        assert "learning rate 0.1" in line
        measured = every and epoch % every == 0
        assert ("test: ERR" in line) == bool(measured)
        if measured:
            assert line.endswith(f"test: ERR {epoch}.00 %")


def test_losses_are_means_over_the_epoch() -> None:
    lines = training(2, 2, every=0)
    assert "loss 0.75 " in lines[0]
    assert f"loss {(1 / 3 + 1 / 4) / 2:.4g} " in lines[1]


def test_metrics_that_stay_the_same_are_told_again() -> None:
    lines: list[str] = []
    show = EpochLines(lines.append)
    for step in (1, 2):
        for metrics in ({"test ERR": 0.25} if step > 1 else None, {"test ERR": 0.25}):
            show(Progress(step, 2, step, 2, {"loss": 1.0}, 0.1, metrics))
    show.finish()
    assert len(lines) == 2
    assert all("ERR 25.00 %" in line for line in lines)
