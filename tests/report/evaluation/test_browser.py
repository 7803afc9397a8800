"""The page of an evaluation as a browser shows it: quiet, no wider than its window, printable."""

from __future__ import annotations

import base64
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sensverify.evaluation.results import Evaluation
from tests.report.shown import evaluation_page, evaluation_tables

Make = Callable[..., Evaluation]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names of the browser."""


def find_browser() -> str | None:
    """Path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A headless Chromium with one page, spoken to over a pipe, and all that it complains about.

    Used as a context manager. Commands are those of the DevTools protocol; no package is needed.
    """

    def __init__(self, path: str) -> None:
        self._path, self._number, self._rest = path, 0, b""
        self._session: str | None = None
        self.complaints: list[str] = []

    def __enter__(self) -> Browser:
        to_browser, self._to = os.pipe()
        self._from, from_browser = os.pipe()
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        # The protocol's pipe is file descriptors 3 and 4 of the browser.
        command = (
            f'exec "$0" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage '
            f"--no-first-run --disable-extensions --disable-background-networking "
            f"--remote-debugging-pipe --user-data-dir={self._profile} about:blank "
            f"3<&{to_browser} 4>&{from_browser}"
        )
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command, self._path],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        pages = self.send("Target.getTargets")["targetInfos"]
        target = next(each["targetId"] for each in pages if each["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of one command."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None and not method.startswith(("Browser.", "Target.")):
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _next(self, seconds: float = 60.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._from, 1 << 20) if ready else b""
            if not data:
                raise TimeoutError("the browser says nothing")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params))
            case "Network.requestWillBeSent":
                url = params["request"]["url"]
                if not url.startswith(("data:", "file:")):
                    self.complaints.append(f"asks for {url}")

    def open(self, path: Path, *, width: int = 1280, scheme: str = "light") -> None:
        """Show a file in a window of this width, in a light or dark colour scheme."""
        mobile = width < 600
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        self.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.send("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + 60
        while self.ask("document.readyState") != "complete" or not self.ask("!!document.title"):
            if time.monotonic() > end:
                raise TimeoutError(f"{path} does not load")
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        """The value of an expression on the page."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def pdf(self) -> bytes:
        """The page as it is printed, in the size that its style sheet asks for."""
        answer = self.send("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        return base64.b64decode(answer["data"])

    def download(self, selector: str, folder: Path) -> Path:
        """The file that a click on a link leaves in a folder."""
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.ask(f"document.querySelector({json.dumps(selector)}).click()")
        end = time.monotonic() + 30
        while time.monotonic() < end:
            found = [path for path in folder.iterdir() if path.suffix == ".csv"]
            if found:
                return found[0]
            time.sleep(0.05)
        raise TimeoutError(f"{selector} gives no file")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Without a browser a test is skipped, and fails where ``$CI`` is set."""
    path = find_browser()
    if path is None:
        reason = f"no browser found; looked for {', '.join(NAMES)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with Browser(path) as found:
        yield found


PAGES: dict[str, dict[str, Any]] = {
    "one network": {},
    "three networks": {"names": ("a-rather-long-name-of-a-network", "b", "c")},
    "20 named classes": {
        "network": {"classes": 20, "radii": tuple(k / 255 for k in range(1, 31))},
        "classes": tuple(f"a class called {k}" for k in range(20)),
    },
    "next to nothing": {
        "network": {
            **{"samples": 1, "classes": 1, "radii": (), "attacks": {}, "methods": {}},
            **{"corruptions": {}, "sequences": (), "measures": (), "missing": ()},
        },
        "examples": {},
    },
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_quiet_fits_and_prints(
    make_evaluation: Make, browser: Browser, tmp_path: Path, name: str
) -> None:
    page = tmp_path / "page.html"
    page.write_text(evaluation_page(make_evaluation(**PAGES[name])), encoding="utf-8")
    for width, scheme in ((390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")):
        browser.open(page, width=width, scheme=scheme)
        assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.ask("[...document.images].every(image => image.naturalWidth > 0)")
        # Nothing sticks out of the page but what can be scrolled to.
        assert browser.ask(OVERHANGS) == []
    assert browser.complaints == []
    pages = len(re.findall(rb"/Type\s*/Page\b", browser.pdf()))
    assert 1 <= pages <= 14


OVERHANGS = """
[...document.querySelectorAll("main *")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 1 || box.left < -1)
    && !element.closest(".scroll, details");
}).map(element => element.outerHTML.slice(0, 80))
"""


def test_one_of_two_curves_is_shown(
    make_evaluation: Make, browser: Browser, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text(evaluation_page(make_evaluation()), encoding="utf-8")
    shown = "[...document.querySelectorAll('figure.chart')].map(f => f.offsetWidth > 0)"
    browser.open(page, width=1280)
    assert browser.ask(shown) == [True, False]
    browser.open(page, width=390)
    assert browser.ask(shown) == [False, True]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_names_of_lines_stay_inside_of_their_picture(
    browser: Browser, make_evaluation: Make, tmp_path: Path, count: int, width: int
) -> None:
    names = tuple(f"mnist-network-{place}.onnx.gz" for place in range(count))
    path = tmp_path / "page.html"
    path.write_text(evaluation_page(make_evaluation(names=names)))
    browser.open(path, width=width)
    over = browser.ask(
        "[...document.querySelectorAll('svg.curves')].filter(s => s.getBoundingClientRect().width)"
        ".flatMap(s => [...s.querySelectorAll('text')].map(t => [t.textContent,"
        "t.getBoundingClientRect().right - s.getBoundingClientRect().right]))"
        ".filter(([, over]) => over > 0)"
    )
    assert over == []


def test_texts_do_not_run_into_each_other_at_the_axis(
    make_evaluation: Make, browser: Browser, tmp_path: Path
) -> None:
    radii = (0.001, 0.002, 0.01, 0.0125, 0.02, 0.03)
    page = tmp_path / "page.html"
    page.write_text(evaluation_page(make_evaluation(network={"radii": radii})), "utf-8")
    for width in (390, 1280):
        browser.open(page, width=width)
        boxes = browser.ask(
            "[...document.querySelectorAll('figure.chart svg text:not([class])')]"
            ".filter(t => t.getAttribute('text-anchor') == 'middle' && t.getClientRects().length)"
            ".map(t => [t.getBoundingClientRect().left, t.getBoundingClientRect().right])"
        )
        assert len(boxes) >= 3
        assert all(a[1] < b[0] for a, b in pairwise(boxes))


def test_a_table_can_be_downloaded_under_the_pages_policy(
    make_evaluation: Make, browser: Browser, tmp_path: Path
) -> None:
    evaluation = make_evaluation()
    page, folder = tmp_path / "page.html", tmp_path / "downloads"
    folder.mkdir()
    page.write_text(evaluation_page(evaluation), encoding="utf-8")
    browser.open(page)
    found = browser.download('a[download="accuracy.csv"]', folder)
    assert found.name == "accuracy.csv"
    assert found.read_bytes().decode() == evaluation_tables(evaluation)["accuracy"]
    assert browser.complaints == []


def test_scripts_do_not_run(browser: Browser, make_evaluation: Make, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    html = evaluation_page(make_evaluation())
    page.write_text(html.replace("</main>", "<script>document.title = 'no'</script></main>"))
    browser.open(page)
    assert browser.ask("document.title") == "net: evaluation"
    assert any("Content Security Policy" in line for line in browser.complaints)
    browser.complaints.clear()
