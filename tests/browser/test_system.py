"""What the console says of the platform itself, and of a value that does not come."""

import os
import signal
import urllib.request

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Demo, open_view, picture, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def chain(page: Page, sid: int) -> Locator:
    return page.locator(f'[data-testid="why-chain"][data-sid="{sid}"]')


def test_a_process_that_dies_is_seen_to_return(demo: Demo, page: Page) -> None:
    open_view(page, demo, "system", "system")
    for name in ("bus", "connect", "history", "web"):
        expect(page.get_by_test_id(f"system-process-{name}")).to_have_attribute(
            "data-state", "running"
        )
    row = page.get_by_test_id("system-process-history")
    before = demo.pid("history")
    expect(row).to_contain_text(str(before))
    os.kill(before, signal.SIGKILL)
    expect(row).not_to_contain_text(str(before), timeout=30_000)
    expect(row).to_have_attribute("data-state", "running", timeout=30_000)
    picture(page, "system")


def test_a_value_says_where_its_way_is_broken(demo: Demo, page: Page) -> None:
    sid = demo.sid("/reactor/pressure")
    source = next(s["source"] for s in demo.call("signals")["signals"] if s["sid"] == sid)
    view = f"sources/{source}?v={sid}"
    page.set_viewport_size({"width": 1800, "height": 900})  # the drawer stands beside the page
    open_view(page, demo, view, "sources")
    value = page.locator(f'[data-testid="drawer"] [data-sid="{sid}"]').first
    expect(value).to_have_attribute("data-stale", "false")
    expect(page.get_by_test_id("drawer-why")).to_be_hidden()

    page.get_by_test_id("source-disable").click()
    page.get_by_test_id("confirm-yes").click()
    page.get_by_test_id("drawer-why").locator("summary").click()
    expect(chain(page, sid)).to_have_attribute("data-answer", "source.off", timeout=30_000)
    page.get_by_test_id("source-enable").click()
    expect(page.get_by_test_id("drawer-why")).to_be_hidden(timeout=60_000)

    thumbprint = wait_for(lambda: shown(demo, source))
    open_view(page, demo, "sources/certificates", "sources")
    row = page.locator(f'[data-testid="listed-certificate"][data-thumbprint="{thumbprint}"]')
    row.get_by_test_id("distrust").click()
    page.get_by_test_id("confirm-yes").click()
    expect(row).to_have_attribute("data-state", "quarantined")
    open_view(page, demo, view, "sources")
    page.get_by_test_id("drawer-why").locator("summary").click()
    expect(chain(page, sid)).to_have_attribute("data-answer", "certificate.refused", timeout=30_000)
    picture(page, "why")
    trust(demo, thumbprint)
    expect(page.get_by_test_id("drawer-why")).to_be_hidden(timeout=60_000)


def shown(demo: Demo, source: str) -> str:
    """Return the thumbprint that a source's server shows."""
    listed = demo.call("sources")["sources"]
    return str(next(s for s in listed if s["id"] == source)["certificate"]["thumbprint"])


def trust(demo: Demo, thumbprint: str) -> None:
    key = (demo.folder / "keys" / "platform.key").read_text().strip()
    request = urllib.request.Request(
        f"{demo.address}/api/v1/opcua/trust",
        data=f'{{"thumbprint": "{thumbprint}"}}'.encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).close()


def test_the_browser_checks_the_ledger_itself(demo: Demo, page: Page) -> None:
    open_view(page, demo, "system", "system")
    verdict = page.get_by_test_id("evidence-verdict")
    for told in ("will notice if it is rewritten", "was rewritten"):
        page.get_by_test_id("evidence-verify").click()
        expect(verdict).to_contain_text(told, timeout=30_000)
        expect(verdict).to_have_attribute("data-trouble", "")
    picture(page, "evidence")

    def forge(route: Route) -> None:
        content = route.fetch().body().replace(b'\\"subject\\"', b'\\"subjekt\\"')
        route.fulfill(body=content, content_type="application/zip")

    page.route("**/ledger/export*", forge)
    page.get_by_test_id("evidence-verify").click()
    expect(verdict).to_have_attribute("data-trouble", "words", timeout=30_000)
