"""A browser: headless Chromium, driven as the W3C's WebDriver has it."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import subprocess
import tempfile
from pathlib import Path

import requests

from lab.state import free_port
from tests.kit.waiting import until

CHECKOUT = Path(__file__).resolve().parents[2]
#: What an element is called in answers (W3C WebDriver, section 12.1).
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
#: Of a command, and of a script; the machine may be busy.
DEADLINE, SCRIPT = 150.0, 120


@functools.cache
def axe() -> str:
    """axe-core, as a script."""
    found = subprocess.run(
        [CHECKOUT / "scripts" / "tool", "axe-core"], capture_output=True, text=True, check=True
    )
    return Path(found.stdout.strip()).read_text()


#: What chromedriver says of an element, with status 500, while its page gives way to another.
GIVES_WAY = "does not belong to the document"


class Replaced(Exception):
    """The element is not in the page any more."""


class Browser:
    """One with a fresh profile; it takes whatever certificate a server shows."""

    def __init__(self):
        self._profile = tempfile.TemporaryDirectory(prefix="alliance-browser-")
        port = free_port()
        self._driver = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "chromedriver", f"--port={port}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "HOME": self._profile.name},
        )
        self._at = f"http://127.0.0.1:{port}"
        try:
            until(self._is_ready, "chromedriver is ready")
            arguments = [*ARGUMENTS, f"--user-data-dir={self._profile.name}/profile"]
            wanted = {
                "browserName": "chrome",
                "acceptInsecureCerts": True,
                "goog:chromeOptions": {"args": arguments},
                "timeouts": {"script": SCRIPT * 1000},
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            begun = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self._at += f"/session/{begun['sessionId']}"
        except BaseException:
            self.close()
            raise

    def _is_ready(self) -> bool:
        try:
            return self._send("GET", "/status")["ready"]
        except requests.ConnectionError:
            return False

    def close(self) -> None:
        try:
            if "/session/" in self._at:
                self._send("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait(20)
            self._profile.cleanup()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _send(self, method: str, path: str, body: dict | None = None):
        sent = None if method != "POST" else json.dumps(body or {})
        answer = requests.request(method, self._at + path, data=sent, timeout=DEADLINE)
        value = answer.json()["value"]
        if not answer.ok and (
            value["error"] == "stale element reference" or GIVES_WAY in value["message"]
        ):
            raise Replaced(value["message"])
        assert answer.ok, f"{method} {path}: {value}"
        return value

    def devtools(self, command: str, **parameters):
        """A command of Chromium's own protocol."""
        sent = {"cmd": command, "params": parameters}
        return self._send("POST", "/goog/cdp/execute", sent)

    # What somebody does

    def open(self, url: str) -> None:
        self._send("POST", "/url", {"url": url})

    def find(self, css: str) -> list[str]:
        """The elements that a selector picks."""
        found = self._send("POST", "/elements", {"using": "css selector", "value": css})
        return [one[ELEMENT] for one in found]

    def _one(self, css: str) -> str:
        """The only one, as soon as it is there: a page may be on its way."""
        until(lambda: len(self.find(css)) == 1, f"there is one {css}", deadline=DEADLINE)
        [element] = self.find(css)
        return element

    def click(self, css: str) -> None:
        self._send("POST", f"/element/{self._one(css)}/click")

    def follow(self, css: str) -> None:
        """Clicks what leads to another page, and waits until that is there."""
        page = self._send("POST", "/element", {"using": "css selector", "value": "html"})[ELEMENT]
        self.click(css)

        def is_left() -> bool:
            try:
                self._send("GET", f"/element/{page}/name")
            except Replaced:
                return True
            return False

        until(is_left, f"{css} leads to another page", deadline=DEADLINE)

    def type(self, css: str, text: str) -> None:
        element = self._one(css)
        self._send("POST", f"/element/{element}/clear")
        self._send("POST", f"/element/{element}/value", {"text": text})

    def reads(self, css: str) -> str:
        """The text that is seen there. A live page replaces itself between two looks."""
        while True:
            with contextlib.suppress(Replaced):
                return self._send("GET", f"/element/{self._one(css)}/text")

    def all_read(self, css: str) -> list[str]:
        """The text of each element, of a page that stays as it is."""
        return [self._send("GET", f"/element/{one}/text") for one in self.find(css)]

    @property
    def url(self) -> str:
        return self._send("GET", "/url")

    @property
    def complaints(self) -> list[str]:
        """What the browser has logged since the last time."""
        said = self._send("POST", "/se/log", {"type": "browser"})
        return [one["message"] for one in said]

    # What it is

    def looks(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """As wide as that, light or dark."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script: str):
        """What a script returns that runs in the page."""
        return self._send("POST", "/execute/sync", {"script": script, "args": []})

    def scripts(self, allowed: bool) -> None:
        """Whether pages may run scripts."""
        self.devtools("Emulation.setScriptExecutionDisabled", value=not allowed)

    def picture(self, file: Path) -> None:
        """The whole page."""
        taken = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def width(self) -> int:
        """How wide the page is, what must be scrolled to included."""
        layout = self.devtools("Page.getLayoutMetrics")
        return round(layout["cssContentSize"]["width"])

    def faults(self) -> list[str]:
        """What keeps people out, as axe-core sees it: what is serious or critical."""
        asked = "axe.run(document).then(arguments[0], (error) => arguments[0]({error: `${error}`}))"
        self.run(axe())
        found = self._send("POST", "/execute/async", {"script": asked, "args": []})
        assert found.get("passes"), found
        return [
            f"{one['id']} ({one['impact']}): {node['html']}: {node['failureSummary']}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]
