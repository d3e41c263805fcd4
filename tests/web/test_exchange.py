"""Imports and exports through the doors of a real platform, and by the command line."""

import asyncio
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lineshaft.core.quality import Reason, bad, uncertain
from lineshaft.core.signals import Kind
from tests.end_to_end.platform import lineshaft, until
from tests.web.conftest import Feed, House, made

DAY = 86_400_000_000
START = 19_700 * DAY


def send(house: House, name: str, content: bytes) -> httpx.Response:
    """Upload a file as it is."""
    return httpx.post(f"{house.url}/api/v1/imports", params={"name": name}, content=content,
                      headers={"Authorization": f"Bearer {house.key}"}, timeout=60)  # fmt: skip


def checked(
    house: House, name: str, content: bytes, change: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    """Upload; return the import once its check, by the guessed form or a changed one, is over."""
    answer = send(house, name, content)
    assert answer.status_code == 200, answer.text
    found = settled(house, answer.json()["id"], "checking")
    if change is not None:
        house.post(f"imports/{found['id']}/check", {"form": change(found["form"])})
        found = settled(house, found["id"], "checking")
    return found


def settled(house: House, number: int, *passing: str) -> dict[str, Any]:
    """Return the import once it is in none of the passing states."""
    found: dict[str, Any] = until(
        f"import {number} leaves {passing}",
        lambda: (got := house.get(f"imports/{number}"))["state"] not in passing and got,
    )
    return found


def started(house: House, number: int, **body: Any) -> dict[str, Any]:
    house.post(f"imports/{number}/start", body)
    return settled(house, number, "running")


def rows(house: House, path: str) -> list[tuple[int, Any, Any, int]]:
    """Return (ts, v, s, q) of a signal as the platform has it now."""
    (signal,) = house.get("signals", prefix=path)["signals"]
    raw = house.get("raw", sid=signal["sid"], **{"from": 0, "to": 1 << 60})
    return list(zip(raw["ts"], raw["v"], raw["s"], raw["q"], strict=True))


async def test_a_wide_csv_is_shown_before_it_is_stored(house: House) -> None:
    text = "time,Temp [Cel],Count\n2024-01-01T00:00:00Z,1.5,1\n2024-01-01T00:00:01Z,,x\n"
    found = checked(house, "boiler.csv", text.encode())
    assert found["state"] == "waiting", found
    assert found["rows_total"] == 2 and found["problems"] == 1
    assert found["summary"]["told"] == [
        {"line": 3, "text": "the cell for lineshaft/demo/imports/files/boiler/count is no number"}
    ]
    assert found["summary"]["first"] == 1_704_067_200_000_000
    assert house.get("signals", prefix="lineshaft/demo/imports/files/boiler")["signals"] == []
    refused = house.ask("POST", f"imports/{found['id']}/start", {})
    assert refused.status_code == 409 and refused.json()["code"] == "import.problems"
    done = started(house, found["id"], skip_problems=True)
    assert done["state"] == "done" and done["samples"] == 2, done
    until("the door has it", lambda: rows(house, "lineshaft/demo/imports/files/boiler/temp"))
    assert rows(house, "lineshaft/demo/imports/files/boiler/temp") == [
        (1_704_067_200_000_000, 1.5, None, 0)
    ]
    kinds = [fact["kind"] for fact in house.get("facts", subject=f"import-{done['id']}")["facts"]]
    assert sorted(kinds) == ["import.finished", "import.started"]


TEXTS = ["open", "=1+1", "'=quoted", "'plain", "", "a,b", 'say "so"', "two\nlines", "né€"]


async def fill(house: House, feed: Feed, name: str) -> dict[str, list[Any]]:
    """Store rows of three kinds below a prefix; return them by path."""
    stored: dict[str, list[Any]] = {}
    dice = np.random.default_rng(5)
    for kind, unit in ((Kind.FLOAT, "kPa"), (Kind.BOOL, ""), (Kind.STRING, "")):
        signal = made(f"{name}/{kind.value}", kind, unit)
        (sid,) = house.register(signal)
        stamps = [START + i * DAY // 40 + i for i in range(120)]
        texts = [TEXTS[i % len(TEXTS)] for i in range(120)] if kind == Kind.STRING else None
        values: list[float | None] = [None] * 120
        if kind != Kind.STRING:
            values = dice.normal(size=120).tolist() if kind == Kind.FLOAT else [1.0, 0.0] * 60
            values[7] = None
        odd = {7: bad(Reason.SENSOR), 9: uncertain(Reason.CLOCK)} if texts is None else {}
        qualities = [odd.get(i, 0) for i in range(120)]
        rows = list(zip(stamps, values, qualities, strict=True))
        await feed.put(sid, rows[:70], texts[:70] if texts else None)
        await house.stored()
        await feed.put(sid, rows[70:], texts[70:] if texts else None)
        await feed.wait()
        columns = (stamps, values, texts or [None] * 120, qualities)
        stored[signal.path] = list(zip(*columns, strict=True))
    return stored


def exported(house: House, **body: Any) -> dict[str, Any]:
    """Ask for an export and return it once it is done."""
    return over(house, house.post("exports", body)["id"])


def over(house: House, number: int) -> dict[str, Any]:
    """Return an export once it is done."""
    found: dict[str, Any] = until(
        "the export is over",
        lambda: (got := house.get(f"exports/{number}"))["state"] != "running" and got,
    )
    return found


def download(house: House, export: dict[str, Any], folder: Path) -> list[Path]:
    """Fetch all files of an export into a folder."""
    for one in export["files"]:
        answer = house.ask("GET", f"exports/{export['id']}/files/{one['name']}")
        assert answer.status_code == 200 and len(answer.content) == one["size"]
        (folder / one["name"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / one["name"]).write_bytes(answer.content)
    return [folder / one["name"] for one in export["files"]]


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_what_was_exported_comes_back_equal_elsewhere(
    house: House, feed: Feed, tmp_path: Path, form: str
) -> None:
    stored = await fill(house, feed, f"trip-{form}")
    prefix = f"lineshaft/demo/test/web/m/trip-{form}"
    export = exported(house, prefix=prefix, form=form)
    assert (export["state"], export["rows"], export["days"]) == ("done", 360, 3), export
    (file,) = download(house, export, tmp_path)
    elsewhere = f"elsewhere/demo/test/web/m/trip-{form}"
    moved = tmp_path / file.name
    if form == "csv":  # another platform has none of these signals: their paths are new
        moved.write_bytes(file.read_bytes().replace(prefix.encode(), elsewhere.encode()))
    else:
        table = pq.read_table(file)
        paths = pa.compute.replace_substring(table["path"].cast(pa.utf8()), prefix, elsewhere)
        pq.write_table(table.set_column(1, "path", paths), moved)
    found = checked(house, file.name, moved.read_bytes())
    assert found["state"] == "waiting" and found["problems"] == 0, found
    assert started(house, found["id"])["samples"] == 360
    signals = house.get("signals", prefix=elsewhere)["signals"]
    kinds = {signal["path"].rpartition("/")[2]: signal["kind"] for signal in signals}
    assert kinds == {"float": "float", "bool": "bool", "string": "string"}
    assert {signal["source"] for signal in signals} == {"import"}
    for path, wanted in stored.items():
        new = path.replace(prefix, elsewhere)
        until("the doors have all", lambda new=new: len(rows(house, new)) == 120)
        assert rows(house, new) == wanted


async def test_tables_are_read_by_others_with_equal_sums(
    house: House, feed: Feed, tmp_path: Path
) -> None:
    deltalake = pytest.importorskip("deltalake")
    stored = await fill(house, feed, "others")
    prefix = "lineshaft/demo/test/web/m/others"
    values = [v for rows_ in stored.values() for _, v, _, _ in rows_ if v is not None]
    wanted = (360, len(values), pytest.approx(sum(values), rel=1e-12), 3)
    asked = "count(*), count(value), sum(value), count(DISTINCT day)"
    days = download(house, exported(house, prefix=prefix, form="parquet", folder=True), tmp_path)
    assert sorted(path.parent.name[:8] for path in days) == ["day=2023"] * 3
    glob = str(tmp_path / "day=*" / "*.parquet")
    sql = f"SELECT {asked} FROM read_parquet('{glob}', hive_partitioning=true)"
    assert duckdb.sql(sql).fetchall() == [wanted]
    download(house, exported(house, prefix=prefix, form="delta"), tmp_path)
    table = deltalake.DeltaTable(str(tmp_path / "table"))
    own = duckdb.connect()
    own.register("own", table.to_pyarrow_table())
    assert own.sql(f"SELECT {asked} FROM own").fetchall() == [wanted]
    named = duckdb.sql(
        f"SELECT {asked} FROM read_parquet({table.file_uris()}, hive_partitioning=true)"
    )
    assert named.fetchall() == [wanted]


async def test_an_export_is_one_cut(house: House, feed: Feed, tmp_path: Path) -> None:
    (sid,) = house.register(made("cut"))
    path, first = "lineshaft/demo/test/web/m/cut", START - 200 * DAY
    stamps = [first + i * DAY for i in range(100)]
    await feed.put(sid, [(ts, 1.0, 0) for ts in stamps])
    await feed.put(sid, [(stamps[5], 2.0, 0)])  # corrected before the cut
    await feed.wait()
    asked = {"prefix": path, "form": "parquet"}
    begun = await asyncio.to_thread(house.post, "exports", asked)
    for i in range(8):  # late rows, a correction and a newer one, from the far end of the range
        ends = [*stamps[-4:-1], stamps[-1], stamps[-1] + 1 + i, stamps[-1] + (1 + i) * DAY]
        await feed.put(sid, [(ts, 3.0 + i, 0) for ts in ends])
        await house.stored()  # files of their own, for the compactor

    def table(export: dict[str, Any], name: str) -> list[tuple[int, float]]:
        done = over(house, export["id"])
        (file,) = download(house, done, tmp_path / name)
        found = pq.read_table(file)
        cut = found.schema.metadata[b"lineshaft.as_of"]
        assert int(cut) == done["as_of"] == begun["as_of"] and found.num_rows == done["rows"]
        assert pq.read_metadata(file).metadata[b"lineshaft.as_of"] == cut
        times = found["time"].cast(pa.int64()).to_pylist()
        return list(zip(times, found["value"].to_pylist(), strict=True))

    wanted = [(ts, 2.0 if i == 5 else 1.0) for i, ts in enumerate(stamps)]
    assert table(begun, "while") == wanted
    again = asked | {"as_of": begun["as_of"]}
    assert table(house.post("exports", again), "again") == wanted
    until("the files are compacted", lambda: one_run(house, sid, stamps[-1] // DAY))
    assert table(house.post("exports", again), "compacted") == wanted
    late = exported(house, **asked)
    assert late["rows"] == 100 + 8 + 8 and late["as_of"] > begun["as_of"]
    far = exported(house, **asked, as_of=1 << 61)  # no further than what there is
    assert far["as_of"] < 1 << 61 and far["rows"] == 116
    before = exported(house, **asked, as_of=0)
    assert (before["state"], before["rows"], before["as_of"]) == ("done", 0, 0)


async def test_a_delta_table_names_its_cut(house: House, feed: Feed, tmp_path: Path) -> None:
    deltalake = pytest.importorskip("deltalake")
    await fill(house, feed, "version")
    done = exported(house, prefix="lineshaft/demo/test/web/m/version", form="delta")
    download(house, done, tmp_path)
    history = deltalake.DeltaTable(str(tmp_path / "table")).history()
    assert [one["lineshaft.as_of"] for one in history] == [str(done["as_of"])] * 3


async def test_an_export_of_what_was_retired_is_refused(house: House, feed: Feed) -> None:
    sids = house.register(made("gone/a"), made("gone/b"))
    for sid in sids:
        await feed.put(sid, [(START + i * DAY, float(i), 0) for i in range(3)])
    await feed.wait()
    (stream,) = house.ask_records("SELECT name FROM streams")[0]
    house.change_records("INSERT INTO retired (stream, sid, before, at) VALUES (?, ?, ?, ?)",
                         stream, sids[0], START + DAY, START + 9 * DAY)  # fmt: skip
    asked = {"prefix": "lineshaft/demo/test/web/m/gone"}
    for old in ({"from": START}, {"as_of": 1 << 60}):
        answer = house.ask("POST", "exports", asked | old)
        assert answer.status_code == 410 and answer.json()["code"] == "history.retired"
        assert "were retired on" in answer.json()["message"]
    assert exported(house, **asked, **{"from": START + DAY})["rows"] == 4
    left = exported(house, **asked)  # all there is, and it says what is not
    assert (left["state"], left["rows"]) == ("done", 5) and "1 signal" in left["note"]


def one_run(house: House, sid: int, day: int) -> bool:
    """Return whether one file alone has what a signal had on a day."""
    asked = "SELECT count(*) FROM files WHERE day = ? AND sid_min <= ? AND sid_max >= ?"
    return house.ask_records(asked, day, sid, sid) == [(1,)]


async def test_a_wide_table_has_a_column_a_signal(house: House, feed: Feed, tmp_path: Path) -> None:
    stored = await fill(house, feed, "wide")
    prefix = "lineshaft/demo/test/web/m/wide"
    asked = {"from": START, "to": START + DAY}
    (file,) = download(
        house, exported(house, prefix=prefix, form="arrow", layout="wide", **asked), tmp_path
    )
    table = pa.ipc.open_file(file).read_all()
    assert table.column_names == ["time", f"{prefix}/float [kPa]", f"{prefix}/bool",
                                  f"{prefix}/string"]  # fmt: skip
    inside = [row for row in stored[f"{prefix}/float"] if row[0] < START + DAY]
    assert table[1].to_pylist() == [row[1] for row in inside]
    assert table["time"].cast(pa.int64()).to_pylist() == [row[0] for row in inside]


async def test_a_download_can_be_taken_up_again(house: House, feed: Feed) -> None:
    await fill(house, feed, "range")
    export = exported(house, prefix="lineshaft/demo/test/web/m/range", form="csv")
    url = f"{house.url}/api/v1/exports/{export['id']}/files/{export['files'][0]['name']}"
    headers = {"Authorization": f"Bearer {house.key}"}
    async with httpx.AsyncClient(headers=headers, timeout=60) as client:
        whole = (await client.get(url)).content
        part = await client.get(url, headers={"Range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == whole[100:200]
    for name in ("../../records.sqlite", "%2e%2e/%2e%2e/records.sqlite", "nothing.csv"):
        assert house.ask("GET", f"exports/{export['id']}/files/{name}").status_code in {404, 422}
    assert house.ask("DELETE", f"exports/{export['id']}").status_code == 204
    assert house.ask("GET", f"exports/{export['id']}").status_code == 404
    assert not (house.folder / "exports" / str(export["id"])).exists()


@pytest.mark.parametrize(
    "body",
    [{"prefix": "no/such"}, {"sids": [2**31 - 1]}, {"from": 5, "to": 5}, {"form": "xml"},
     {"form": "delta", "layout": "wide"}, {"form": "csv", "folder": True}],
)  # fmt: skip
def test_exports_that_cannot_be_are_refused(house: House, body: dict[str, Any]) -> None:
    answer = house.ask("POST", "exports", body)
    assert answer.status_code in {400, 422} and answer.json()["hint"]


def test_archives_are_turned_away_at_the_door(house: House, tmp_path: Path) -> None:
    before = len(house.get("imports")["imports"])
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "0" * 10_000_000)
    answer = send(house, "a.csv", (tmp_path / "a.zip").read_bytes())
    assert answer.status_code == 400 and "zip" in answer.json()["message"]
    assert send(house, "a.csv", b"").json()["code"] == "import.empty"
    assert len(house.get("imports")["imports"]) == before
    assert not list((house.folder / "imports").glob(".part*"))


def test_an_import_goes_through_its_states_and_no_other_way(house: House) -> None:
    lines = "".join(f"{START + i},{i}\n" for i in range(300_000))
    found = checked(house, "../../states.csv", ("ts,a\n" + lines).encode())
    number = found["id"]
    assert found["name"] == "states.csv" and found["state"] == "waiting"
    for step in ("pause", "resume"):
        assert house.ask("POST", f"imports/{number}/{step}").status_code == 409
    house.post(f"imports/{number}/start", {})
    paused = house.ask("POST", f"imports/{number}/pause")
    if paused.status_code == 200:
        assert paused.json()["state"] == "paused"
        assert house.post(f"imports/{number}/resume", None)["state"] == "running"
    done = settled(house, number, "running")
    assert (done["state"], done["samples"], done["rows"]) == ("done", 300_000, 300_000)
    assert house.ask("POST", f"imports/{number}/start", {}).status_code == 409
    path = found["summary"]["listed"][0]["path"]
    until("the doors have all", lambda: len(rows(house, path)) == 300_000)
    assert house.ask("DELETE", f"imports/{number}").status_code == 204
    assert house.ask("GET", f"imports/{number}").status_code == 404
    assert len(rows(house, path)) == 300_000


def test_a_cancelled_import_stores_nothing_more(house: House) -> None:
    found = checked(house, "never.csv", b"ts,a\n1700000000,1\n")
    cancelled = house.post(f"imports/{found['id']}/cancel", None)
    assert (cancelled["state"], cancelled["samples"]) == ("failed", 0)
    assert house.ask("POST", f"imports/{found['id']}/resume").status_code == 409
    assert house.get("signals", prefix="lineshaft/demo/imports/files/never")["signals"] == []


def test_another_form_is_checked_before_it_counts(house: House) -> None:
    def in_berlin(form: Any) -> Any:
        form["time"] |= {"zone": "Europe/Berlin"}
        form["columns"][0] |= {"path": "lineshaft/demo/test/web/m/berlin", "unit": "bar"}
        return form

    text = b"Zeit;Druck\n31.03.2024 02:30;1,5\n31.03.2024 03:30;2,5\n"
    found = checked(house, "berlin.csv", text, in_berlin)
    (told,) = found["summary"]["told"]
    assert told["line"] == 2 and "skipped this local time" in told["text"]
    assert found["summary"]["head"] == [
        {"path": "lineshaft/demo/test/web/m/berlin", "ts": 1_711_848_600_000_000, "v": 2.5,
         "s": None, "q": 0, "unit": "bar"}
    ]  # fmt: skip
    refused = house.ask("POST", f"imports/{found['id']}/check", {"form": {"file": "csv"}})
    assert refused.status_code == 422


def test_the_command_line_imports_and_exports(house: House, tmp_path: Path) -> None:
    where = ["--data", str(house.folder), "--port", str(house.port)]
    file = tmp_path / "cli.csv"
    file.write_text("time,speed [1/min]\n2024-01-01 00:00:00,10\n2024-01-01 00:00:01,x\n")
    shown = lineshaft("import", str(file), "--dry-run", "--zone", "+08:00", "--json", *where)
    found = json.loads(shown.stdout)
    assert found["summary"]["first"] == 1_704_067_200_000_000 - 8 * 3_600_000_000
    refused = lineshaft("import", str(file), *where)
    assert refused.returncode == 2 and "line 3" in refused.stderr
    form = tmp_path / "form.json"
    form.write_text(shown.stdout)
    done = lineshaft("import", str(file), "--form", str(form), "--skip-problems", *where)
    assert done.returncode == 0 and "1 samples of 2 rows" in done.stdout, done.stderr
    path = "lineshaft/demo/imports/files/cli/speed"
    until("the doors have it", lambda: rows(house, path))
    out = lineshaft("export", path, "--form", "parquet", "-o", str(tmp_path / "out"), *where)
    assert out.returncode == 0, out.stderr
    cut = out.stdout.rsplit("as of ")[1].strip()
    none = lineshaft("export", path, "--as-of", "0", "--json", "-o", str(tmp_path), *where)
    assert int(cut) > 0 and json.loads(none.stdout)["rows"] == 0
    assert pq.read_table(tmp_path / "out" / "lineshaft.parquet")["value"].to_pylist() == [10.0]
    assert not any(one["request"]["prefix"] == path for one in house.get("exports")["exports"])
    nothing = lineshaft("export", "no/such", *where)
    assert nothing.returncode == 2 and "No signal" in nothing.stderr
    shutil.rmtree(tmp_path / "out")
