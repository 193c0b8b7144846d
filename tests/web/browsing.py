"""A browser driven through WebDriver, spoken here in the few words that the tests need."""

import base64
import http.client
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A session of headless Chromium; `find` takes CSS selectors."""

    def __init__(self, port: int, folder: Path, dark: bool, size: tuple[int, int], more: Sequence[str] = ()) -> None:
        self._port, self._session = port, ""
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        arguments += [f"--window-size={size[0]},{size[1]}", *(["--force-dark-mode"] if dark else []), *more]
        options = {"args": arguments, "prefs": {"download.default_directory": str(folder)}}
        wishes = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wishes}})
        self._session = f"/session/{made['sessionId']}"
        emulated = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        self.devtools("Emulation.setEmulatedMedia", emulated)
        phone = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
        self.devtools("Emulation.setDeviceMetricsOverride", phone)
        self.devtools("Emulation.setTouchEmulationEnabled", {"enabled": size[0] < 500})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        text = None if method != "POST" else json.dumps(body or {})
        connection.request(method, self._session + path, text, {"content-type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        assert not (isinstance(value, dict) and "error" in value), value["message"]
        return value

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, address: str) -> None:
        """Go there; the page of the app loads what computes after the browser calls it loaded."""
        self.call("POST", "/url", {"url": address})
        self.wait(
            lambda: self.run("const { backend, ready } = document.documentElement.dataset; return !backend || ready")
        )

    def find(self, selector: str) -> str:
        return str(self.call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT])

    def click(self, selector: str) -> None:
        self.call("POST", f"/element/{self.find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        self.call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def run(self, code: str) -> Any:
        return self.call("POST", "/execute/sync", {"script": code, "args": []})

    def is_shown(self, selector: str) -> bool:
        return bool(self.run(f"return document.querySelector({selector!r}).checkVisibility()"))

    def text(self, selector: str) -> str:
        return str(self.run(f"return document.querySelector({selector!r}).textContent"))

    def wait(self, true: Callable[[], Any], seconds: float = 90) -> None:
        end_s = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end_s, f"waited in vain; the page says {self.text('#alert')!r}"
            time.sleep(0.3)

    def drag(self, selector: str, by_x: int, by_y: int) -> None:
        """Press in the middle of an element, move, and let go."""
        origin = {ELEMENT: self.find(selector)}
        steps = [
            {"type": "pointerMove", "origin": origin, "x": 0, "y": 0},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "origin": "pointer", "x": by_x, "y": by_y, "duration": 100},
            {"type": "pointerUp", "button": 0},
        ]
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": steps}]})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def complaints(self) -> list[str]:
        """What the browser's console holds of warnings and errors, such as broken security rules."""
        return [entry["message"] for entry in self.call("POST", "/se/log", {"type": "browser"})]

    def hosts(self) -> set[str]:
        """All hosts that the page asked for anything since it was opened, by the browser's own network log."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.call("POST", "/se/log", {"type": "performance"})
        ]
        sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return {urlsplit(address).netloc for address in sent if not address.startswith(("blob:", "data:", "chrome"))}

    def touch(self, *steps: list[tuple[float, float]]) -> None:
        """Fingers put down at the points of the first step, moved to those of the next ones, and taken away."""
        for number, points in enumerate(steps):
            fingers = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
            kind = "touchMove" if number else "touchStart"
            self.devtools("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
        self.devtools("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    def press(self, key: str, is_held: bool = False) -> None:
        """Press a key wherever the focus is, and let it go unless it is held."""
        steps = [{"type": "keyDown", "value": key}, *([] if is_held else [{"type": "keyUp", "value": key}])]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": steps}]})

    def let_go(self) -> None:
        self.call("DELETE", "/actions")

    def close(self) -> None:
        self.call("DELETE", "")


@contextmanager
def browsing(
    driver: str, folder: Path, dark: bool = False, size: tuple[int, int] = (1280, 900), more: Sequence[str] = ()
) -> Iterator[Browser]:
    """Start the driver and a browser; downloads go into `folder`, `more` are options of Chromium."""
    with subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = next(
                int(found[1]) for line in process.stdout if (found := re.search(r"successfully on port (\d+)", line))
            )
            browser = Browser(port, folder, dark, size, more)
            try:
                yield browser
            finally:
                browser.close()
        finally:
            process.terminate()
