"""What a person does in the console, with a real plant behind it."""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lineshaft.bus.server import free_port
from tests.browser.conftest import Demo, open_view, picture, ready, sign_in, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def test_who_is_not_signed_in_is_told_how(demo: Demo, chromium: Callable[..., Page]) -> None:
    page = chromium()
    page.goto(demo.address)
    ready(page, "sign-in")
    expect(page.get_by_test_id("page-sign-in")).to_contain_text("lineshaft link")
    page.context.close()


def test_a_link_signs_in_once(demo: Demo, chromium: Callable[..., Page]) -> None:
    code = demo.call("session/code", {})["code"]
    first, second = chromium(), chromium()
    first.goto(f"{demo.address}/#/sign-in/{code}")
    ready(first, "overview")
    second.goto(f"{demo.address}/#/sign-in/{code}")
    ready(second, "sign-in")
    for page in (first, second):
        page.context.close()


def test_values_move_on_the_flow_sheet(demo: Demo, page: Page) -> None:
    open_view(page, demo, "plant", "plant")
    sid = demo.sid("/compressor/work")
    tag = page.locator(f'[data-testid="flow-sheet"] [data-sid="{sid}"]').first
    expect(tag).to_have_attribute("data-quality", "good")
    expect(tag).to_have_attribute("data-stale", "false")
    before = page.evaluate("sid => window.__lineshaft.drawn[sid].v", sid)
    page.wait_for_function(
        "([sid, before]) => window.__lineshaft.drawn[sid].v !== before", arg=[sid, before]
    )
    picture(page, "plant")


def test_a_value_opens(demo: Demo, page: Page) -> None:
    open_view(page, demo, "plant", "plant")
    sid = demo.sid("/reactor/pressure")
    page.locator(f'[data-testid="flow-sheet"] [data-sid="{sid}"]').first.click()
    drawer = page.get_by_test_id("drawer")
    expect(drawer).to_have_attribute("data-sid-open", str(sid))
    expect(drawer).to_contain_text("kPa")
    page.get_by_test_id("drawer-trends").click()
    ready(page, "trends")
    assert f"s={sid}" in page.url


def test_a_trend_zooms_pans_and_comes_back(demo: Demo, page: Page) -> None:
    sids = f"{demo.sid('/reactor/pressure')},{demo.sid('/reactor/level')}"
    open_view(page, demo, f"trends?s={sids}&last=5m", "trends")
    trend, shown = page.get_by_test_id("trend"), page.get_by_test_id("range")
    expect(trend).not_to_have_attribute("data-points", "0")
    expect(shown).to_have_attribute("data-following", "true")
    box = trend.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, y, steps=5)
    page.mouse.up()
    expect(shown).to_have_attribute("data-following", "false")
    width = _width(page)
    assert width < 300e6
    assert "from=" in page.url
    start = shown.get_attribute("data-from")
    page.get_by_test_id("pan-left").click()
    expect(shown).not_to_have_attribute("data-from", start or "")
    assert abs(_width(page) - width) < 1e6
    url = page.url
    page.reload()
    ready(page, "trends")
    assert page.url == url
    page.get_by_test_id("back-to-live").click()
    expect(shown).to_have_attribute("data-following", "true")
    picture(page, "trends")


def _width(page: Page) -> float:
    shown = page.get_by_test_id("range")
    start, end = shown.get_attribute("data-from"), shown.get_attribute("data-to")
    return float(end or 0) - float(start or 0)


def test_csv_comes_out(demo: Demo, page: Page) -> None:
    sid = demo.sid("/reactor/pressure")
    open_view(page, demo, f"trends?s={sid}&last=5m", "trends")
    page.get_by_test_id("export").click()
    with page.expect_download() as got:
        page.get_by_test_id("export-csv").click()
    lines = Path(got.value.path()).read_text().splitlines()
    assert "path" in lines[0] and "reactor/pressure" in lines[1]


def test_language_and_theme_switch(demo: Demo, page: Page) -> None:
    expect(page.get_by_test_id("nav-plant")).to_have_text("Plant")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_test_id("settings").click()
    page.get_by_test_id("lang-zh").click()
    expect(page.get_by_test_id("nav-plant")).to_have_text("装置")
    page.get_by_test_id("theme-dark").click()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    page.reload()
    ready(page, "overview")
    expect(page.get_by_test_id("nav-plant")).to_have_text("装置")
    assert page.evaluate("document.documentElement.lang").startswith("zh")
    picture(page, "overview-zh")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator["OwnServer"]:
    """A server of the visitor's own: the small plant, with a certificate nobody knows."""
    server = OwnServer(tmp_path, free_port())
    server.start()
    yield server
    server.kill()


class OwnServer:
    """An OPC UA server in its own process, on one port across restarts."""

    def __init__(self, folder: Path, port: int) -> None:
        self.endpoint = f"opc.tcp://127.0.0.1:{port}"
        self.password = "visitor-secret-1"
        (folder / "password").write_text(self.password)
        self._command = [
            sys.executable, "-m", "lineshaft.plants", "--kind", "williams-otto",
            "--port", str(port), "--user", "visitor", "--password-file", str(folder / "password"),
            "--folder", str(folder / "plant"), "--trust-any",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None and self._process.stdout.readline()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def test_a_visitor_adds_a_server_and_sees_it_die_and_return(
    demo: Demo, page: Page, own_server: OwnServer
) -> None:
    open_view(page, demo, "sources", "sources")
    page.get_by_test_id("add-source").click()
    page.get_by_test_id("add-endpoint").fill(own_server.endpoint)
    page.get_by_test_id("add-next").click()
    adding = page.get_by_test_id("add-source-page")
    expect(adding).to_have_attribute("data-step", "security")
    page.get_by_test_id("offer-Basic256Sha256-SignAndEncrypt").click()
    page.get_by_test_id("trust-certificate").click()
    page.get_by_test_id("add-next").click()
    expect(adding).to_have_attribute("data-step", "login")
    page.get_by_test_id("add-user").fill("visitor")
    page.get_by_test_id("add-password").fill("wrong-password")
    page.get_by_test_id("add-next").click()
    expect(page.get_by_test_id("problem").first).to_be_visible()
    page.get_by_test_id("add-password").fill(own_server.password)
    page.get_by_test_id("add-next").click()
    expect(adding).to_have_attribute("data-step", "signals")
    page.get_by_test_id("add-all").click()
    page.get_by_test_id("add-next").click()
    expect(adding).to_have_attribute("data-step", "name")
    page.get_by_test_id("add-name").fill("My reactor")
    page.get_by_test_id("add-prefix").fill("acme/north/mixing/line1")
    page.get_by_test_id("add-next").click()
    expect(adding).to_have_attribute("data-step", "live")
    expect(page.get_by_test_id("first-values").locator("[data-sid]").first).to_be_visible()

    sources = demo.call("sources")["sources"]
    source = next(s["id"] for s in sources if s["name"] == "My reactor")
    row = f'[data-testid="source-row"][data-source="{source}"]'
    open_view(page, demo, "sources", "sources")
    expect(page.locator(row)).to_have_attribute("data-link", "connected")

    signals = demo.call("signals?prefix=acme/north")["signals"]
    sid = next(s["sid"] for s in signals if s["kind"] == "float")
    open_view(page, demo, f"trends?s={sid}&last=5m", "trends")
    value = page.locator(f'[data-testid="legend-row"][data-sid="{sid}"]')
    expect(value).to_be_visible()
    own_server.kill()
    stale = page.locator(f'[data-sid="{sid}"][data-stale="true"]').first
    expect(stale).to_be_visible(timeout=60_000)
    own_server.start()
    fresh = page.locator(f'[data-sid="{sid}"][data-stale="false"]').first
    expect(fresh).to_be_visible(timeout=60_000)

    def declared() -> bool:
        facts = demo.call(f"facts?kind=link.gap&subject={source}")["facts"]
        return bool(facts)

    wait_for(declared)
    page.reload()
    ready(page, "trends")
    expect(page.get_by_test_id("trend")).not_to_have_attribute("data-gaps", "0")
    picture(page, "gap")


def test_a_lost_server_shows_within_seconds(demo: Demo, page: Page) -> None:
    os.kill(demo.pid("web"), signal.SIGSTOP)
    try:
        expect(page.get_by_test_id("server-lost")).to_be_visible(timeout=5_000)
    finally:
        os.kill(demo.pid("web"), signal.SIGCONT)
    expect(page.get_by_test_id("server-lost")).to_be_hidden(timeout=15_000)


def test_the_console_keeps_to_the_policy(demo: Demo) -> None:
    with urllib.request.urlopen(demo.address) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "unsafe-eval" not in policy


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_every_page_opens_without_an_error(
    demo: Demo, chromium: Callable[..., Page], theme: str, locale: str
) -> None:
    page = chromium(theme, locale)
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    sign_in(page, demo)
    for name in ("overview", "plant", "trends", "sources"):
        open_view(page, demo, "" if name == "overview" else name, name)
        picture(page, f"{name}-{theme}-{locale[:2]}")
    page.context.close()
    assert said == []
