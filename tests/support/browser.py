"""A real headless Chromium, driven as Debian ships it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None or importlib.util.find_spec("selenium") is None,
    reason="needs Chromium and its driver (tools/debian_servers.sh), and the test extra's selenium",
)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1280,900",
]


class Browser:
    """One window. ``driver`` is selenium's."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.leave()
        self.logs("browser")
        self.logs("performance")
        self.driver.get(url)
        self.until(lambda: self.js("return shown !== null"))

    def leave(self) -> None:
        self.driver.get("about:blank")

    def focused(self) -> str:
        """The text of what has the focus."""
        text: str = self.js("return document.activeElement.textContent.trim()")
        return text

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, true: Callable[[], Any], seconds: float = 15) -> Any:
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, self.text()
            time.sleep(0.02)
        return found

    def all(self, selector: str) -> list[Any]:
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def text(self, selector: str = "body") -> str:
        text: str = self.one(selector).text
        return text

    def texts(self, selector: str) -> list[str]:
        """Of what is visible."""
        all_of_them = "[...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())"
        found: list[str] = self.js(f"return {all_of_them}.map((e) => e.innerText)", selector)
        return found

    def names(self) -> list[str]:
        return self.texts("tr.row .name")

    def keys(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def refresh(self) -> None:
        """Have the page ask now and wait for the answer."""
        self.js("window.asked = shown; soon()")
        self.until(lambda: self.js("return shown !== window.asked"))

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def logs(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.driver.get_log(kind)
        return found

    def complaints(self) -> list[str]:
        """What the console holds since the page was opened."""
        return [entry["message"] for entry in self.logs("browser")]

    def asked_hosts(self) -> set[str]:
        """Whom the page has asked since it was opened."""
        hosts = set()
        for entry in self.logs("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                if url.scheme not in ("data", "about"):
                    hosts.add(url.netloc)
        return hosts


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that knows nothing, and is gone after the block."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in [*FLAGS, f"--user-data-dir={profile}"]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = Service(DRIVER)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            yield Browser(driver)
        finally:
            driver.quit()
