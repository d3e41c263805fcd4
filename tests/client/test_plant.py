"""The client against a real platform, both twins alike."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

import lineshaft
from lineshaft.client import AsyncPlant, Plant, Table
from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal
from tests.web.conftest import Feed, House

SECOND = 1_000_000
BASE = "lineshaft/demo/client/line"


@pytest.fixture
def plant(house: House) -> Iterator[Plant]:
    with lineshaft.connect(house.url, house.key) as plant:
        yield plant


@pytest.fixture(scope="module")
def sids(house: House) -> dict[str, int]:
    paths = [f"{BASE}/reactor/pressure", f"{BASE}/reactor/state", f"{BASE}/pump-a/speed",
             f"{BASE}/pump-b/speed"]  # fmt: skip
    kinds = [Kind.FLOAT, Kind.STRING, Kind.FLOAT, Kind.FLOAT]
    made = [Signal(0, path, path.rpartition("/")[2], kind, "kPa", source="client")
            for path, kind in zip(paths, kinds, strict=True)]  # fmt: skip
    return dict(zip(paths, house.register(*made), strict=True))


async def _fill(feed: Feed, sids: dict[str, int], ago: int = 60) -> tuple[int, list[float]]:
    """Put a minute of one pressure a second; return its first stamp and its values."""
    start = now_us() - ago * SECOND
    values = [float(at * at % 17) for at in range(60)]
    await feed.put(sids[f"{BASE}/reactor/pressure"],
                   [(start + at * SECOND, v, 0) for at, v in enumerate(values)])  # fmt: skip
    await feed.put(sids[f"{BASE}/reactor/state"], [(start, None, 0)], ["running"])
    await feed.wait()
    return start, values


async def test_every_call_answers_the_same_in_both_twins(
    house: House, feed: Feed, plant: Plant, sids: dict[str, int]
) -> None:
    start, values = await _fill(feed, sids)
    begin, end = datetime.fromtimestamp(start / 1e6, UTC), start + 60 * SECOND
    path = f"{BASE}/reactor/pressure"
    calls: dict[str, tuple[Any, ...]] = {
        "signals": (BASE,), "last": (["…/reactor/pressure", "…/reactor/state"],),
        "raw": (path, start, end), "trend": (path, begin, end), "sources": (),
        "facts": ("link.gap", "client"), "statistics": (path, begin, end),
        "sql": (f"SELECT ts, value FROM samples WHERE path = '{path}' AND "
                f"ts >= make_timestamptz({start}) ORDER BY ts",),
    }  # fmt: skip
    async with lineshaft.connect_async(house.url, house.key) as later:
        assert isinstance(later, AsyncPlant)
        for name, given in calls.items():
            now: Table = await asyncio.to_thread(getattr(plant, name), *given)
            also: Table = await getattr(later, name)(*given)
            assert now.arrow().equals(also.arrow()), name
        grid = await later.grid(path, "10s", "max", start=begin, end=end)
        assert grid.arrow().equals(plant.grid(path, "10s", "max", start=begin, end=end).arrow())
    raw = plant.raw(path, start, end)
    assert raw["value"].to_pylist() == values and raw.columns[:2] == ["path", "ts"]
    assert raw.arrow().schema.field("ts").type == pa.timestamp("us", "UTC")
    assert raw["path"].to_pylist() == [path] * 60
    assert plant.raw(path, last="2h", limit=1000)["value"].to_pylist()[-60:] == values
    assert plant.trend(path, begin, end)["value"].to_pylist()[-60:] == values
    assert plant.sql(calls["sql"][0])["value"].to_pylist() == values
    assert plant.sql("SELECT * FROM range(9)", limit=5).is_whole is False
    newest = {row["path"]: row for row in plant.last(calls["last"][0]).rows()}
    assert newest[path]["value"] == values[-1]
    assert newest[f"{BASE}/reactor/state"]["text"] == "running"
    (line,) = plant.statistics(path, begin, end).rows()
    assert line["count"] == 60 and line["max"] == max(values)
    assert line["max_at"] == begin + timedelta(seconds=values.index(max(values)))


async def test_a_table_opens_in_pandas_and_says_what_is_missing(
    feed: Feed, plant: Plant, sids: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, values = await _fill(feed, sids, ago=3600)
    table = plant.raw("…/reactor/pressure", start, start + 60 * SECOND)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(Refused, match="polars is not installed here"):
        table.polars()
    monkeypatch.setitem(sys.modules, "polars", SimpleNamespace(from_arrow=lambda rows: rows))
    assert table.polars() is table.arrow()
    pandas = pytest.importorskip("pandas")
    frame = table.pandas()
    assert frame["value"].tolist() == values
    assert frame["ts"].iloc[0] == pandas.Timestamp(start, unit="us", tz="UTC")


def test_an_ending_finds_one_signal_or_says_which_there_are(
    plant: Plant, sids: dict[str, int]
) -> None:
    assert plant.last(".../reactor/pressure") is not None
    with pytest.raises(Refused) as caught:
        plant.last(["…/speed"])
    assert caught.value.code == "signal.ambiguous"
    assert f"{BASE}/pump-a/speed, {BASE}/pump-b/speed" in caught.value.hint
    with pytest.raises(Refused, match=f"Did you mean {BASE}/pump-a/speed"):
        plant.last(f"{BASE}/pump-a/sped")
    with pytest.raises(Refused, match="no path"):
        plant.raw([], last="1h")


def test_a_signal_that_is_new_is_found_at_once(house: House, plant: Plant) -> None:
    with pytest.raises(Refused):
        plant.last("…/fresh/one")
    house.register(Signal(0, f"{BASE}/fresh/one", "one", Kind.FLOAT, "", source="client"))
    assert len(plant.last("…/fresh/one")) == 0


def test_errors_are_the_platforms_own_words(house: House, plant: Plant) -> None:
    with pytest.raises(Refused) as caught:
        plant.sql("SELECT * FROM read_text('/etc/passwd')")
    assert (caught.value.code, caught.value.status) == ("sql.right", 403)
    assert caught.value.hint
    with (
        lineshaft.connect(house.url, "no-such-token") as stranger,
        pytest.raises(Refused) as caught,
    ):
        stranger.sources()
    assert caught.value.status == 401


async def _next(feed: Feed, values: Any, sid: int, v: float) -> Any:
    await feed.put(sid, [(now_us(), v, 0)])
    return await asyncio.wait_for(anext(values), 20)


async def test_live_tells_changes_and_ends_when_asked(
    house: House, feed: Feed, sids: dict[str, int]
) -> None:
    path = f"{BASE}/pump-a/speed"
    async with lineshaft.connect_async(house.url, house.key) as plant:
        values = plant.live("…/pump-a/speed")
        reading = asyncio.ensure_future(anext(values))
        for v in (1.0, 2.0):
            await feed.put(sids[path], [(now_us(), v, 0)])
            told = await asyncio.wait_for(reading, 20)
            while told.value != v:  # what held before comes first
                told = await asyncio.wait_for(anext(values), 20)
            assert told.path == path and told.quality == 0
            assert abs(told.time - datetime.now(UTC)) < timedelta(seconds=20)
            reading = asyncio.ensure_future(anext(values))
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await asyncio.wait_for(values.aclose(), 5)


async def test_live_of_the_waiting_twin_ends_from_another_thread(
    feed: Feed, plant: Plant, sids: dict[str, int]
) -> None:
    await feed.put(sids[f"{BASE}/pump-b/speed"], [(now_us(), 5.0, 0)])
    await feed.wait()
    with plant.live("…/pump-b/speed") as values:
        reading = asyncio.ensure_future(asyncio.to_thread(lambda: [v.value for v in values]))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(1, values.close)
        assert await asyncio.wait_for(reading, 20) == [5.0]


def test_the_package_alone_loads_nothing() -> None:
    script = "import sys, lineshaft; print([m for m in sys.modules if m.startswith('lineshaft.')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    script = "import lineshaft, sys; lineshaft.connect; print('fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False"
