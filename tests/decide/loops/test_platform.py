"""Loops on the whole platform, over real OPC UA: refused, promoted, approved, stopped, killed.

The plant is the Williams-Otto reactor at 1,800 times the wall's speed.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.platform import Platform, running, until

PLANT = "lineshaft/demo/chem/wo"
HANDLES = ("feed/b-flow-sp", "reactor/temperature-sp")
PATIENCE_S = 150.0
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("loops") / "data"
    environ = {"LINESHAFT__PLANT__KIND": "williams-otto"}
    with running(folder, environ=environ) as platform:
        platform.wait_connected()
        platform.post("panel", {"speed": 1800})
        yield platform


def _sid(platform: Platform, key: str) -> int:
    return int(platform.signals()[f"{PLANT}/{key}"]["sid"])


def _draft(platform: Platform, name: str, **other: Any) -> dict[str, Any]:
    known = {path.removeprefix(f"{PLANT}/"): one for path, one in platform.signals().items()}
    handles = [
        {"sid": known[key]["sid"], "low": known[key]["low"], "high": known[key]["high"],
         "rate": (known[key]["high"] - known[key]["low"]) / 5}
        for key in HANDLES
    ]  # fmt: skip
    return {
        "name": name, "machine": f"{PLANT}/plant", "handles": handles,
        "goal": {"expression": f'"{PLANT}/economics/profit"', "sense": "maximise"},
        "limits": [{"sid": known["reactor/temperature"]["sid"], "low": 70, "high": 100}],
        "clock": known["plant/speed"]["sid"], "period_h": 0.25, "settle_h": 4, "tolerance": 0.1,
        "settings": {"observe": 12, "segment": 6},
        "remote": {"wish": known["control/remote"]["sid"],
                   "heartbeat": known["control/heartbeat"]["sid"]},
        "conditions": {"answer_s": 600, "fresh_s": 60}, **other,
    }  # fmt: skip


def _refused(platform: Platform, code: str, **changed: Any) -> dict[str, Any]:
    answer = platform.ask("POST", "decisions/loops", _draft(platform, "bad", **changed))
    assert answer.status_code in (400, 404, 409, 422), answer.text
    found: dict[str, Any] = answer.json()
    assert found["code"] == code and found["message"], found
    checked = platform.post("decisions/check", _draft(platform, "bad", **changed))
    assert (checked["ok"], checked["code"]) == (False, code)
    return found


@pytest.mark.long
def test_what_cannot_run_is_refused_with_the_reason_before_anything_runs(
    platform: Platform,
) -> None:
    temperature, level = _sid(platform, "reactor/temperature"), _sid(platform, "reactor/level")
    flow = _sid(platform, HANDLES[0])
    handle = {"sid": flow, "low": 2.0, "high": 8.0, "rate": 1.0}
    _refused(platform, "loop.signal", inputs=[999_999])
    _refused(platform, "loop.writable", handles=[{**handle, "sid": level}])
    found = _refused(platform, "loop.range", handles=[{**handle, "high": 9.0}])
    assert "2 to 8 kg/s" in found["hint"]
    _refused(platform, "loop.unit", handles=[{**handle, "unit": "t/h"}])
    _refused(platform, "loop.limit", limits=[{"sid": temperature, "low": 90, "high": 91,
                                              "back_off": 1}])  # fmt: skip
    _refused(platform, "loop.limit", limits=[{"sid": temperature, "low": 131}])
    _refused(platform, "expression.wrong", goal={"expression": '"a/b/c/d/e/none"'})
    goal = {"expression": f'"{PLANT}/economics/profit"', "unit": "kPa"}
    _refused(platform, "expression.wrong", goal=goal)
    _refused(platform, "loop.settings", settings={"speed": 3})
    assert not any(one["name"] == "bad" for one in platform.get("decisions")["loops"])


@pytest.fixture(scope="module")
def loop(platform: Platform) -> dict[str, Any]:
    made: dict[str, Any] = platform.post("decisions/loops", _draft(platform, "test"))
    return made


def _look(platform: Platform, loop: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = platform.get(f"decisions/loops/{loop['id']}")
    return found


def _promote(platform: Platform, loop: dict[str, Any], mode: str) -> dict[str, Any]:
    def ready() -> bool:
        return bool(_look(platform, loop)["ladder"]["may_promote"])

    until(f"the record in {mode} suffices", ready, PATIENCE_S)
    found: dict[str, Any] = platform.post(f"decisions/loops/{loop['id']}/promote", {"mode": mode})
    return found


@pytest.mark.long
def test_in_shadow_it_watches_and_moves_nothing(platform: Platform, loop: dict[str, Any]) -> None:
    assert loop["mode"] == "shadow"
    early = platform.ask("POST", f"decisions/loops/{loop['id']}/promote", {"mode": "shadow"})
    assert (early.status_code, early.json()["code"]) == (409, "loop.record")
    until("it has decided", lambda: _look(platform, loop)["figures"]["now"], PATIENCE_S)
    shown = _look(platform, loop)
    assert shown["state"] == "running", shown["why"]
    assert all(one["now"] is not None for one in shown["handles"] + shown["limits"])
    sids = shown["signals"]
    until("its figures are signals", lambda: platform.get(
        "last", sid=f"{sids['objective']},{sids['mode']}")["sid"], PATIENCE_S)  # fmt: skip
    assert platform.get("decisions/moves", loop=loop["id"])["moves"] == []


@pytest.mark.long
def test_it_climbs_the_ladder_one_step_at_a_time_and_asks_persons(
    platform: Platform, loop: dict[str, Any]
) -> None:
    assert _promote(platform, loop, "shadow")["mode"] == "advisory"
    assert platform.ask("POST", f"decisions/loops/{loop['id']}/promote",
                        {"mode": "shadow"}).status_code == 409  # fmt: skip
    assert _promote(platform, loop, "advisory")["mode"] == "supervised"
    waiting = until("it asks", lambda: _look(platform, loop)["waiting"], PATIENCE_S)
    assert waiting["needs"] == 1 and waiting["moves"]
    assert platform.get("decisions/moves", loop=loop["id"])["moves"] == []
    platform.post(f"decisions/proposals/{waiting['id']}/approve", {"reason": "looks right"})

    def done() -> list[dict[str, Any]]:
        moves: list[dict[str, Any]] = platform.get("decisions/moves", loop=loop["id"])["moves"]
        mine = [one for one in moves if one["proposal"] == waiting["id"] and one["ending"]]
        return mine if len(mine) == len(waiting["moves"]) else []

    for move in until("what was approved is done", done, PATIENCE_S):
        assert (move["ending"], move["approvals"]) == ("done", ["local"]), move
        assert all(one["passed"] for one in move["verdicts"]) and len(move["verdicts"]) > 8
        why = platform.get(f"decisions/moves/{move['id']}/why")
        assert why["mode"] == "supervised" and why["as_of"] > 0
        assert {one["sid"] for one in why["samples"]} >= {move["sid"], loop["goal_sid"]}
        assert why["loop"]["name"] == "test" and why["evidence"]
        _until_in_force(platform, move["sid"], move["read_back"])


def _until_in_force(platform: Platform, sid: int, value: float) -> None:
    def shown() -> bool:
        return bool(platform.get("last", sid=sid)["v"][0] == pytest.approx(value))

    until("the plant has it", shown, 30)


@pytest.mark.long
def test_the_big_stop_brings_every_loop_to_shadow_at_once(
    platform: Platform, loop: dict[str, Any]
) -> None:
    stopped = platform.post("decisions/stop", {"reason": "a test"})
    assert loop["id"] in stopped["loops"]
    shown = platform.get("decisions")
    assert {one["mode"] for one in shown["loops"]} == {"shadow"}
    assert shown["stopped"]["reason"] == "a test"
    count = len(platform.get("decisions/moves", loop=loop["id"])["moves"])
    time.sleep(3)
    assert len(platform.get("decisions/moves", loop=loop["id"])["moves"]) == count

    def state() -> str:
        rows = platform.get("last", sid=_sid(platform, "control/state"))
        return str(rows["s"][0])

    until("the plant is its own master again", lambda: state() == "local", 30)


def _climb(platform: Platform, loop: dict[str, Any]) -> None:
    for mode in ("shadow", "advisory", "supervised"):
        if _look(platform, loop)["mode"] == mode:
            _promote(platform, loop, mode)


@pytest.mark.long
def test_killed_at_any_moment_nothing_is_sent_again_and_every_command_ends_once(
    platform: Platform, loop: dict[str, Any]
) -> None:
    dice = random.Random(5)
    _climb(platform, loop)
    for _ in range(6):
        until("it moves", lambda: _look(platform, loop)["figures"]["moves"], PATIENCE_S)
        time.sleep(dice.uniform(0, 1.5))
        os.kill(platform.family()["decide"], signal.SIGKILL)
        until("it runs again", lambda: "decide" in platform.family(), 60)

    def ended() -> bool:
        moves = platform.get("decisions/moves", loop=loop["id"], limit=1000)["moves"]
        return bool(moves) and all(one["ending"] for one in moves)

    platform.post("decisions/stop", {"reason": "the end of a test"})
    until("all Commands have ended", ended, 60)
    kinds = ("command.done", "command.failed", "command.refused", "command.expired")
    moves = platform.get("decisions/moves", loop=loop["id"], limit=1000)["moves"]

    def told() -> Counter[str]:
        return Counter(str(one["body"]["id"]) for one in platform.facts(*kinds))

    until("all are told", lambda: set(told()) >= {one["id"] for one in moves}, 60)
    assert set(told().values()) == {1}
    bounds = {one["sid"]: (one["low"], one["high"]) for one in loop["handles"]}
    for move in moves:
        low, high = bounds[move["sid"]]
        assert low <= move["value"] <= high


@pytest.mark.trial
def test_a_promoted_loop_makes_the_plant_earn_more(
    platform: Platform, loop: dict[str, Any]
) -> None:
    before = until("it has settled in shadow",
                   lambda: _look(platform, loop)["figures"]["settled"], PATIENCE_S)  # fmt: skip
    _climb(platform, loop)

    def earns_more() -> bool:
        figures = _look(platform, loop)["figures"]
        return bool(figures["settled"] is not None and figures["settled"] > 1.02 * before)

    until("more is earned, settled", earns_more, 600)
    shown = _look(platform, loop)
    assert shown["figures"]["best"] > 1.02 * before
    temperature = next(one for one in shown["limits"] if one["high"] == 100)
    assert temperature["margin"] > 0
