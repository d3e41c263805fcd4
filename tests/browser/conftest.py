"""A running demo and a real Chromium for the tests of this folder.

Both end with the module: the driver's event loop must not be there when other modules' tests run.
`LINESHAFT_PICTURES=docs/pictures pytest tests/browser` renews the pictures of the documentation.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from lineshaft.bus.server import free_port
from lineshaft.web.doors import STATIC

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
TWINS = 4  # of the demo's plant
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)  # its own 5 s are soon over on a busy machine


@dataclass
class Demo:
    """A running platform with its demo plant."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, path: str, body: Any = None) -> Any:
        key = (self.folder / "keys" / "platform.key").read_text().strip()
        request = urllib.request.Request(
            f"{self.address}/api/v1/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())

    def sid(self, ending: str) -> int:
        signals = self.call("signals")["signals"]
        return next(int(s["sid"]) for s in signals if s["path"].endswith(ending))

    def pid(self, name: str) -> int:
        listed = json.loads((self.folder / "run" / "processes.json").read_text())
        return int(next(row["pid"] for row in listed if row["name"] == name))


def wait_for(what: Callable[[], Any], limit_s: float = 90) -> Any:
    """Return the first true answer; the world outside may not be there yet."""
    end = time.monotonic() + limit_s
    while True:
        try:
            if answer := what():
                return answer
        except (OSError, urllib.error.URLError, StopIteration, KeyError):
            pass
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def _arguments(request: pytest.FixtureRequest) -> list[str]:
    return list(getattr(request.module, "DEMO_ARGUMENTS", ()))


@pytest.fixture(scope="module")
def demo(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Demo]:
    """The demo, with the module's `DEMO_ARGUMENTS` where it has any; its twins are there."""
    if not (STATIC / "index.html").exists():
        pytest.fail("the console is not built: run it through ./dev test")
    running = Demo(tmp_path_factory.mktemp("demo") / "data", free_port())
    command = [
        sys.executable, "-c", "from lineshaft.cli import main; main()", "demo",
        "--data", str(running.folder), "--port", str(running.port), *_arguments(request),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: running.sid("/reactor/pressure"))
        sid = running.sid("/reactor/pressure")
        wait_for(lambda: running.call(f"last?sid={sid}")["v"])
        wait_for(lambda: len(running.call("twins")["twins"]) == TWINS)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Page]]:
    with sync_playwright() as playwright:
        opened = []

        def open_page(theme: str = "light", locale: str = "en-US") -> Page:
            context = playwright.chromium.launch_persistent_context(
                tmp_path_factory.mktemp("profile"),
                executable_path=shutil.which("chromium"),
                args=ARGUMENTS,
                viewport={"width": 1440, "height": 900},
                locale=locale,
                color_scheme="dark" if theme == "dark" else "light",
                bypass_csp=True,  # the page forbids eval, by which the driver waits
            )
            opened.append(context)
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            return page

        yield open_page
        for context in opened:
            context.close()


@pytest.fixture
def page(demo: Demo, chromium: Callable[..., Page]) -> Iterator[Page]:
    """A page that is signed in; any error the browser logs fails the test."""
    page = chromium()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    sign_in(page, demo)
    yield page
    page.context.close()
    assert wrong == []


def sign_in(page: Page, demo: Demo) -> None:
    code = demo.call("session/code", {})["code"]
    page.goto(f"{demo.address}/#/sign-in/{code}")
    ready(page, "overview")


def ready(page: Page, name: str) -> None:
    page.wait_for_selector(f'[data-testid="page-{name}"][data-ready="true"]')


def open_view(page: Page, demo: Demo, hash_: str, name: str) -> None:
    page.goto(f"{demo.address}/#/{hash_}")
    ready(page, name)


def picture(page: Page, name: str) -> None:
    """Keep a picture where the environment asks for it."""
    if folder := os.environ.get("LINESHAFT_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png")
