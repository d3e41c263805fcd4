"""What a role may not do is not offered: the page is told a role and looked at.

That the server refuses it all the same is tested at the server's doors.
"""

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Demo, open_view

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(240)]
READ = ["sources.read", "signals.read", "certificates.read", "panel.read", "system.read"]


def play(page: Page, role: str, rights: list[str]) -> None:
    """Have the page believe that the session has a role."""

    def answer(route: Route) -> None:
        if route.request.method != "GET":
            route.continue_()
            return
        body: dict[str, Any] = {**route.fetch().json(), "role": role, "rights": rights}
        route.fulfill(json=body)

    page.route("**/api/v1/session", answer)
    page.reload()


def test_a_viewer_is_offered_nothing_to_change(demo: Demo, page: Page) -> None:
    source = demo.call("sources")["sources"][0]["id"]
    play(page, "viewer", READ)
    open_view(page, demo, f"sources/{source}", "sources")
    expect(page.get_by_test_id("source-detail")).to_be_visible()
    for name in ("add-source", "source-edit", "source-disable", "source-remove", "nav-people"):
        expect(page.get_by_test_id(name)).to_have_count(0)
    for hash_ in ("sources/new", f"sources/{source}/edit"):
        open_view(page, demo, hash_, "sources")
        expect(page.get_by_test_id("may-not")).to_be_visible()
    open_view(page, demo, "sources/certificates", "sources")
    expect(page.get_by_test_id("listed-certificate").first).to_be_visible()
    expect(page.get_by_test_id("distrust")).to_have_count(0)
    open_view(page, demo, "plant", "plant")
    expect(page.get_by_test_id("speed-1")).to_be_disabled()


def test_an_engineer_is_offered_sources_but_no_people(demo: Demo, page: Page) -> None:
    source = demo.call("sources")["sources"][0]["id"]
    write = ["sources.write", "certificates.write", "panel.write"]
    play(page, "engineer", [*READ, *write])
    open_view(page, demo, f"sources/{source}", "sources")
    for name in ("add-source", "source-edit", "source-disable", "source-remove"):
        expect(page.get_by_test_id(name)).to_be_visible()
    expect(page.get_by_test_id("nav-people")).to_have_count(0)
    open_view(page, demo, "sources/certificates", "sources")
    expect(page.get_by_test_id("distrust").first).to_be_visible()
    open_view(page, demo, "plant", "plant")
    expect(page.get_by_test_id("speed-1")).to_be_enabled()
