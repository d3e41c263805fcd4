"""The page Twins: the demo's fleet, one twin and its past, its futures, and a drift that shows."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo, open_view, picture, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
DEMO_ARGUMENTS = ["--plant", "tep", "--speed", "60"]
COOLING = "Reactor cooling"
FEED = "A feed valve"
CALM, FAR = 3.0, 4.5  # a healthy machine is there once in a thousand, in 30,000 samples


def number(demo: Demo, name: str = COOLING) -> str:
    return next(str(one["id"]) for one in demo.call("twins")["twins"] if one["name"] == name)


def test_the_fleet_and_one_twin_with_its_past(demo: Demo, page: Page) -> None:
    open_view(page, demo, "twins", "twins")
    rows = page.get_by_test_id("twin-row")
    expect(rows).to_have_count(4)
    expect(page.get_by_test_id("twins-count")).to_have_attribute("data-rows", "4")
    wait_for(lambda: all(one["state"] != "waiting" for one in demo.call("twins")["twins"]))
    rows.filter(has_text=COOLING).click()
    twin = page.get_by_test_id("twin")
    expect(twin).to_have_attribute("data-state", re.compile("untaught|running"))
    chart = page.get_by_test_id("twin-chart")
    expect(chart).to_have_attribute("data-output", "level")
    for drawn in ("data-points", "data-residual"):
        expect(chart).not_to_have_attribute(drawn, "0")
    origins = page.get_by_test_id("twin-parameters").locator("tr")
    expect(origins).to_have_count(4)
    expect(origins.and_(page.locator('[data-parameter="dead_time"]'))).to_have_attribute(
        "data-origin", "set"
    )

    page.get_by_test_id("preset-5m").click()
    twins = {one["id"]: one for one in demo.call("twins")["twins"]}
    level = twins[number(demo)]["estimates"]["level"]
    wait_for(lambda: len(demo.call(f"raw?sid={level}&from=0&to={2**53 - 1}")["v"]) > 40)
    past = demo.call(f"raw?sid={level}&from=0&to={2**53 - 1}")
    at, value = past["ts"][10], past["v"][10]
    shown = page.get_by_test_id("twin-states").locator('[data-state-name="level"]')
    slider = page.get_by_test_id("twin-history")
    slider.evaluate(
        "(slider, at) => { slider.step = 1; slider.value = at;"
        " slider.dispatchEvent(new Event('input', { bubbles: true })); }", at
    )  # fmt: skip
    expect(slider).to_have_attribute("data-at", str(at))
    expect(shown).to_contain_text(f"{value:.2f}"[:5])
    picture(page, "twin")
    page.get_by_test_id("state-now").click()
    expect(slider).not_to_have_attribute("data-at", re.compile(r"\d"))


def test_its_futures_are_drawn(demo: Demo, page: Page) -> None:
    open_view(page, demo, f"twins/whatif?t={number(demo)}&h=1h", "twins")
    chart = page.get_by_test_id("whatif-chart")
    expect(chart).to_have_attribute("data-fans", "1", timeout=120_000)
    page.get_by_test_id("future-add").click()
    page.get_by_test_id("change-value").fill("60")
    page.get_by_test_id("whatif-go").click()
    expect(chart).to_have_attribute("data-fans", "2", timeout=120_000)
    ends = page.get_by_test_id("future-end").all_inner_texts()
    assert len(set(ends)) == 2, "another valve, the same temperature"
    picture(page, "whatif")


def score(page: Page) -> float:
    """Return the score in the fleet's row of the feed valve's twin."""
    bar = page.get_by_test_id("twin-row").filter(has_text=FEED).get_by_test_id("score")
    return float(bar.get_attribute("data-score") or "nan")


@pytest.mark.trial
@pytest.mark.timeout(1800)
def test_a_disturbance_raises_the_drift_score(demo: Demo, page: Page) -> None:
    """The demo's twins are taught by themselves; then the plant loses its feed A."""
    wait_for(lambda: all(one["is_taught"] for one in demo.call("twins")["twins"]), 1200)
    open_view(page, demo, "twins", "twins")
    expect(page.get_by_test_id("score")).to_have_count(4, timeout=60_000)
    wait_for(lambda: score(page) < CALM)
    picture(page, "twins-calm")
    open_view(page, demo, "plant", "plant")
    page.get_by_test_id("disturbances").click()
    page.get_by_test_id("disturbance-6").check()
    open_view(page, demo, "twins", "twins")
    wait_for(lambda: score(page) > FAR, 120)
    picture(page, "twins-drifted")
    page.get_by_test_id("twin-row").filter(has_text=FEED).click()
    expect(page.get_by_test_id("twin-facts")).to_contain_text("has drifted", timeout=60_000)
    expect(page.get_by_test_id("score-chart")).not_to_have_attribute("data-points", "0")
    picture(page, "twin-drifted")
