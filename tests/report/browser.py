"""A real browser for the tests of the pages: Chromium, told what to do over a pipe.

Here belongs starting it and the few DevTools calls that the tests need; nothing but the standard library. Facts: Chrome
DevTools Protocol; `--remote-debugging-pipe` reads requests from file descriptor 3 and answers on 4, each ended by NUL.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 30.0  # seconds for one answer


def found() -> str | None:
    """The browser of this machine, if there is one; DRILL_BROWSER names another."""
    named = os.environ.get("DRILL_BROWSER")
    return shutil.which(named) if named else next((p for p in map(shutil.which, NAMES) if p), None)


@dataclass
class Browser:
    """One page of a running browser."""

    requests: int
    answers: int
    session: str = ""
    heard: list[dict[str, Any]] = field(default_factory=list)
    _last: int = 0
    _rest: bytes = b""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools call; raises RuntimeError with the browser's own words when it is refused."""
        self._last += 1
        request = {"id": self._last, "method": method, "params": params}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.requests, json.dumps(request).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._last:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
            self.heard.append(message)

    def _next(self) -> dict[str, Any]:
        limit = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, limit - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser does not answer")
            more = os.read(self.answers, 1 << 20)
            if not more:
                raise RuntimeError("the browser ended")
            self._rest += more
        one, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(one))

    def open(self, file: Path, *, width: int, height: int = 900, dark: bool = False, media: str = "screen") -> None:
        """Load a file as a person with such a screen would see it."""
        self.heard.clear()
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        told = self.call("Page.navigate", url=file.as_uri())
        if told.get("errorText"):
            raise RuntimeError(f"{file}: {told['errorText']}")
        while not any(m.get("method") == "Page.loadEventFired" for m in self.heard):
            self.heard.append(self._next())
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; the page's own policy does not bind it."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(f"{expression}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def complaints(self) -> list[str]:
        """What the browser's console said: errors of the page, of its policy, of loading."""
        said = []
        for message in self.heard:
            params = message.get("params", {})
            if message.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                said.append(str(params["entry"]["text"]))
            if message.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                said.append(json.dumps(params)[:500])
        return said

    def asked_for(self) -> list[str]:
        """Every address that the page had loaded."""
        sent = (m["params"]["request"]["url"] for m in self.heard if m.get("method") == "Network.requestWillBeSent")
        return [url for url in sent if not url.startswith("data:")]

    def picture(self) -> Picture:
        """What is on the screen now."""
        return Picture.decode(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def paper(self) -> bytes:
        """The page as a PDF on A4."""
        told = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)
        return base64.b64decode(told["data"])


@contextmanager
def browsing(executable: str, profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own; it is gone at the end."""
    for_it, ours = os.pipe(), os.pipe()
    arguments = [
        executable, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
        f"--user-data-dir={profile}", "--remote-debugging-pipe", *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]  # fmt: skip
    # Only a shell can say which descriptor is 3 and which is 4 in the child.
    shell = ["sh", "-c", f'exec "$0" "$@" 3</dev/fd/{for_it[0]} 4>/dev/fd/{ours[1]}', *arguments]
    process = subprocess.Popen(
        shell, pass_fds=(for_it[0], ours[1]), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(for_it[0])
    os.close(ours[1])
    try:
        browser = Browser(for_it[1], ours[0])
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        browser.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            browser.call(f"{domain}.enable")
        yield browser
        browser.session = ""
        browser.call("Browser.close")
    finally:
        os.close(for_it[1])
        os.close(ours[0])
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(10)


@dataclass(frozen=True)
class Picture:
    """Pixels, three bytes each."""

    width: int
    height: int
    rows: tuple[bytes, ...]

    def colours(self) -> dict[tuple[int, int, int], int]:
        """How often each colour is there, of every third pixel of every third row."""
        found: dict[tuple[int, int, int], int] = {}
        for row in self.rows[::3]:
            for x in range(0, len(row) - 2, 9):
                colour = (row[x], row[x + 1], row[x + 2])
                found[colour] = found.get(colour, 0) + 1
        return found

    @classmethod
    def decode(cls, data: bytes) -> Picture:
        """A PNG of 8 bits a channel, with or without alpha, not interlaced: what a screenshot is."""
        width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
        channels = {2: 3, 6: 4}[kind]
        if (depth, interlaced) != (8, 0):
            raise ValueError("not a PNG as screenshots are")
        packed, place = b"", 8
        while place < len(data):
            (length,) = struct.unpack(">I", data[place : place + 4])
            if data[place + 4 : place + 8] == b"IDAT":
                packed += data[place + 8 : place + 8 + length]
            place += 12 + length
        raw, size = zlib.decompress(packed), width * channels
        rows, before = [], bytearray(size)
        for y in range(height):
            start = y * (size + 1)
            before = _unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + size]), before, channels)
            rows.append(bytes(before))
        if channels == 4:
            rows = [b"".join(row[i : i + 3] for i in range(0, size, 4)) for row in rows]
        return cls(width, height, tuple(rows))


def _unfiltered(kind: int, row: bytearray, above: bytearray, step: int) -> bytearray:
    if kind == 2:
        return bytearray((a + b) & 255 for a, b in zip(row, above, strict=True))
    for i in range(len(row) if kind else 0):
        left = row[i - step] if i >= step else 0
        up, corner = above[i], above[i - step] if i >= step else 0
        if kind == 1:
            guess = left
        elif kind == 3:
            guess = (left + up) // 2
        else:
            estimate = left + up - corner
            by = (abs(estimate - left), abs(estimate - up), abs(estimate - corner))
            guess = left if by[0] <= by[1] and by[0] <= by[2] else up if by[1] <= by[2] else corner
        row[i] = (row[i] + guess) & 255
    return row
