"""Drafts through the doors and on the command line: asked for, followed, taken, refused."""

import asyncio
import dataclasses
import json
from typing import Any

import httpx
import numpy as np
import pytest

from lineshaft.clock import now_us
from lineshaft.core.samples import SampleBlock
from lineshaft.core.signals import Kind, Signal
from tests.end_to_end.platform import lineshaft
from tests.twins.draft_machines import START, Made, machine
from tests.web.conftest import Feed, House

SECOND = 1_000_000


async def connected(house: House, feed: Feed, made: Made, name: str) -> dict[str, int]:
    """Give a simulated machine to the platform, its newest sample now; return sids by port."""
    path = f"lineshaft/demo/test/web/{name}"
    drafts = [
        dataclasses.replace(one, sid=0, path=one.path.replace(made.path, path))
        for one in made.signals
    ]
    sids = dict(zip((one.sid for one in made.signals), house.register(*drafts), strict=True))
    sid, ts, v, q = made.columns
    block = SampleBlock.from_columns(
        [sids[one] for one in sid.tolist()], ts - ts.max() + now_us() - SECOND, v, q,
        origin="test", arrival=now_us(),
    )  # fmt: skip
    feed.number = await feed.bus.publish(block)
    await feed.wait()
    return {port: sids[one] for port, one in made.ports.items()}


async def drafted(house: House, body: dict[str, Any]) -> httpx.Response:
    """Ask for a draft and look in until it is done or refused."""
    answer = await asyncio.to_thread(house.ask, "POST", "twins/draft", {**body, "wait_s": 0})
    async with asyncio.timeout(180):
        while answer.status_code == 200 and answer.json()["state"] != "done":
            path = f"twins/draft/{answer.json()['id']}"
            answer = await asyncio.to_thread(house.ask, "GET", path, wait_s=5)
    return answer


async def test_a_draft_is_asked_for_taken_and_runs(house: House, feed: Feed) -> None:
    made = machine("lag", "en", 3, rows=500)
    bare = [dataclasses.replace(one, unit="") for one in made.signals]
    ports = await connected(house, feed, dataclasses.replace(made, signals=bare), "press-3")
    path = "lineshaft/demo/test/web/press-3"
    answer = (await drafted(house, {"machine": path})).json()
    assert (answer["state"], answer["machine"]) == ("done", path)
    assert answer["done"] == answer["total"] >= len(answer["drafts"]) > 0
    best = answer["drafts"][0]
    assert best["twin"]["inputs"] == {"drive": ports["in.drive"]}
    assert best["twin"]["outputs"] == {"level": ports["out.level"]}
    assert best["confidence"] > 0.8 and best["told"] > 0.9
    lines = {one["name"]: one for one in best["fields"]}
    for name in ("gain", "time_constant"):
        line = lines[f"parameters.{name}"]
        assert (
            line["value"] == pytest.approx(made.truth[name], rel=0.1) and line["confidence"] > 0.5
        )
    sid = ports["out.level"]
    assert lines[f"signals.{sid}.low"]["value"] < lines[f"signals.{sid}.high"]["value"]
    assert house.get(f"twins/draft/{answer['id']}") == answer

    edge = {"revision": 1, "low": lines[f"signals.{sid}.low"]["value"]}
    assert house.ask("PUT", f"signals/{sid}", edge).json()["low"] == edge["low"]
    twin = await asyncio.to_thread(house.post, "twins", best["twin"])
    assert twin["parameters"]["gain"]["value"] == lines["parameters.gain"]["value"]
    assert twin["estimates"].keys() == {"level", "score"}

    run = ["twins", "--draft", path, "--data", str(house.folder), "--port", str(house.port)]
    shown = await asyncio.to_thread(lineshaft, *run)
    assert shown.returncode == 0, shown.stderr
    assert "1. Thickness: lag" in shown.stdout and "parameters.time_constant" in shown.stdout
    plain = json.loads((await asyncio.to_thread(lineshaft, *run, "--json")).stdout)
    assert plain["drafts"][0]["twin"] == best["twin"]
    wrong = await asyncio.to_thread(lineshaft, *run, "--make", "40")
    assert wrong.returncode == 2 and "no number 40" in wrong.stderr


async def test_a_draft_is_waited_for_or_followed(house: House, feed: Feed) -> None:
    await connected(house, feed, machine("lag", "zh", 4, rows=300), "press-4")
    asked = {"machine": "lineshaft/demo/test/web/press-4", "wait_s": 80}
    waited = (await asyncio.to_thread(house.ask, "POST", "twins/draft", asked)).json()
    assert waited["state"] == "done" and waited["drafts"]
    asked = {"machine": "lineshaft/demo/test/web/press-4", "wait_s": 0}
    begun = (await asyncio.to_thread(house.ask, "POST", "twins/draft", asked)).json()
    assert begun["state"] in ("looking", "fitting") and begun["drafts"] == []
    followed = (await drafted(house, asked)).json()
    assert followed["drafts"] == waited["drafts"]


def refused(house: House, body: dict[str, Any]) -> tuple[int, str, str]:
    answer = house.ask("POST", "twins/draft", body)
    return answer.status_code, answer.json().get("code", ""), answer.text


def _one(name: str, kind: Kind = Kind.FLOAT) -> Signal:
    return Signal(0, f"lineshaft/demo/test/web/{name}/value", "value", kind, source="test")


def test_what_cannot_be_drafted_is_refused(house: House) -> None:
    assert refused(house, {})[:2] == (400, "twin.draft")
    assert refused(house, {"machine": "a/b/c/d/e", "source": "x"})[:2] == (400, "twin.draft")
    status, code, text = refused(house, {"machine": "nowhere/at/all/here/now"})
    assert (status, code) == (400, "twin.draft") and "has no signals" in text
    house.register(_one("silent"), _one("talker", Kind.STRING))
    status, code, text = refused(house, {"machine": "lineshaft/demo/test/web/silent"})
    assert (status, code) == (400, "twin.history") and "no samples yet" in text
    status, code, text = refused(house, {"machine": "lineshaft/demo/test/web/talker"})
    assert (status, code) == (400, "twin.draft") and "text signals only" in text
    answer = house.ask("GET", "twins/draft/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "twin.draft")


async def test_a_period_in_which_nothing_moved_is_refused(house: House, feed: Feed) -> None:
    (sid,) = house.register(_one("still"))
    start = now_us() - 200 * SECOND
    block = SampleBlock.from_columns(
        [sid] * 100, start + np.arange(100) * SECOND, np.ones(100), np.zeros(100, int),
        origin="test", arrival=now_us(),
    )  # fmt: skip
    feed.number = await feed.bus.publish(block)
    await feed.wait()
    body: dict[str, Any] = {"machine": "lineshaft/demo/test/web/still"}
    answer = await drafted(house, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "twin.draft")
    assert "moved" in answer.text
    body |= {"from": START, "to": START}
    assert (await asyncio.to_thread(refused, house, body))[1] == "query.range"
