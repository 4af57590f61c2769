"""A headless Chromium, spoken to over its debugging pipe: needs no package, and shows what a page really does."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SECONDS = 60.0  # for an answer, on a machine that does much else
_KEYS = {"Tab": 9, "Enter": 13, "ArrowRight": 39}


def executable() -> str | None:
    """The system's Chromium or Chrome; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page at a time: `open` it, then measure, press keys, print.

    Parameters
    ----------
    profile : Path
        A folder for its files.
    """

    def __init__(self, profile: Path) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # The browser reads at 3 and writes at 4. Out of the way first, or one would overwrite the other.
        reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out))

        def at_3_and_4() -> None:
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        self._process = subprocess.Popen(
            [
                executable() or NAMES[0], "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-extensions", "--disable-background-networking", "--hide-scrollbars",
                "--disable-smooth-scrolling", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(3, 4), preexec_fn=at_3_and_4,
        )  # fmt: skip
        for end in (theirs_in, theirs_out, reads, writes):
            os.close(end)
        self._in, self._out, self._rest, self._number = ours_in, ours_out, b"", 0
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable")

    def open(self, file: Path, *, width: int, height: int = 844, scheme: str = "light", media: str = "screen") -> None:
        """Load a page into a window of that many CSS pixels, light or dark, for the screen or for paper."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", media=media, features=[feature])
        self._call("Page.navigate", url=file.resolve().as_uri())
        self.value(
            "document.readyState == 'complete' || new Promise(done => addEventListener('load', () => done(true)))"
        )
        self._call("Page.bringToFront")

    def value(self, script: str) -> Any:
        """What a JavaScript expression, or the promise that it is, gives."""
        found = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go; one frame later it has had its effect."""
        pressed = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self._call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **pressed, **text)
        self._call("Input.dispatchKeyEvent", type="keyUp", **pressed)
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def pdf(self) -> bytes:
        """The page as printed."""
        return base64.b64decode(self._call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])

    def screenshot(self, *, whole: bool = False) -> bytes:
        """The first screen, or the whole page, as PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def close(self) -> None:
        """End the process that was started here."""
        self._process.terminate()
        self._process.wait(timeout=_SECONDS)
        os.close(self._in)
        os.close(self._out)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._answer(number)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def _answer(self, number: int) -> dict[str, Any]:
        """The message of that number; what comes before are events that nobody waits for."""
        until = time.monotonic() + _SECONDS
        while True:
            while b"\0" in self._rest:
                line, _, self._rest = self._rest.partition(b"\0")
                if (message := json.loads(line)).get("id") == number:
                    return message
            ready, _, _ = select.select([self._in], [], [], max(0.0, until - time.monotonic()))
            got = os.read(self._in, 1 << 20) if ready else b""
            if not got:
                raise AssertionError("the browser says nothing more")
            self._rest += got
