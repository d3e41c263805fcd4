"""The list of signals: numbers given once, paths unique, units judged, one door."""

from dataclasses import replace
from pathlib import Path

import httpx
import orjson
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.core.facts import Fact
from lineshaft.core.signals import Kind, Signal
from lineshaft.records import metadata, open_records
from lineshaft.rooms.plant.engine import edited, unit_note
from lineshaft.rooms.plant.routes import router
from lineshaft.rooms.plant.service import PlantService
from lineshaft.rooms.plant.store import SignalStore

PREFIX = "lineshaft/demo/a/b"


@pytest.fixture
def store(tmp_path: Path) -> SignalStore:
    engine = open_records(tmp_path / "records.db")
    metadata.create_all(engine)
    return SignalStore(engine, lambda: 1_790_000_000_000_000)


def draft(path: str, unit: str = "kPa", kind: Kind = Kind.FLOAT, **more: object) -> Signal:
    name = str(more.pop("name", path))
    return Signal(0, f"{PREFIX}/{path}", name, kind, unit, source="s1", **more)  # type: ignore[arg-type]


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


def test_renaming_keeps_the_number_and_its_source_finds_it(store: SignalStore) -> None:
    (first,) = store.register([draft("m/a")])
    store.change(first.sid, 1, {"path": f"{PREFIX}/m/z"})
    (again,) = store.register([draft("m/a", description="said anew")])
    assert (again.sid, again.path) == (first.sid, f"{PREFIX}/m/z")
    assert again.description == "said anew"
    (other,) = store.register([replace(draft("m/a"), source="s2")])
    assert other.sid != first.sid and other.path == f"{PREFIX}/m/a"
    assert [one.signal.sid for one in store.list(prefix=f"{PREFIX}/m")] == [other.sid, first.sid]
    assert store.list(prefix=f"{PREFIX}/m/z")[0].signal.sid == first.sid
    assert store.list(prefix=f"{PREFIX}/m_") == []


def test_who_finds_its_path_taken_by_a_moved_signal_gets_the_next(store: SignalStore) -> None:
    (first,) = store.register([draft("m/a")])
    store.change(first.sid, 1, {"path": f"{PREFIX}/m/b"})
    (second,) = store.register([draft("m/b")])
    assert (second.sid, second.path) == (first.sid + 1, f"{PREFIX}/m/b-2")
    again = store.register([draft("m/b"), draft("m/a")])
    assert [(s.sid, s.path) for s in again] == [
        (second.sid, f"{PREFIX}/m/b-2"), (first.sid, f"{PREFIX}/m/b"),
    ]  # fmt: skip


def test_what_a_person_edited_stays_until_taken_back(store: SignalStore) -> None:
    (made,) = store.register([draft("m/a", "", low=0.0, high=10.0)])
    wanted = {"name": "Druck", "unit": "kPa", "limit_high": 8.0}
    _, now = store.change(made.sid, 1, wanted)
    assert now.signal.unit == "kPa" and set(now.declared) == {
        "name", "unit", "limit_low", "limit_high"}  # fmt: skip
    (again,) = store.register([draft("m/a", "", low=0.0, high=20.0, limit_low=1.0)])
    assert (again.name, again.unit, again.limit_high, again.high) == ("Druck", "kPa", 8.0, 20.0)
    assert again.limit_low is None and again.sid == made.sid
    revision = store.list()[0].revision
    back = {"name": "m/a", "unit": "", "limit_low": 1.0, "limit_high": None}
    _, now = store.change(made.sid, revision, back)
    assert now.declared == {}
    (third,) = store.register([draft("m/a", "bar")])
    assert third.sid != made.sid


def test_another_unit_keeps_the_path_and_texts_that_people_gave(store: SignalStore) -> None:
    (made,) = store.register([draft("m/a")])
    store.change(made.sid, 1, {"path": f"{PREFIX}/m/z", "name": "Z", "limit_low": 1.0})
    (new,) = store.register([draft("m/a", "bar")])
    assert (new.path, new.name, new.limit_low) == (f"{PREFIX}/m/z", "Z", None)
    assert new.sid != made.sid
    assert store.register([draft("m/a", "bar")]) == [new]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [({"unit": "bar"}, "signal.unit"), ({"path": "x"}, "path.levels"),
     ({"name": " "}, "signal.text"), ({"low": 5.0, "high": 5.0}, "signal.range"),
     ({"high": float("inf")}, "signal.number"),
     ({"decimals": 16}, "signal.number"), ({"path": f"{PREFIX}/m/b"}, "signal.path"),
     ({"description": "a\x00b"}, "signal.text")],
)  # fmt: skip
def test_an_edit_that_cannot_be_is_refused(
    store: SignalStore, wanted: dict[str, object], code: str
) -> None:
    first, _ = store.register([draft("m/a"), draft("m/b")])
    before = store.list()
    with pytest.raises(Refused) as refused:
        store.change(first.sid, 1, wanted)
    assert refused.value.code == code
    assert store.list() == before


def test_an_edit_of_what_was_changed_meanwhile_is_refused(store: SignalStore) -> None:
    (made,) = store.register([draft("m/a")])
    store.change(made.sid, 1, {"name": "A"})
    with pytest.raises(Refused, match="meanwhile"):
        store.change(made.sid, 1, {"name": "B"})
    assert store.list()[0].signal.name == "A"


def test_signals_exchange_their_paths_or_nothing_happens(store: SignalStore) -> None:
    store.register([draft("m/a"), draft("m/b"), draft("m/c")])
    a, b, c = store.list()
    swap = [(a, edited(a, {"path": b.signal.path})), (b, edited(b, {"path": a.signal.path}))]
    late = (replace(c, revision=7), edited(c, {"name": "C"}))
    with pytest.raises(Refused, match="meanwhile"):
        store.change_all([*swap, late])
    assert store.list() == [a, b, c]
    store.change_all(swap)
    assert [one.signal.sid for one in store.list()] == [b.signal.sid, a.signal.sid, c.signal.sid]


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


class Told:
    """Keeps the Facts that were told."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    async def tell(self, fact: Fact) -> None:
        self.facts.append(fact)


async def test_the_door(store: SignalStore) -> None:
    store.register([draft("m/a", unit="kscmh"), draft("m/b", writable=True)])
    app = FastAPI()
    app.include_router(router(PlantService(store, Told())), prefix="/api/v1")
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")
    asked = await client.get("/api/v1/signals", params={"prefix": PREFIX, "source": "s1"})
    found = asked.json()
    assert [s["path"] for s in found["signals"]] == [f"{PREFIX}/m/a", f"{PREFIX}/m/b"]
    first = found["signals"][0]
    assert first["kind"] == "float" and first["unit"] == "kscmh" and first["unit_note"]
    described = app.openapi()["components"]["schemas"]["SignalView"]["properties"]
    assert set(described) == set(first)
    columns = (await client.get("/api/v1/signals", params={"format": "columns"})).json()["signals"]
    assert [
        dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
    ] == found["signals"]


def test_the_kept_list_is_never_old(store: SignalStore) -> None:
    service = PlantService(store, Told())

    def names() -> list[str]:
        return list(orjson.loads(service.columns())["signals"]["name"])

    assert names() == []
    first, _ = store.register([draft("m/a"), draft("m/b")])
    assert names() == ["m/a", "m/b"]
    store.change(first.sid, 1, {"name": "A"})
    assert names() == ["A", "m/b"]
    store.register([draft("m/b", high=5.0)])
    assert orjson.loads(service.columns())["signals"]["high"] == [None, 5.0]
    store.register([draft("m/b", unit="bar", name="new")])
    assert names() == ["A", "new"]
    assert service.columns() is service.columns()
