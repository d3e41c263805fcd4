"""The page Import & export: a file goes in, is seen in Trends, and comes out equal."""

import csv
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Demo, open_view, picture
from tests.browser.test_rights import READ, play

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(240)]
FOLDER = "lineshaft/demo/imports/files/boiler"
WAITING_S = 90_000  # an import waits for the next commit of history where the plant is ahead


def test_a_file_goes_in_and_comes_out_equal(demo: Demo, page: Page, tmp_path: Path) -> None:
    stamps = [f"2024-03-01T00:{i // 60:02d}:{i % 60:02d}Z" for i in range(600)]
    sent = [(at, f"{80 + i * 0.25}", f"{2 + i * 0.5}") for i, at in enumerate(stamps)]
    file = tmp_path / "boiler.csv"
    lines = ["time,Temp [Cel],Pressure [bar]", *(",".join(row) for row in sent), "never,1,2"]
    file.write_text("\n".join(lines) + "\n")

    open_view(page, demo, "exchange", "exchange")
    page.get_by_test_id("import-file").set_input_files(file)
    shown = page.get_by_test_id("import-page")
    expect(shown).to_have_attribute("data-state", "waiting", timeout=20_000)
    expect(page.get_by_test_id("import-problems")).to_contain_text("Line 602")
    expect(page.get_by_test_id("import-column")).to_have_count(2)
    expect(page.get_by_test_id("import-head").first).to_contain_text("80")
    start = page.get_by_test_id("import-start")
    expect(start).to_be_disabled()
    page.get_by_test_id("import-skip").check()
    # Another unit counts only once the file was checked by it.
    unit = page.locator('[data-column="Pressure [bar]"]').get_by_label("Unit")
    unit.fill("kPa")
    unit.blur()
    expect(start).to_be_disabled()
    page.get_by_test_id("import-check").click()
    expect(start).to_be_enabled(timeout=20_000)
    picture(page, "import")
    start.click()
    expect(shown).to_have_attribute("data-state", "done", timeout=WAITING_S)
    expect(shown).to_have_attribute("data-samples", "1200")
    expect(page.get_by_test_id("progress")).to_have_attribute("data-percent", "100")

    page.get_by_test_id("import-trends").click()
    trend = page.get_by_test_id("trend")
    expect(trend).to_have_attribute("data-points", "600")
    expect(page.get_by_test_id("legend-row")).to_have_count(2)
    expect(page.get_by_test_id("legend-value").first).to_contain_text("229.75")

    open_view(page, demo, "exchange/export", "exchange")
    page.get_by_test_id("export-below").check()
    page.get_by_test_id("export-prefix").fill(FOLDER)
    expect(page.get_by_test_id("export-count")).to_have_attribute("data-signals", "2")
    page.get_by_test_id("range-own").click()
    page.get_by_test_id("export-from").fill("2024-03-01")
    page.get_by_test_id("export-to").fill("2024-03-01 00:05")
    page.get_by_test_id("export-go").click()
    row = page.get_by_test_id("export").first
    expect(row).to_have_attribute("data-state", "done", timeout=20_000)
    with page.expect_download() as download:
        row.get_by_test_id("export-file").click()
    with Path(download.value.path()).open() as content:
        rows = list(csv.DictReader(content))
    got = {name: [(r["time"], float(r["value"]), r["unit"]) for r in rows
                  if r["path"] == f"{FOLDER}/{name}"] for name in ("temp", "pressure")}  # fmt: skip
    assert len(rows) == 600
    moments = [datetime.fromisoformat(at) for at in stamps[:300]]
    for name, column, code in (("temp", 1, "Cel"), ("pressure", 2, "kPa")):
        assert [datetime.fromisoformat(at) for at, _, _ in got[name]] == moments
        assert [v for _, v, _ in got[name]] == [float(one[column]) for one in sent[:300]]
        assert {unit for _, _, unit in got[name]} == {code}
    row.get_by_test_id("export-again").click()
    kept = demo.call("exports")["exports"][0]["as_of"]
    expect(page.get_by_test_id("export-as-of")).to_have_value(str(kept))


def test_a_viewer_sees_files_and_no_buttons(demo: Demo, page: Page) -> None:
    play(page, "viewer", [*READ, "imports.read", "exports.read", "history.read"])
    open_view(page, demo, "exchange", "exchange")
    expect(page.get_by_test_id("export-file").first).to_be_visible()
    for name in ("import-file", "export-new", "import-forget", "export-again"):
        expect(page.get_by_test_id(name)).to_have_count(0)
    open_view(page, demo, "exchange/export", "exchange")
    expect(page.get_by_test_id("may-not")).to_be_visible()
