"""What people do at the desk: a hundred thousand signals, a sheet, notes, views, comparisons."""

import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import TWINS, Demo, open_view, picture, ready, sign_in, wait_for

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def table(page: Page, demo: Demo, query: str = "") -> Locator:
    open_view(page, demo, f"signals{query}", "signals")
    grid = page.get_by_test_id("signals-table")
    expect(grid).to_have_attribute("data-asked", "true")
    return grid


def test_the_table_is_searched_sorted_and_alive(demo: Demo, page: Page) -> None:
    # The demo's twins and loop bring signals of their own.
    wait_for(lambda: len(demo.call("twins")["twins"]) == TWINS)
    wait_for(lambda: demo.call("decisions")["loops"])
    page.reload()
    table(page, demo)
    count = page.get_by_test_id("signals-count")
    everything = int(count.get_attribute("data-rows") or 0)
    assert everything == len(demo.call("signals")["signals"])
    page.get_by_test_id("signals-search").fill("REACTOR pressure")
    expect(count).not_to_have_attribute("data-rows", str(everything))
    sid = demo.sid("/reactor/pressure")
    value = page.locator(f'[data-testid="signals-table"] [data-sid="{sid}"]')
    expect(value).to_contain_text("kPa")
    expect(value).to_have_attribute("data-stale", "false")
    page.get_by_test_id("sort-name").click()
    page.get_by_test_id("sort-name").click()
    names = page.locator('[data-testid="signal-row"] > :nth-child(2)').all_inner_texts()
    assert names == sorted(names, reverse=True) and len(names) > 1
    assert "sort=name" in page.url and "dir=desc" in page.url
    address = page.url
    page.reload()
    ready(page, "signals")
    assert page.url == address
    expect(page.get_by_test_id("signals-search")).to_have_value("REACTOR pressure")
    page.get_by_test_id("filter-unit").select_option("%")
    expect(page.get_by_test_id("signals-table")).to_contain_text("No signal is like that.")


def test_a_signal_is_edited_by_the_keyboard_and_stays_edited(demo: Demo, page: Page) -> None:
    grid = table(page, demo, "?q=compressor")
    grid.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    chosen = page.locator('[data-testid="signal-row"][aria-selected="true"]')
    sid = chosen.get_attribute("data-signal")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("signal-form")).to_have_attribute("data-signal", sid or "")
    expect(page.get_by_test_id("field-name")).to_be_focused()
    page.get_by_test_id("field-name").fill("Compressor, as we call it")
    page.get_by_test_id("field-limit_low").fill("1")
    page.get_by_test_id("field-limit_high").fill("0")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("problem")).to_contain_text("not below")
    page.get_by_test_id("field-limit_high").fill("400,5")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("signal-form")).to_have_attribute("data-revision", "2")
    picture(page, "signals")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("signal-form")).to_have_count(0)
    expect(grid).to_be_focused()
    page.reload()
    ready(page, "signals")
    row = page.locator(f'[data-signal="{sid}"]')
    expect(row).to_contain_text("Compressor, as we call it")
    expect(row).to_contain_text("400.5")


def test_an_edit_of_what_another_changed_is_refused(
    demo: Demo, page: Page, chromium: Callable[..., Page]
) -> None:
    sid = demo.sid("/purge/flow")
    table(page, demo, f"?q=purge&e={sid}")
    other = chromium()
    sign_in(other, demo)
    table(other, demo, f"?q=purge&e={sid}")
    for one, name in ((page, "Mine"), (other, "Theirs")):
        one.get_by_test_id("field-name").fill(name)
    page.get_by_test_id("form-save").click()
    expect(page.get_by_test_id("signal-form")).to_have_attribute("data-revision", "2")
    row = other.locator(f'[data-testid="signal-row"][data-signal="{sid}"]')
    expect(row).to_contain_text("Mine")  # told at once
    other.get_by_test_id("form-save").click()
    expect(other.get_by_test_id("problem")).to_contain_text("meanwhile")
    other.get_by_test_id("form-reload").click()
    expect(other.get_by_test_id("field-name")).to_have_value("Mine")
    other.context.close()


def test_a_sheet_makes_the_round(demo: Demo, page: Page, tmp_path: Path) -> None:
    table(page, demo)
    with page.expect_download() as got:
        page.get_by_test_id("signals-export").click()
    text = Path(got.value.path()).read_text("utf-8")
    assert text.startswith("sid,path,name,")
    sid = demo.sid("/reactor/level")
    sheet = tmp_path / "signals.csv"
    sheet.write_text(re.sub(rf"^({sid},[^,]*),[^,]*,", r"\1,Niveau,", text, flags=re.M), "utf-8")
    page.get_by_test_id("signals-import").click()
    page.get_by_test_id("sheet-file").set_input_files(sheet)
    expect(page.get_by_test_id("sheet-sum")).to_have_attribute("data-changed", "1")
    changes = page.get_by_test_id("sheet-changes")
    expect(changes).to_contain_text("Reactor level")
    expect(changes).to_contain_text("Niveau")
    page.get_by_test_id("sheet-apply").click()
    expect(page.get_by_test_id("sheet-done")).to_be_visible()
    page.get_by_test_id("sheet-close").click()
    page.get_by_test_id("signals-search").fill("Niveau")
    expect(page.locator(f'[data-signal="{sid}"]')).to_contain_text("Niveau")
    sheet.write_text(text + "999999,,,,,,,,,,,,,\nx\n", "utf-8")
    page.get_by_test_id("signals-import").click()
    page.get_by_test_id("sheet-file").set_input_files(sheet)
    expect(page.get_by_test_id("sheet-sum")).to_have_attribute("data-bad", "2")
    expect(page.get_by_test_id("sheet-apply")).to_be_disabled()


def test_a_note_is_written_by_dragging_and_found_again(demo: Demo, page: Page) -> None:
    sid = demo.sid("/reactor/pressure")
    open_view(page, demo, f"trends?s={sid}&last=5m", "trends")
    trend = page.get_by_test_id("trend")
    expect(trend).not_to_have_attribute("data-points", "0")
    page.get_by_test_id("note-add").click()
    drag(page, trend, 0.3, 0.5)
    expect(page.get_by_test_id("range")).to_have_attribute("data-following", "true")
    page.get_by_test_id("note-text").fill("The valve stuck.\n阀门卡住")
    page.get_by_test_id("note-save").click()
    mark = page.get_by_test_id("note-mark")
    expect(mark).to_have_count(1)
    mark.hover()
    expect(page.get_by_test_id("note-tip")).to_contain_text("阀门卡住")
    picture(page, "trends-note")
    page.reload()
    ready(page, "trends")
    mark.click()
    expect(page.get_by_test_id("note-said")).to_contain_text("The valve stuck.")
    page.get_by_test_id("note-edit").click()
    page.get_by_test_id("note-text").fill("It was freed.")
    page.get_by_test_id("note-save").click()
    expect(page.get_by_test_id("note-text")).to_have_count(0)  # it is kept, and its card closed
    mark.click()
    expect(page.get_by_test_id("note-said")).to_have_text("It was freed.")
    page.get_by_test_id("note-remove").click()
    expect(mark).to_have_count(0)


def drag(page: Page, what: Locator, start: float, end: float) -> None:
    box = what.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, y, steps=5)
    page.mouse.up()


def test_an_earlier_period_is_laid_over_and_the_address_keeps_it(demo: Demo, page: Page) -> None:
    sid = demo.sid("/reactor/pressure")
    first = demo.call(f"extent?sid={sid}")["first"]
    wait_for(lambda: time.time() * 1e6 - first > 30e6)
    open_view(page, demo, f"trends?s={sid}&last=5m", "trends")
    page.get_by_test_id("compare").click()
    page.get_by_test_id("compare-1d").click()
    shown = page.get_by_test_id("compare-shown")
    expect(shown).to_contain_text("1 day earlier")
    assert "vs=1d" in page.url
    open_view(page, demo, f"trends?s={sid}&last=5m&vs=10s", "trends")
    expect(shown).to_have_attribute("data-shift", "10000000")
    trend = page.get_by_test_id("trend")
    expect(trend).to_have_attribute("data-compared", "true")
    box = trend.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.93, box["y"] + box["height"] / 2)
    expect(page.get_by_test_id("legend-then")).to_have_text(re.compile(r"\d"))
    page.get_by_test_id("compare").click()
    page.get_by_test_id("compare-none").click()
    expect(shown).to_have_count(0)


def test_a_view_is_kept_and_opened(demo: Demo, page: Page) -> None:
    sid = demo.sid("/reactor/pressure")
    open_view(page, demo, f"trends?s={sid}&last=8h&vs=1d", "trends")
    page.get_by_test_id("views").click()
    page.get_by_test_id("view-name").fill("Reactor, a day apart")
    page.get_by_test_id("view-save").click()
    expect(page.get_by_test_id("view")).to_have_count(1)
    expect(page.get_by_test_id("view-name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("view")).to_have_count(0)
    kept = page.url
    page.goto(f"{demo.address}/#/trends")
    ready(page, "trends")
    page.get_by_test_id("views").click()
    page.get_by_test_id("view").click()
    page.wait_for_url(kept)
    page.get_by_test_id("views").click()
    page.get_by_test_id("view-remove").click()
    expect(page.get_by_test_id("view")).to_have_count(0)


SCROLL = """
async () => {
  const grid = document.querySelector('[data-testid="signals-table"]');
  grid.scrollTop = 0;
  const frames = [];
  let before = performance.now();
  for (let i = 0; i < 90; i += 1) {
    grid.scrollTop += 1400;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - before);
    before = now;
  }
  const all = frames.reduce((a, b) => a + b, 0);
  frames.sort((a, b) => a - b);
  const rows = grid.querySelectorAll('[data-signal]').length;
  return { median: frames[45], p95: frames[85], all, rows };
}
"""


@pytest.mark.long
def test_a_hundred_thousand_rows_scroll(demo: Demo, page: Page) -> None:
    fill(demo, 100_000)
    began = time.monotonic()
    listed = demo.call("signals?format=columns")["signals"]
    took = time.monotonic() - began
    assert len(listed["sid"]) > 100_000
    print(f"the list: {took:.2f} s")
    table(page, demo)
    page.reload()
    ready(page, "signals")
    expect(page.get_by_test_id("signals-count")).to_have_attribute(
        "data-rows", str(len(listed["sid"]))
    )
    page.get_by_test_id("signals-search").fill("area-4/")
    expect(page.get_by_test_id("signals-count")).to_have_attribute("data-rows", "20000")
    fewer: dict[str, Any] = page.evaluate(SCROLL)
    page.get_by_test_id("signals-search").fill("")
    expect(page.get_by_test_id("signals-count")).to_have_attribute(
        "data-rows", str(len(listed["sid"]))
    )
    measured: dict[str, Any] = page.evaluate(SCROLL)
    print(f"frames: {measured}; of a fifth of the rows: {fewer}")
    assert measured["rows"] < 60
    # A busy machine draws fewer frames, but as many of a long table as of a shorter one.
    assert measured["median"] < max(34, 2 * fewer["median"])
    assert measured["all"] < max(90 * 40, 2 * fewer["all"])
    began = time.monotonic()
    page.get_by_test_id("signals-search").fill("line-7/machine-77/value-7777")
    expect(page.get_by_test_id("signals-count")).not_to_have_attribute(
        "data-rows", str(len(listed["sid"]))
    )
    assert time.monotonic() - began < 2
    page.get_by_test_id("signals-search").fill("")
    expect(page.get_by_test_id("signals-count")).to_have_attribute(
        "data-rows", str(len(listed["sid"]))
    )
    grid = page.get_by_test_id("signals-table")
    grid.focus()
    page.keyboard.press("End")
    expect(page.locator('[aria-selected="true"]')).to_have_attribute(
        "aria-rowindex", str(len(listed["sid"]) + 1)
    )


def fill(demo: Demo, count: int) -> None:
    """Put signals on the list at once, past the doors: they have no machine."""
    rows = [
        (f"plant/site/area-{i // 20_000}/line-{i // 1000}/machine-{i // 100}/value-{i}",
         f"Value {i}", ("kPa", "Cel", "m3/h", "%")[i % 4])
        for i in range(count)
    ]  # fmt: skip
    with sqlite3.connect(demo.folder / "records.sqlite", timeout=30) as database:
        database.executemany(
            "INSERT INTO signals (path, name, kind, unit, low, high, source, writable, description)"
            " VALUES (?, ?, 'float', ?, 0, 100, 'none', 0, '')",
            rows,
        )
    database.close()
