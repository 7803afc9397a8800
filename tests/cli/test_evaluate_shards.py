"""``evaluate --shard`` and ``--no-run``: parts of an evaluation, and what they are together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Run = Callable[..., Result]


def test_command(run: Run, tmp_path: Path) -> None:
    out, junit = tmp_path / "out", tmp_path / "gates.xml"
    asked = ("evaluate", "iris", "--count", "12", "--attacks", "fgsm", "--sigmas", "0.05")
    asked = (*asked, "--measures", "l2", "--min-accuracy", "1%", "--out", out)
    done = run(*asked, "--shard", "2/2")
    assert done.exit_code == 0
    assert done.stdout.startswith("shard 2/2: ")
    assert "gate" not in done.stdout
    part = run(*asked, "--no-run")
    assert part.exit_code == 3
    assert "not done yet" in part.stderr
    assert not (out / "evaluation.json").exists()
    run(*asked, "--shard", "1/2")
    whole = run(*asked, "--no-run", "--junit", junit)
    assert (whole.exit_code, whole.stderr) == (0, "")
    assert junit.exists()
    assert (out / "evaluation.json").exists()
    for options, words in (
        (
            ("--shard", "1/2", "--resume", "--junit", tmp_path / "b.xml"),
            "--junit is about the whole",
        ),
        (("--shard", "1/2", "--no-run"), "--no-run is about the whole"),
        (("--shard", "3/2"), "there is no shard 3 of 2"),
        (("--shard", "1/2", "--workers", "ray"), "give one of the two"),
        (("--workers", "dask"), "--workers is 'ray'"),
        (("--workers", "ray:nowhere"), "expected HOST:PORT"),
        (("--workers", "ray(gpus=1.5)"), "a part of one GPU"),
    ):
        refused = run(*asked, *options)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert words in refused.stderr
