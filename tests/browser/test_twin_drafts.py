"""Draft from a machine in a real browser: waited for, then taken, changed, left line by line."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from lineshaft.bus import Bus, BusAccess
from tests.browser.conftest import Demo, open_view, picture, sign_in
from tests.end_to_end.platform import running
from tests.twins.draft_machines import machine
from tests.web.conftest import SITE, Feed, House
from tests.web.test_twin_drafts import connected

PATH = "lineshaft/demo/test/web/oven-2"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("drafts") / "data", verb="up", kind=House) as platform:
        assert isinstance(platform, House)
        yield platform


@pytest.fixture(scope="module")
def ports(house: House) -> dict[str, int]:
    """Connect a simulated oven and return its sids by port."""

    async def feed() -> dict[str, int]:
        access = BusAccess(**json.loads(Path(house.folder / "run/bus-platform.json").read_text()))
        bus = await Bus.connect(access, SITE, "test")
        try:
            return await connected(
                house, Feed(house, bus), machine("thermal-mass", "en", 0), "oven-2"
            )
        finally:
            await bus.close()

    return asyncio.run(feed())


def line(page: Page, name: str) -> Any:
    return page.locator(f'[data-testid="draft-line"][data-name="{name}"]')


@pytest.mark.long
def test_a_draft_is_taken_changed_and_left_line_by_line(
    house: House, ports: dict[str, int], chromium: Callable[..., Page]
) -> None:
    demo, page = Demo(house.folder, house.port), chromium()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    sign_in(page, demo)
    open_view(page, demo, "twins", "twins")
    page.get_by_test_id("twins-none").get_by_text("Draft from a machine").click()
    page.get_by_test_id("draft-machine").fill(PATH)
    page.get_by_test_id("draft-go").click()
    page.wait_for_selector('[data-testid="progress"]')
    page.wait_for_selector('[data-testid="drafting"][data-state="done"]', timeout=180_000)
    lines = page.get_by_test_id("draft-lines")
    assert lines.get_attribute("data-behaviour") == "thermal-mass"
    assert int(page.get_by_test_id("sure").first.get_attribute("data-percent") or 0) > 80
    picture(page, "draft")

    page.get_by_test_id("value-name").fill("Oven, drafted")
    page.get_by_test_id("value-name").blur()
    page.get_by_test_id("value-parameters.heat_loss").fill("17.5")
    page.get_by_test_id("value-parameters.heat_loss").blur()
    assert line(page, "parameters.heat_loss").get_attribute("data-changed") == "true"
    page.get_by_test_id("value-parameters.heat_capacity").fill("1")
    page.get_by_test_id("value-parameters.heat_capacity").blur()
    page.get_by_test_id("back-parameters.heat_capacity").click()
    assert line(page, "parameters.heat_capacity").get_attribute("data-changed") == "false"
    page.get_by_test_id("take-inputs.surroundings").uncheck()
    assert line(page, "inputs.surroundings").get_attribute("data-taken") == "false"
    oven = ports["out.temperature"]
    low, high = f"signals.{oven}.low", f"signals.{oven}.high"
    page.get_by_test_id(f"take-{low}").uncheck()
    page.get_by_test_id(f"take-{high}").check()
    page.get_by_test_id(f"value-{high}").fill("400")
    page.get_by_test_id(f"value-{high}").blur()
    output = page.get_by_test_id("take-outputs.temperature")
    output.uncheck()
    assert page.get_by_test_id("draft-make").is_disabled()
    output.check()
    page.get_by_test_id("draft-make").click()
    page.wait_for_url(lambda url: "#/twins/" in url and "/draft" not in url)

    (twin,) = demo.call("twins")["twins"]
    assert (twin["name"], twin["behaviour"]) == ("Oven, drafted", "thermal-mass")
    assert twin["inputs"] == {"power": ports["in.power"]}
    assert twin["outputs"] == {"temperature": oven}
    assert twin["parameters"]["heat_loss"] == {"value": 17.5, "sigma": None, "is_set": True}
    assert twin["parameters"]["heat_capacity"]["sigma"] > 0
    (signal,) = demo.call(f"signals?prefix={PATH}/oven-temperature")["signals"]
    assert (signal["low"], signal["high"]) == (None, 400)

    open_view(page, demo, "twins/draft", "twins")
    page.get_by_test_id("draft-machine").fill("nowhere/at/all/here/now")
    page.get_by_test_id("draft-go").click()
    page.get_by_text("has no signals").wait_for()
    page.context.close()
    assert wrong == []


def test_a_draft_is_shown_in_chinese_and_in_the_dark(
    house: House, ports: dict[str, int], chromium: Callable[..., Page]
) -> None:
    demo, page = Demo(house.folder, house.port), chromium("dark", "zh-CN")
    sign_in(page, demo)
    open_view(page, demo, f"twins/draft?machine={PATH}", "twins")
    page.get_by_test_id("draft-go").click()
    page.wait_for_selector('[data-testid="drafting"][data-state="done"]', timeout=180_000)
    shown = page.get_by_test_id("drafting").inner_text()
    assert "受热热容体" in shown and "由拟合得到" in shown and "twins.draft" not in shown
    picture(page, "draft-zh-dark")
    page.context.close()
