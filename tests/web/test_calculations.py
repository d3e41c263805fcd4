"""Calculated signals on a real platform: defined, followed, killed, computed again."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lineshaft.bus.client import data_stream, decode_block
from lineshaft.clock import now_us
from lineshaft.core.quality import Reason, bad
from lineshaft.core.signals import Kind
from tests.web.conftest import Feed, House, made

SECOND = 1_000_000
HEAD = "lineshaft/demo/test/web/m"
BAD = bad(Reason.SENSOR)


async def _until(holds: Callable[[], Any], within_s: float = 40) -> Any:
    """Return what `holds` returns once it is true; doors that are coming up count as no."""
    last: object = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    last = await asyncio.to_thread(holds)
                except (httpx.HTTPError, AssertionError) as error:
                    last = error
                else:
                    if last:
                        return last
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it did not come true; last: {last!r}") from None


def _define(house: House, name: str, expression: str, **more: Any) -> dict[str, Any]:
    body = {"path": f"{HEAD}/{name}", "name": name, "expression": expression, **more}
    answer: dict[str, Any] = house.post("calculations", body)
    return answer


def _state(house: House, number: str) -> dict[str, Any]:
    listed = house.get("calculations")["calculations"]
    assert number in {one["id"] for one in listed}
    return next(one for one in listed if one["id"] == number)


def _rows(house: House, sid: int) -> list[tuple[int, float | None]]:
    found = house.get("raw", sid=sid, **{"from": 0})
    return list(zip(found["ts"], found["v"], strict=True))


async def _told(feed: Feed, sid: int) -> int:
    """How many outputs were put on the bus, repeated ones counted again."""
    stream, count = data_stream(feed.bus.site), 0
    state = await feed.bus.streams.state(stream)
    for seq in range(state.first, state.last + 1):
        message = await feed.bus.streams.message(stream, seq)
        if message is not None and message.headers["Ls-Origin"].startswith("calculation-"):
            count += int((decode_block(message.data, message.headers).sid == sid).sum())
    return count


async def _runs(house: House, number: str) -> None:
    await _until(lambda: _state(house, number)["state"] == "running")


async def _kill(house: House) -> None:
    """Kill the process in which calculations run, and return once another is there."""
    pid = house.family()["web"]
    os.kill(pid, signal.SIGKILL)
    await _until(lambda: house.family().get("web", pid) != pid)


async def test_a_calculation_follows_its_inputs_and_feeds_another(house: House, feed: Feed) -> None:
    a, b = house.register(made("calc-a", unit="kPa"), made("calc-b", unit="bar"))
    one = _define(house, "sum", f'"{HEAD}/calc-a" + "{HEAD}/calc-b"', unit="kPa")
    two = _define(house, "half", f'"{HEAD}/sum" / 2')
    assert (one["revision"], one["inputs"], two["unit"]) == (1, [a, b], "kPa")
    await _runs(house, two["id"])
    now = now_us()
    await feed.put(b, [(now, 1.0, 0)])
    await feed.put(a, [(now + 1, 5.0, 0), (now + 2, None, BAD)])
    await _until(lambda: len(_rows(house, two["sid"])) == 3)
    assert _rows(house, one["sid"]) == [(now, None), (now + 1, 105), (now + 2, None)]
    assert _rows(house, two["sid"]) == [(now, None), (now + 1, 52.5), (now + 2, None)]
    listed = {s["sid"]: s for s in house.get("signals", source="calculation")["signals"]}
    assert listed[one["sid"]]["unit"] == "kPa" and listed[two["sid"]]["kind"] == "float"


async def test_what_lies_before_is_computed_on_request_once(house: House, feed: Feed) -> None:
    (a,) = house.register(made("past"))
    start = now_us() - 7200 * SECOND
    await feed.put(a, [(start + at * SECOND, float(at), 0) for at in range(0, 5000, 10)])
    await feed.wait()
    one = _define(house, "rate-past", f'rate("{HEAD}/past") * 1 s')
    two = _define(house, "mean-past", f'avg("{HEAD}/rate-past", 1 min)')
    await _runs(house, two["id"])
    assert _rows(house, one["sid"]) == []
    for count in (500 + 500, 0):
        house.post(f"calculations/{one['id']}/backfill", {"from": start, "to": now_us()})
        done = await _until(
            lambda: (b := _state(house, one["id"])["backfill"])["state"] != "running" and b
        )
        assert (done["state"], done["changed"]) == ("done", count), done
    assert [v for _, v in _rows(house, one["sid"])] == [None, *[1.0] * 499]
    assert _rows(house, two["sid"])[-1][1] == 1.0
    assert await _told(feed, one["sid"]) == 500


async def test_a_killed_calculation_goes_on_without_loss_or_repetition(
    house: House, feed: Feed
) -> None:
    (a,) = house.register(made("kept"))
    one = _define(house, "twice", f'"{HEAD}/kept" * 2')
    await _runs(house, one["id"])
    expected: list[tuple[int, float]] = []
    for at in range(60):
        expected.append((now_us(), 2.0 * at))
        await feed.put(a, [(expected[-1][0], float(at), 0)])
        if at % 20 == 10:
            await _kill(house)
    await _until(lambda: len(_rows(house, one["sid"])) == len(expected), 90)
    assert _rows(house, one["sid"]) == expected
    assert await _told(feed, one["sid"]) == len(expected)


async def test_renamed_inputs_stay_what_they_are(house: House, feed: Feed) -> None:
    a, b = house.register(made("before-a"), made("before-b"))
    one = _define(house, "share", f'("{HEAD}/before-a" - "{HEAD}/before-b") / "{HEAD}/before-a"')
    for sid, revision, name in ((a, 1, "swap"), (b, 1, "before-a"), (a, 2, "before-b")):
        edit = {"revision": revision, "path": f"{HEAD}/{name}"}
        assert house.ask("PUT", f"signals/{sid}", edit).status_code == 200
    shown = f'("{HEAD}/before-b" - "{HEAD}/before-a") / "{HEAD}/before-b"'
    assert _state(house, one["id"])["expression"] == shown
    await _kill(house)
    await _runs(house, one["id"])
    listed = _state(house, one["id"])
    assert (listed["expression"], listed["inputs"]) == (shown, [a, b])
    now = now_us()
    await feed.put(a, [(now, 8.0, 0)])
    await feed.put(b, [(now + 1, 6.0, 0)])
    await _until(lambda: (now + 1, 0.25) in _rows(house, one["sid"]))
    body = {"path": one["path"], "name": "n", "expression": shown, "revision": 1}
    two = house.ask("PUT", f"calculations/{one['id']}", body).json()
    assert (two["since"], two["inputs"]) == (one["since"], [a, b]), "another name changes nothing"


async def test_a_change_holds_from_now_on_and_is_told(house: House, feed: Feed) -> None:
    (a,) = house.register(made("changed"))
    one = _define(house, "factor", f'"{HEAD}/changed" * 2')
    await _runs(house, one["id"])
    before = now_us()
    await feed.put(a, [(before, 1.0, 0)])
    await _until(lambda: _rows(house, one["sid"]) == [(before, 2)])
    body = {"path": one["path"], "name": "f", "expression": f'"{HEAD}/changed" * 3', "revision": 1}
    two = house.ask("PUT", f"calculations/{one['id']}", body).json()
    assert (two["revision"], two["sid"]) == (2, one["sid"])
    stale = house.ask("PUT", f"calculations/{one['id']}", body)
    assert (stale.status_code, stale.json()["code"]) == (409, "calculation.revision")
    await _runs(house, one["id"])
    after = now_us()
    await feed.put(a, [(after, 1.0, 0)])
    await _until(lambda: _rows(house, one["sid"]) == [(before, 2), (after, 3)])

    def told() -> Any:
        found = house.get("facts", kind="calculation.changed", subject=one["path"])["facts"]
        return [fact["body"]["revision"] for fact in found]

    await _until(lambda: told() == [2, 1])
    house.post(f"calculations/{one['id']}/backfill", {"from": before, "to": now_us()})
    await _until(lambda: _rows(house, one["sid"]) == [(before, 3), (after, 3)])
    assert house.ask("DELETE", f"calculations/{one['id']}").status_code == 204
    assert one["id"] not in {c["id"] for c in house.get("calculations")["calculations"]}
    assert len(_rows(house, one["sid"])) == 2


def test_circles_and_taken_paths_are_refused(house: House) -> None:
    house.register(made("root"))
    one = _define(house, "first", f'"{HEAD}/root" + 1')
    _define(house, "second", f'"{HEAD}/first" + 1')
    body = {"path": one["path"], "expression": f'"{HEAD}/second"', "revision": 1}
    answer = house.ask("PUT", f"calculations/{one['id']}", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "calculation.circle")
    assert f"{HEAD}/second → {HEAD}/first" in answer.json()["message"]
    for name in ("first", "root"):
        body = {"path": f"{HEAD}/{name}", "expression": f'"{HEAD}/root"'}
        answer = house.ask("POST", "calculations", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "calculation.path")


async def test_an_expression_is_checked_and_drawn_before_it_is_kept(
    house: House, feed: Feed
) -> None:
    a, s = house.register(made("look", unit="Cel"), made("mode", Kind.STRING))
    start = now_us() - 600 * SECOND
    await feed.put(a, [(start + at * SECOND, float(at % 7), 0) for at in range(500)])
    await feed.put(s, [(start, None, 0), (start + 250 * SECOND, None, 0)], ["off", "run"])
    await feed.wait()
    text = f'if("{HEAD}/mode" = \'run\', "{HEAD}/look" - 0 Cel, 0 K)'
    found = house.post("calculations/check", {"expression": text, "unit": "K"})
    assert found["ok"] and found["unit"] == "K" and [i["sid"] for i in found["inputs"]] == [s, a]
    body = {"expression": text, "from": start + 100 * SECOND, "to": start + 600 * SECOND, "px": 20}
    points = house.post("calculations/preview", body)
    assert len(points["ts"]) <= 80 and points["unit"] == "K"
    assert points["ts"][0] == start + 100 * SECOND
    assert points["v"][0] == 0 and max(points["v"]) == 6
    wrong = house.post("calculations/check", {"expression": f'"{HEAD}/look" +', "unit": None})
    assert not wrong["ok"] and wrong["problems"][0]["column"] == len(f'"{HEAD}/look" +') + 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "calculations", {"path": "a/b", "expression": f'"{HEAD}/nothing"'}),
        ("POST", "calculations", {"path": f"{HEAD}/n", "expression": "1 +"}),
        ("POST", "calculations", {"path": f"{HEAD}/n", "expression": "x" * 4001}),
        ("PUT", "calculations/none", {"path": f"{HEAD}/n", "expression": "1", "revision": 1}),
        ("DELETE", "calculations/none", None),
        ("POST", "calculations/none/backfill", {"from": 0, "to": 1}),
        ("POST", "calculations/preview", {"expression": "1", "from": 5, "to": 5}),
        ("POST", "calculations/preview", {"expression": "1", "from": 5, "to": 9}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_words(
    house: House, method: str, path: str, body: dict[str, Any] | None
) -> None:
    answer = house.ask(method, path, body)
    assert answer.status_code in {400, 404, 422}, answer.text
    assert set(answer.json()) == {"code", "message", "hint"}
