"""The page Schedules: the demo's shop lives there; a plan is made, searched, adopted, broken."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo, open_view, picture

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(300)]

_TABLE = "order,operation,machine,duration_min,due\n" + "".join(
    f"J{j},{10 * k},M{(j * 3 + k * 2) % 4},{20 + (7 * j + 11 * k) % 40},2030-01-01T08:00\n"
    for j in range(8)
    for k in range(1, 4)
)


def test_the_demo_shop_lives(demo: Demo, page: Page) -> None:
    open_view(page, demo, "schedules", "schedules")
    row = page.locator('[data-testid="schedule"][data-kind="demo"]')
    expect(row).to_be_visible(timeout=120_000)
    row.get_by_role("link").first.click()
    chart = page.get_by_test_id("gantt")
    expect(chart).to_be_visible()
    assert int(chart.get_attribute("data-bars") or 0) > 20
    page.get_by_test_id("gantt-bar").nth(12).hover()
    expect(page.get_by_test_id("gantt-tip")).to_be_visible()
    before = int(chart.get_attribute("data-bars") or 0)
    page.get_by_test_id("gantt-in").click()
    page.get_by_test_id("gantt-in").click()
    assert int(chart.get_attribute("data-bars") or 0) < before
    picture(page, "schedules")


def test_a_plan_from_a_table_to_a_breakdown(demo: Demo, page: Page) -> None:
    open_view(page, demo, "schedules", "schedules")
    page.get_by_test_id("schedule-new").click()
    page.get_by_test_id("schedule-name").fill("Press shop")
    page.get_by_test_id("schedule-text").fill(_TABLE + "J1,99,M1,soon,\n")
    page.get_by_test_id("schedule-add").click()
    expect(page.get_by_test_id("problem")).to_contain_text("line 26, column 'duration_min'")
    page.get_by_test_id("schedule-text").fill(_TABLE)
    page.get_by_test_id("schedule-add").click()
    state = page.get_by_test_id("schedule-state")
    expect(state).to_have_attribute("data-state", "proposed", timeout=90_000)
    page.get_by_test_id("solve").click()
    search = page.get_by_test_id("plan-search")
    expect(search).to_have_attribute("data-done", "true", timeout=60_000)
    page.get_by_test_id("adopt").click()
    expect(state).to_have_attribute("data-state", "running")
    page.get_by_test_id("breakdown-open").click()
    page.get_by_test_id("breakdown-machine").select_option("M1")
    page.get_by_test_id("breakdown-minutes").fill("90")
    page.get_by_test_id("breakdown-go").click()
    expect(page.get_by_test_id("gantt-down")).to_be_visible(timeout=20_000)
    expect(page.get_by_test_id("order")).to_have_count(8)
