"""Chromium without a window, driven through chromedriver's protocol (https://www.w3.org/TR/webdriver2/).

Only on loopback; the browser has a fresh profile, and is ended with the driver.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # it does not start as root otherwise
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--force-device-scale-factor=1",
)
_KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "End": "\ue010", "Home": "\ue011",
         "ArrowLeft": "\ue012", "ArrowUp": "\ue013", "ArrowRight": "\ue014",
         "ArrowDown": "\ue015"}  # fmt: skip


@dataclass
class Browser:
    session: str

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(
            self.session + path, data=data, headers={"Content-Type": "application/json"}
        )
        request.method = method
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            return json.load(response)["value"]

    def devtools(self, command: str, **parameters: Any) -> Any:
        body = {"cmd": command, "params": parameters}
        return self.call("POST", "/goog/cdp/execute", body)

    def open(self, page: Path, *, width: int = 1200, height: int = 900, is_dark: bool = False,
             has_scripts: bool = True) -> None:  # fmt: skip
        """Show a file; nothing may be said in the console of the one before."""
        assert self.log("browser") == []
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
                      deviceScaleFactor=1, mobile=width < 500)  # fmt: skip
        self.emulate(is_dark=is_dark)
        self.devtools("Emulation.setScriptExecutionDisabled", value=not has_scripts)
        self.log("performance")
        self.call("POST", "/url", {"url": page.as_uri()})
        if has_scripts:
            self.settle()

    def emulate(self, *, media: str = "", is_dark: bool = False) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def settle(self) -> None:
        """Wait until what is drawn to the width of the window has been drawn."""
        frames = (
            "const done = arguments[0]; let left = 3;"
            "const next = () => left-- ? requestAnimationFrame(next) : done(); next();"
        )
        self.call("POST", "/execute/async", {"script": frames, "args": []})

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a function's body returns."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, *keys: str) -> None:
        """Press keys by name, one after the other, or type a text."""
        actions = [
            {"type": kind, "value": character}
            for key in keys
            for character in (_KEYS.get(key) or key)
            for kind in ("keyDown", "keyUp")
        ]
        self.call("POST", "/actions", {"actions": [
            {"type": "key", "id": "keyboard", "actions": actions}
        ]})  # fmt: skip
        self.settle()

    def point(self, selector: str) -> None:
        """Move the pointer to the middle of an element."""
        element = self.call("POST", "/element", {"using": "css selector", "value": selector})
        self.call("POST", "/actions", {"actions": [{
            "type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"},
            "actions": [{"type": "pointerMove", "origin": element, "x": 0, "y": 0}],
        }]})  # fmt: skip
        self.settle()

    def click(self, selector: str) -> None:
        element = self.call("POST", "/element", {"using": "css selector", "value": selector})
        self.call("POST", f"/element/{next(iter(element.values()))}/click")
        self.settle()

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Return what was logged since it was last asked for."""
        entries: list[dict[str, Any]] = self.call("POST", "/se/log", {"type": kind})
        return entries

    def requests(self) -> list[str]:
        """Return the addresses of what was fetched, the page itself included."""
        events = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, file: Path) -> None:
        """Write a picture of the whole page."""
        size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=True,
                             clip={**size, "x": 0, "y": 0, "scale": 1})  # fmt: skip
        file.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def chromium(require_tool: Callable[[str], str], profile: Path) -> Iterator[Browser]:
    """Start a browser."""
    driver, binary = require_tool("chromedriver"), require_tool("chromium")
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = None
        for line in process.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                break
        assert found is not None
        place = f"http://127.0.0.1:{found[1]}"
        options = {"binary": binary, "args": [*_ARGUMENTS, f"--user-data-dir={profile}"]}
        started = Browser(place).call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}})  # fmt: skip
        browser = Browser(f"{place}/session/{started['sessionId']}")
        try:
            yield browser
        finally:
            browser.call("DELETE", "")
    finally:
        process.terminate()
        process.wait(timeout=20)
        if process.stdout is not None:
            process.stdout.close()
