"""Twins through the doors: defined, fitted to history, taught, followed, asked."""

import asyncio
import math
from typing import Any

import numpy as np
import pytest

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.core.samples import SampleBlock
from tests.web.conftest import Feed, House, made

SECOND = 1_000_000
GAIN, TAU = 0.8, 40.0


def _machine(seconds: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return a heater's drive (%) and its temperature (Cel), noisy, second by second."""
    dice, x = np.random.default_rng(seed), 20.0
    drive = np.repeat(dice.uniform(10, 90, seconds // 50 + 1), 50)[:seconds]
    shown = np.empty(seconds)
    for k in range(seconds):
        if k:
            decay = math.exp(-1 / TAU)
            x = decay * x + (1 - decay) * (GAIN * drive[k - 1] + 5)
        shown[k] = x + dice.normal(0, 0.2)
    return drive, shown


async def _feed(feed: Feed, sids: list[int], start: int, columns: list[Any]) -> None:
    count = len(columns[0])
    block = SampleBlock.from_columns(
        np.repeat(sids, count), np.tile(start + np.arange(count) * SECOND, len(sids)),
        np.concatenate(columns), np.zeros(count * len(sids), int), origin="test", arrival=now_us(),
    )  # fmt: skip
    feed.number = await feed.bus.publish(block)
    await feed.wait()


def _draft(name: str, drive: int, level: int) -> dict[str, Any]:
    return {"name": name, "machine": "lineshaft/demo/test/web/m", "behaviour": "lag",
            "inputs": {"drive": drive}, "outputs": {"level": level}}  # fmt: skip


async def test_a_twin_is_fitted_taught_followed_and_asked(house: House, feed: Feed) -> None:
    drive, level = house.register(made("heater/drive", unit="%"), made("heater/temp", unit="Cel"))
    start = now_us() - 7200 * SECOND
    columns = list(_machine(3000, 1))
    await _feed(feed, [drive, level], start, columns)

    twin = await asyncio.to_thread(house.post, "twins", _draft("heater", drive, level))
    assert twin["state"] == "waiting" and not twin["is_taught"]
    period = {"from": start, "to": start + 3000 * SECOND}
    fitted = await asyncio.to_thread(
        house.post, f"twins/{twin['id']}/fit", {**period, "keep": True}
    )
    found = fitted["twin"]["parameters"]
    for name, true in (("gain", GAIN), ("time_constant", TAU), ("bias", 5)):
        assert abs(found[name]["value"] - true) < 4 * found[name]["sigma"] + 1e-9, name
        assert found[name]["sigma"] < 0.1 * true
    assert fitted["outputs"]["level"]["r2"] > 0.99

    taught = await asyncio.to_thread(house.post, f"twins/{twin['id']}/learn", period)
    assert taught["is_taught"] and taught["revision"] == 3

    later = start + 4000 * SECOND
    more = list(_machine(400, 2))
    await _feed(feed, [drive, level], later, more)
    estimate = twin["estimates"]["level"]

    async def followed() -> Any:
        while True:
            window = {"from": later, "to": later + 400 * SECOND}
            rows = await asyncio.to_thread(house.get, "raw", sid=estimate, **window)
            if len(rows["v"]) == 400:
                return rows
            await asyncio.sleep(0.1)

    rows = await asyncio.wait_for(followed(), 60)
    error = np.array(rows["v"][50:]) - more[1][50:]
    assert error.std() < 0.3
    state = await asyncio.to_thread(house.get, f"twins/{twin['id']}/state")
    assert state["values"]["level"] == pytest.approx(rows["v"][-1], abs=1.0)
    at = later + 100 * SECOND
    past = await asyncio.to_thread(house.get, f"twins/{twin['id']}/state", at=at)
    held = past["values"]["level"]
    assert held == pytest.approx(rows["v"][100], abs=1e-9)

    full_drive = {"name": "full", "changes": [{"sid": drive, "value": 100.0}]}
    asked = {"twins": [twin["id"]], "horizon_s": 600, "step_s": 10}
    asked |= {"futures": [{"name": "as it is"}, full_drive]}
    answer = await asyncio.to_thread(house.post, "twins/whatif", asked)
    full = answer["futures"][1]["outputs"][0]
    assert full["middle"][-1] == pytest.approx(GAIN * 100 + 5, abs=2)
    assert full["low"][-1] < full["middle"][-1] < full["high"][-1]
    again = await asyncio.to_thread(house.post, "twins/whatif", {**asked, "at": later + SECOND})
    first = again["futures"][0]["outputs"][0]["middle"][0]
    assert first == pytest.approx(rows["v"][1], abs=0.5)

    # The same is answered to whoever asks before a move, as the band over the whole horizon.
    ask = {"twins": [twin["id"]], "moves": [[drive, 100.0], [level, 1.0]], "hours": 1 / 6}
    told = await feed.bus.ask("foresight", "whatif", ask, 60)
    ((sid, low, high),) = told["bands"]
    assert sid == level
    assert high == pytest.approx(max(full["high"]), abs=1.5)
    assert low == pytest.approx(min(full["low"]), abs=1.5)
    with pytest.raises(Refused, match="none of these twins"):
        await feed.bus.ask("foresight", "whatif", {**ask, "moves": [[level, 1.0]]}, 60)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"behaviour": "perpetuum-mobile"}, "twin.behaviour"),
        ({"outputs": {"colour": 1}}, "twin.ports"),
        ({"outputs": {}}, "twin.outputs"),
        ({"outputs": {"level": 2_000_000_000}}, "signal.unknown"),
        ({"machine": "somewhere"}, "path.levels"),
        ({"parameters": {"time_constant": {"value": -1}}}, "twin.parameters"),
        ({"behaviour": "four-tanks", "outputs": {}, "inputs": {}}, "twin.outputs"),
    ],
)
def test_a_twin_that_cannot_be_is_refused(house: House, wrong: Any, code: str) -> None:
    (level,) = house.register(made("heater/level", unit="cm"))
    draft = {**_draft("wrong", level, level), **wrong}
    if "outputs" in wrong and "colour" in wrong["outputs"]:
        draft["outputs"] = {"colour": level}
    answer = house.ask("POST", "twins", draft)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == code


def test_units_that_do_not_fit_are_refused_and_those_that_do_are_converted(house: House) -> None:
    level, wrong = house.register(made("tank/h", unit="m"), made("tank/t", unit="Cel"))
    draft = {**_draft("tanks", 0, 0), "behaviour": "four-tanks", "inputs": {}}
    answer = house.ask("POST", "twins", {**draft, "outputs": {"level_1": wrong}})
    assert answer.json()["code"] == "unit.incompatible"
    made_twin = house.post("twins", {**draft, "outputs": {"level_1": level}})
    stored = house.ask_records("SELECT body FROM twins WHERE id = ?", made_twin["id"])
    assert '"scale": 100.0' in stored[0][0]
    house.ask("DELETE", f"twins/{made_twin['id']}")
    assert house.ask("GET", f"twins/{made_twin['id']}").status_code == 404


def test_two_twins_of_one_name_and_a_stale_change_are_refused(house: House) -> None:
    drive, level = house.register(made("fan/drive"), made("fan/level"))
    twin = house.post("twins", _draft("fan", drive, level))
    assert house.ask("POST", "twins", _draft("fan", drive, level)).status_code == 409
    change = {**_draft("fan", drive, level), "revision": 9}
    assert house.ask("PUT", f"twins/{twin['id']}", change).json()["code"] == "twin.revision"
    changed = house.ask("PUT", f"twins/{twin['id']}", {**change, "revision": 1}).json()
    assert changed["revision"] == 2


async def test_a_twin_is_identified_kept_followed_and_asked(house: House, feed: Feed) -> None:
    drive, level = house.register(made("oven/drive", unit="%"), made("oven/temp", unit="Cel"))
    start = now_us() - 7200 * SECOND
    await _feed(feed, [drive, level], start, list(_machine(3000, 1)))
    draft = {**_draft("oven", drive, level), "behaviour": "identified"}
    twin = await asyncio.to_thread(house.post, "twins", draft)
    path, period = f"twins/{twin['id']}", {"from": start, "to": start + 3000 * SECOND}
    assert house.ask("POST", f"{path}/fit", period).json()["code"] == "twin.behaviour"
    asked = {"twins": [twin["id"]], "horizon_s": 200, "step_s": 10}
    full_drive = {"name": "full", "changes": [{"sid": drive, "value": 100.0}]}
    asked |= {"futures": [{"name": "as it is"}, full_drive]}
    assert house.ask("POST", "twins/whatif", asked).json()["code"] == "twin.model"
    short = {"from": start, "to": start + 60 * SECOND}
    assert house.ask("POST", f"{path}/identify", short).json()["code"] == "twin.identify"

    wanted = {**period, "horizon_s": 20, "keep": True}
    found = await asyncio.to_thread(house.post, f"{path}/identify", wanted)
    assert found["sample_s"] == 1 and found["horizon_s"] == 20
    told = found["outputs"]["level"]
    assert told["rmse"] == pytest.approx(0.2, rel=0.15) and told["r2"] > 0.99
    assert told["rmse_ahead"] < 0.1 * told["persistence"]
    own = found["twin"]["estimates"]
    assert set(own) == {"level", "score", *(f"x{n + 1}" for n in range(found["states"]))}

    later = start + 4000 * SECOND
    more = list(_machine(400, 2))
    await _feed(feed, [drive, level], later, more)

    async def followed() -> Any:
        while True:
            window = {"from": later, "to": later + 400 * SECOND}
            rows = await asyncio.to_thread(house.get, "raw", sid=own["level"], **window)
            if len(rows["v"]) > 390:
                return rows
            await asyncio.sleep(0.1)

    rows = await asyncio.wait_for(followed(), 60)
    error = np.array(rows["v"]) - more[1][-len(rows["v"]) :]
    assert error[50:].std() < 0.25

    at = later + 200 * SECOND
    answer = await asyncio.to_thread(house.post, "twins/whatif", {**asked, "at": at})
    still, full = (one["outputs"][0] for one in answer["futures"])
    assert full["middle"][-1] == pytest.approx(GAIN * 100 + 5, abs=2)
    assert full["low"][-1] < full["middle"][-1] < full["high"][-1]
    assert still["middle"][0] == pytest.approx(more[1][201], abs=1)

    other = {**draft, "inputs": {"power": drive}, "revision": 2}
    assert house.ask("PUT", path, other).json()["estimates"].keys() == {"level", "score"}
