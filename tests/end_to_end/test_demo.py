"""The demo, from an empty folder to a plant on the screen, for both plants."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.platform import Platform, running, until

TEP = "lineshaft/demo/chem/tep"
SET_POINTS = 9
# Downs and Vogel (1993), tables 4 and 5: XMEAS(1) to XMEAS(41).
MEASUREMENTS = [
    "feed/a-flow", "feed/d-flow", "feed/e-flow", "feed/ac-flow", "compressor/recycle-flow",
    "reactor/feed-flow", "reactor/pressure", "reactor/level", "reactor/temperature", "purge/flow",
    "separator/temperature", "separator/level", "separator/pressure", "separator/underflow",
    "stripper/level", "stripper/pressure", "product/flow", "stripper/temperature",
    "stripper/steam-flow", "compressor/work", "reactor/cooling-water-temperature",
    "condenser/cooling-water-temperature",
    *(f"reactor/feed-{name}" for name in "abcdef"),
    *(f"purge/composition-{name}" for name in "abcdefgh"),
    *(f"product/composition-{name}" for name in "defgh"),
]  # fmt: skip


@pytest.fixture(scope="module")
def tep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("tep") / "data"
    with running(folder, "--plant", "tep") as platform:
        platform.wait_connected()
        yield platform


def last(platform: Platform, prefix: str) -> dict[str, dict[str, Any]]:
    """Return the newest sample of each signal below a prefix, by the path below it."""
    listed = {s["sid"]: path for path, s in platform.signals().items() if path.startswith(prefix)}
    rows = platform.get("last", sid=",".join(map(str, listed)))
    names = ("ts", "v", "s", "q", "seq")
    return {
        listed[sid].removeprefix(prefix + "/"): dict(zip(names, row, strict=True))
        for sid, *row in zip(rows["sid"], *(rows[name] for name in names), strict=True)
    }


def test_all_41_measurements_are_live_with_units_and_ranges(tep: Platform) -> None:
    assert len(MEASUREMENTS) == 41
    signals = tep.signals()
    for name in MEASUREMENTS:
        signal = signals[f"{TEP}/{name}"]
        assert signal["unit"] and signal["kind"] == "float", name
        assert signal["low"] < signal["high"], name
    values = last(tep, TEP)
    for name in MEASUREMENTS:
        row, signal = values[name], signals[f"{TEP}/{name}"]
        assert row["q"] == 0, name
        assert signal["low"] <= row["v"] <= signal["high"], name


def test_the_operating_limits_of_the_plant_are_known(tep: Platform) -> None:
    signals = tep.signals()
    assert signals[f"{TEP}/reactor/pressure"]["limit_high"] == 2895
    assert signals[f"{TEP}/reactor/temperature"]["limit_high"] == 150
    for vessel, low in {"reactor": 50, "separator": 30, "stripper": 30}.items():
        level = signals[f"{TEP}/{vessel}/level"]
        assert (level["limit_low"], level["limit_high"]) == (low, 100)


def test_cost_set_points_and_margins_are_there(tep: Platform) -> None:
    values, signals = last(tep, TEP), tep.signals()
    assert 50 < values["economics/cost"]["v"] < 500
    assert signals[f"{TEP}/economics/cost"]["unit"] == "[USD]/h"
    points = {p: s for p, s in signals.items() if p.endswith("-sp")}
    assert len(points) == SET_POINTS and all(s["writable"] for s in points.values())
    for path, signal in points.items():
        assert signal["low"] <= values[path.removeprefix(TEP + "/")]["v"] <= signal["high"], path
    assert values["reactor/pressure-margin"]["v"] > 0


def test_values_move(tep: Platform) -> None:
    before = last(tep, TEP)
    fast = [n for n in MEASUREMENTS if "feed-" not in n and "composition" not in n]

    def moved() -> bool:
        now = last(tep, TEP)
        return sum(now[name]["v"] != before[name]["v"] for name in fast) > 0.8 * len(fast)

    until("most of the continuous measurements changed", moved)
    count = last(tep, TEP)["plant/counter"]["v"]
    until("the counter counts", lambda: last(tep, TEP)["plant/counter"]["v"] >= count + 10)


def test_the_source_is_connected_and_secured(tep: Platform) -> None:
    source = tep.source()
    assert (source["task"], source["link"]) == ("running", "connected")
    assert (source["policy"], source["mode"]) == ("Basic256Sha256", "SignAndEncrypt")
    assert source["user"] and source["certificate"]["trusted"]
    own = [path for path, signal in tep.signals().items() if signal["source"] == "demo"]
    assert source["signals"] == len(own) > 41 + 12 + 9
    until("its rate is known", lambda: tep.source()["rate"] > 10)
    assert "password" not in str(source).lower()
    kinds = [fact["kind"] for fact in tep.facts("task.started", "link.connected", "link.gap")]
    assert kinds == ["task.started", "link.connected"]


def test_its_twins_are_there_and_follow(tep: Platform) -> None:
    def followed() -> Any:
        twins = tep.get("twins")["twins"]
        return len(twins) == 4 and all(one["state"] == "untaught" for one in twins) and twins

    twins = until("four twins follow their machines", followed)
    signals = {signal["sid"]: path for path, signal in tep.signals().items()}
    for twin in twins:
        own = twin["estimates"]["level"], twin["outputs"]["level"]
        rows = tep.get("last", sid=",".join(map(str, own)))
        shown = dict(zip(rows["sid"], rows["v"], strict=True))
        assert shown[own[0]] == pytest.approx(shown[own[1]], rel=0.2), twin["name"]
        assert signals[own[0]].startswith(twin["machine"] + "/")
        assert signals[twin["clock"]] == f"{TEP}/plant/speed"


def test_no_process_was_started_twice(tep: Platform) -> None:
    system = tep.get("system")
    names = [process["name"] for process in system["processes"]]
    assert names == ["bus", "plant", "connect", "history", "twins", "decide", "web"]
    assert all((p["state"], p["restarts"]) == ("running", 0) for p in system["processes"])
    assert system["demo"] is True and system["notices"] == []
    until("rate and memory are measured", lambda: tep.get("system")["samples_per_s"] > 10)


def test_the_panel_changes_the_speed_and_the_speed_signal_shows_it(tep: Platform) -> None:
    panel = tep.get("panel")
    assert (panel["plant"], panel["running"], panel["tripped"]) == ("tep", True, None)
    assert panel["speeds"] == [1, 60, 1800] and "Downs" in panel["notice"]
    assert last(tep, TEP)["plant/speed"]["v"] == 1
    assert tep.post("panel", {"speed": 60})["speed"] == 60
    until("the speed shows", lambda: last(tep, TEP)["plant/speed"]["v"] > 10)
    until("the source declares it", lambda: tep.source()["plant_speed"] > 10)
    refused = tep.ask("POST", "panel", {"speed": 7})
    assert refused.status_code == 400 and refused.json()["hint"]
    tep.post("panel", {"speed": 1})
    until("the speed is back", lambda: last(tep, TEP)["plant/speed"]["v"] == 1)


def test_the_panel_switches_disturbances(tep: Platform) -> None:
    after = tep.post("panel", {"disturbance": {"id": 4, "on": True}})
    assert [d["id"] for d in after["disturbances"] if d["on"]] == [4]
    after = tep.post("panel", {"disturbance": {"id": 4, "on": False}})
    assert not any(d["on"] for d in after["disturbances"])
    assert tep.ask("POST", "panel", {"disturbance": {"id": 99, "on": True}}).status_code == 400


@pytest.mark.long
def test_the_other_plant_has_the_same_manners(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("wo") / "data"
    with running(folder, "--plant", "williams-otto", "--speed", "60") as platform:
        platform.wait_connected()
        prefix = "lineshaft/demo/chem/wo"
        signals, before = platform.signals(), last(platform, prefix)
        assert platform.source()["view"] == "williams-otto"
        assert all(path.startswith(prefix) for path in signals)
        assert platform.get("panel")["plant"] == "williams-otto"
        assert all(row["q"] == 0 for row in before.values())
        writable = [path for path, s in signals.items() if s["writable"] and path.endswith("-sp")]
        assert writable and all(signals[path]["low"] is not None for path in writable)
        count = before["plant/counter"]["v"]
        until("it counts", lambda: last(platform, prefix)["plant/counter"]["v"] >= count + 10)
        assert platform.stop() < 10
        assert platform.left() == []
