"""Pictures of reports in the docs, made anew: ``python -m tests.docs.screenshots [NAME ...]``.

Needs a Chromium; pages of evaluations take some ten minutes, and MNIST in ``$SENSVERIFY_DATA``.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from sensverify.cli.main import main
from tests.browser import NAMES, Browser, find_browser
from tests.test_layers import ROOT

ASSETS = ROOT / "docs" / "assets"

STUDIES = ROOT / "examples" / "studies"

_ABOVE = 16
"""Pixels above what a picture begins with."""

VERIFY = ("verify", "mnist-conv2", "--radius", "0.03")
PAIR = (
    *("evaluate", "mnist-conv1", "mnist-conv2", "--data", "mnist", "--radii", "0.02,0.05,0.1"),
    *("--measures", "none", "--sequences", "none", "--corruptions", "fog, contrast"),
)

_WORST_FIRST = """
const order = document.querySelector(".tools select");
order.value = 0;
order.dispatchEvent(new Event("change"));
"""

_WIDE = """
document.querySelector("main").style.maxWidth = "none";
"""

_CHANGES = """
document.querySelectorAll(".tools .chip")[2].click();
"""


@dataclass(frozen=True)
class Shot:
    """A picture of the page that a command writes.

    Parameters
    ----------
    command : tuple of str
    width, height : int
        In pixels of the page.
    start : str
        The selector of the element that it begins with; the page's top where it is empty.
    scheme : str
        ``light`` or ``dark``, or ``print``: as it is printed on A4.
    script : str
        What a reader has done before.
    scale : float
    quality : int
        From 0 to 100.
    """

    command: tuple[str, ...]
    width: int
    height: int
    start: str = ""
    scheme: str = "light"
    script: str = ""
    scale: float = 1.0
    quality: int = 60


SEARCH = ("study", "nas", "search", "--synthetic", "0")
OVERLAP = ("study", "analyse", str(STUDIES / "mnist-shifts.csv"), "--kind", "overlap")
TAUS = (
    *("study", "analyse", str(STUDIES / "digits-measures.csv")),
    *(str(STUDIES / "digits-measures-values.csv"), "--kind"),
    "correlate(over=groups, against=(gap, clean, corruption, 'error:attack'))",
)
EVALUATE = ("evaluate", "mnist-conv2", "--data", "mnist")

SHOTS = {
    "verify-1280": Shot(VERIFY, 1280, 1860, script=_WORST_FIRST, scale=0.8),
    "verify-390": Shot(VERIFY, 390, 1190, "#intervals", script=_CHANGES),
    "verify-dark": Shot(VERIFY, 1000, 1190, "#intervals", "dark", _CHANGES, 0.8),
    "verify-print": Shot(VERIFY, 690, 980, "#intervals", "print", _CHANGES, 0.8),
    "evaluation-mnist-conv2": Shot(EVALUATE, 1280, 3000, scale=0.8),
    "evaluation-pairs": Shot(PAIR, 1280, 1010, "#pairs", scale=0.8),
    "architectures-search": Shot(SEARCH, 1280, 1200, "#nas-search", scale=0.8),
    "studies-overlap": Shot(OVERLAP, 1300, 795, "#overlap", script=_WIDE, scale=0.8),
    "studies-taus": Shot(TAUS, 700, 1945, "#correlate", scale=0.7),
    "evaluation-pairs-dark": Shot(PAIR, 390, 1210, "#pairs", "dark"),
}


def take(names: Iterable[str]) -> None:
    """Write the pictures with these names."""
    path = find_browser()
    if path is None:
        raise SystemExit(f"no browser found; looked for {', '.join(NAMES)}")
    pages: dict[tuple[str, ...], Path] = {}
    with tempfile.TemporaryDirectory() as folder, Browser(path) as browser:
        for name in names:
            shot = SHOTS[name]
            if shot.command not in pages:
                page = Path(folder) / f"{len(pages)}.html"
                _run([*shot.command, "--report", str(page)])
                pages[shot.command] = page
            (ASSETS / f"{name}.webp").write_bytes(_picture(browser, shot, pages[shot.command]))


def _run(command: list[str]) -> None:
    done = CliRunner().invoke(main, command, prog_name="sensverify")
    if done.exit_code not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: {done.output}")


def _picture(browser: Browser, shot: Shot, page: Path) -> bytes:
    printed = shot.scheme == "print"
    browser.open(page, width=shot.width, scheme="light" if printed else shot.scheme)
    if shot.script:
        browser.ask(f"(() => {{ {shot.script} }})()")
    if printed:
        browser.send("Emulation.setEmulatedMedia", media="print")
    top = 0
    if shot.start:
        place = f"document.querySelector({json.dumps(shot.start)}).getBoundingClientRect().top"
        top = browser.ask(f"scrollY + {place}") - _ABOVE
    area = {"x": 0, "y": top, "width": shot.width, "height": shot.height, "scale": shot.scale}
    answer = browser.send(
        "Page.captureScreenshot",
        format="webp",
        quality=shot.quality,
        captureBeyondViewport=True,
        clip=area,
    )
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    take(sys.argv[1:] or SHOTS)
