"""A chart without a value offers the chain that explains it, and only such a chart."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo, open_view

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(240)]


def test_an_empty_chart_says_why(demo: Demo, page: Page) -> None:
    sid = demo.sid("/reactor/pressure")
    past = "from=2020-01-01T00:00:00Z&to=2020-01-01T01:00:00Z"
    open_view(page, demo, f"trends?s={sid}&{past}", "trends")
    plot = page.get_by_test_id("trend")
    plot.get_by_test_id("why").click()
    chain = page.get_by_test_id("why-chain")
    expect(chain).to_have_attribute("data-sid", str(sid))
    expect(chain).to_have_attribute("data-answer", "range.early")
    page.keyboard.press("Escape")
    open_view(page, demo, f"trends?s={sid}&last=5m", "trends")
    expect(plot).not_to_have_attribute("data-points", "0")
    expect(plot.get_by_test_id("why")).to_have_count(0)
