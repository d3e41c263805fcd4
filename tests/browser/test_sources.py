"""A source is changed and its server's certificate judged, with a real server behind the page."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from lineshaft.bus.server import free_port
from tests.browser.conftest import Demo, open_view, picture, wait_for
from tests.browser.test_console import OwnServer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PREFIX = "acme/south/mixing/line2"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[OwnServer]:
    """A server of the visitor's own, with a certificate nobody knows."""
    server = OwnServer(tmp_path, free_port())
    server.start()
    yield server
    server.kill()


def certificate(page: Page, thumbprint: str) -> Locator:
    return page.locator(f'[data-testid="listed-certificate"][data-thumbprint="{thumbprint}"]')


def judge(page: Page, thumbprint: str, verdict: str) -> str:
    """Trust or distrust a certificate on its page; return what the question said."""
    row = certificate(page, thumbprint)
    row.get_by_test_id(verdict).click()
    effect = page.get_by_test_id("confirm-effect").inner_text()
    if verdict == "trust":
        expect(page.get_by_test_id("confirm-yes")).to_be_disabled()
        page.get_by_test_id("trust-certificate").check()
    page.get_by_test_id("confirm-yes").click()
    expect(row).to_have_attribute("data-state", "trusted" if verdict == "trust" else "quarantined")
    return effect


def source_of(demo: Demo, source: str) -> dict[str, Any]:
    listed: list[dict[str, Any]] = demo.call("sources")["sources"]
    return next(one for one in listed if one["id"] == source)


def linked(demo: Demo, source: str, link: str) -> Callable[[], bool]:
    return lambda: bool(source_of(demo, source)["link"] == link)


def test_a_source_is_changed_and_its_certificate_judged(
    demo: Demo, page: Page, own_server: OwnServer
) -> None:
    thumbprint = demo.call("opcua/probe", {"endpoint": own_server.endpoint})["certificate"][
        "thumbprint"
    ]
    open_view(page, demo, "sources/certificates", "sources")
    expect(certificate(page, thumbprint)).to_have_attribute("data-state", "quarantined")
    judge(page, thumbprint, "trust")

    login = {
        "endpoint": own_server.endpoint, "user": "visitor", "password": own_server.password,
    }  # fmt: skip
    nodes = demo.call("opcua/browse", login)["nodes"]
    chosen = [node["node_id"] for node in nodes[:2]]
    added = next(node for node in nodes[2:] if node["kind"] == "float")
    draft = {**login, "name": "Old name", "prefix": PREFIX, "nodes": chosen}
    source = demo.call("sources", draft)["id"]
    wait_for(linked(demo, source, "connected"))

    open_view(page, demo, f"sources/{source}", "sources")
    page.get_by_test_id("source-edit").click()
    expect(page.get_by_test_id("edit-save")).to_be_disabled()
    page.get_by_test_id("add-name").fill("New name")
    page.get_by_test_id("edit-browse").click()
    expect(page.get_by_test_id("add-count")).to_contain_text(f"2 of {len(nodes)}")
    page.get_by_test_id("add-filter").fill(added["path"])
    page.locator(f'[data-testid="node"][title={json.dumps(added["node_id"])}] input').check()
    expect(page.get_by_test_id("add-count")).to_contain_text(f"3 of {len(nodes)}")
    picture(page, "edit-source")
    page.get_by_test_id("edit-save").click()
    expect(page.get_by_test_id("source-detail")).to_contain_text("New name")
    assert source_of(demo, source)["signals"] == 3
    wait_for(linked(demo, source, "connected"))
    sid = wait_for(lambda: demo.sid(f"{PREFIX}/{added['path']}"))
    open_view(page, demo, f"sources/{source}?v={sid}", "sources")
    value = page.locator(f'[data-testid="drawer"] [data-sid="{sid}"]').first
    expect(value).to_have_attribute("data-stale", "false", timeout=60_000)

    open_view(page, demo, "sources/certificates", "sources")
    assert "New name" in judge(page, thumbprint, "distrust")
    wait_for(linked(demo, source, "refused"))
    open_view(page, demo, f"sources/{source}", "sources")
    state = page.locator(f'[data-testid="source-row"][data-source="{source}"]')
    expect(state).to_have_attribute("data-link", "refused")
    expect(page.get_by_test_id("source-error")).to_be_visible()
    open_view(page, demo, "sources/certificates", "sources")
    assert "New name" in judge(page, thumbprint, "trust")
    wait_for(linked(demo, source, "connected"))


def test_a_kept_password_goes_to_no_other_server(
    demo: Demo, page: Page, own_server: OwnServer
) -> None:
    source = demo.call("sources")["sources"][0]["id"]
    open_view(page, demo, f"sources/{source}/edit", "sources")
    page.get_by_test_id("add-endpoint").fill(own_server.endpoint)
    expect(page.get_by_test_id("edit-browse")).to_be_disabled()
    expect(page.get_by_test_id("edit-save")).to_be_disabled()
    page.get_by_test_id("add-password").fill("another-secret-1")
    page.get_by_test_id("edit-save").click()
    expect(page.get_by_test_id("thumbprint")).to_be_visible()
    expect(page.get_by_test_id("edit-save")).to_be_disabled()
