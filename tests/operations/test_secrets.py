"""The canary: secrets of every kind are planted everywhere; no log, Fact or answer repeats one."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lineshaft.bus import Bus, BusAccess
from lineshaft.records import open_records
from lineshaft.rooms.connect.model import Source
from lineshaft.rooms.connect.store import Secrets, SourceStore
from tests.end_to_end.platform import lineshaft, until
from tests.web.conftest import SITE, House

CANARIES = {
    name: f"canary-{name}-7c1e0b"
    for name in ("password", "bearer", "cookie", "code", "header", "query", "url", "body", "probe")
}


@pytest.fixture(scope="module")
def answers(house: House) -> list[str]:
    """Send every canary where it belongs and where it does not; return all answers."""
    said: list[str] = []
    url, key = f"{house.url}/api/v1", house.key
    signed = {"Authorization": f"Bearer {key}"}
    source = {
        "name": "Canary", "endpoint": "opc.tcp://127.0.0.1:9", "prefix": f"lineshaft/{SITE}/a/b",
        "policy": "Basic256Sha256", "mode": "SignAndEncrypt", "user": "reader",
        "password": CANARIES["password"], "protocol": "opcua",
    }  # fmt: skip
    with httpx.Client(timeout=60) as client:

        def ask(method: str, path: str, **more: object) -> None:
            answer = client.request(method, f"{url}/{path}", **more)  # type: ignore[arg-type]
            said.append(answer.text)
            said.append(str(answer.headers))

        ask("POST", "sources", headers=signed, json=source)
        ask("POST", "sources", headers=signed, json={**source, "policy": 7})
        ask(
            "POST",
            "opcua/probe",
            headers=signed,
            json={"endpoint": f"opc.tcp://u:{CANARIES['url']}@127.0.0.1:9"},
        )
        ask("POST", "opcua/browse", headers=signed, json={**source, "password": CANARIES["probe"]})
        ask("GET", "system", headers={"Authorization": f"Bearer {CANARIES['bearer']}"})
        ask("GET", "system", headers={"Cookie": f"lineshaft_session={CANARIES['cookie']}"})
        ask("POST", "session", json={"code": CANARIES["code"]}, headers={"X-Lineshaft": "1"})
        ask("POST", "session", json={"code": [CANARIES["code"]]}, headers={"X-Lineshaft": "1"})
        ask("GET", "system", headers={**signed, "X-Api-Key": CANARIES["header"]})
        ask("GET", f"raw?sid=1&from=x&password={CANARIES['query']}", headers=signed)
        ask("POST", "panel", headers=signed, json={"password": CANARIES["body"]})
        ask("POST", "panel", headers=signed, content=b"{" + CANARIES["body"].encode())
        _add_source(house)
        until("the source has tried to connect", lambda: house.source("canary")["last_error"])
        said.append(client.get(f"{url}/sources", headers=signed).text)
    return said


def _add_source(house: House) -> None:
    """Keep a source whose server is not there, as one was kept while it was."""
    engine = open_records(house.folder / "records.sqlite")
    Secrets(house.folder).put("canary", CANARIES["password"])
    SourceStore(engine).save(
        Source("canary", "Canary", "opc.tcp://127.0.0.1:9", f"lineshaft/{SITE}/a/b", user="reader")
    )
    engine.dispose()
    os.kill(house.family()["connect"], signal.SIGKILL)  # it reads its sources when it starts


def _held(folder: Path) -> Iterator[tuple[str, str]]:
    """Hand out all that the platform may show or keep in the open."""
    for path in (folder / "logs").iterdir():
        yield str(path), path.read_text("utf-8", "replace")
    yield "console", (folder.parent / f"{folder.name}.out").read_text("utf-8", "replace")
    for name in ("records.sqlite", "records.sqlite-wal", "run/plan.json", "run/processes.json"):
        if (folder / name).exists():
            yield name, (folder / name).read_bytes().decode("latin-1")


async def _facts(house: House) -> list[str]:
    access = BusAccess(**json.loads((house.folder / "run/bus-platform.json").read_text()))
    bus = await Bus.connect(access, SITE, "test")
    try:
        last = (await bus.streams.state(f"FACT_{SITE}")).last
        found = [await bus.streams.message(f"FACT_{SITE}", n) for n in range(1, last + 1)]
    finally:
        await bus.close()
    return [f"{one.subject} {dict(one.headers)} {one.data!r}" for one in found if one]


async def test_no_canary_sings(house: House, answers: list[str], tmp_path: Path) -> None:
    shown = [("an answer", text) for text in answers]
    shown += [("a Fact", text) for text in await _facts(house)]
    shown += _held(house.folder)
    shown.append(("the logs", json.dumps(house.get("logs", lines=2000))))
    shown.append(("the metrics", house.ask("GET", "metrics").text))
    for arguments in (
        ["check", "--data", str(house.folder)],
        ["doctor", "--data", str(house.folder), "--port", str(house.port)],
        ["backup", str(tmp_path / "open"), "--data", str(house.folder)],
    ):
        done = await asyncio.to_thread(lineshaft, *arguments)
        shown.append((arguments[0], done.stdout + done.stderr))
    own = {"the key": house.key}
    for user in ("platform", "plant"):
        own[user] = json.loads((house.folder / f"run/bus-{user}.json").read_text())["password"]
    secrets = CANARIES | own
    found = [(name, where) for name, secret in secrets.items() for where, text in shown
             if secret in text]  # fmt: skip
    assert found == []
    for path in (tmp_path / "open").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert [n for n, secret in secrets.items() if secret.encode() in content] == [], path


def test_the_canaries_were_really_there(house: House, answers: list[str]) -> None:
    """The search can find: what must be kept is where it belongs, and only there."""
    kept = [p for p in (house.folder / "secrets").rglob("*") if p.is_file()
            and CANARIES["password"] in p.read_text()]  # fmt: skip
    assert len(kept) == 1
    assert kept[0].stat().st_mode & 0o777 == 0o600
    assert len(answers) > 20
