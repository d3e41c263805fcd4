"""The page System: how long history stays, when the disk is full, what the processes say."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo, open_view, picture

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(240)]


def test_an_administrator_says_how_long_history_stays(demo: Demo, page: Page) -> None:
    open_view(page, demo, "system", "system")
    page.get_by_test_id("retention-edit").click()
    rule = page.get_by_test_id("retention-rule")
    save = page.get_by_test_id("retention-save")
    page.get_by_test_id("retention-raw").fill("0")
    expect(save).to_be_disabled()
    page.get_by_test_id("retention-raw").fill("90")
    page.get_by_test_id("retention-rollup").fill("30")
    expect(rule).to_contain_text("samples older than 90 days go")
    expect(rule).to_contain_text("roll-ups go after 90 days")
    save.click()
    assert demo.call("retention")["rules"] == []
    page.get_by_test_id("confirm-yes").click()
    expect(page.get_by_test_id("retention-edit")).to_be_visible()
    assert demo.call("retention")["rules"] == [{"prefix": "", "raw_days": 90, "rollup_days": 30}]
    page.reload()
    expect(rule).to_contain_text("samples older than 90 days go")
    picture(page, "system")


def test_the_page_forecasts_the_disk_and_shows_the_logs(demo: Demo, page: Page) -> None:
    open_view(page, demo, "system", "system")
    expect(page.get_by_test_id("disk-forecast")).not_to_be_empty()
    page.get_by_test_id("logs-process").select_option("bus")
    lines = page.get_by_test_id("log-line")
    expect(lines.filter(has_text="Server is ready").first).to_be_visible()
    expect(page.locator('[data-testid="log-line"]:not([data-process="bus"])')).to_have_count(0)
    page.get_by_test_id("logs-level").select_option("error")
    expect(page.locator('[data-testid="log-line"][data-level="info"]')).to_have_count(0)
