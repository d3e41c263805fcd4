"""People come in by invitation, see what their role shows, and are refused what it does not."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo, open_view, picture, ready

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PASSWORD = "seven quiet turbines"


def invite(page: Page, demo: Demo, name: str, role: str) -> str:
    """Invite somebody on the page People and return the link it shows."""
    open_view(page, demo, "people", "people")
    page.get_by_test_id("invite").click()
    page.get_by_test_id("person-name").fill(name)
    page.get_by_test_id("person-display").fill("Mei Tan")
    page.get_by_test_id(f"role-{role}").check()
    page.get_by_test_id("make-link").click()
    shown = page.get_by_test_id("copy-text")
    expect(shown).to_be_visible()
    link = shown.input_value()
    page.keyboard.press("Escape")
    expect(page.locator(f'[data-testid="person"][data-name="{name}"]')).to_have_attribute(
        "data-state", "invited"
    )
    return link


def put_as(page: Page, path: str) -> int:
    """Return how the server answers a changing call that the page itself does not offer."""
    status: int = page.evaluate(
        """path => fetch(path, {method: "PUT", body: "{}", headers:
           {"X-Lineshaft": "1", "Content-Type": "application/json"}}).then(r => r.status)""",
        path,
    )
    return status


def test_an_invited_viewer_comes_in_and_changes_nothing(
    demo: Demo, page: Page, chromium: Callable[..., Page]
) -> None:
    link = invite(page, demo, "mei", "viewer")
    picture(page, "people")

    guest = chromium()
    guest.goto(link)
    expect(guest.get_by_role("heading", name="Mei Tan")).to_be_visible()
    guest.get_by_test_id("new-password").fill(PASSWORD)
    guest.get_by_test_id("accept").click()
    ready(guest, "overview")

    source = demo.call("sources")["sources"][0]["id"]
    sid = demo.sid("/reactor/pressure")
    open_view(guest, demo, f"plant?v={sid}", "plant")
    value = guest.locator(f'[data-sid="{sid}"][data-quality="good"][data-stale="false"]').first
    expect(value).to_be_visible()
    expect(guest.get_by_test_id("speed-1")).to_be_disabled()
    open_view(guest, demo, f"sources/{source}", "sources")
    expect(guest.get_by_test_id("source-detail")).to_be_visible()
    for name in ("add-source", "source-edit", "source-disable", "source-remove", "nav-people"):
        expect(guest.get_by_test_id(name)).to_have_count(0)
    open_view(guest, demo, "people", "people")
    expect(guest.get_by_test_id("may-not")).to_be_visible()
    expect(guest.get_by_test_id("invite")).to_have_count(0)
    assert put_as(guest, f"/api/v1/sources/{source}") == 403
    assert put_as(guest, "/api/v1/people/mei") == 403

    guest.get_by_test_id("settings").click()
    guest.get_by_test_id("sign-out").click()
    guest.get_by_test_id("sign-in-name").fill("mei")
    guest.get_by_test_id("sign-in-password").fill("the wrong words")
    guest.get_by_test_id("sign-in").click()
    expect(guest.get_by_test_id("problem")).to_be_visible()
    guest.get_by_test_id("sign-in-password").fill(PASSWORD)
    guest.get_by_test_id("sign-in").click()
    ready(guest, "overview")

    # The link worked once; and the administrator sees what happened.
    page.reload()
    row = page.locator('[data-testid="person"][data-name="mei"]')
    expect(row).to_have_attribute("data-state", "active")
    page.get_by_test_id("audit-refused").check()
    refused = page.locator('[data-testid="audit-row"][data-status="403"]')
    expect(refused.filter(has_text="mei").first).to_be_visible()
    guest.goto("about:blank")
    guest.goto(link)
    expect(guest.get_by_test_id("problem")).to_be_visible()
    expect(guest.get_by_test_id("accept")).to_have_count(0)


def test_a_token_is_made_and_a_person_is_switched_off(
    demo: Demo, page: Page, chromium: Callable[..., Page]
) -> None:
    link = invite(page, demo, "omar", "operator")
    guest = chromium()
    guest.goto(link)
    guest.get_by_test_id("new-password").fill(PASSWORD)
    guest.get_by_test_id("accept").click()
    ready(guest, "overview")
    open_view(guest, demo, "account", "account")
    expect(guest.get_by_test_id("old-password")).to_be_visible()
    guest.get_by_test_id("token-new").click()
    guest.get_by_test_id("token-name").fill("notebook")
    guest.get_by_test_id("token-make").click()
    token = guest.get_by_test_id("copy-text").input_value()
    statuses = guest.evaluate(
        """async token => Promise.all(["signals", "people"].map(path => fetch(`/api/v1/${path}`,
           {credentials: "omit", headers: {Authorization: `Bearer ${token}`}}).then(
           r => r.status)))""",
        token,
    )
    assert statuses == [200, 403]

    open_view(page, demo, "account", "account")
    expect(page.get_by_test_id("old-password")).to_have_count(0)
    open_view(page, demo, "people", "people")
    page.locator('[data-name="omar"]').get_by_role("button", name="Switch off").click()
    expect(page.locator('[data-name="omar"]')).to_have_attribute("data-state", "disabled")
    guest.reload()
    expect(guest.get_by_test_id("sign-in-name").or_(guest.get_by_test_id("sign-in-named"))
           ).to_be_visible()  # fmt: skip
