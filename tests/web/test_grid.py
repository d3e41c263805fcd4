"""The doors of grids and statistics against a real platform."""

import csv
import io
from typing import Any

import pyarrow as pa
import pytest

from lineshaft.clock import now_us
from lineshaft.core.quality import Reason, bad
from tests.web.conftest import Feed, House, made

SECOND = 1_000_000
MINUTE = 60 * SECOND
BAD = bad(Reason.SENSOR)


async def _two(house: House, feed: Feed, name: str) -> tuple[list[int], int]:
    """Two signals with four minutes of samples; the second falls out after two."""
    sids = house.register(
        made(f"{name}-a", unit="kg/h", source="grid"), made(f"{name}-b", unit="Cel", source="grid")
    )
    start = now_us() // MINUTE * MINUTE - 60 * MINUTE
    await feed.put(sids[0], [(start + at * 10 * SECOND, float(at), 0) for at in range(24)])
    await house.stored()
    await feed.put(sids[1], [(start, 5.0, 0), (start + 2 * MINUTE, None, BAD)])
    await feed.wait()
    return sids, start


def _ask(house: House, sids: list[int], start: int, **more: Any) -> dict[str, Any]:
    query = {"sid": ",".join(map(str, sids)), "from": start, "to": start + 4 * MINUTE, **more}
    return query


async def test_a_grid_has_a_column_of_cells_for_each_signal(house: House, feed: Feed) -> None:
    sids, start = await _two(house, feed, "grid")
    query = _ask(house, sids[::-1], start, step="1m", how="mean")
    found = house.get("grid", **query)
    assert (found["step"], found["how"]) == (MINUTE, "mean")
    assert found["ts"] == [start + at * MINUTE for at in range(4)]
    assert [one["sid"] for one in found["series"]] == sids[::-1]
    assert found["series"][1]["v"] == [2.5, 8.5, 14.5, 20.5]
    assert found["series"][0]["v"] == [5, None, None, None]
    found = house.get("grid", **{**query, "how": "last", "max_hold": "90s"})
    assert found["series"][0]["v"] == [5, 5, None, None]
    assert found["series"][0]["q"] == [0, 0, BAD, BAD]
    found = house.get("grid", **{**query, "how": "good_share"})
    assert found["series"][0]["v"] == [1, 1, 0, 0]


async def test_a_grid_as_arrow_and_csv_names_paths_and_units(house: House, feed: Feed) -> None:
    sids, start = await _two(house, feed, "table")
    query = _ask(house, sids, start, step="60s", how="first")
    answer = house.ask("GET", "grid", **query, format="arrow")
    table = pa.ipc.open_stream(answer.content).read_all()
    path = "lineshaft/demo/test/web/m/table-a"
    assert table.schema.names[:3] == ["ts", path, f"{path} quality"]
    assert table.schema.field(path).metadata == {b"sid": str(sids[0]).encode(), b"unit": b"kg/h"}
    assert table[path].to_pylist() == [0, 6, 12, 18]
    answer = house.ask("GET", "grid", **query, format="csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [line[f"{path} [kg/h]"] for line in lines] == ["0", "6", "12", "18"]
    assert lines[1]["lineshaft/demo/test/web/m/table-b [Cel]"] == ""


async def test_statistics_of_a_range(house: House, feed: Feed) -> None:
    sids, start = await _two(house, feed, "statistics")
    found = house.get("statistics", **_ask(house, sids, start, low=3, high=20))
    one, two = found["signals"]
    assert (one["sid"], one["count"], one["good_share"], one["held_s"]) == (sids[0], 24, 1, 240)
    assert (one["min"], one["max"]["v"]) == ({"v": 0, "ts": start}, 23)
    assert (one["mean"], one["twa"]) == (pytest.approx(11.5), pytest.approx(11.5))
    assert (one["integral"], one["integral_unit"]) == (pytest.approx(11.5 * 240 / 3600), "kg")
    assert (one["above_s"], one["below_s"]) == (30, 30)
    assert (two["count"], two["good_share"], two["twa"], two["deviation"]) == (1, 0.5, 5, None)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("grid", {"sid": 1}), ("grid", {"sid": 1, "from": 5, "to": 5}),
        ("grid", {"sid": 1, "from": 0, "to": 10**9, "step": "0s"}),
        ("grid", {"sid": 1, "from": 0, "to": 10**9, "step": "1y"}),
        ("grid", {"sid": 1, "from": 0, "to": 10**9, "max_hold": "-1s"}),
        ("grid", {"sid": "1,2", "from": 0, "to": 1_700_000_000 * SECOND, "step": "1s"}),
        ("grid", {"sid": 1, "from": 0, "how": "sum"}), ("statistics", {"sid": 1}),
        ("statistics", {"sid": 1, "from": 0, "low": "nan"}),
        ("statistics", {"sid": "", "from": 0}),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_words(
    house: House, path: str, query: dict[str, Any]
) -> None:
    answer = house.ask("GET", path, **query)
    assert answer.status_code in {400, 422}, answer.text
    assert set(answer.json()) == {"code", "message", "hint"} and all(answer.json().values())
