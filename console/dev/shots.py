"""Pictures of every page of the console, in both themes and languages, from the mock server.

Run `npm run mock`, then `python dev/shots.py OUT [page ...]`, where Playwright is installed.
With LINK in the environment (a sign-in link) a running platform is shown, in one look.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Playwright, sync_playwright

LINK = os.environ.get("LINK", "http://127.0.0.1:8401/#/sign-in/abc")
BASE = LINK.split("/#")[0]
PAGES = {
    "overview": "#/",
    "plant": "#/plant",
    "plant-drawer": "#/plant/tep?v=7",
    "wo": "#/plant/wo",
    "machines": "#/plant/press",
    "machine": "#/plant/tep/reactor",
    "trends": "#/trends?s=7,8,9,12&last=1h",
    "trends-day": "#/trends?s=7,20&last=1d",
    "trends-many": "#/trends?s=1,2,3,4,5,6,7,8,9,10,11,12&last=1h",
    "trends-empty": "#/trends",
    "sources": "#/sources",
    "source": "#/sources/kiln",
    "add": "#/sources/new",
}
LOOKS = ["light-en", "dark-en", "light-zh", "dark-zh"]
ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def settle(page: Page) -> None:
    """Wait until the page is loaded, values are drawn and charts have come."""
    page.wait_for_selector("main[data-ready=true]")
    page.wait_for_function("window.__lineshaft?.draws > 0")
    page.wait_for_timeout(1600)


def look_at(play: Playwright, theme: str, lang: str) -> BrowserContext:
    """Open a fresh browser that prefers a theme and a language."""
    return play.chromium.launch_persistent_context(
        tempfile.mkdtemp(),
        executable_path=shutil.which("chromium"),
        headless=True,
        args=ARGS,
        bypass_csp=True,
        viewport={"width": 1280, "height": 800},
        locale="zh-CN" if lang == "zh" else "en-US",
        color_scheme="dark" if theme == "dark" else "light",
        timezone_id="Europe/Berlin",
    )


def open_page(ctx: BrowserContext) -> Page:
    """Open a page that prints what goes wrong in it."""
    page = ctx.new_page()
    page.on("console", lambda m: print("console:", m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: print("page error:", e))
    return page


def main() -> None:
    """Take the pictures asked for on the command line."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    looks = [n for n in sys.argv[2:] if n in LOOKS] or LOOKS
    names = [n for n in sys.argv[2:] if n in PAGES] or list(PAGES)
    with sync_playwright() as play:
        for look in looks:
            theme, lang = look.split("-")
            ctx = look_at(play, theme, lang)
            page = open_page(ctx)
            page.goto(LINK)
            settle(page)
            for name in names:
                page.goto(f"{BASE}/{PAGES[name]}")
                settle(page)
                page.screenshot(path=out / f"{name}-{look}.png")
            ctx.close()


if __name__ == "__main__":
    main()
