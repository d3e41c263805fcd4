"""The form of a loop: made, refused with a sentence, changed, removed; folded where it can be."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from lineshaft.web.rights import rights_of
from tests.browser.conftest import Demo, open_view, picture, sign_in
from tests.browser.test_rights import play

DEMO_ARGUMENTS = ["--plant", "tep"]
pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(240)]
NAME = "Cost by pressure"
NOW = {"now": 0, "target": 0, "margin": 0}  # what moves by itself


def loops(demo: Demo) -> dict[str, Any]:
    return {one["name"]: one for one in demo.call("decisions")["loops"]}


def choose(page: Page, demo: Demo, opener: str, ending: str) -> int:
    """Choose a signal in the dialog that a button opens; return its sid."""
    sid = demo.sid(ending)
    page.get_by_test_id(opener).click()
    dialog = page.get_by_test_id("signal-dialog")
    dialog.get_by_test_id("picker-search").fill(ending.replace("/", " "))
    dialog.get_by_test_id(f"pick-{sid}").click()
    if opener.endswith("-add"):  # of several; one alone closes it by itself
        dialog.get_by_test_id("signals-chosen").click()
    expect(dialog).to_be_hidden()
    return sid


def fill(page: Page, demo: Demo) -> int:
    """Give what everybody must give; return the sid of the one handle."""
    choose(page, demo, "loop-goal-choose", "/economics/cost")
    handle = choose(page, demo, "handles-add", "/reactor/pressure-sp")
    choose(page, demo, "limits-add", "/reactor/pressure")
    page.get_by_test_id("loop-name").fill(NAME)
    return handle


def test_an_engineer_makes_a_loop(demo: Demo, page: Page) -> None:
    play(page, "engineer", sorted(rights_of("engineer")))
    open_view(page, demo, "decisions", "decisions")
    page.get_by_test_id("loop-new").click()
    form = page.get_by_test_id("loop-form")
    expect(form).to_have_attribute("data-state", "missing")
    page.get_by_test_id("loop-name").press("Enter")
    expect(page.get_by_test_id("loop-goal-choose")).to_be_focused()

    handle = fill(page, demo)
    expect(page.get_by_test_id("loop-machine")).to_have_value(r"lineshaft/demo/chem/tep/economics")
    signal = next(one for one in demo.call("signals")["signals"] if one["sid"] == handle)
    low = page.get_by_test_id(f"handles-{handle}-low")
    expect(low).to_have_value(f"{signal['low']:g}")
    expect(form).to_have_attribute("data-state", "ready")
    page.get_by_test_id("section-timing").locator("summary").click()
    clock = choose(page, demo, "loop-clock-choose", "/plant/speed")
    page.get_by_test_id("loop-tolerance").fill("3,5")
    page.get_by_test_id("section-worth").locator("summary").click()
    page.get_by_test_id("worth-add").click()
    page.get_by_test_id("worth-0-quantity").fill("USD")
    expect(form).to_have_attribute("data-state", "ready")
    page.get_by_test_id("loop-save").click()
    shown = page.get_by_test_id("loop")
    expect(shown).to_have_attribute("data-mode", "shadow")

    made = loops(demo)[NAME]
    assert shown.get_attribute("data-loop") == made["id"]
    assert made["goal"]["expression"].endswith('/economics/cost"')
    (moved,) = made["handles"]
    span = signal["high"] - signal["low"]
    assert (moved["sid"], moved["rate"]) == (handle, pytest.approx(span / 25, rel=1e-3))
    assert (made["tolerance"], made["clock"]) == (0.035, clock)
    assert made["worth"]["per_unit"] == {"USD": 1}
    assert (made["period_h"], made["settle_h"], made["method"]) == (1, 24, "optimise")


def test_a_wrong_loop_is_refused_with_the_sentence(demo: Demo, page: Page) -> None:
    before = sorted(loops(demo))
    open_view(page, demo, "decisions/new", "decisions")
    handle = fill(page, demo)
    page.get_by_test_id("loop-name").fill("Beyond its range")
    form, high = page.get_by_test_id("loop-form"), page.get_by_test_id(f"handles-{handle}-high")
    high.fill("99999")
    told = page.get_by_test_id("problem")
    expect(told).to_contain_text("would move from 2500 to 99999")
    expect(told).to_contain_text("Its range is")
    expect(form).to_have_attribute("data-section", "handles")
    picture(page, "loop-refused")
    page.get_by_test_id("loop-save").click()
    expect(page.get_by_test_id("loop-told")).to_be_focused()

    high.fill("many")
    expect(form).to_have_attribute("data-state", "wrong")
    page.get_by_test_id("loop-save").click()
    expect(high).to_be_focused()
    high.fill("2900")
    expect(form).to_have_attribute("data-state", "ready")

    # A refusal opens the part that it is about.
    method = page.get_by_test_id("section-method")
    expect(method).not_to_have_attribute("open", "")
    page.get_by_test_id("goal-by-expression").click()
    page.get_by_test_id("loop-expression").fill("1 +")
    expect(form).to_have_attribute("data-section", "goal")
    page.get_by_test_id("goal-by-signal").click()
    method.locator("summary").click()
    page.get_by_test_id("loop-method").select_option("rules")
    method.locator("summary").click()
    expect(method).not_to_have_attribute("open", "")
    page.get_by_test_id("loop-name").fill("Rules without a rule")
    expect(form).to_have_attribute("data-section", "method")
    expect(told).to_contain_text("no rules")
    page.get_by_test_id("loop-save").click()
    expect(page.get_by_test_id("loop-told")).to_be_focused()
    assert sorted(loops(demo)) == before


def test_a_change_raises_the_revision_and_says_that_it_leads_to_shadow(
    demo: Demo, page: Page
) -> None:
    before = loops(demo)[NAME]

    def climbed(route: Route) -> None:
        body = route.fetch().json()
        for one in body["loops"]:
            one["mode"] = "supervised"
        route.fulfill(json=body)

    page.route("**/api/v1/decisions", climbed)
    open_view(page, demo, f"decisions/{before['id']}", "decisions")
    page.get_by_test_id("loop-edit").click()
    expect(page.get_by_test_id("loop-falls")).to_contain_text("back to shadow")
    page.get_by_test_id("section-conditions").locator("summary").click()
    page.get_by_test_id("loop-approvals").select_option("2")
    trip = choose(page, demo, "locks-add", "/plant/tripped")
    for bound in ("low", "high"):
        page.get_by_test_id(f"locks-{trip}-{bound}").fill("0")
    page.unroute("**/api/v1/decisions")
    expect(page.get_by_test_id("loop-falls")).to_be_hidden()
    page.get_by_test_id("loop-save").click()
    expect(page.get_by_test_id("loop")).to_have_attribute("data-loop", before["id"])

    after = loops(demo)[NAME]
    assert (before["revision"], after["revision"]) == (1, 2)
    assert after["conditions"]["approvals"] == 2
    assert after["conditions"]["interlocks"] == [{"sid": trip, "low": 0, "high": 0}]
    for kept in ("id", "goal", "tolerance", "clock", "settings", "worth", "remote"):
        assert after[kept] == before[kept], kept
    for rows in ("handles", "limits"):
        shown = [{**one, **NOW} for one in after[rows]]
        assert shown == [{**one, **NOW} for one in before[rows]], rows


def test_a_viewer_is_offered_no_loop_to_write(demo: Demo, page: Page) -> None:
    number = loops(demo)[NAME]["id"]
    play(page, "viewer", sorted(rights_of("viewer")))
    open_view(page, demo, f"decisions/{number}", "decisions")
    expect(page.get_by_test_id("loop")).to_be_visible()
    for name in ("loop-edit", "loop-remove"):
        expect(page.get_by_test_id(name)).to_have_count(0)
    for hash_ in ("decisions/new", f"decisions/{number}/edit"):
        open_view(page, demo, hash_, "decisions")
        expect(page.get_by_test_id("may-not")).to_be_visible()
    open_view(page, demo, "decisions", "decisions")
    expect(page.get_by_test_id("loops")).to_be_visible()
    expect(page.get_by_test_id("loop-new")).to_have_count(0)


def test_the_form_is_shown_in_chinese_and_in_the_dark(
    demo: Demo, chromium: Callable[..., Page]
) -> None:
    page = chromium("dark", "zh-CN")
    sign_in(page, demo)
    open_view(page, demo, "decisions/new", "decisions")
    fill(page, demo)
    form = page.get_by_test_id("loop-form")
    expect(form).to_have_attribute("data-state", "ready")
    shown = form.inner_text()
    assert "调节量" in shown and "decisions.form" not in shown
    picture(page, "loop-form-zh-dark")
    page.context.close()


def test_a_loop_is_removed_by_its_name(demo: Demo, page: Page) -> None:
    open_view(page, demo, f"decisions/{loops(demo)[NAME]['id']}", "decisions")
    page.get_by_test_id("loop-remove").click()
    sure = page.get_by_test_id("confirm-yes")
    page.get_by_test_id("confirm-type").fill("Cost")
    expect(sure).to_be_disabled()
    page.get_by_test_id("confirm-type").fill(NAME)
    sure.click()
    expect(page.get_by_test_id("loops")).to_be_visible()
    expect(page.get_by_text(NAME)).to_have_count(0)
    assert NAME not in loops(demo)
