"""SQL over a snapshot: right answers from files, late files and tail; and walls that hold."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import httpx
import psutil
import pyarrow as pa
import pytest

from lineshaft.clock import now_us
from lineshaft.core.facts import Fact
from lineshaft.core.quality import Reason, bad
from lineshaft.core.signals import Kind
from tests.end_to_end.platform import lineshaft, until
from tests.web.conftest import Feed, House, made

SECOND = 1_000_000
BASE = "lineshaft/demo/test/web/m/"


def ask(house: House, query: str, **more: Any) -> Any:
    """Return the JSON of a successful query."""
    return house.post("sql", {"query": query, **more})


def rows(house: House, query: str, **more: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a successful query."""
    return [tuple(row.values()) for row in ask(house, query, **more)["rows"]]


def refused(house: House, query: str, **more: Any) -> dict[str, Any]:
    """Return how a query was refused."""
    answer = house.ask("POST", "sql", {"query": query, **more})
    assert 400 <= answer.status_code < 500, (query, answer.status_code, answer.text[:500])
    return answer.json()  # type: ignore[no-any-return]


async def test_samples_are_one_row_a_stamp_from_files_late_files_and_tail(
    house: House, feed: Feed
) -> None:
    """Written again and again, late, half of it stored: what counts is the highest number."""
    (sid, other) = house.register(made("sql-a"), made("sql-b"))
    start = now_us() - 3600 * SECOND
    truth: dict[tuple[int, int], float] = {}

    async def put(which: int, seconds: range, plus: float) -> None:
        sent = [(start + at * SECOND, at + plus, 0) for at in seconds]
        await feed.put(which, sent)
        truth.update({(which, ts): v for ts, v, _ in sent})

    await put(sid, range(0, 200), 0)
    await put(other, range(0, 50), 0.5)
    await feed.wait()
    await house.stored()
    await put(sid, range(50, 80), 1000)  # late: files already reach beyond
    await feed.wait()
    await house.stored()
    await put(sid, range(200, 230), 0)
    await put(sid, range(60, 70), 2000)  # late again, perhaps still in the tail
    await feed.wait()
    for _ in range(2):
        found = rows(house, "SELECT sid, ts, value FROM samples WHERE path LIKE '%/sql-_'")
        assert {(s, ts): v for s, ts, v in found} == truth
        assert len(found) == len(truth)
        await house.stored()
    begin, end = (f"make_timestamptz({start + at * SECOND})" for at in (55, 65))
    some = f"ts >= {begin} AND ts < {end}"
    found = rows(
        house, f"SELECT value FROM samples WHERE path = '{BASE}sql-a' AND {some} ORDER BY ts"
    )
    assert [v for (v,) in found] == [*range(1055, 1060), *range(2060, 2065)]


async def test_tables_say_what_the_doors_say(house: House, feed: Feed) -> None:
    (sid,) = house.register(made("sql-text", Kind.STRING, ""))
    at = now_us() - 100 * SECOND
    await feed.put(sid, [(at, None, 0), (at + 5, None, bad(Reason.SENSOR))], ["=on", None])
    gap = {"from": at, "to": at + 9, "cause": "cut"}
    await feed.bus.tell(Fact("link.gap", at, "sql-source", gap))
    await feed.wait()
    assert rows(house, f"SELECT ts, value, text, quality FROM samples WHERE sid = {sid}") == [
        (at, None, "=on", 0), (at + 5, None, None, bad(Reason.SENSOR)),
    ]  # fmt: skip
    kind, source = rows(house, f"SELECT kind, source FROM signals WHERE sid = {sid}")[0]
    assert (kind, source) == ("string", "test")
    query = "SELECT start_at, end_at, cause FROM gaps WHERE source = 'sql-source'"
    assert until("the Fact is kept", lambda: rows(house, query)) == [(at, at + 9, "cut")]
    body = rows(house, "SELECT body->>'cause' FROM facts WHERE subject = 'sql-source'")
    assert body == [("cut",)]
    assert rows(house, "SELECT count(*) FROM sources") == [(len(house.get("sources")["sources"]),)]


def test_a_result_comes_as_json_csv_and_arrow(house: House) -> None:
    query = ("SELECT TIMESTAMPTZ '2026-01-02 03:04:05.678901+00' AS at, 1.5::DECIMAL(4, 2) AS d, "
             "'=1+1' AS text, sum(range) AS big, NULL AS nothing FROM range(4)")  # fmt: skip
    found = ask(house, query)
    at = 1_767_323_045_678_901
    assert found["rows"] == [{"at": at, "d": 1.5, "text": "=1+1", "big": 6, "nothing": None}]
    assert found["is_whole"] is True and found["columns"][2] == {"name": "text", "type": "string"}
    answer = house.ask("POST", "sql", {"query": query, "format": "csv"})
    (line,) = csv.DictReader(io.StringIO(answer.text))
    assert line["at"] == "2026-01-02T03:04:05.678901Z" and line["text"] == "'=1+1"
    answer = house.ask("POST", "sql", {"query": query, "format": "arrow"})
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.schema.field("at").type == pa.timestamp("us", "UTC")
    assert answer.headers["x-lineshaft-whole"] == "true"


def test_a_result_is_bounded_in_rows_and_bytes(house: House) -> None:
    found = ask(house, "SELECT range FROM range(1000000000000)", limit=5)
    assert [row["range"] for row in found["rows"]] == [0, 1, 2, 3, 4]
    assert found["is_whole"] is False
    wide = {"query": "SELECT repeat('x', 1000000) FROM range(1000)", "format": "arrow"}
    answer = house.ask("POST", "sql", wide)
    assert answer.status_code == 200 and len(answer.content) < 80_000_000
    assert answer.headers["x-lineshaft-whole"] == "false"


FORBIDDEN = [
    "COPY (SELECT 1) TO '{file}'", "WITH x AS (COPY (SELECT 1) TO '{file}') SELECT * FROM x",
    "WITH x AS (INSERT INTO signals SELECT * FROM signals RETURNING *) SELECT * FROM x",
    "WITH x AS (DELETE FROM signals RETURNING *) SELECT * FROM x",
    "ATTACH '{file}'", "INSTALL httpfs", "LOAD httpfs", "SET memory_limit = '90GB'",
    "PRAGMA enable_logging", "CALL pragma_version()", "CREATE TABLE t AS SELECT 1",
    "DROP VIEW samples", "EXPORT DATABASE '{file}'", "SELECT 1; SELECT 2", "", ";", "sel",
    "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM read_blob('{key}')",
    "SELECT * FROM glob('/**')", "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_parquet('{history}/*/*.parquet')", "SELECT * FROM '{records}'",
    "SELECT * FROM 'http://127.0.0.1:{port}/x.csv'", "SELECT getenv('HOME')",
    "SELECT * FROM duckdb_settings()", "SELECT current_setting('allowed_paths')",
    "SELECT * FROM duckdb_secrets()", "SELECT * FROM duckdb_views()", "SELECT * FROM own.tail",
    "SELECT * FROM query('SELECT 1')", "SELECT * FROM json_execute_serialized_sql('{{}}')",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))", "FROM arrow_scan(1, 2, 3)",
    "SELECT * FROM information_schema.tables", "FROM sqlite_scan('{records}', 'sessions')",
    "SELECT * FROM (SELECT * FROM parquet_metadata('{history}/x'))", "EXPLAIN ANALYZE SELECT 1",
]  # fmt: skip


@pytest.mark.parametrize("query", FORBIDDEN)
def test_what_is_more_than_reading_is_refused(house: House, tmp_path: Path, query: str) -> None:
    places = {
        "file": tmp_path / "x.csv", "history": house.folder / "history", "port": house.port,
        "records": house.folder / "records.sqlite", "key": house.folder / "keys/platform.key",
    }  # fmt: skip
    said = refused(house, query.format(**places))
    assert said["code"] in {"sql.form", "sql.right", "sql.table", "sql.query"}, said
    assert said["hint"] and house.key not in json.dumps(said) and "root:" not in json.dumps(said)
    assert list(tmp_path.iterdir()) == []


def test_what_costs_too_much_is_refused_and_the_house_stands(house: House) -> None:
    said = refused(house, "SELECT list(range) FROM range(1000000000)")
    assert said["code"] == "sql.memory"
    said = refused(house, "SELECT repeat('x', 4000000000)")
    assert said["code"] in {"sql.memory", "sql.query"}
    assert rows(house, "SELECT 42") == [(42,)]


def children(house: House) -> list[psutil.Process]:
    found = psutil.Process(house.family()["web"]).children(recursive=True)
    return [one for one in found if "lineshaft.web.sql_child" in " ".join(one.cmdline())]


def test_a_child_that_dies_is_an_answer_and_the_next_one_works(house: House) -> None:
    assert rows(house, "SELECT 1") == [(1,)]
    for child in children(house):
        child.kill()
        child.wait(10)
    answer = house.ask("POST", "sql", {"query": "SELECT 2"})
    assert answer.status_code == 200 or answer.json()["code"] == "sql.memory"
    assert rows(house, "SELECT 3") == [(3,)]


async def test_two_at_a_time_and_all_are_answered(house: House) -> None:
    query = "SELECT count(*) AS n FROM range(30000000) a"
    ones = [asyncio.to_thread(rows, house, query) for _ in range(6)]
    assert await asyncio.gather(*ones) == [[(30_000_000,)]] * 6
    assert 1 <= len(children(house)) <= 2


def test_the_child_has_no_environment_and_cannot_open_what_it_was_not_given(house: House) -> None:
    assert rows(house, "SELECT 1") == [(1,)]
    (child, *_) = children(house)
    assert set(child.environ()) <= {"OPENBLAS_NUM_THREADS", "LANG", "LC_CTYPE"}
    limits = Path(f"/proc/{child.pid}/limits").read_text()
    assert "Max file size             0" in limits
    assert "NoNewPrivs:\t1" in Path(f"/proc/{child.pid}/status").read_text()


def test_the_command_prints_a_table_json_and_csv_and_says_what_is_wrong(house: House) -> None:
    where = ("--data", str(house.folder), "--port", str(house.port))
    query = "SELECT 'a\x1b[31m[b]' AS name, TIMESTAMPTZ '2026-01-02 03:04:05Z' AS at, 0.5 AS v"
    done = lineshaft("sql", query, *where)
    assert done.returncode == 0, done.stderr
    head, line = done.stdout.splitlines()[:2]
    assert head.split() == ["name", "at", "v"]
    assert line.split() == ["a�[31m[b]", "2026-01-02T03:04:05.000+00:00", "0.5"]
    done = lineshaft("sql", "SELECT 1 AS one", "--json", *where)
    assert json.loads(done.stdout)["rows"] == [{"one": 1}]
    done = lineshaft("sql", "SELECT 1 AS one", "--csv", *where)
    assert done.stdout == '"one"\n1\n'
    done = lineshaft("sql", "DROP TABLE signals", *where)
    assert done.returncode == 2 and "Ask with SELECT" in done.stderr
    done = lineshaft("sql", "SELECT * FROM range(5)", "--limit", "2", *where)
    assert "first 2 rows" in done.stderr


@pytest.mark.parametrize(
    "query",
    ["SELECT '\ud800'", "SELECT '\0'", "\0", "SELECT " + "(" * 5000 + "1" + ")" * 5000,
     "SELECT " + "+".join(["1"] * 20_000), "SELECT 1 " * 9000, "WITH RECURSIVE r AS (SELECT 1 AS "
     "a UNION ALL SELECT a + 1 FROM r) SELECT max(a) FROM (FROM r LIMIT 100)"],
)  # fmt: skip
def test_odd_queries_are_answered_in_form_and_leave_the_door_open(house: House, query: str) -> None:
    answer = httpx.post(
        f"{house.url}/api/v1/sql", content=json.dumps({"query": query}).encode(), timeout=60,
        headers={"Authorization": f"Bearer {house.key}", "Content-Type": "application/json"},
    )  # fmt: skip
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"code", "message", "hint"}, answer.text
    assert rows(house, "SELECT 7") == [(7,)]
