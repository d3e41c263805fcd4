"""Pictures of what goes wrong and of what is open: alarms, a lost source, a silent server, a trip,
the palette, the settings, every step of adding a source, a gap under the cursor.

Run `npm run mock` in one shell, then `python dev/states.py OUT [theme] [lang]` with Playwright.
"""

import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from shots import BASE, look_at, open_page, settle


def play(what: str) -> None:
    """Have the mock play an event."""
    urllib.request.urlopen(urllib.request.Request(f"{BASE}/dev/{what}", method="POST")).close()


def stepper(page: Page, shot: Callable[[str], None]) -> None:
    """Walk through every step of adding a source."""
    page.goto(f"{BASE}/#/sources/new")
    page.fill("[data-testid=add-endpoint]", "opc.tcp://nobody:4840")
    page.click("[data-testid=add-next]")
    page.wait_for_selector("[data-testid=problem]")
    shot("add-problem")
    page.fill("[data-testid=add-endpoint]", "opc.tcp://opc-gw-04:4840")
    page.click("[data-testid=add-next]")
    page.wait_for_selector("[data-step=security]")
    shot("add-security")
    if page.locator("[data-testid=trust-certificate]").count():
        page.check("[data-testid=trust-certificate]")
    page.click("[data-testid=add-next]")
    page.wait_for_selector("[data-step=login]")
    page.fill("[data-testid=add-user]", "reader")
    page.fill("[data-testid=add-password]", "secret")
    shot("add-login")
    page.click("[data-testid=add-next]")
    page.wait_for_selector("[data-step=signals]")
    shot("add-signals")
    page.click("[data-testid=add-next]")
    page.wait_for_selector("[data-step=name]")
    shot("add-name")
    page.click("[data-testid=add-next]")
    page.wait_for_selector("[data-step=live]")
    page.wait_for_selector("[data-testid=first-values] [data-sid]")
    page.wait_for_timeout(2500)
    shot("add-live")


def main() -> None:
    """Take the pictures."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    theme = sys.argv[2] if len(sys.argv) > 2 else "light"
    lang = sys.argv[3] if len(sys.argv) > 3 else "en"
    with sync_playwright() as p:
        ctx = look_at(p, theme, lang)
        page = open_page(ctx)

        def shot(name: str) -> None:
            page.screenshot(path=out / f"s-{name}-{theme}-{lang}.png")

        page.goto(BASE)
        page.wait_for_selector("[data-testid=page-sign-in]")
        shot("sign-in")
        page.goto(f"{BASE}/#/sign-in/wrong")
        page.wait_for_selector("[data-testid=problem]")
        shot("sign-in-wrong")
        page.goto(f"{BASE}/#/sign-in/abc")
        settle(page)
        page.keyboard.press("Control+k")
        page.keyboard.type("reactor pres")
        page.wait_for_timeout(200)
        shot("palette")
        page.keyboard.press("Escape")
        page.click("[data-testid=settings]")
        shot("settings")
        page.keyboard.press("Escape")
        page.goto(f"{BASE}/#/trends?s=7&last=1h")
        settle(page)
        box = page.locator("[data-testid=trend] .u-over").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 200)
        page.wait_for_timeout(200)
        for share in [i / 200 for i in range(200)]:
            page.mouse.move(box["x"] + box["width"] * share, box["y"] + 200)
            if page.locator("[data-testid=gap-tip]").count():
                break
        shot("gap")
        page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 140, steps=5)
        page.mouse.up()
        page.wait_for_timeout(900)
        shot("zoomed")
        page.goto(f"{BASE}/#/sources/press")
        settle(page)
        page.click("[data-testid=source-remove]")
        shot("confirm")
        page.keyboard.press("Escape")
        stepper(page, shot)
        play("alarm")
        page.goto(f"{BASE}/#/plant/tep")
        settle(page)
        page.click("[data-testid=disturbances]")
        shot("alarm-plant")
        page.keyboard.press("Escape")
        page.goto(f"{BASE}/#/")
        settle(page)
        shot("alarm-overview")
        play("trip")
        play("cut?id=tep")
        page.goto(f"{BASE}/#/plant/tep?v=7")
        settle(page)
        page.wait_for_timeout(2500)
        shot("cut-plant")
        page.goto(f"{BASE}/#/trends?s=7,8&last=5m")
        settle(page)
        page.wait_for_timeout(3000)
        shot("cut-trends")
        play("mend?id=tep")
        play("hang")
        page.goto(f"{BASE}/#/")
        page.wait_for_selector("[data-testid=server-lost]", timeout=8000)
        shot("lost")
        play("resume")
        page.wait_for_selector("[data-testid=server-lost]", state="detached", timeout=8000)
        ctx.close()


if __name__ == "__main__":
    main()
