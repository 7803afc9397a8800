"""A headless browser that tests look at pages with."""

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names of the browser."""


OVERHANGS = """
[...document.querySelectorAll("main *")].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 1 || box.left < -1)
    && !element.closest(".scroll, details");
}).map(element => element.outerHTML.slice(0, 80))
"""
"""What sticks out of a page and cannot be scrolled to."""

VIEWS = ((390, "light"), (390, "dark"), (1280, "light"), (1280, "dark"))
"""Widths and colour schemes of screens."""


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

    def fits(self, page: Path, views: Sequence[tuple[int, str]] = VIEWS) -> None:
        """Fail where a page is wider than a screen, lacks a picture, or complains."""
        for width, scheme in views:
            self.open(page, width=width, scheme=scheme)
            assert self.ask("document.documentElement.scrollWidth") <= width
            assert self.ask("[...document.images].every(image => image.naturalWidth > 0)")
            # Nothing sticks out of the page but what can be scrolled to.
            assert self.ask(OVERHANGS) == []
        assert self.complaints == []

    def sheets(self) -> int:
        """Pages of paper that it prints on."""
        return len(re.findall(rb"/Type\s*/Page\b", self.pdf()))

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
