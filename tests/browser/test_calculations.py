"""The page Calculations: an expression is checked as it is typed, kept, and computes its past."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo, open_view, picture

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(240)]


def test_an_expression_becomes_a_signal_with_a_past(demo: Demo, page: Page) -> None:
    path = next(
        s["path"]
        for s in demo.call("signals")["signals"]
        if s["path"].endswith("/reactor/pressure")
    )
    result = path.replace("/pressure", "/pressure-doubled")
    open_view(page, demo, "calculations/new", "calculations")
    expression = page.get_by_test_id("calculation-expression")
    expression.fill("1 + * 2")
    expect(page.get_by_test_id("calculation-problem")).to_have_attribute("data-column", "5")
    page.get_by_test_id("calculation-path").fill(result)
    expect(page.get_by_test_id("calculation-save")).to_be_disabled()
    expression.fill(f'"{path}" * 2')
    expect(page.get_by_test_id("calculation-check")).to_have_attribute("data-ok", "true")
    expect(page.get_by_test_id("calculation-check")).to_contain_text("kPa")
    expect(page.get_by_test_id("calculation-preview").locator("path")).to_be_visible()
    picture(page, "calculation")
    page.get_by_test_id("calculation-save").click()
    row = page.locator(f'[data-testid="calculation"][data-path="{result}"]')
    expect(row).to_have_attribute("data-state", "running", timeout=20_000)
    row.get_by_test_id("backfill-open").click()
    page.get_by_test_id("backfill-go").click()
    filled = row.get_by_test_id("backfill")
    expect(filled).to_have_attribute("data-state", "done", timeout=30_000)
    row.get_by_role("button", name="Switch off").click()
    expect(row).to_have_attribute("data-state", "disabled")
