"""The sheet of signals: read back as it was written, judged whole, suspicious of every line."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal
from lineshaft.records import metadata, open_records
from lineshaft.rooms.plant.model import Listed
from lineshaft.rooms.plant.service import PlantService
from lineshaft.rooms.plant.sheets import MAX_BYTES, judge, read_sheet, write_sheet
from lineshaft.rooms.plant.store import SignalStore
from tests.plant.test_plant import PREFIX, Told, draft

ONE = Listed(Signal(1, f"{PREFIX}/m/a", "A", Kind.FLOAT, "kPa", 0.0, 10.0, source="s1"))
TWO = Listed(Signal(2, f"{PREFIX}/m/b", "B", Kind.FLOAT, "", source="s1"))
KNOWN = {1: ONE, 2: TWO}


def written(*listed: Listed) -> bytes:
    return b"".join(write_sheet(listed))


def verdict_of(body: str | bytes) -> Any:
    raw = body.encode() if isinstance(body, str) else body
    sheet = read_sheet(io.BytesIO(raw))
    return sheet, judge(sheet.lines, KNOWN)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
FLOATS = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(name=TEXTS, description=TEXTS, unit=TEXTS, low=FLOATS, limit=FLOATS)
def test_what_is_written_is_read_back(
    name: str, description: str, unit: str, low: float | None, limit: float | None
) -> None:
    signal = replace(ONE.signal, name=name, description=description, unit=unit, low=low,
                     limit_high=limit)  # fmt: skip
    listed = replace(ONE, signal=signal)
    raw = written(listed)
    sheet = read_sheet(io.BytesIO(raw))
    assert not sheet.bad
    assert judge(sheet.lines, {1: listed}).changes == []
    _, cells = csv.reader(io.StringIO(raw.decode(), newline=""))
    texts = [cells[1], cells[2], cells[3], cells[10]]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in texts)


def test_a_spreadsheet_may_mark_the_sheet_and_drop_columns() -> None:
    sheet, verdict = verdict_of(b"\xef\xbb\xbf" + "name,sid\r\nÄ,2\r\n\r\n".encode())
    assert not sheet.bad
    assert [after.signal.name for _, after in verdict.changes] == ["Ä"]


@pytest.mark.parametrize(
    ("lines", "number", "reason"),
    [("1,x", 2, "no number"), ("1,1e999", 2, "no number"), ("one,5", 2, "no signal id"),
     ("1,5,6", 2, "1 cells too many"), ("1", 2, "1 cells too few"), ("1,5\n2,1\n1,5", 4, "line 2"),
     ("1,1_0", 2, "no number"), ("1,nan", 2, "no number")],
)  # fmt: skip
def test_a_bad_line_is_named(lines: str, number: int, reason: str) -> None:
    sheet, _ = verdict_of(f"sid,high\n{lines}\n")
    assert [line for line, _, _ in sheet.bad] == [number]
    assert reason in sheet.bad[0][2]


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"", "no column 'sid'"), (b"sid;name\n1;x\n", "sid;name"), (b"sid,sid\n", "twice"),
     (b"sid,colour\n", "colour"), (b"sid,name\n1,\xff\n", "UTF-8"), (b'sid,name\n1,"x\n', "CSV"),
     (b'sid,name\n1,"x"y\n', "line 2"), (b"sid,name\n1," + b"x" * 70_000, "65,536 characters"),
     (b"PK\x03\x04\x14\x00\x00\x00", "first line"), (b'sid,name\n1,"' + b"x\n" * 90_000, "CSV")],
)  # fmt: skip
def test_what_is_no_sheet_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        read_sheet(io.BytesIO(body))


def test_too_many_lines_are_refused() -> None:
    body = b"sid\n" + b"x\n" * 200_001
    assert len(body) < MAX_BYTES
    with pytest.raises(Refused, match="200,000"):
        read_sheet(io.BytesIO(body))


def test_lines_that_clash_are_conflicts() -> None:
    _, verdict = verdict_of("sid,unit,kind\n1,bar,float\n2,kPa,int\n9,kPa,float\n")
    assert [(line, sid) for line, sid, _ in verdict.conflicts] == [(2, 1), (3, 2)]
    assert "new signal" in verdict.conflicts[0][2]
    assert [line for line, _, _ in verdict.unknown] == [4]
    assert verdict.changes == []


def test_paths_may_be_exchanged_but_not_doubled() -> None:
    a, b = ONE.signal.path, TWO.signal.path
    _, verdict = verdict_of(f"sid,path\n1,{b}\n2,{a}\n")
    assert len(verdict.changes) == 2 and not verdict.conflicts
    _, verdict = verdict_of(f"sid,path\n1,{b}\n")
    assert verdict.conflicts == [(2, 1, f"signal 2 has the path '{b}'")]
    assert verdict.changes == []


def test_the_token_stands_for_the_changes_and_what_was_seen() -> None:
    tokens = {verdict_of(body)[1].token for body in ("sid,name\n1,X\n", "name,sid\nX,1\n")}
    assert len(tokens) == 1
    assert verdict_of("sid,name\n1,Y\n")[1].token not in tokens
    sheet = read_sheet(io.BytesIO(b"sid,name\n1,X\n"))
    assert judge(sheet.lines, {1: replace(ONE, revision=2)}).token not in tokens


@pytest.fixture
def store(tmp_path: Path) -> SignalStore:
    engine = open_records(tmp_path / "records.db")
    metadata.create_all(engine)
    return SignalStore(engine, lambda: 1_790_000_000_000_000)


async def test_a_sheet_is_shown_then_taken_as_shown(store: SignalStore) -> None:
    made = store.register([draft(f"m/s{i:03}") for i in range(60)])
    told = Told()
    service = PlantService(store, told)
    body = written(*store.list()).replace(b",m/s0", b",N ")

    async def take(raw: bytes, token: str = "") -> dict[str, Any]:
        return await service.take_sheet(io.BytesIO(raw), token, "eva")

    seen = await take(body)
    assert (seen["changed"], seen["applied"], told.facts) == (60, False, [])
    with pytest.raises(Refused, match="any more"):
        await take(body.replace(b"N 1", b"M 1"), seen["token"])
    await service.change(made[0].sid, 1, {"description": "meanwhile"}, "adam")
    with pytest.raises(Refused, match="any more"):
        await take(body, seen["token"])
    assert {one.signal.name for one in store.list()} == {one.name for one in made}
    body = written(*store.list()).replace(b",m/s0", b",N ")
    done = await take(body, (await take(body))["token"])
    assert done["applied"] and {one.signal.name[:2] for one in store.list()} == {"N "}
    assert [fact.kind for fact in told.facts] == ["signal.changed", "signals.imported"]
    changes = told.facts[-1].body["changes"]
    assert len(changes) == 60 and changes[0]["before"] == {"name": made[0].name}
    assert (await take(written(*store.list())))["changed"] == 0


async def test_a_sheet_with_one_bad_line_has_no_token(store: SignalStore) -> None:
    (made,) = store.register([draft("m/a")])
    service = PlantService(store, Told())
    body = f"sid,name,decimals\n{made.sid},X,2\nx,Y,2\n".encode()
    seen = await service.take_sheet(io.BytesIO(body), "", "eva")
    assert (seen["changed"], seen["token"], seen["bad_count"]) == (1, None, 1)
    with pytest.raises(Refused):
        await service.take_sheet(io.BytesIO(body), "0" * 40, "eva")
