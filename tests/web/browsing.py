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

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """A session of headless Chromium; `find` takes CSS selectors."""

    def __init__(self, port: int, folder: Path, dark: bool, size: tuple[int, int], more: Sequence[str] = ()) -> None:
        self._port, self._session = port, ""
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        arguments += [f"--window-size={size[0]},{size[1]}", *(["--force-dark-mode"] if dark else []), *more]
        options = {"args": arguments, "prefs": {"download.default_directory": str(folder)}}
        wishes = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wishes}})
        self._session = f"/session/{made['sessionId']}"
        emulated = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        self.devtools("Emulation.setEmulatedMedia", emulated)
        phone = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
        self.devtools("Emulation.setDeviceMetricsOverride", phone)

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
        self.call("POST", "/url", {"url": address})

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
