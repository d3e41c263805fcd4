"""The list of signals: numbers given once, paths unique, units judged, one door."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal
from lineshaft.records import metadata, open_records
from lineshaft.rooms.plant import PlantService, SignalStore, router
from lineshaft.rooms.plant.engine import unit_note

PREFIX = "lineshaft/demo/a/b"


@pytest.fixture
def store(tmp_path: Path) -> SignalStore:
    engine = open_records(tmp_path / "records.db")
    metadata.create_all(engine)
    return SignalStore(engine, lambda: 1_790_000_000_000_000)


def draft(path: str, unit: str = "kPa", kind: Kind = Kind.FLOAT, **more: object) -> Signal:
    return Signal(0, f"{PREFIX}/{path}", path, kind, unit, source="s1", **more)  # type: ignore[arg-type]


def test_a_signal_keeps_its_number(store: SignalStore) -> None:
    first, second = store.register([draft("m/a"), draft("m/b")])
    assert first.sid != second.sid
    again, other = store.register([draft("m/b", high=5.0, low=1.0), draft("m/a")])
    assert (again.sid, other.sid) == (second.sid, first.sid)
    assert store.of_source("s1") == [first, again]
    assert again.high == 5.0


def test_another_unit_or_kind_is_another_signal(store: SignalStore) -> None:
    (first,) = store.register([draft("m/a")])
    (second,) = store.register([draft("m/a", unit="bar")])
    (third,) = store.register([draft("m/a", unit="bar", kind=Kind.INT)])
    assert len({first.sid, second.sid, third.sid}) == 3
    assert [one.sid for one in store.of_source("s1")] == [third.sid]
    everything = store.list(retired=True)
    assert {one.signal.sid: one.retired_at is not None for one in everything} == {
        first.sid: True, second.sid: True, third.sid: False,
    }  # fmt: skip


def test_renaming_keeps_the_number_and_frees_the_path(store: SignalStore) -> None:
    (first,) = store.register([draft("m/a")])
    store.rename(first.sid, f"{PREFIX}/m/z")
    (new,) = store.register([draft("m/a")])
    assert new.sid > first.sid
    assert [one.signal.sid for one in store.list(prefix=f"{PREFIX}/m")] == [new.sid, first.sid]
    assert store.list(prefix=f"{PREFIX}/m/z")[0].signal.sid == first.sid
    assert store.list(prefix=f"{PREFIX}/m_") == []


def test_one_bad_path_registers_nothing(store: SignalStore) -> None:
    with pytest.raises(Refused):
        store.register([draft("m/a"), draft("Not A Path")])
    assert store.list() == []


def test_two_thousand_at_once(store: SignalStore) -> None:
    made = store.register([draft(f"m{i // 10}/v{i}") for i in range(2000)])
    assert len({one.sid for one in made}) == 2000
    assert store.register([draft(f"m{i // 10}/v{i}") for i in range(2000)]) == made


def test_senseless_ranges_are_left_out(store: SignalStore) -> None:
    (made,) = store.register([draft("m/a", low=5.0, high=5.0, limit_low=float("nan"), decimals=99)])
    assert (made.low, made.high, made.limit_low, made.decimals) == (None, None, None, None)


@pytest.mark.parametrize(
    "unit",
    ["", "1", "%", "kPa", "Cel", "m3/h", "kg/h", "kW", "[USD]/kmol", "[ppm]", "J/(kg.K)", "m/s2",
     "L/min", "h", "1/min", "bar", "mbar", "[psi]", "uS/cm", "kW.h", "%{mol}", "Pa.s", "[degF]"],
)  # fmt: skip
def test_units_that_are_known(unit: str) -> None:
    assert unit_note(unit) == ""


@pytest.mark.parametrize("unit", ["kscmh", "furlongs", "m³/h", "°C", "kilo gram", "x" * 80])
def test_units_that_are_not(unit: str) -> None:
    assert unit_note(unit)


@given(st.text(max_size=30))
def test_no_text_breaks_the_judgement(unit: str) -> None:
    assert isinstance(unit_note(unit), str)


async def test_the_door(store: SignalStore) -> None:
    store.register([draft("m/a", unit="kscmh"), draft("m/b", writable=True)])
    app = FastAPI()
    app.include_router(router(PlantService(store)), prefix="/api/v1")
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")
    asked = await client.get("/api/v1/signals", params={"prefix": PREFIX, "source": "s1"})
    found = asked.json()
    assert [s["path"] for s in found["signals"]] == [f"{PREFIX}/m/a", f"{PREFIX}/m/b"]
    first = found["signals"][0]
    assert first["kind"] == "float" and first["unit"] == "kscmh" and first["unit_note"]
    described = app.openapi()["components"]["schemas"]["SignalView"]["properties"]
    assert set(described) == set(first)
