"""`specification check`: what a file leaves out, by families and by measured overlaps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.docs.pages import ROOT

Run = Callable[..., Result]


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "spec.toml"
        path.write_text(text)
        return path

    return write


def test_the_check_says_what_is_left_out(run: Run, save: Callable[[str], Path]) -> None:
    done = run("specification", "check", ROOT / "examples" / "specification.toml")
    assert done.exit_code == 1
    assert "no corruption is of the family blur" in done.stdout
    path = save('[[requirements]]\nname = "r"\nmin = 0.5\ncorruption = ["fog"]')
    done = run("specification", "check", path)
    assert done.exit_code == 2
    assert "did you mean 'corruptions'" in done.stderr


def test_the_check_of_a_whole_specification(run: Run, save: Callable[[str], Path]) -> None:
    corruptions = ["gaussian-noise", "motion-blur", "fog", "contrast", "rotation", "jpeg"]
    path = save(
        'left_out = ["colour", "occlusion"]\n'
        f'[[requirements]]\nname = "c"\nmin = 0.5\ncorruptions = {json.dumps(corruptions)}\n'
        '[[requirements]]\nname = "a"\nmin = 0.5\nattacks = "pgd"\nradius = 0.1'
    )
    done = run("specification", "check", path)
    assert (done.exit_code, done.stdout) == (0, "nothing was found\n"), done.output


def test_the_check_by_overlaps(run: Run, save: Callable[[str], Path], tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    right = {
        "standard": (900, 400, 400, 400),
        "fog": (900, 800, 800, 400),
        "snow": (900, 800, 800, 400),
        "border": (900, 400, 400, 800),
    }
    lines = ["network,shift,severity,right,total"]
    for network, counts in right.items():
        for shift, count in zip(("clean", "fog", "snow", "border"), counts, strict=True):
            lines.append(f"{network},{shift},,{count},1000")
    table.write_text("\n".join(lines) + "\n")
    path = save(
        '[[requirements]]\nname = "c"\nmin = 0.5\ncorruptions = "fog"\n'
        '[[requirements]]\nname = "a"\nmin = 0.5\nattacks = "pgd"\nradius = 0.1'
    )
    done = run("specification", "check", path, "--overlap", table)
    assert done.exit_code == 1, done.output
    assert done.stdout.splitlines()[0] == "'border' overlaps with no corruption of it"
    other = save('[[requirements]]\nname = "c"\nmin = 0.5\ncorruptions = "jpeg"')
    done = run("specification", "check", other, "--overlap", table)
    assert done.exit_code == 2
    assert "fog" in done.stderr
