"""The doors of history against a real one: bus, writer, files, reader."""

import asyncio
import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lineshaft.clock import now_us
from lineshaft.core.facts import Fact
from lineshaft.core.quality import Reason, bad, uncertain
from lineshaft.core.signals import Kind
from tests.web.conftest import Feed, House, made

SECOND = 1_000_000
BAD = bad(Reason.SENSOR)
NEVER = 2_000_000_000


class Case:
    """A signal of its own for one test, with rows in files and rows in the tail."""

    def __init__(self, house: House, feed: Feed, sid: int) -> None:
        self.house, self.feed, self.sid = house, feed, sid
        self.start = now_us() - 3600 * SECOND
        self.rows: list[tuple[int, float | None, int]] = []

    async def put(self, rows: Sequence[tuple[float, float | None, int]]) -> None:
        """Publish rows (seconds after the start, v, q)."""
        made = [(self.start + int(at * SECOND), v, q) for at, v, q in rows]
        self.rows += made
        await self.feed.put(self.sid, made)
        await self.feed.wait()

    def get(self, path: str, **query: Any) -> Any:
        """Ask for this signal; `at` and `until` are seconds after the start."""
        times = {"from": "at", "to": "until"}
        more = {
            name: self.start + int(query.pop(short) * SECOND)
            for name, short in times.items() if short in query
        }  # fmt: skip
        return self.house.get(path, sid=self.sid, **more, **query)


def make_case(house: House, feed: Feed, name: str, kind: Kind = Kind.FLOAT, unit: str = "") -> Case:
    (sid,) = house.register(made(f"history-{name}", kind, unit))
    return Case(house, feed, sid)


async def test_raw_gives_every_row_from_files_and_tail_alike(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "raw")
    await case.put([(at, at / 8, 0) for at in range(50)])
    await house.stored()
    await case.put([(50, None, BAD), (51, -1.5, uncertain(Reason.CLOCK)), (52, 1e300, 0)])
    rows = case.get("raw", at=0)
    assert set(rows) == {"sid", "ts", "v", "s", "q", "seq"}
    assert len({len(column) for column in rows.values()}) == 1
    assert list(zip(rows["ts"], rows["v"], rows["q"], strict=True)) == case.rows
    assert set(rows["sid"]) == {case.sid} and set(rows["s"]) == {None}
    assert rows["seq"][:50] == rows["seq"][:1] * 50 and rows["seq"][0] < rows["seq"][-1]
    await house.stored()
    assert case.get("raw", at=0) == rows


async def test_from_counts_and_to_does_not(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "range")
    await case.put([(at, at, 0) for at in range(10)])
    assert case.get("raw", at=3, until=6)["v"] == [3, 4, 5]
    assert case.get("raw", at=9)["v"] == [9]
    assert case.get("raw", at=20)["v"] == []


async def test_several_signals_come_by_signal_and_time(house: House, feed: Feed) -> None:
    one, two = make_case(house, feed, "one"), make_case(house, feed, "two")
    await two.put([(0, 1, 0), (2, 2, 0)])
    await one.put([(1, 3, 0)])
    rows = house.get("raw", sid=f"{two.sid},{one.sid},{NEVER},{two.sid}")
    assert rows["sid"] == [one.sid, two.sid, two.sid] and rows["v"] == [3, 1, 2]


async def test_last_gives_the_newest_by_time_not_by_arrival(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "last")
    await case.put([(10, 1.25, 0)])
    await case.put([(5, 9.5, 0)])
    rows = case.get("last")
    assert (rows["ts"], rows["v"]) == ([case.start + 10 * SECOND], [1.25])
    assert house.get("last", sid=NEVER)["sid"] == []


async def test_a_corrected_row_is_given_once(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "again")
    await case.put([(0, 1, 0), (1, 1, 0)])
    await house.stored()
    await case.put([(1, 2, 0)])
    assert case.get("raw", at=0)["v"] == [1, 2]
    await house.stored()
    assert case.get("raw", at=0)["v"] == [1, 2]


async def test_arrow_holds_the_stored_columns(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "arrow")
    await case.put([(0, 1.5, 0), (1, None, BAD)])
    answer = house.ask("GET", "raw", sid=case.sid, format="arrow")
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.schema.names == ["sid", "ts", "v", "s", "q", "seq"]
    assert table.schema.field("ts").type == pa.timestamp("us", tz="UTC")
    assert table["ts"].cast(pa.int64()).to_pylist() == [row[0] for row in case.rows]
    assert table["v"].to_pylist() == [1.5, None] and table["q"].to_pylist() == [0, BAD]


async def test_csv_can_be_read_by_people(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "csv", unit="Cel")
    await case.put([(0, -1.5, 0), (0.25, None, BAD)])
    answer = house.ask("GET", "raw", sid=case.sid, format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="lineshaft.csv"'
    one, two = csv.DictReader(io.StringIO(answer.text))
    assert list(one) == ["time", "path", "value", "text", "quality", "unit"]
    assert one["path"] == "lineshaft/demo/test/web/m/history-csv"
    assert (one["value"], one["text"], one["quality"], one["unit"]) == ("-1.5", "", "good", "Cel")
    assert one["time"].endswith("Z") and one["time"] < two["time"]
    assert (two["value"], two["quality"]) == ("", "bad/sensor")


FORMULAS = ['=HYPERLINK("http://x")', "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"]
TEXTS = [*FORMULAS, "plain", "a,b", 'say "so"', "two\nlines", "", "'quoted", "né€"]


async def test_csv_texts_cannot_become_formulas(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "texts", Kind.STRING)
    rows = [(case.start + at * SECOND, None, 0) for at in range(len(TEXTS))]
    await feed.put(case.sid, rows, TEXTS)
    await feed.wait()
    answer = house.ask("GET", "raw", sid=case.sid, format="csv")
    read = [row["text"] for row in csv.DictReader(io.StringIO(answer.text, newline=""))]
    assert read == ["'" + text if text in FORMULAS else text for text in TEXTS]
    assert case.get("raw", at=0)["s"] == TEXTS


async def test_a_machines_own_unit_cannot_become_a_formula(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "unit", unit="=1+1")
    await case.put([(0, 1, 0)])
    answer = house.ask("GET", "raw", sid=case.sid, format="csv")
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert not row["unit"].startswith(("=", "+", "-", "@"))


async def test_a_trend_keeps_first_least_greatest_and_last(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "trend")
    values = np.random.default_rng(1).normal(size=5000)
    values[[100, 3000]] = 50, -50
    await case.put([(at / 10, float(v), 0) for at, v in enumerate(values)])
    trend = case.get("trend", at=0, until=500, px=100)
    assert (trend["from"], trend["to"]) == (case.start, case.start + 500 * SECOND)
    (series,) = trend["series"]
    assert series["sid"] == case.sid and trend["gaps"] == []
    points = dict(zip(series["ts"], series["v"], strict=True))
    assert series["ts"] == sorted(points) and 100 < len(points) <= 4 * 100
    assert points.items() <= {ts: v for ts, v, _ in case.rows}.items()
    for column in range(100):
        own = values[column * 50 : column * 50 + 50]
        drawn = [v for ts, v in points.items() if column <= (ts - case.start) / 5e6 < column + 1]
        assert {own[0], own.min(), own.max(), own[-1]} <= set(drawn)


async def test_a_trend_begins_with_the_value_that_held(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "held")
    await case.put([(0, 5, 0), (100, 6, 0), (101, None, BAD)])
    await house.stored()
    (series,) = case.get("trend", at=50, until=200)["series"]
    assert series["ts"][0] == case.start
    assert list(zip(series["v"], series["q"], strict=True)) == [(5, 0), (6, 0), (None, BAD)]


async def test_a_trend_breaks_at_declared_gaps_of_its_source(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "gap")
    await case.put([(at, at, 0) for at in (0, 1, 2, 7, 8)])
    start, end = case.start + 2 * SECOND, case.start + 7 * SECOND
    for source in ("test", "other"):
        body = {"source": source, "from": start, "to": end, "cause": "link"}
        fact = Fact("link.gap", now_us(), source, body)
        await feed.bus.tell(fact)
    await wait_for_fact(house, fact)
    trend = case.get("trend", at=0, until=10)
    (series,) = trend["series"]
    assert None in [v for ts, v in zip(series["ts"], series["v"], strict=True) if start < ts < end]
    assert {"source": "test", "from": start, "to": end, "cause": "link"} in trend["gaps"]


async def test_extent_is_the_first_and_last_stamp(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "extent")
    await case.put([(5, 1, 0), (9, 1, 0)])
    await house.stored()
    await case.put([(3, 1, 0), (12, 1, 0)])
    wanted = {"first": case.start + 3 * SECOND, "last": case.start + 12 * SECOND}
    assert case.get("extent") == wanted
    assert house.get("extent", sid=f"{case.sid},{NEVER}") == wanted
    assert house.get("extent", sid=NEVER) == {"first": None, "last": None}


async def wait_for_fact(house: House, fact: Fact) -> None:
    async with asyncio.timeout(30):
        while True:
            found = await asyncio.to_thread(house.get, "facts", kind=fact.kind, limit=1000)
            if any(one["id"] == fact.id for one in found["facts"]):
                return
            await asyncio.sleep(0.05)


async def test_facts_are_found_by_kind_subject_and_time(house: House, feed: Feed) -> None:
    now = now_us()
    for number in range(6):
        kind, subject = f"probe.done{number % 2}", f"s{number % 3}"
        fact = Fact(kind, now + number, subject, {"n": number, "text": "=1 <b> é"})
        await feed.bus.tell(fact)
    await wait_for_fact(house, fact)

    def found(**query: Any) -> list[int]:
        kinds = {"kind": "probe.done0,probe.done1", **query}
        return [fact["body"]["n"] for fact in house.get("facts", **kinds)["facts"]]

    assert found() == [5, 4, 3, 2, 1, 0]
    assert found(kind="probe.done1") == [5, 3, 1]
    assert found(subject="s2") == [5, 2]
    assert found(**{"from": now + 2}, to=now + 4) == [3, 2]
    assert found(limit=2) == [5, 4]
    assert found(kind="probe.none") == []


@pytest.mark.parametrize(
    ("path", "query"),
    [
        *((path, {"sid": sid}) for path in ("last", "raw", "trend", "extent")
          for sid in ("", "x", "1,x", "0", "-1", "2147483648", "1.5", "1;2", "1," * 10_001)),
        *((path, {}) for path in ("last", "raw", "trend", "extent")),
        *((path, {"sid": 1, "from": 10, "to": to}) for path in ("raw", "trend") for to in (10, 9)),
        *((path, {"sid": 1, "from": value}) for path in ("raw", "trend")
          for value in (-1, "x", 1 << 63, "1e3", math.nan)),
        ("raw", {"sid": 1, "limit": 0}), ("raw", {"sid": 1, "limit": 20_000_001}),
        ("raw", {"sid": 1, "format": "xml"}),
        ("trend", {"sid": 1, "px": 0}), ("trend", {"sid": 1, "px": 20_001}),
        ("facts", {"limit": 0}), ("facts", {"limit": 5001}), ("facts", {"from": -1}),
        ("facts", {"subject": "x" * 301}), ("facts", {"kind": "x" * 1001}),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_words(
    house: House, path: str, query: dict[str, Any]
) -> None:
    answer = house.ask("GET", path, **query)
    assert answer.status_code in {400, 422}, answer.text
    content = answer.json()
    assert set(content) == {"code", "message", "hint"} and all(content.values())
    assert len(answer.text) < 1000


async def test_too_many_rows_are_refused_in_words(house: House, feed: Feed) -> None:
    case = make_case(house, feed, "many")
    await case.put([(at, at, 0) for at in range(10)])
    for format in ("json", "csv", "arrow"):
        assert house.ask("GET", "raw", sid=case.sid, limit=10, format=format).status_code == 200
        answer = house.ask("GET", "raw", sid=case.sid, limit=9, format=format)
        assert (answer.status_code, answer.json()["code"]) == (400, "history.much")
        assert answer.json()["hint"]


async def test_the_short_way_to_newest_values_says_what_the_long_one_says(
    house: House, feed: Feed
) -> None:
    case = make_case(house, feed, "short")
    await case.put([(0, 1.5, 0), (1, None, BAD)])
    short, long = case.get("last"), case.get("last", format="json")
    assert short == long and short["v"] == [None]
    assert house.get("last", sid=f"{case.sid}-{case.sid + 1},{case.sid}") == long
    for wrong in ("0", "5-", "7-3", f"1-{20_000}", "9" * 20):
        answer = house.ask("GET", "last", sid=wrong)
        assert (answer.status_code, answer.json()["code"]) == (400, "query.sid"), wrong
