"""The wall clock drives the plant: speeds, slow machines, writes; and the panel."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest

from lineshaft.core.errors import Refused
from lineshaft.plants.panel import PanelHandler
from lineshaft.plants.plant import Values
from lineshaft.plants.simulation import SPEEDS, TICK_S, Simulation
from lineshaft.plants.williams_otto import WilliamsOttoPlant

TEMPERATURE = "reactor/temperature-sp"


class Probe(WilliamsOttoPlant):
    """Notes what it is asked; `slow_s` is the time that it takes for an hour."""

    def __init__(self, slow_s: float = 0.0) -> None:
        super().__init__()
        self.slow_s = slow_s
        self.commanded: list[tuple[str, float]] = []

    def advance(self, hours: float) -> None:
        time.sleep(self.slow_s * hours)
        super().advance(hours)

    def command(self, key: str, value: float) -> None:
        self.commanded.append((key, value))
        super().command(key, value)


@pytest.mark.parametrize("speed", SPEEDS)
async def test_plant_time_is_wall_time_times_speed(speed: int) -> None:
    plant = Probe()
    simulation = Simulation(plant, speed=speed)
    for tick in range(5):
        await simulation.tick(100.0 + tick * TICK_S)
    assert plant.hours == pytest.approx(4 * TICK_S * speed / 3600)
    assert simulation.values()["plant/clock"] == plant.hours
    assert simulation.values()["plant/speed"] == speed


def test_a_fast_plant_is_looked_at_more_often() -> None:
    """No update is further than a twentieth of a plant hour from the one before."""
    for speed in SPEEDS:
        assert Simulation(Probe(), speed=speed).tick_s * speed / 3600 <= 0.05


async def test_a_slow_machine_shows_the_speed_it_reaches_and_keeps_the_loop_free() -> None:
    plant = Probe(slow_s=8.0)  # an hour in 8 s: 450x at best
    simulation = Simulation(plant, speed=1800)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    heart = asyncio.create_task(beat())
    await simulation.tick(0.0)
    await simulation.tick(TICK_S)
    heart.cancel()
    reached = simulation.values()["plant/speed"]
    assert isinstance(reached, float)
    assert 100 < reached < 1000
    assert plant.hours < TICK_S * 1800 / 3600
    assert beats > 20


async def test_a_stall_is_not_caught_up_in_a_burst() -> None:
    plant = Probe()
    simulation = Simulation(plant, speed=60)
    await simulation.tick(0.0)
    await simulation.tick(3600.0)
    assert plant.hours <= 2 * TICK_S * 60 / 3600 + 1e-9
    assert simulation.reached < 60


@pytest.mark.parametrize("speed", [0, 2, -1, 1e9, True, "60", None])
async def test_other_speeds_are_refused(speed: Any) -> None:
    simulation = Simulation(Probe())
    with pytest.raises(Refused, match="no speed"):
        simulation.speed = speed
    assert simulation.speed == 1


async def test_local_values_reach_the_plant_with_the_next_tick() -> None:
    plant = Probe()
    simulation = Simulation(plant)
    simulation.write(f"{TEMPERATURE}-local", 86.0, 0.0)
    assert plant.commanded == []
    await simulation.tick(0.0)
    assert plant.commanded == [(TEMPERATURE, 86.0)]
    await simulation.tick(0.5)
    assert plant.commanded == [(TEMPERATURE, 86.0)]  # said once
    assert simulation.values()[TEMPERATURE] == 86.0


async def test_heartbeat_fallback_tracks_and_returns_at_the_plants_pace() -> None:
    plant = Probe()
    simulation = Simulation(plant, speed=1800, heartbeat_timeout_s=1.0)
    simulation.write("control/remote", True, 0.0)
    assert simulation.values()["control/state"] == "fallback"
    simulation.write("control/heartbeat", 7, 0.0)
    assert simulation.values()["control/state"] == "remote"
    simulation.write(TEMPERATURE, 99.0, 0.0)
    await simulation.tick(0.0)
    await simulation.tick(0.5)
    assert simulation.values()[TEMPERATURE] == 99.0
    await simulation.tick(1.5)  # half a wall second too late: 1 plant hour has gone by
    values = simulation.values()
    assert values["control/state"] == "fallback"
    assert values[TEMPERATURE] == 84.0
    assert values[f"{TEMPERATURE}-local"] == 84.0
    temperature = [value for key, value in plant.commanded if key == TEMPERATURE]
    assert temperature[0] == 99.0
    assert temperature[-1] == 84.0


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (f"{TEMPERATURE}-local", 100.5, "write.range"),
        (f"{TEMPERATURE}-local", float("nan"), "write.range"),
        (f"{TEMPERATURE}-local", float("inf"), "write.range"),
        (TEMPERATURE, 90.0, "control.local"),
        (TEMPERATURE, 500.0, "write.range"),
        ("reactor/temperature", 90.0, "write.access"),
        ("plant/speed", 60.0, "write.access"),
        ("no/such", 1.0, "write.access"),
    ],
)
async def test_writes_that_cannot_be_are_refused(key: str, value: float, code: str) -> None:
    simulation = Simulation(Probe())
    before = dict(simulation.values())
    with pytest.raises(Refused) as refused:
        simulation.write(key, value, 0.0)
    assert refused.value.code == code
    assert simulation.values() == before


def panel_of(plant: Probe) -> tuple[Simulation, PanelHandler]:
    simulation = Simulation(plant)
    return simulation, PanelHandler(simulation)


async def test_the_panel_shows_and_switches() -> None:
    plant = Probe()
    simulation, panel = panel_of(plant)
    state = await panel.handle({})
    assert state["plant"] == "williams-otto"
    assert state["speeds"] == [1, 60, 1800]
    assert (state["running"], state["tripped"], state["speed"]) == (True, None, 1)
    assert state["notice"] == plant.notice
    assert state == await panel.handle({"state": True})

    assert (await panel.handle({"speed": 60}))["speed"] == 60
    state = await panel.handle({"disturbance": {"id": 9, "on": True}})
    assert [d["id"] for d in state["disturbances"] if d["on"]] == [9]
    plant.advance(5)
    state = await panel.handle({})
    assert (state["running"], state["tripped"]) == (False, "High Reactor Temperature")
    simulation.write(f"{TEMPERATURE}-local", 99.0, 0.0)
    state = await panel.handle({"restart": True})
    assert (state["running"], state["tripped"]) == (True, None)
    assert not any(d["on"] for d in state["disturbances"])
    assert simulation.values()[f"{TEMPERATURE}-local"] == 84.0


@pytest.mark.parametrize(
    "request_",
    [
        {"speed": 7},
        {"speed": True},
        {"speed": "60"},
        {"disturbance": {"id": 99, "on": True}},
        {"disturbance": {"id": 1}},
        {"disturbance": {"id": 1, "on": "yes"}},
        {"restart": False},
        {"restart": True, "speed": 1},
        {"explode": True},
    ],
)
async def test_the_panel_refuses_what_it_does_not_know(request_: Mapping[str, Any]) -> None:
    _, panel = panel_of(Probe())
    before = await panel.handle({})
    with pytest.raises(Refused):
        await panel.handle(request_)
    assert await panel.handle({}) == before


async def test_a_tripped_plant_stands_still_and_says_why() -> None:
    plant = Probe()
    simulation = Simulation(plant, speed=1800)
    await simulation.disturb(9, True)
    now = 0.0
    for _ in range(40):
        now += TICK_S
        await simulation.tick(now)
        if plant.trip:
            break
    values = simulation.values()
    assert values["plant/state"] == "tripped"
    assert values["plant/tripped"] is True
    assert values["plant/trip-cause"] == "High Reactor Temperature"
    assert values["plant/speed"] == 0.0
    stopped: Values = plant.values()
    await simulation.tick(now + TICK_S)
    assert plant.values().tolist() == stopped.tolist()
