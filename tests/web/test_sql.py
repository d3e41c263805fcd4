"""SQL over a snapshot: right answers from files, late files and tail; and walls that hold."""

from typing import Any

from lineshaft.clock import now_us
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
    some = f"ts >= make_timestamptz({start + 55 * SECOND}) AND ts < make_timestamptz({start + 65 * SECOND})"
    found = rows(
        house, f"SELECT value FROM samples WHERE path = '{BASE}sql-a' AND {some} ORDER BY ts"
    )
    assert [v for (v,) in found] == [*range(1055, 1060), *range(2060, 2065)]
