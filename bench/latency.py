"""`latency`: from the change of a value in the OPC UA server to its picture in the browser.

The demo plant's counter changes every 100 ms, each number stamped by the plant when it is written;
the console publishes every 100 ms and tells when it has drawn a number. Both clocks are this
machine's wall clock. Steps in between are measured in the same run, from the stamps alone.
"""

import shutil
import tempfile
import time
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from bench.figures import Figure, judge
from bench.ground import Ground, clean_folder, run_platform, say

__all__ = ["run"]

_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
_WATCH = """sid => {
  window.__seen = [];
  let before = null;
  const look = () => {
    const d = window.__lineshaft.drawn[sid];
    if (d && d.v !== before) { before = d.v; window.__seen.push(d.at - d.ts / 1000); }
    requestAnimationFrame(look);
  };
  look();
}"""


def run(seconds: float, runs: int) -> list[Figure]:
    """Measure and return `p99_ms`, `p50_ms`."""
    p50s, p99s = [], []
    for number in range(runs):
        with clean_folder() as folder:
            names = ("bus", "plant", "connect", "history", "web")
            with run_platform(folder, names) as ground:
                delays = _measure(ground, seconds)
        p50, p99 = np.percentile(delays, (50, 99)).tolist()
        p50s.append(p50)
        p99s.append(p99)
        say(f"run {number + 1}/{runs}: p50 {p50:.0f} ms, p99 {p99:.0f} ms of {len(delays)} draws")
    return [
        judge("latency", "p99_ms", p99s, "ms", 400, 250, lower=True),
        judge("latency", "p50_ms", p50s, "ms", 250, 150, lower=True),
    ]


def _measure(ground: Ground, seconds: float) -> list[float]:
    def there(answer: Any) -> bool:
        return any(s["path"].endswith("/counter") for s in answer["signals"])

    signals = ground.wait("signals", there)["signals"]
    sid = next(s["sid"] for s in signals if s["path"].endswith("/counter"))
    code = ground.post("session/code", {})["code"]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        browser = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=shutil.which("chromium"),
            args=_ARGUMENTS,
            bypass_csp=True,  # the driver polls by eval
        )
        page = browser.new_page()
        page.goto(f"{ground.address}/#/sign-in/{code}")
        page.wait_for_function("window.__lineshaft && window.__lineshaft.draws > 0")
        page.goto(f"{ground.address}/#/trends?s={sid}")
        page.wait_for_function("sid => window.__lineshaft.drawn[sid]", arg=sid)
        time.sleep(3)
        page.evaluate(_WATCH, sid)
        time.sleep(seconds)
        delays: list[float] = page.evaluate("window.__seen")
        browser.close()
    return delays[1:]
